/* Timeouts for the calls that count in milliseconds. */
#ifndef NP_MS_H
#define NP_MS_H

#include <stdint.h>

/* Rounded up, as coming back early would only mean to wait once more; at most a day, after which
 * the caller waits again; -1 for no end (Windows' INFINITE, as a DWORD). */
static inline int np_ms(int64_t ns)
{
    const int64_t ms = 1000000, day = 86400 * INT64_C(1000);
    if (ns < 0)
        return -1;
    return (int)(ns / ms >= day ? day : (ns + ms - 1) / ms);
}

#endif
