/* csrc/io/wait_fd.c with its statics in reach: each execution makes its key anew. */
#include "io/wait_fd.c"

#include "explore.h"

void waker_key_reset(void)
{
    once = (pthread_once_t)PTHREAD_ONCE_INIT;
}
