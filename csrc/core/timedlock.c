/* A lock, with a timeout. */
#include "core/internal.h"

/* In a signal handler the lock may belong to the very thread that was interrupted: then it is not
 * released before the handler returns. */
bool np_mutex_timedlock(np_mutex *lock, int64_t timeout_ns)
{
    if (timeout_ns < 0) {
        np_mutex_lock(lock);
        return true;
    }
    for (int64_t until = np_now() + timeout_ns; !np_mutex_trylock(lock); np_yield())
        if (np_now() >= until)
            return false;
    return true;
}
