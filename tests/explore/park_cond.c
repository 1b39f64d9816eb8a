/* csrc/park.c as it is on macOS and wherever else the kernel has no way of its own; with its
 * statics in reach: an execution that was given up may have left them in any state. */
#define NP_PARK_COND
#define np_park_wait cond_park_wait
#define np_unpark cond_unpark
#include "park.c"

void cond_park_reset(void);

void cond_park_reset(void)
{
    once = (pthread_once_t)PTHREAD_ONCE_INIT;
}
