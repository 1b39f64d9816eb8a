/* The clock of all deadlines, and yielding the processor, on Windows.
 *
 * QueryPerformanceCounter is the one clock that is monotonic and finer than the tick (15.6 ms) on
 * every Windows: mostly 10 MHz, read without a system call.
 */
#include "netpoll.h"
#include "sys/sync.h"

static int64_t ticks_per_second(void)
{
    static np_atomic64 cached; /* fixed at boot, so two threads may both store it */
    int64_t known = np_load64(&cached);
    if (known == 0) {
        LARGE_INTEGER f;
        QueryPerformanceFrequency(&f); /* cannot fail, nor can the counter, since Windows XP */
        known = f.QuadPart;
        np_store64(&cached, known);
    }
    return known;
}

int64_t np_now(void)
{
    const int64_t billion = 1000000000;
    int64_t f = ticks_per_second();
    LARGE_INTEGER t;

    QueryPerformanceCounter(&t);
    return t.QuadPart / f * billion + t.QuadPart % f * billion / f;
}

int64_t np_now_coarse(void)
{
    return np_now();
}

void np_yield(void)
{
    SwitchToThread();
}
