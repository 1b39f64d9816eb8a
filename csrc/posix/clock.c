/* The clock of all deadlines, and yielding the processor. */
#define _GNU_SOURCE /* clock_gettime */
#include "netpoll.h"
#include "sys/sync.h"

#include <sched.h>
#include <time.h>

/* On Darwin CLOCK_MONOTONIC counts microseconds only, and is not the clock by which the kernel
 * measures timeouts; this one is, as are Go's and Python's. */
#ifdef __APPLE__
#define CLOCK CLOCK_UPTIME_RAW
#else
#define CLOCK CLOCK_MONOTONIC
#endif

/* The same clock as it stood at the last tick. */
#if defined(CLOCK_MONOTONIC_COARSE) /* Linux */
#define COARSE_CLOCK CLOCK_MONOTONIC_COARSE
#elif defined(CLOCK_MONOTONIC_FAST) /* FreeBSD */
#define COARSE_CLOCK CLOCK_MONOTONIC_FAST
#elif defined(__APPLE__)
#define COARSE_CLOCK CLOCK_UPTIME_RAW_APPROX
#else
#define COARSE_CLOCK CLOCK
#endif

static int64_t read_clock(clockid_t clock)
{
    struct timespec ts;
    clock_gettime(clock, &ts); /* cannot fail with a clock that the system has */
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t np_now(void)
{
    return read_clock(CLOCK);
}

NP_HOT int64_t np_now_coarse(void)
{
    return read_clock(COARSE_CLOCK);
}

void np_yield(void)
{
    sched_yield();
}
