/* csrc/posix/futex.c as it is on macOS and wherever else the kernel has no way of its own; with its
 * statics in reach: an execution that was given up may have left them in any state. */
#define NP_FUTEX_COND
#define np_futex_wait cond_futex_wait
#define np_futex_wake cond_futex_wake
#include "posix/futex.c"

void cond_futex_reset(void);

void cond_futex_reset(void)
{
    once = (pthread_once_t)PTHREAD_ONCE_INIT;
}
