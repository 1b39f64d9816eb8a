/* Spans of time, as the system's calls count them. */
#ifndef NP_TIMESPEC_H
#define NP_TIMESPEC_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum { NP_NS_PER_S = 1000000000 };

/* Whole seconds, at most what an integer of that size holds.  With 32 bits that is 68 years, after
 * which the caller waits again. */
static inline int64_t np_seconds(int64_t ns, size_t size)
{
    int64_t seconds = ns / NP_NS_PER_S;
    return size < sizeof seconds && seconds > INT32_MAX ? INT32_MAX : seconds;
}

static inline struct timespec np_timespec(int64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)np_seconds(ns, sizeof(time_t)),
                             .tv_nsec = (long)(ns % NP_NS_PER_S)};
}

#endif
