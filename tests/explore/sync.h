/* Takes the place of csrc/sys/sync.h in the explorer's build (it is forced in with -include): the
 * same names, but each operation first asks the explorer who runs next, and knows its line for the
 * trace.
 */
#ifndef NP_SYNC_H
#define NP_SYNC_H

#include <stdbool.h>
#include <stdint.h>

#include "sys/assert.h"
#include "sys/layout.h"

enum { NP_CACHE_LINE = 64 };

/* Structures, so that the compiler refuses an access that goes round the explorer. */
typedef struct {
    uint32_t value;
} np_atomic32;
typedef struct {
    int64_t value;
} np_atomic64;
typedef struct {
    int owner; /* actor + 1, 0: free */
} np_mutex;
#define NP_MUTEX_INIT {0}

/* Where in the source an operation stands. */
typedef struct ex_site {
    const char *file;
    int line;
    const char *text;
} ex_site;

uint32_t ex_load(const np_atomic32 *a, const ex_site *site);
void ex_store(np_atomic32 *a, uint32_t v, const ex_site *site);
void ex_store_weak(np_atomic32 *a, uint32_t v, const ex_site *site);
void ex_store64_weak(np_atomic64 *a, int64_t v, const ex_site *site);
uint32_t ex_swap(np_atomic32 *a, uint32_t v, const ex_site *site);
bool ex_cas(np_atomic32 *a, uint32_t from, uint32_t to, const ex_site *site);
uint32_t ex_add(np_atomic32 *a, uint32_t by, const ex_site *site);
int64_t ex_load64(const np_atomic64 *a, const ex_site *site);
void ex_store64(np_atomic64 *a, int64_t v, const ex_site *site);
void ex_lock(np_mutex *m, const ex_site *site);
void ex_unlock(np_mutex *m, const ex_site *site);
void ex_store_plain(uintptr_t *field, uintptr_t v, const ex_site *site);
uint32_t ex_peek(const np_atomic32 *a);
int64_t ex_peek64(const np_atomic64 *a);
bool ex_holds(const np_mutex *m);

#define EX_AT(call)                                                                                \
    __extension__({                                                                                \
        static const ex_site at_ = {__FILE__, __LINE__, call};                                     \
        ex_site_now = &at_;                                                                        \
        &at_;                                                                                      \
    })
extern const ex_site *ex_site_now;

#define np_load(a) ex_load((a), EX_AT("load(" #a ")"))
#define np_store(a, v) ex_store((a), (v), EX_AT("store(" #a ")"))
#define np_store_release(a, v) ex_store((a), (v), EX_AT("store_release(" #a ")"))
#define np_swap(a, v) ex_swap((a), (v), EX_AT("swap(" #a ")"))
#define np_cas(a, from, to) ex_cas((a), (from), (to), EX_AT("cas(" #a ", " #from ", " #to ")"))
#define np_inc(a) ex_add((a), 1, EX_AT("inc(" #a ")"))
#define np_dec(a) ex_add((a), UINT32_MAX, EX_AT("dec(" #a ")"))
#define np_load64(a) ex_load64((a), EX_AT("load64(" #a ")"))
#define np_store64(a, v) ex_store64((a), (v), EX_AT("store64(" #a ")"))
#define np_load_plain(field) (*(field))
#define np_store_plain(field, v) ex_store_plain((field), (v), EX_AT("store(" #field ")"))
#define np_mutex_lock(m) ex_lock((m), EX_AT("lock(" #m ")"))
#define np_mutex_unlock(m) ex_unlock((m), EX_AT("unlock(" #m ")"))

/* Which states of core/internal.h's tables meet which events (explore.py prints it). */
void ex_met(const char *table, uint32_t state, const char *event);
#define np_met(table, state, event) ex_met(#table, (state), (event))

/* What an assertion reads is no step: others do not run in between. */
#define np_peek(a) ex_peek(a)
#define np_peek64(a) ex_peek64(a)
#define np_mutex_held(m) ex_holds(m)

/* Stores with release order: each may stay in its actor's store buffer, behind which the actor's
 * own loads run ahead, until it has to be seen: at the actor's next read-modify-write, unlock,
 * stronger store or system call; or, another choice, before any of its loads.  Planted bugs use
 * them, and explore.py --orders, which makes each store of the core one, those that are by their
 * name (np_store_release) too: the reduced search, which covers more, cannot follow them. */
#define np_store_weak(a, v) ex_store_weak((a), (v), EX_AT("store_weak(" #a ")"))
#define np_store64_weak(a, v) ex_store64_weak((a), (v), EX_AT("store64_weak(" #a ")"))

static inline void np_mutex_init(np_mutex *m)
{
    m->owner = 0;
}
static inline void np_mutex_destroy(np_mutex *m)
{
    (void)m;
}

uintptr_t np_thread_id(void);
int np_futex_wait(np_atomic32 *word, uint32_t expected, int64_t timeout);
void np_futex_wake(np_atomic32 *word);
bool np_is_signal_thread(void);
extern np_atomic32 np_fork_generation;
int64_t np_now_coarse(void);
void np_yield(void);

#endif
