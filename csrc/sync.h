/* What the core needs of the machine below it: atomics, one kind of lock, parking, a clock.
 *
 * All of the core's synchronisation goes through this page, so that a build that explores
 * interleavings can put its own page in its place (it defines NP_SYNC_H and the same names first).
 *
 * Every atomic operation is sequentially consistent.  The protocol in desc.c needs that (see the
 * store-load pairs there), and on the machines that matter a relaxed form would save nothing that
 * a benchmark sees.
 */
#ifndef NP_SYNC_H
#define NP_SYNC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef _Atomic(uint32_t) np_atomic32;
typedef _Atomic(int64_t) np_atomic64;

static inline uint32_t np_load(const np_atomic32 *a)
{
    return atomic_load(a);
}
static inline void np_store(np_atomic32 *a, uint32_t v)
{
    atomic_store(a, v);
}
static inline uint32_t np_swap(np_atomic32 *a, uint32_t v)
{
    return atomic_exchange(a, v);
}
static inline bool np_cas(np_atomic32 *a, uint32_t from, uint32_t to)
{
    return atomic_compare_exchange_strong(a, &from, to);
}
/* Both return the value before. */
static inline uint32_t np_inc(np_atomic32 *a)
{
    return atomic_fetch_add(a, 1);
}
static inline uint32_t np_dec(np_atomic32 *a)
{
    return atomic_fetch_sub(a, 1);
}
static inline int64_t np_load64(const np_atomic64 *a)
{
    return atomic_load(a);
}
static inline void np_store64(np_atomic64 *a, int64_t v)
{
    atomic_store(a, v);
}

#ifdef _WIN32
#include "sync_win32.h"
#else
#include <pthread.h>

typedef pthread_mutex_t np_mutex;
#define NP_MUTEX_INIT PTHREAD_MUTEX_INITIALIZER

static inline void np_mutex_init(np_mutex *m)
{
    pthread_mutex_init(m, NULL); /* a default mutex: cannot fail on the systems supported */
}
static inline void np_mutex_destroy(np_mutex *m)
{
    pthread_mutex_destroy(m);
}
static inline void np_mutex_lock(np_mutex *m)
{
    pthread_mutex_lock(m);
}
static inline bool np_mutex_trylock(np_mutex *m)
{
    return pthread_mutex_trylock(m) == 0;
}
static inline void np_mutex_unlock(np_mutex *m)
{
    pthread_mutex_unlock(m);
}
/* The calling thread, as debuggers and Python (threading.get_ident) know it. */
static inline uintptr_t np_thread_id(void)
{
    return (uintptr_t)pthread_self();
}
#endif

/* park.c: sleep while *word == expected, for timeout nanoseconds (< 0: for ever).  Returns 0 when
 * woken (possibly for no reason) or -EINTR, also when the time is over.  The waker changes *word
 * first, then unparks; it touches no memory but by address, so the word may be gone by then. */
int np_park_wait(np_atomic32 *word, uint32_t expected, int64_t timeout);
void np_unpark(np_atomic32 *word);

/* main_thread.c: is this the main thread, to which the kernel gives a signal for the process if it
 * can?  Asked before each sleep, so it has to be quick. */
bool np_gets_signals(void);

/* clock.c: np_now as it stood at the kernel's last tick, some hundredths of a second ago at most,
 * for a fifth of the price. */
int64_t np_now_roughly(void);

/* clock.c: give the processor away once, for the few loops that wait for another thread to leave.
 */
void np_yield(void);

#endif
