/* Waits at semaphores and timers, for reports: netpoll.h has the public functions. */
#ifndef NP_WAITS_H
#define NP_WAITS_H

#include "core/internal.h"

/* Of the tokens at p, or with NULL of the threads: how many there are, in *n, and from the skip-th
 * on up to max of them.  False if some were left out, whose lock was not free within timeout_ns. */
bool np_waits_from(np_poller *p, int skip, np_wait_view *out, int max, int64_t timeout_ns, int *n);

#endif
