/* The clock of all deadlines, and giving the processor away. */
#define _GNU_SOURCE /* clock_gettime */
#include "netpoll.h"
#include "sync.h"

#ifdef _WIN32
#include "clock_win32.h"
#else
#include <sched.h>
#include <time.h>

/* On Darwin CLOCK_MONOTONIC counts microseconds only, and is not the clock by which the kernel
 * measures timeouts; this one is, as are Go's and Python's. */
#ifdef __APPLE__
#define CLOCK CLOCK_UPTIME_RAW
#else
#define CLOCK CLOCK_MONOTONIC
#endif

int64_t np_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK, &ts); /* cannot fail with a clock that the system has */
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

void np_yield(void)
{
    sched_yield();
}
#endif
