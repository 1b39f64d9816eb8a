/* csrc/win32/futex_win32.c, with its statics in reach: an execution that was given up may have left
 * them in any state. */
#define np_futex_wait srw_futex_wait
#define np_futex_wake srw_futex_wake
#include "win32/futex_win32.c"

void srw_futex_reset(void);

void srw_futex_reset(void)
{
    for (int i = 0; i < BUCKETS; i++) {
        buckets[i].lock = (SRWLOCK)SRWLOCK_INIT;
        buckets[i].first = NULL;
    }
}
