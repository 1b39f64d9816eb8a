/* The data of the core: what it is, its states, and who may change them.
 *
 * Two disciplines guard everything here:
 *
 *   lock-free   the semaphores (np_side.sem), the claim, the info word and the reference counts.
 *               A waiter works on them without the lock, so that reset, a wait that is ready and
 *               the parking of a token cost a few atomic instructions.
 *   the lock    np_poller.lock, one a poller, guards all the rest, and everything that makes
 *               somebody run: events, deadlines, closing.  It is held for short, never across a
 *               call that may block and never while the host's global lock is being taken.
 *
 * One lock for a whole poller, where Go has one a descriptor and one a heap, buys three things:
 * an event's tag is compared and its waiter woken in one critical section, so a stale event cannot
 * slip in between; the heap and the deadlines in it always agree; and fork finds all of it whole.
 */
#ifndef NP_INTERNAL_H
#define NP_INTERNAL_H

#include <errno.h>
#include <stddef.h>

#include "backend.h"
#include "netpoll.h"
#include "probe.h"
#include "sync.h"

/* --- intrusive lists ------------------------------------------------------------------------- */

typedef struct np_link {
    struct np_link *next, *prev;
} np_link;

static inline void np_list_init(np_link *head)
{
    head->next = head->prev = head;
}
static inline bool np_list_empty(const np_link *head)
{
    return head->next == head;
}
static inline void np_list_append(np_link *head, np_link *l)
{
    l->prev = head->prev;
    l->next = head;
    l->prev->next = l;
    head->prev = l;
}
static inline void np_list_remove(np_link *l)
{
    l->prev->next = l->next;
    l->next->prev = l->prev;
}
#define NP_CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

/* --- the descriptor -------------------------------------------------------------------------- */

/* The semaphore of one mode, Go's rg and wg:
 *
 *   NIL     nothing pending, nobody waits.
 *   READY   one notification is remembered.  A waiter consumes it (-> NIL); reset drops it.
 *   NEWS    the same, and it is what a token on its way to its scheduler will report: reset leaves
 *           it alone.  np_resume or any other waiter consumes it (-> NIL); np_cancel gives up the
 *           claim (-> READY).
 *   WAIT    a waiter prepares to park: the side is its own.  It commits (-> THREAD, TOKEN) or
 *           gives up (-> NIL).
 *   WAIT_AGAIN  the same, but a deadline, unblock or close came: it must look again (-> NIL).
 *   WAIT_READY  the same, but an event came (-> READY).
 *   THREAD  a thread is parked, s->thread.  Under the lock: any of those -> NIL, with the
 *           outcome in the thread's own record, where no reset and no second waiter can take it.
 *   TOKEN   a scheduler's token is parked, s->token.  Under the lock: an event -> NEWS, a
 *           deadline, unblock or close -> NIL, and the token goes to the ready queue;
 *           np_cancel -> NIL.
 */
enum {
    SEM_NIL,
    SEM_READY,
    SEM_NEWS,
    SEM_WAIT, /* from here on somebody has the side */
    SEM_WAIT_AGAIN,
    SEM_WAIT_READY,
    SEM_THREAD,
    SEM_TOKEN
};

/* What became of the last token that left SEM_TOKEN.
 *
 *   NONE     it was resumed, or withdrawn, or never was
 *   QUEUED   in the ready queue (np_side.next); no other token can be parked on the side
 *   DROPPED  in the ready queue, and np_cancel gave up its claim
 *   OUT      np_poll gave it out; np_resume is due
 */
enum { CLAIM_NONE, CLAIM_QUEUED, CLAIM_DROPPED, CLAIM_OUT };

typedef struct np_waiter np_waiter;

/* One mode's half of a descriptor. */
typedef struct np_side {
    np_atomic32 sem;
    np_atomic32 claim;
    np_atomic64 deadline; /* rd, wd: 0 none, -1 expired, else an instant; written under the lock */

    /* Under the lock, but for token: while the side is in SEM_WAIT its owner writes it, unless the
     * last one is still in the ready queue.  thread has a place of its own because a thread may
     * park on the side meanwhile. */
    np_waiter *thread;
    np_token token;
    struct np_side *next; /* the ready queue */
    int64_t since;        /* when the token parked, roughly; written with it */

    /* Under the lock.  seq (Go's rseq, wseq) changes whenever the deadline or its being combined
     * changes; an entry of the heap whose timer_seq differs is stale and only finds out when it
     * comes to the top.  That is what makes moving a deadline later free. */
    uint32_t seq;
    uint32_t timer_seq;
    uint32_t heap_pos; /* NP_NO_TIMER: not in the heap */
    uint8_t mode;      /* constant */
} np_side;

#define NP_NO_TIMER UINT32_MAX

/* The info word, Go's atomicInfo: what a waiter must know without the lock.  Written under the
 * lock only.  Whoever sets a bit and then unblocks waiters must set the bit first: a waiter that
 * is not parked yet checks the bits after its semaphore says WAIT, so one of the two sees the
 * other (publish before unblock). */
enum {
    INFO_CLOSING = 1,        /* evicted, or closed, or its poller closed */
    INFO_GONE = 2,           /* deregistered: no event can come any more */
    INFO_EVENT_ERR = 4,      /* the last event was an error and nothing else */
    INFO_EXPIRED_READ = 8,   /* = INFO_EXPIRED(NP_READ) */
    INFO_EXPIRED_WRITE = 16, /* = INFO_EXPIRED(NP_WRITE) */
    INFO_ERR_READY = 32,     /* np_errors_are_ready was called: INFO_EVENT_ERR is never set */
    INFO_LAST = 64           /* an event told of something after which no edge may come */
};
#define INFO_EXPIRED(mode) ((uint32_t)(mode) << 3)

/* The pollDesc.  It lives in a block of the poll cache that stays mapped and stays a pollDesc
 * while the poller lives, so a late event or timer may always look at it; fdseq tells it that the
 * slot has another owner now. */
struct np_desc {
    np_side side[2]; /* READ, WRITE */
    np_atomic32 info;
    np_atomic32 refs;  /* handles and the ready queue; at 0 the slot goes back to the cache */
    np_poller *poller; /* constant for the slot */
    np_fd fd;          /* constant while open */
    uint32_t index;    /* of the slot, constant */
    uint32_t fdseq;    /* under the lock: changes when the slot is given back */
    np_desc *link;     /* free list of the cache, under the lock */
};

static inline np_side *np_side_of(np_desc *d, int mode)
{
    return &d->side[mode - 1];
}
static inline np_desc *np_desc_of(np_side *s)
{
    return NP_CONTAINER(s - (s->mode - 1), np_desc, side);
}
/* What the kernel gets and gives back with each event: slot and owner in one word. */
static inline uint64_t np_tag_of(const np_desc *d)
{
    return (uint64_t)d->fdseq << 32 | d->index;
}

/* --- those who wait -------------------------------------------------------------------------- */

/* Somebody inside backend->poll, linked in np_poller.drivers meanwhile. */
typedef struct np_driver {
    np_link link;
    int64_t until; /* it comes back by then at the latest */
    bool inside;   /* linked */
    bool sleeps;   /* it may block; else it is back at once */
    bool is_poll;  /* np_poll, which is after tokens and np_wake; else a thread in np_wait */
    bool kicked;   /* it has been given a reason to come back: the wake must reach it */
} np_driver;

/* A thread in np_wait; on its stack.
 *
 * word: IDLE until the outcome is known.  LEAD: a follower was promoted, and is to take the lock
 * and drive.  DONE, DONE_READY: the outcome.  BATON is added to an outcome that found the thread
 * not following: it must take the lock and hand over before it leaves.  Without BATON the record
 * has been unlinked and nobody will look at it again, so the thread may return without the lock. */
enum { WORD_IDLE = 0, WORD_LEAD = 1, WORD_DONE = 2, WORD_DONE_READY = 3, WORD_BATON = 4 };

struct np_waiter {
    np_atomic32 word; /* written under the lock, read without it */
    bool following;   /* under the lock: linked in np_poller.followers */
    uintptr_t thread; /* whose it is, and when it parked (0: not recorded); constant */
    int64_t since;
    np_link link;
    np_driver driver;
};

/* Wake-ups owed, collected under the lock and carried out after it: np_lock begins with none,
 * np_unlock pays. */
enum { NP_WAKES = 32 };
typedef struct np_wakes {
    np_atomic32 *parked[NP_WAKES];
    int count;
    bool raise; /* wake somebody out of backend->poll */
} np_wakes;
void np_wakes_add(np_wakes *wakes, np_atomic32 *word); /* poller.c */

/* --- the poller ------------------------------------------------------------------------------ */

typedef struct np_timer_entry {
    int64_t when; /* the key: at or before the instant that the side now wants */
    np_side *side;
} np_timer_entry;

typedef struct np_heap {
    np_timer_entry *entries; /* 4-ary */
    uint32_t count, capacity;
} np_heap;

typedef struct np_cache {
    np_desc **blocks; /* NP_BLOCK_SIZE bytes each, mapped until the poller goes */
    uint32_t block_count, block_capacity;
    np_desc *free;
} np_cache;

/* fd -> descriptor, of all that are registered. */
typedef struct np_fdtab {
    np_desc **buckets; /* open addressing, a power of two */
    uint32_t count, capacity;
} np_fdtab;

enum {
    STATE_OPEN,
    STATE_FORKED, /* in a forked child, before the first call that needs the kernel object */
    STATE_CLOSED
};

struct np_poller {
    np_mutex lock;
    const struct np_backend *backend; /* constant */
    void *kernel;                     /* the backend's own; NULL once given back */
    np_atomic32 state;                /* written under the lock */
    np_atomic32 refs;                 /* handles, and one for each slot in use */

    /* Waking without the lock, for signal handlers.  pending: np_wake was called and no np_poll
     * has answered it.  raised: the backend's wake object is signalled and not yet drained.
     * wakers: threads that may be touching the wake object now. */
    np_atomic32 pending, raised, wakers;
    np_atomic32 parked[2]; /* readers, writers: Go's netpollWaiters */

    /* All below: under the lock. */
    np_link drivers;   /* np_driver */
    np_link followers; /* np_waiter: threads parked while somebody else drives */
    np_side *ready_first, *ready_last;
    np_heap heap;
    np_cache cache;
    np_fdtab fds;
    bool nested;       /* np_poller_fileno was called: keep it readable when there is work */
    int64_t nest_when; /* what the backend's nest timer is set to, 0 = off */
    bool nest_work;    /* what it was told last */
    np_stats stats;
    np_link registry; /* all pollers of the process, under the registry's own lock (fork.c) */
};

/* What those who look may know of a thread that waits by itself (alone.c): it writes this before
 * and after each wait, mode last and first. */
typedef struct np_loner {
    np_link link;      /* all of the process, under the registry's lock (fork.c) */
    np_atomic32 forks; /* np_forks as it was: one from before a fork is a thread's that is gone */
    np_atomic32 mode;  /* 0: it does not wait */
    np_atomic64 fd, thread, since, until;
} np_loner;

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
void np_heap_want(np_heap *h, np_side *s);      /* the side's deadline or seq changed */
int64_t np_heap_top(np_heap *h);                /* earliest instant wanted, INT64_MAX if none */
np_side *np_heap_due(np_heap *h, int64_t now);  /* remove and return one that is due, or NULL */

/* open.c: the descriptor's life. */
void np_unref_locked(np_desc *d, np_wakes *wakes);
int np_register_again(np_desc *d, np_wakes *wakes); /* on a renewed kernel object */

/* desc.c: the state machine.  _locked: the lock is held and wakes collects what is owed. */
void np_desc_setup(np_desc *d, np_fd fd);
void np_ready_locked(np_desc *d, const np_event *event, np_wakes *wakes);
void np_evict_locked(np_desc *d, uint32_t info, np_wakes *wakes);
void np_expire_locked(np_side *s, np_wakes *wakes);
/* A thread's way through the state machine: begin (NP_PARKED: the side is in SEM_WAIT), then
 * thread.c parks it, then the outcome. */
int np_block_begin(np_desc *d, np_side *s, int flags);
int np_block_check(np_desc *d, np_side *s, int flags);
void np_block_give_up(np_side *s);

/* thread.c: parking threads, and who drives. */
int np_park_thread(np_desc *d, np_side *s, bool *ready);
void np_notify_thread(np_waiter *w, bool ready, np_wakes *wakes);
int np_drive(np_poller *p, np_driver *driver, int64_t until, np_wakes *wakes);
void np_hand_over(np_poller *p, np_wakes *wakes);
void np_kick_all(np_poller *p, np_wakes *wakes);

/* signals.c: a thread to which signals come sleeps in slices, between which its host looks for
 * them. */
typedef struct np_slice {
    int64_t end; /* INT64_MAX: no slice, the thread may sleep for ever */
    int64_t length;
} np_slice;
np_slice np_slice_begin(void); /* of the calling thread, which is about to wait */
/* After a sleep within it: does the host have to look now?  quiet: the sleep was ended by nothing
 * but the time. */
bool np_slice_over(np_slice *s, bool quiet);

/* poller.c */
void np_lock(np_poller *p, np_wakes *wakes);
void np_unlock(np_poller *p, np_wakes *wakes);
int np_enter(np_poller *p,
             np_wakes *wakes); /* may the kernel object be used? NP_OK, NP_CLOSED, -errno */
void np_raise(np_poller *p);
void np_enqueue_token(np_poller *p, np_side *s, np_wakes *wakes);
int np_pop_tokens(np_poller *p, np_token *tokens, int max, np_wakes *wakes);
void np_give_back_kernel(np_poller *p);
void *np_blocking_enter(void);
void np_blocking_leave(void *cookie);

/* fork.c */
int np_registry_add(np_poller *p);
void np_registry_remove(np_poller *p);
int np_fork_watch(void);     /* 0 or -ENOMEM */
extern np_atomic32 np_forks; /* how many forks this process is away from the first one watched */
/* Visit all pollers; they stay meanwhile, also one that has lost its last reference.  False if the
 * registry's lock was not to be had within patience_ns (< 0: wait for it). */
bool np_registry_each(int64_t patience_ns, void (*visit)(np_poller *p, void *context),
                      void *context);
void np_registry_add_loner(np_loner *l);
void np_registry_remove_loner(np_loner *l);
bool np_registry_each_loner(int64_t patience_ns, void (*visit)(const np_loner *l, void *context),
                            void *context);

/* snapshot.c */
bool np_lock_within(np_mutex *lock, int64_t patience_ns); /* < 0: without an end */
/* np_poller_snapshot in parts: descriptors from bucket *next on, at most max of them; *next moves
 * behind the last.  Returns their number, or -EBUSY. */
void np_look_at_loner(const np_loner *l, np_alone_view *v); /* mode 0: it does not wait */
int np_look(np_poller *p, np_poller_view *poller, np_desc_view *descs, int max, uint32_t *next,
            int64_t patience_ns);

#endif
