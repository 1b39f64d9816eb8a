/* What the core needs of the machine below it: atomics, one kind of lock, parking, a clock.
 *
 * All of the core's synchronisation goes through this page, so that a build that explores
 * interleavings can put its own page in its place (it defines NP_SYNC_H and the same names first).
 *
 * Every atomic operation but np_store_release is sequentially consistent.  The protocol in desc.c
 * needs that: see the store-load pairs there.
 */
#ifndef NP_SYNC_H
#define NP_SYNC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "sys/assert.h"
#include "sys/layout.h"

/* What one core writes is kept off the lines of what others use. */
enum { NP_CACHE_LINE = 64 };

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
/* With release order, for what no load of the same thread after it depends on: a plain store on the
 * common machines, where np_store is a locked instruction. */
static inline void np_store_release(np_atomic32 *a, uint32_t v)
{
    atomic_store_explicit(a, v, memory_order_release);
}
static inline uint32_t np_swap(np_atomic32 *a, uint32_t v)
{
    return atomic_exchange(a, v);
}
static inline bool np_cas(np_atomic32 *a, uint32_t from, uint32_t to)
{
    return atomic_compare_exchange_strong(a, &from, to);
}
/* Both return the value before.  What is counted is never fewer than none. */
static inline uint32_t np_inc(np_atomic32 *a)
{
    return atomic_fetch_add(a, 1);
}
static inline uint32_t np_dec(np_atomic32 *a)
{
    uint32_t before = atomic_fetch_sub(a, 1);
    np_assert(before > 0);
    return before;
}
static inline int64_t np_load64(const np_atomic64 *a)
{
    return atomic_load(a);
}
static inline void np_store64(np_atomic64 *a, int64_t v)
{
    atomic_store(a, v);
}

/* A field that one thread at a time stores, as an atomic operation elsewhere sees to; but a fork
 * may copy it at any moment, and the explorer tries each.  Another thread that loads it learns only
 * whether it is its own. */
static inline void np_store_plain(uintptr_t *field, uintptr_t v)
{
    atomic_store_explicit((_Atomic(uintptr_t) *)field, v, memory_order_relaxed);
}
static inline uintptr_t np_load_plain(const uintptr_t *field)
{
    return atomic_load_explicit((const _Atomic(uintptr_t) *)field, memory_order_relaxed);
}

/* For assertions: a value that is known, because a lock guards it, or that is only checked against
 * what it can never be. */
static inline uint32_t np_peek(const np_atomic32 *a)
{
    return atomic_load(a);
}
static inline int64_t np_peek64(const np_atomic64 *a)
{
    return atomic_load(a);
}

/* The system's lock. */
#ifdef _WIN32
#include "win32/sync_win32.h"
#else
#include <pthread.h>

typedef pthread_mutex_t np_system_mutex;
#define NP_SYSTEM_MUTEX_INIT PTHREAD_MUTEX_INITIALIZER

static inline void np_system_mutex_init(np_system_mutex *m)
{
    pthread_mutex_init(m, NULL); /* a default mutex: cannot fail on the systems supported */
}
static inline void np_system_mutex_destroy(np_system_mutex *m)
{
    pthread_mutex_destroy(m);
}
static inline void np_system_mutex_lock(np_system_mutex *m)
{
    pthread_mutex_lock(m);
}
static inline bool np_system_mutex_trylock(np_system_mutex *m)
{
    return pthread_mutex_trylock(m) == 0;
}
static inline void np_system_mutex_unlock(np_system_mutex *m)
{
    pthread_mutex_unlock(m);
}
/* The calling thread, as debuggers and Python (threading.get_ident) know it; not 0. */
static inline uintptr_t np_thread_id(void)
{
    return (uintptr_t)pthread_self();
}
#endif

/* The core's lock: the system's, and for assertions its owner. */
typedef struct np_mutex {
    np_system_mutex system;
#ifdef NP_DEBUG
    _Atomic(uintptr_t) owner; /* np_thread_id, 0: free */
#endif
} np_mutex;
#define NP_MUTEX_INIT {.system = NP_SYSTEM_MUTEX_INIT}

#ifdef NP_DEBUG
static inline void np_mutex_set_held(np_mutex *m, bool held)
{
    atomic_store(&m->owner, held ? np_thread_id() : 0);
}
/* By the calling thread. */
static inline bool np_mutex_held(const np_mutex *m)
{
    return atomic_load(&m->owner) == np_thread_id();
}
#else
static inline void np_mutex_set_held(np_mutex *m, bool held)
{
    (void)m, (void)held;
}
bool np_mutex_held(const np_mutex *m); /* defined nowhere: only assertions name it */
#endif

static inline void np_mutex_init(np_mutex *m)
{
    np_system_mutex_init(&m->system);
    np_mutex_set_held(m, false);
}
static inline void np_mutex_destroy(np_mutex *m)
{
    np_system_mutex_destroy(&m->system);
}
static inline void np_mutex_lock(np_mutex *m)
{
    np_assert(!np_mutex_held(m));
    np_system_mutex_lock(&m->system);
    np_mutex_set_held(m, true);
}
static inline bool np_mutex_trylock(np_mutex *m)
{
    if (!np_system_mutex_trylock(&m->system))
        return false;
    np_mutex_set_held(m, true);
    return true;
}
static inline void np_mutex_unlock(np_mutex *m)
{
    np_assert(np_mutex_held(m));
    np_mutex_set_held(m, false);
    np_system_mutex_unlock(&m->system);
}

/* futex.c: sleep while *word == expected, for timeout nanoseconds (< 0: for ever).  Returns 0 when
 * woken (possibly for no reason) or -EINTR, also when the time is over; -ENOSYS where no thread is
 * there to wake it, and it is for ever.  The waker changes *word first, then wakes; it touches no
 * memory but by address, so the word may be gone by then. */
int np_futex_wait(np_atomic32 *word, uint32_t expected, int64_t timeout);
void np_futex_wake(np_atomic32 *word);

/* main_thread.c: is this the main thread, which the kernel prefers for a signal to the process?
 * Called before each sleep, so it has to be quick. */
bool np_is_signal_thread(void);

/* core/fork.c: the number of forks between the process that installed the handlers and this one. */
extern np_atomic32 np_fork_generation;

/* clock.c: np_now as it stood at the kernel's last tick, some hundredths of a second ago at most,
 * for a fifth of the price. */
int64_t np_now_coarse(void);

/* clock.c: yield the processor, for the few loops that wait for another thread to leave. */
void np_yield(void);

#endif
