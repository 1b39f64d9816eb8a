/* csrc/park_win32.c, with its statics in reach: an execution that was given up may have left them
 * in any state. */
#define np_park_wait srw_park_wait
#define np_unpark srw_unpark
#include "park_win32.c"

void srw_park_reset(void);

void srw_park_reset(void)
{
    for (int i = 0; i < BUCKETS; i++) {
        buckets[i].lock = (SRWLOCK)SRWLOCK_INIT;
        buckets[i].first = NULL;
    }
}
