/* The data of the core: what it is, its states, and what may change them.
 *
 * Two disciplines guard everything here:
 *
 *   lock-free   the semaphores (np_side.sem), the delivery states, the info word and the reference
 *               counts.  A waiter works on them without the lock, so that reset, a wait that is
 *               ready and the parking of a token cost a few atomic instructions.
 *   the lock    np_poller.lock, one a poller, guards all the rest, and everything that ends a wait:
 *               events, deadlines, closing.  It is held briefly, never across a call that may block
 *               and never while the host's global lock is being acquired.
 *
 * One lock for a whole poller, where Go has one a descriptor and one a heap, buys three things:
 * an event's tag is compared and its waiter woken in one critical section, so a stale event cannot
 * slip in between; the heap and the deadlines in it always agree; and fork finds all of it whole.
 */
#ifndef NP_INTERNAL_H
#define NP_INTERNAL_H

#include <errno.h>

#include "backend/backend.h"
#include "netpoll.h"
#include "sys/fd.h"
#include "sys/list.h"
#include "sys/probe.h"
#include "sys/sync.h"

/* --- the descriptor -------------------------------------------------------------------------- */

/* The semaphore of one mode, Go's rg and wg:
 *
 *   NIL     nothing pending, nothing waits.
 *   READY   one notification is remembered.  A waiter consumes it (-> NIL); reset drops it.
 *   READY_TOKEN  the same, and a token on its way to its scheduler will report it: reset leaves it
 *           alone.  np_resume or any other waiter consumes it (-> NIL); np_cancel makes it READY.
 *   WAIT    a waiter prepares to park: the side is its own.  It commits (-> THREAD, TOKEN) or
 *           aborts (-> NIL).
 *   WAIT_AGAIN  the same, but a deadline, unblock or close came: it must check again (-> NIL).
 *   WAIT_READY  the same, but an event came (-> READY).
 *   THREAD  a thread is parked, s->thread.  Under the lock: any of those -> NIL, with the
 *           outcome in the thread's own record, where no reset and no second waiter can take it.
 *   TOKEN   a scheduler's token is parked, s->token.  Under the lock: an event -> READY_TOKEN, a
 *           deadline, unblock or close -> NIL, and the token goes to the ready queue;
 *           np_cancel -> NIL.
 *
 * No other step is allowed: np_sem_may_become.
 */
enum {
    SEM_NIL,
    SEM_READY,
    SEM_READY_TOKEN,
    SEM_WAIT, /* from here on the side has a waiter */
    SEM_WAIT_AGAIN,
    SEM_WAIT_READY,
    SEM_THREAD,
    SEM_TOKEN
};

/* Where the last token that left SEM_TOKEN is on its way to its scheduler.
 *
 *   NONE     it was resumed, or withdrawn, or there was none
 *   QUEUED   in the ready queue (np_side.next); no other token can be parked on the side
 *   DROPPED  in the ready queue, and np_cancel was called: it will not be resumed
 *   OUT      np_poll returned it; np_resume is due
 *
 * QUEUED is entered from NONE, and both states in the queue are left, under the lock only:
 * np_delivery_may_become.
 */
enum { DELIVERY_NONE, DELIVERY_QUEUED, DELIVERY_DROPPED, DELIVERY_OUT };

/* A state of the two tables above has met an event: the explorer counts which ones do. */
#ifndef np_met
#define np_met(table, state, event) ((void)0)
#endif

/* --- what deadlines and tokens belong to ----------------------------------------------------- */

/* A side of a descriptor, or a waiter (core/waiter.h). */
enum { KIND_SIDE, KIND_WAITER };

/* The part that the two have in common: a token that may come out, and a place in the heap of
 * deadlines. */
typedef struct np_entry {
    np_token token;
    struct np_entry *next; /* the ready queue; under the lock */

    /* Under the lock.  seq (Go's rseq, wseq) changes whenever the deadline does; an entry of the
     * heap whose timer_seq differs is stale and only finds out when it comes to the top.  That is
     * what makes moving a deadline later free. */
    uint32_t seq;
    uint32_t timer_seq;
    uint32_t heap_pos; /* NP_NO_TIMER: not in the heap */

    uint8_t kind; /* constant */
    uint8_t mode; /* of a side; constant */
} np_entry;

#define NP_NO_TIMER UINT32_MAX

typedef struct np_ready_queue {
    np_entry *first, *last;
} np_ready_queue;

/* Where np_poll stores tokens. */
typedef struct np_tokens {
    np_token *at;
    int max, n;
} np_tokens;

typedef struct np_thread_waiter np_thread_waiter;

/* The tokens of one poller, their home, that are parked at descriptors of another (foreign.c).
 * It stays while there are such tokens, and while a call has it in use. */
typedef struct np_foreign {
    np_poller *home;      /* constant; each of the tokens has a reference */
    np_poller *poller;    /* constant; a reference */
    np_atomic32 tokens;   /* parked or ready: more under home's lock, fewer under poller's */
    np_link link;         /* in np_poller.foreign; under home's lock */
    uint32_t calls;       /* that have it in use; under home's lock */
    np_ready_queue ready; /* under poller's lock */
    bool counted;         /* in home->foreign_work; under poller's lock */
} np_foreign;

/* One mode's half of a descriptor. */
typedef struct np_side {
    np_atomic32 sem;
    np_atomic32 delivery;
    np_atomic64 deadline; /* rd, wd: 0 none, -1 expired, else an instant; written under the lock */

    /* Under the lock, but for entry.token and foreign: while the side is in SEM_WAIT its owner
     * writes them, unless the last token is still in the ready queue.  thread has a place of its
     * own because a thread may park on the side meanwhile. */
    np_thread_waiter *thread;
    np_entry entry;      /* its seq changes with the deadline's being combined, too */
    int64_t since;       /* when the token parked, np_now_coarse; written with it */
    np_foreign *foreign; /* NULL, or the token is another poller's; until it is out or withdrawn */
} np_side;

/* The info word, Go's atomicInfo: what a waiter must know without the lock.  Written under the
 * lock only.  A bit is set before the waiters that it concerns are unblocked: a waiter that is not
 * parked yet checks the bits after its semaphore says WAIT, so one of the two sees the other
 * (publish before unblock).  DEREGISTERED comes with CLOSING: np_info_is_sound.  Until CLOSING, a
 * side's deadline is -1 exactly if its EXPIRED bit is set: np_deadlines_are_sound. */
enum {
    INFO_CLOSING = 1,        /* evicted, or closed, or its poller closed */
    INFO_DEREGISTERED = 2,   /* deregistered: no event can come any more */
    INFO_EVENT_ERR = 4,      /* the last event was an error and nothing else: error_lasts */
    INFO_EXPIRED_READ = 8,   /* = INFO_EXPIRED(NP_READ) */
    INFO_EXPIRED_WRITE = 16, /* = INFO_EXPIRED(NP_WRITE) */
    INFO_ERR_READY = 32,     /* np_treat_errors_as_ready was called: INFO_EVENT_ERR is never set */
    INFO_NO_MORE_EDGES = 64  /* an event reported something after which no edge may come */
};
#define INFO_EXPIRED(mode) ((uint32_t)(mode) << 3)

/* The pollDesc.  It lives in a block of the poll cache that stays mapped and stays a pollDesc
 * while the poller lives, so a late event or timer may always read it; fdseq shows that the slot
 * has another owner now. */
struct np_desc {
    /* What an event and a read use comes first: two cache lines. */
    np_atomic32 info;
    np_atomic32 refs;  /* handles; at 0, and out of the ready queue, the slot goes to the cache */
    np_poller *poller; /* constant for the slot */
    uint32_t index;    /* of the slot, constant */
    uint32_t fdseq;    /* under the lock: changes when the slot is freed */
    np_fd fd;          /* constant while open */
    np_side side[2];   /* READ, WRITE */
    np_desc *link;     /* free list of the cache, under the lock */
};

static inline np_side *np_side_of(np_desc *d, int mode)
{
    return &d->side[mode - 1];
}
static inline np_desc *np_desc_of(np_side *s)
{
    return NP_CONTAINER(s - (s->entry.mode - 1), np_desc, side);
}
/* What the kernel gets at registration and returns with each event: slot and owner in one word. */
static inline uint64_t np_tag_of(const np_desc *d)
{
    return (uint64_t)d->fdseq << 32 | d->index;
}

/* --- waiters --------------------------------------------------------------------------------- */

/* A call inside backend->poll, linked in np_poller.drivers meanwhile. */
typedef struct np_driver {
    np_link link;
    int64_t until;   /* it comes back by then at the latest */
    bool inside;     /* linked: np_poller_is_sound */
    bool sleeps;     /* it may block; else it is back at once */
    bool is_poll;    /* np_poll, which wants tokens and np_wake; else a thread in np_wait, */
    bool is_foreign; /* or np_poll of another poller, which has tokens here */
    bool kicked;     /* there is a reason to come back: the wake must reach it */
} np_driver;

/* A thread in np_wait; on its stack.
 *
 * word: IDLE until the outcome is known.  LEAD: a follower was promoted, and is to take the lock
 * and drive.  DONE, DONE_READY: the outcome.  MUST_HAND_OVER is added to an outcome that found the
 * thread not following: it must take the lock and hand over before it returns.  Without it the
 * record has been unlinked and is not touched again, so the thread may return without the lock. */
enum { WORD_IDLE = 0, WORD_LEAD = 1, WORD_DONE = 2, WORD_DONE_READY = 3, WORD_MUST_HAND_OVER = 4 };

struct np_thread_waiter {
    np_atomic32 word; /* written under the lock, read without it */
    bool following;   /* under the lock: linked in np_poller.followers, while word is IDLE */
    np_poller *home;  /* NULL, or it is an np_poll of that poller which follows (foreign_poll.c) */
    uintptr_t thread; /* its id, and when it parked (0: not recorded); constant */
    int64_t since;
    np_link link;
    np_driver driver;
};

/* Wake-ups collected under the lock and carried out after it: np_lock begins with none, np_unlock
 * wakes. */
enum { NP_WAKE_Q_SIZE = 32 };
typedef struct np_wake_q {
    np_atomic32 *words[NP_WAKE_Q_SIZE];
    int count;
    bool wake_driver; /* signal the wake object, which ends a backend->poll */
#ifdef NP_DEBUG
    const np_mutex *lock; /* under which it collects; NULL: np_unlock has ended it */
#endif
} np_wake_q;
void np_wake_q_add(np_wake_q *wake_q, np_atomic32 *word); /* poller.c */

/* --- the poller ------------------------------------------------------------------------------ */

typedef struct np_timer_entry {
    int64_t when; /* the key: at or before the instant that the owner now wants */
    np_entry *owner;
} np_timer_entry;

/* Each entry is at or after its parent, and its side knows its position: np_heap_is_sound_at. */
enum { NP_HEAP_ARITY = 4 };
typedef struct np_heap {
    np_timer_entry *entries;
    uint32_t count, capacity;
} np_heap;

typedef struct np_cache {
    np_desc **blocks; /* NP_BLOCK_SIZE bytes each, mapped until the poller goes */
    uint32_t block_count, block_capacity;
    np_desc *free;
} np_cache;

/* fd -> descriptor, of all that are registered.  At least half of the buckets are empty. */
typedef struct np_fdtab {
    np_desc **buckets; /* open addressing; their number is a power of two */
    uint32_t count, capacity;
} np_fdtab;

enum {
    STATE_OPEN,
    STATE_FORKED, /* in a forked child, before the first call that needs the kernel object */
    STATE_CLOSED  /* for good */
};

struct np_poller {
    np_mutex lock;
    const struct np_backend *backend; /* constant */
    void *kernel;                     /* the backend's own; NULL once released */
    np_atomic32 state;                /* written under the lock */
    np_atomic32 refs;                 /* handles, and one for each slot in use */

    /* Waking without the lock, for signal handlers.  pending: np_wake was called and no np_poll
     * has answered it.  signalled: the backend's wake object is, and not yet drained.
     * signallers: threads that may be touching the wake object now. */
    np_atomic32 pending, signalled, signallers;
    np_atomic32 parked[2]; /* readers, writers: so many waits have begun; np_count_parked */
    /* Reasons for np_poll to see to the others in its list foreign: their queues of our tokens that
     * are not empty, and promotions.  More or fewer under their locks. */
    np_atomic32 foreign_work;

    /* All below: under the lock. */
    np_link drivers;   /* np_driver */
    np_link followers; /* np_thread_waiter: threads parked while another drives */
    np_link waiters;   /* np_waiting.poller_link: tokens at semaphores and timers */
    np_link foreign;   /* np_foreign: other pollers at which tokens of ours are parked */
    uint32_t foreign_turn;
    uint32_t unparked[2]; /* so many of parked have ended */
    np_ready_queue ready;
    np_heap heap;
    np_cache cache;
    np_fdtab fds;
    bool outlived;     /* the kernel may have registrations that outlived their numbers */
    bool nested;       /* np_poller_fileno was called: keep it readable when there is work */
    int64_t nest_when; /* what the backend's nest timer is set to, 0 = off */
    bool nest_work;    /* what it was set to last */
    np_stats stats;
    np_link registry; /* all pollers of the process, under the registry's own lock (fork.c) */
};

/* What reports show of a thread in np_wait_fd (wait_fd.c): it writes this before and after each
 * wait, mode last and first. */
typedef struct np_fd_waiter {
    np_link link;           /* all of the process, under the registry's lock (fork.c) */
    np_atomic32 generation; /* np_fork_generation then: a thread from before a fork is gone */
    np_atomic32 mode;       /* 0: it does not wait */
    np_atomic64 fd, thread, since, until;
} np_fd_waiter;

/* Threads and tokens that are parked: Go's netpollWaiters.  Under the lock; never too low. */
static inline uint32_t np_count_parked(const np_poller *p, int mode)
{
    return np_load(&p->parked[mode - 1]) - p->unparked[mode - 1];
}

/* invariants.c: what holds of all this, for np_assert; under the lock, where it guards the data. */
const np_mutex *np_wake_q_lock(const np_wake_q *wake_q);
bool np_sem_may_become(uint32_t from, uint32_t to);
bool np_delivery_may_become(uint32_t from, uint32_t to);
bool np_info_is_sound(uint32_t info);
bool np_deadlines_are_sound(const np_desc *d);
bool np_side_is_idle(const np_side *s); /* nothing waits on it, and it is not in the ready queue */
bool np_heap_is_sound_at(const np_heap *h, uint32_t pos); /* with its parent and children */
bool np_poller_is_sound(const np_poller *p);              /* whenever the lock is released */
bool np_poller_is_empty(const np_poller *p);              /* when its last reference is gone */
#define np_assert_locked(p) np_assert(np_mutex_held(&(p)->lock))

/* The steps of semaphore and delivery that others may race for. */
#define np_sem_cas(s, from, to)                                                                    \
    (np_assert(np_sem_may_become(from, to)), np_cas(&(s)->sem, from, to))
#define np_delivery_cas(s, from, to)                                                               \
    (np_assert(np_delivery_may_become(from, to)), np_cas(&(s)->delivery, from, to))

/* Only READY is dropped, in one step: a waiter that parks meanwhile stays, and so does what a token
 * on its way to its owner will report. */
static inline void np_side_reset(np_side *s)
{
    if (np_load(&s->sem) == SEM_READY)
        np_sem_cas(s, SEM_READY, SEM_NIL);
}

/* np_holds_token.  A token that becomes ready is marked as queued before its side leaves TOKEN. */
static inline bool np_side_holds_token(const np_side *s)
{
    if (np_load(&s->sem) == SEM_TOKEN)
        return true;
    uint32_t delivery = np_load(&s->delivery);
    return delivery == DELIVERY_QUEUED || delivery == DELIVERY_DROPPED;
}

/* cache.c: slots for descriptors.  Both under the lock. */
np_desc *np_cache_alloc(np_poller *p);
void np_cache_free(np_desc *d);
np_desc *np_cache_at(const np_poller *p, uint32_t index); /* NULL past the end */
void np_cache_destroy(np_cache *c);

/* fdtab.c */
int np_fdtab_reserve(np_fdtab *t); /* room for one more: 0 or -ENOMEM */
np_desc *np_fdtab_get(const np_fdtab *t, np_fd fd);
void np_fdtab_put(np_fdtab *t, np_desc *d); /* replaces the one with the same fd */
void np_fdtab_remove(np_fdtab *t, const np_desc *d);

/* timers.c: the heap of deadlines. */
int np_heap_reserve(np_heap *h, uint32_t more); /* 0 or -ENOMEM */
void np_heap_update(np_heap *h, np_entry *e);   /* its deadline or seq changed */
void np_heap_remove(np_heap *h, np_entry *e); /* its memory may go; one that is not in it is none */
int64_t np_heap_top(np_heap *h);              /* the earliest deadline, INT64_MAX if none */
np_entry *np_heap_due(np_heap *h, int64_t now); /* remove and return one that is due, or NULL */

/* open.c: the descriptor's life. */
void np_unqueued_locked(np_desc *d);                  /* a token of its has left the ready queue */
int np_register_again(np_desc *d, np_wake_q *wake_q); /* on a renewed kernel object */

/* desc.c: the state machine.  _locked: the lock is held, and wake_q collects the wake-ups. */
void np_desc_setup(np_desc *d, np_fd fd);
void np_ready_locked(np_desc *d, const np_event *event, np_wake_q *wake_q);
void np_evict_locked(np_desc *d, uint32_t info, np_wake_q *wake_q);
void np_expire_locked(np_side *s, np_wake_q *wake_q);
/* A thread's way through the state machine: begin (NP_PARKED: the side is in SEM_WAIT), then
 * thread.c parks it, then the outcome. */
int np_block_begin(np_desc *d, np_side *s, int flags);
int np_block_check(np_desc *d, np_side *s, int flags);
void np_block_abort(np_side *s);
/* np_cancel, and it takes a token out of the ready queue, too: 0 means that it was given out. */
int np_withdraw(np_desc *d, int mode, np_token *token);

/* Commit, Go's netpollblockcommit: SEM_WAIT -> SEM_TOKEN.  False: an event or an unblock came
 * first, and the side is in SEM_WAIT_READY or SEM_WAIT_AGAIN.  True: the token may be out already,
 * and the descriptor be gone with its last reference. */
bool np_commit_token(np_desc *d, np_side *s, np_token token);
void np_unblock_locked(np_side *s, bool ready, np_wake_q *wake_q);

/* foreign.c: tokens that are parked at another poller than their home. */
#define NP_EACH_FOREIGN(f, home)                                                                   \
    for (np_link *l = (home)->foreign.next;                                                        \
         l != &(home)->foreign && (f = NP_CONTAINER(l, np_foreign, link)) != NULL; l = l->next)
/* The side is in SEM_WAIT.  NP_PARKED; NP_AGAIN: an event or an unblock came first; NP_NO_POLLER;
 * -ENOMEM. */
NP_COLD int np_foreign_commit(np_desc *d, np_side *s, np_token token, np_poller *home);
/* With the lock of the descriptor's poller: the token becomes ready; it is withdrawn from the ready
 * queue; it leaves its side, and the caller gets its reference to its home. */
NP_COLD void np_foreign_enqueue(np_side *s);
void np_foreign_unqueue(np_side *s);
NP_COLD np_poller *np_foreign_leave(np_side *s);
void np_foreign_left(np_poller *home); /* then, without it: drops the reference */
void np_foreign_pop(np_foreign *f, np_tokens *out);
void np_foreign_take(np_poller *home, np_tokens *out);
void np_foreign_reset_in_child(np_poller *home);
/* Forget the pollers at which no token of home is left.  _locked: the lock is released meanwhile.
 */
void np_foreign_forget(np_poller *home);
void np_foreign_forget_locked(np_poller *home, np_wake_q *wake_q);

/* foreign_poll.c: np_drive of home and of the pollers at which its tokens are parked.  Stores those
 * of them that are ready. */
int np_drive_foreign(np_poller *home, int64_t until, np_tokens *out, np_wake_q *wake_q);

/* thread.c: parking threads, and which of them drives. */
int np_park_thread(np_desc *d, np_side *s, bool *ready);
void np_notify_thread(np_thread_waiter *w, bool ready, np_wake_q *wake_q);
int np_drive(np_poller *p, np_driver *driver, int64_t until, np_wake_q *wake_q);
/* np_drive in parts: enter, without the lock ask, leave.  From the first on the kernel object
 * stays, and what concerns the driver wakes it. */
typedef struct np_event_batch {
    np_event events[NP_EVENT_BATCH];
    int n; /* or a negated errno value */
    bool woken;
} np_event_batch;
void np_drive_enter(np_poller *p, np_driver *driver, int64_t until);
void np_ask_kernel(np_poller *p, int64_t timeout, np_event_batch *batch);
void np_drive_leave(np_poller *p, np_driver *driver, const np_event_batch *batch,
                    np_wake_q *wake_q);
void np_follow(np_poller *p, np_thread_waiter *w);
void np_unfollow(np_thread_waiter *w);
void np_hand_over(np_poller *p, np_wake_q *wake_q);
void np_kick_all(np_poller *p, np_wake_q *wake_q);
void np_kick_polls(np_poller *p, np_wake_q *wake_q);
/* A driver that would sleep past the new deadline must come back and check again. */
void np_kick_for_deadline(np_poller *p, int64_t when, np_wake_q *wake_q);
int64_t np_time_left(int64_t until); /* INT64_MAX: -1, as the calls that sleep take it */

/* signals.c: the thread that gets the signals sleeps in slices, between which its host checks for
 * them. */
typedef struct np_signal_slice {
    int64_t end; /* INT64_MAX: no slice, the thread may sleep without end */
    int64_t length;
} np_signal_slice;
np_signal_slice np_signal_slice_begin(void); /* of the calling thread, which is about to wait */
/* After a sleep within it: must the host check now?  timed_out: nothing but the time ended the
 * sleep. */
bool np_signal_slice_over(np_signal_slice *s, bool timed_out);

/* poller.c */
void np_lock(np_poller *p, np_wake_q *wake_q);
void np_unlock(np_poller *p, np_wake_q *wake_q);
/* May the kernel object be used?  NP_OK, NP_CLOSED or -errno; in a forked child it is renewed. */
int np_ensure_kernel(np_poller *p, np_wake_q *wake_q);
void np_wake_driver(np_poller *p);
void np_ready_push(np_ready_queue *q, np_entry *e);
void np_ready_remove(np_ready_queue *q, np_entry *e); /* which is in the queue */
void np_pop(np_ready_queue *q, np_tokens *out);
void np_enqueue_token(np_poller *p, np_entry *e, np_wake_q *wake_q);
void np_unqueue_token(np_poller *p, np_entry *e);
void np_release_kernel(np_poller *p);
void np_sync_nest(np_poller *p); /* nesting.c; of a nested one that is open */
void *np_blocking_enter(void);
void np_blocking_leave(void *cookie);

/* fork.c */
int np_registry_add(np_poller *p);
void np_registry_remove(np_poller *p);
int np_fork_install(void); /* 0 or -ENOMEM */
/* Locks of the layers above that fork has to find free: taken before those that were added earlier,
 * and those of the pollers.  In the child each layer may use what is below it.  Static; adding it
 * again does nothing.  0 or -ENOMEM. */
typedef struct np_fork_hooks {
    void (*before)(void);
    void (*parent)(void);
    void (*child)(void);
    struct np_fork_hooks *next;
} np_fork_hooks;
int np_fork_add(np_fork_hooks *hooks);
/* Visit all pollers; they stay meanwhile, also one that has lost its last reference.  False if the
 * registry's lock was not free within timeout_ns (< 0: wait for it). */
bool np_registry_each(int64_t timeout_ns, void (*visit)(np_poller *p, void *context),
                      void *context);
void np_registry_add_fd_waiter(np_fd_waiter *w);
void np_registry_remove_fd_waiter(np_fd_waiter *w);
bool np_registry_each_fd_waiter(int64_t timeout_ns,
                                void (*visit)(const np_fd_waiter *w, void *context), void *context);

/* timedlock.c */
bool np_mutex_timedlock(np_mutex *lock, int64_t timeout_ns); /* < 0: no end; false: still held */

/* snapshot.c */
void np_fd_waiter_view(const np_fd_waiter *w, np_fd_wait_view *v); /* mode 0: it does not wait */
/* np_poller_snapshot in parts: descriptors from bucket *next on, at most max of them; *next moves
 * behind the last.  Returns their number, or -EBUSY. */
int np_snapshot_chunk(np_poller *p, np_poller_view *poller, np_desc_view *descs, int max,
                      uint32_t *next, int64_t timeout_ns);

#endif
