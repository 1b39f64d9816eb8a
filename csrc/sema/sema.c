/* Semaphores that threads and tokens wait on: Go's sema.go.
 *
 * A semaphore is a word and a queue.  The word alone serves while nothing waits, so a lock that is
 * free costs one compare-and-swap:
 *
 *   WAITERS  the queue is not empty.  Set and cleared with the root's lock held.  While it is set
 *            no unit is taken past the queue, and units are released with the lock held.
 *   OPEN     every acquire succeeds, and takes nothing.
 *   SHUT     every acquire fails; units can still be released, and taken by np_sema_take.
 *   count    the free units, in steps of UNIT.  With WAITERS it is 0.
 *
 * The queue is guarded by the lock of a root, chosen by the semaphore's address, as in Go: so a
 * semaphore stays three words, and fork finds every queue by the roots.  A release hands its units
 * to the first in the queue: they are served in the order of coming, and none overtakes.
 *
 * The waiter's state, not a lock, settles what ends a token's wait (core/waiter.h).  So the
 * instant, which holds the poller's lock, need not know the queue: a waiter that it ended stays
 * there until its owner unlinks it, and releases skip it.
 *
 * Order of locks: the registry's, a root's, a poller's.
 */
#include "sema/sema.h"

/* Fork holds all roots' locks, and ThreadSanitizer can follow 64 at a time. */
enum { WAITERS = 1, OPEN = 2, SHUT = 4, UNIT = 8, LOG_ROOTS = 5, ROOTS = 1 << LOG_ROOTS };

_Static_assert(sizeof(np_atomic32) == sizeof(uint32_t), "the word is declared as a plain integer");
_Static_assert(sizeof(np_link) == sizeof(((np_sema *)0)->queue), "and the queue as two pointers");

static np_atomic32 *word_of(np_sema *s)
{
    return (np_atomic32 *)(void *)&s->word;
}

static np_link *queue_of(np_sema *s)
{
    return (np_link *)(void *)s->queue;
}

/* --- roots ----------------------------------------------------------------------------------- */

typedef struct root {
    _Alignas(NP_CACHE_LINE) np_mutex lock; /* other cores take the next one's */
    np_link waiters;   /* np_waiting.root_link, of all queues of the root; made at first need */
    uint64_t arrivals; /* so many waiters have come */
} root;

#define ROOT {.lock = NP_MUTEX_INIT}
#define ROOT_8 ROOT, ROOT, ROOT, ROOT, ROOT, ROOT, ROOT, ROOT
static root roots[ROOTS] = {ROOT_8, ROOT_8, ROOT_8, ROOT_8};

static root *root_of(const np_sema *s)
{
    return &roots[((uintptr_t)s >> 4) * UINT64_C(0x9E3779B97F4A7C15) >> (64 - LOG_ROOTS)];
}

/* With the lock held. */
static np_link *waiters_of(root *r)
{
    if (!r->waiters.next)
        np_list_init(&r->waiters);
    return &r->waiters;
}

static void unlink_locked(np_waiting *w);

#ifdef NP_HAVE_FORK

static void before_fork(void)
{
    for (int i = 0; i < ROOTS; i++)
        np_mutex_lock(&roots[i].lock);
}

static void after_fork_in_parent(void)
{
    for (int i = 0; i < ROOTS; i++)
        np_mutex_unlock(&roots[i].lock);
}

/* The other threads are gone, and so are the schedulers that ran in them: what was handed to their
 * tokens would be lost.  The tokens of this thread stay, for its scheduler may go on. */
static void forget_gone(root *r)
{
    np_link *waiters = waiters_of(r);
    for (np_link *l = waiters->next, *next; l != waiters; l = next) {
        np_waiting *w = NP_CONTAINER(l, np_waiting, root_link);
        next = l->next;
        if (!w->is_thread && w->thread == np_thread_id())
            continue;
        unlink_locked(w);
        if (!w->is_thread && np_waiting_detach(w))
            np_poller_unref(w->poller);
    }
}

static void after_fork_in_child(void)
{
    for (int i = 0; i < ROOTS; i++) {
        np_mutex_init(&roots[i].lock);
        forget_gone(&roots[i]);
    }
}

static np_fork_hooks hooks = {before_fork, after_fork_in_parent, after_fork_in_child, NULL};

static np_atomic32 installed;

int np_sema_install(void)
{
    if (np_load(&installed))
        return 0;
    int rc = np_fork_add(&hooks);
    if (rc == 0)
        np_store(&installed, 1);
    return rc;
}

#else

int np_sema_install(void)
{
    return 0; /* no fork */
}

#endif

/* --- the word -------------------------------------------------------------------------------- */

void np_sema_init(np_sema *s, uint32_t count)
{
    *s = (np_sema){.word = count * UNIT};
}

NP_HOT int np_sema_try(np_sema *s)
{
    np_atomic32 *word = word_of(s);

    for (;;) {
        uint32_t old = np_load(word);
        if (old & (OPEN | SHUT))
            return old & SHUT ? NP_CLOSED : NP_OK;
        if (old < UNIT)
            return NP_AGAIN;
        if (np_cas(word, old, old - UNIT))
            return NP_OK;
    }
}

int np_sema_take(np_sema *s)
{
    np_atomic32 *word = word_of(s);

    for (;;) {
        uint32_t old = np_load(word);
        if (old < UNIT)
            return NP_AGAIN;
        if (np_cas(word, old, old - UNIT))
            return NP_OK;
    }
}

uint32_t np_sema_count(const np_sema *s)
{
    return np_load((const np_atomic32 *)(const void *)&s->word) / UNIT;
}

static void change_word(np_sema *s, uint32_t set, uint32_t clear, uint32_t units)
{
    np_atomic32 *word = word_of(s);
    uint32_t old;

    do
        old = np_load(word);
    while (!np_cas(word, old, ((old | set) & ~clear) + units * UNIT));
}

/* --- the queue: the root's lock is held ------------------------------------------------------ */

/* There is a queue from now on; unless there is a unit, or OPEN: then nothing is done, and false
 * comes. */
static bool announce_locked(np_sema *s)
{
    if (np_load(word_of(s)) == WAITERS)
        return true;
    if (!np_cas(word_of(s), 0, WAITERS))
        return false;
    np_list_init(queue_of(s));
    return true;
}

/* At the end, or where its arrival says: a thread that ran a signal handler comes back to its
 * place.
 */
static void link_locked(np_waiting *w)
{
    root *r = root_of(w->sema);
    np_link *queue = queue_of(w->sema), *before = queue;

    if (w->arrival == 0)
        w->arrival = ++r->arrivals;
    while (before->prev != queue &&
           NP_CONTAINER(before->prev, np_waiting, sema_link)->arrival > w->arrival)
        before = before->prev;
    np_list_append(before, &w->sema_link);
    np_list_append(waiters_of(r), &w->root_link);
    w->at_sema = true;
}

static void unlink_locked(np_waiting *w)
{
    np_list_remove(&w->sema_link);
    np_list_remove(&w->root_link);
    w->at_sema = false;
    if (np_list_empty(queue_of(w->sema)))
        change_word(w->sema, 0, WAITERS, 0);
}

/* False: it had left already, with a unit if it is a thread's. */
static bool leave_queue(np_waiting *w)
{
    root *r = root_of(w->sema);

    np_mutex_lock(&r->lock);
    bool inside = w->at_sema;
    if (inside)
        unlink_locked(w);
    np_mutex_unlock(&r->lock);
    return inside;
}

/* What is done once the root's lock is free: threads to wake, and references that may be the last
 * to their pollers. */
enum { GRANTS = 32 };
typedef struct grants {
    np_atomic32 *threads[GRANTS];
    np_poller *pollers[GRANTS];
    int thread_count, poller_count;
    uintptr_t *holder; /* if not NULL: where the thread goes that a unit was handed to */
} grants;

static void flush(grants *g)
{
    for (int i = 0; i < g->thread_count; i++)
        np_futex_wake(g->threads[i]);
    for (int i = 0; i < g->poller_count; i++)
        np_poller_unref(g->pollers[i]);
    g->thread_count = g->poller_count = 0;
}

/* Before another grant: if there is no room for it, the root's lock is released meanwhile. */
static void make_room(root *r, grants *g)
{
    if (g->thread_count < GRANTS && g->poller_count < GRANTS)
        return;
    np_mutex_unlock(&r->lock);
    flush(g);
    np_mutex_lock(&r->lock);
}

/* The token has been granted a unit.  With the token its reference to the poller goes. */
static void deliver(np_waiting *w, grants *g)
{
    np_poller *p = w->poller;
    np_wake_q wake_q;

    if (g->poller_count == 0 || g->pollers[g->poller_count - 1] != p) {
        np_poller_ref(p);
        g->pollers[g->poller_count++] = p;
    }
    np_lock(p, &wake_q);
    np_waiting_deliver_locked(w, &wake_q);
    np_unlock(p, &wake_q);
}

/* End the wait of the first that still waits, of those up to the arrival last: GRANTED, with a unit
 * handed to it, OPENED or CLOSED.  False: there is none.  From then on a thread may return, and its
 * record be gone: it is woken by the address alone. */
static bool end_first_locked(np_sema *s, uint32_t state, uint64_t last, grants *g)
{
    while (np_load(word_of(s)) & WAITERS) {
        np_waiting *w = NP_CONTAINER(queue_of(s)->next, np_waiting, sema_link);
        bool is_thread = w->is_thread;
        if (w->arrival > last)
            return false;
        unlink_locked(w);
        if (g->holder) /* before the waiter can return */
            np_store_plain(g->holder, w->thread);
        if (!np_cas(&w->state, WAITER_WAITING, state))
            continue;
        if (is_thread)
            g->threads[g->thread_count++] = &w->state;
        else
            deliver(w, g);
        return true;
    }
    return false;
}

/* --- releasing ------------------------------------------------------------------------------- */

/* Units that are left over are remembered.  Once all are handed out the semaphore is not touched
 * again: the owner of the last one may free it. */
NP_COLD static void release_to_queue(np_sema *s, uint32_t n, uintptr_t *holder)
{
    grants g = {.holder = holder};
    root *r = root_of(s);

    np_mutex_lock(&r->lock);
    for (; n > 0 && end_first_locked(s, WAITER_GRANTED, UINT64_MAX, &g); n--)
        make_room(r, &g);
    if (n > 0 && holder)
        np_store_plain(holder, 0);
    if (n > 0)
        change_word(s, 0, 0, n);
    np_mutex_unlock(&r->lock);
    flush(&g);
}

/* False: there is a queue. */
NP_HOT static bool release_to_word(np_sema *s, uint32_t n)
{
    np_atomic32 *word = word_of(s);

    for (;;) {
        uint32_t old = np_load(word);
        if (old & WAITERS)
            return false;
        if (np_cas(word, old, old + n * UNIT))
            return true;
    }
}

void np_sema_release(np_sema *s, uint32_t n)
{
    if (!release_to_word(s, n))
        release_to_queue(s, n, NULL);
}

/* With a queue none is free. */
int np_sema_release_within(np_sema *s, uint32_t n, uint32_t limit)
{
    np_atomic32 *word = word_of(s);

    for (;;) {
        uint32_t old = np_load(word);
        if (n > limit || old / UNIT > limit - n)
            return NP_AGAIN;
        if (old & WAITERS) {
            release_to_queue(s, n, NULL);
            return NP_OK;
        }
        if (np_cas(word, old, old + n * UNIT))
            return NP_OK;
    }
}

NP_HOT void np_sema_hand_over(np_sema *s, uintptr_t *holder)
{
    np_store_plain(holder, 0);
    if (!release_to_word(s, 1))
        release_to_queue(s, 1, holder);
}

/* Set the bit, and end the waits of all that wait now, also if the bit is cleared again before
 * their turn has come; but not of those that come then: one that has passed may clear it for the
 * next time.
 */
static void end_all(np_sema *s, uint32_t bit, uint32_t state)
{
    grants g = {.thread_count = 0};
    root *r = root_of(s);

    np_mutex_lock(&r->lock);
    uint64_t last = r->arrivals;
    change_word(s, bit, 0, 0);
    while (end_first_locked(s, state, last, &g))
        make_room(r, &g);
    np_mutex_unlock(&r->lock);
    flush(&g);
}

void np_sema_open(np_sema *s)
{
    end_all(s, OPEN, WAITER_OPENED);
}

void np_sema_reset(np_sema *s)
{
    change_word(s, 0, OPEN, 0);
}

void np_sema_shut(np_sema *s)
{
    end_all(s, SHUT, WAITER_CLOSED);
}

int np_sema_is_open(const np_sema *s)
{
    return (np_load((const np_atomic32 *)(const void *)&s->word) & OPEN) != 0;
}

NP_HOT int np_sema_is_shut(const np_sema *s)
{
    return (np_load((const np_atomic32 *)(const void *)&s->word) & SHUT) != 0;
}

/* --- a thread -------------------------------------------------------------------------------- */

static bool passed(int64_t until)
{
    return until != NP_NEVER && np_now() >= until;
}

/* Sleep until the state says that the wait is over, or the instant or a signal ends it. */
static int sleep_until(np_waiting *w, int64_t until)
{
    np_signal_slice slice = np_signal_slice_begin();
    int64_t end = slice.end < until ? slice.end : until;

    while (np_load(&w->state) == WAITER_WAITING) {
        int rc = np_futex_wait(&w->state, WAITER_WAITING, np_time_left(end));
        if (rc == 0)
            continue;
        if (rc != -EINTR)
            return rc;
        if (passed(until))
            return NP_TIMEOUT;
        np_signal_slice_over(&slice, true);
        return NP_INTERRUPTED;
    }
    return NP_OK;
}

static int wait_in_thread(np_sema *s, np_waiting *w, int64_t until)
{
    root *r = root_of(s);

    np_mutex_lock(&r->lock);
    if (!announce_locked(s)) {
        np_mutex_unlock(&r->lock);
        return NP_AGAIN;
    }
    link_locked(w);
    np_mutex_unlock(&r->lock);
    int rc = sleep_until(w, until);
    return rc == NP_OK || !leave_queue(w) ? np_waiting_result(w) : rc;
}

int np_sema_acquire(np_sema *s, int64_t until, const char *what, uint64_t *place)
{
    int rc = np_sema_try(s);
    if (rc != NP_AGAIN)
        return rc;
    if (passed(until))
        return NP_TIMEOUT;
    rc = np_sema_install();
    if (rc < 0)
        return rc;
    np_waiting w = {.is_thread = true,
                    .sema = s,
                    .thread = np_thread_id(),
                    .what = what,
                    .since = np_now_coarse(),
                    .until = until,
                    .arrival = place ? *place : 0};
    void *cookie = np_blocking_enter();
    do
        rc = wait_in_thread(s, &w, until);
    while (rc == NP_AGAIN && (rc = np_sema_try(s)) == NP_AGAIN);
    np_blocking_leave(cookie);
    if (place)
        *place = w.arrival;
    return rc;
}

/* --- a token --------------------------------------------------------------------------------- */

/* Into the queue and to the poller in one critical section.  From the second on the token may come
 * out, and its owner may do with the waiter what it likes, but not before the lock is free: to
 * resume one that was granted nothing takes it. */
static int enter_queue(np_sema *s, np_waiting *w, np_poller *p, np_token token, int64_t until)
{
    root *r = root_of(s);
    int rc = NP_AGAIN;

    np_mutex_lock(&r->lock);
    if (announce_locked(s)) {
        link_locked(w);
        rc = np_waiting_attach(w, p, token, until);
        if (rc != NP_OK)
            unlink_locked(w);
    }
    np_mutex_unlock(&r->lock);
    return rc == NP_OK ? NP_PARKED : rc;
}

int np_sema_park(np_sema *s, np_waiter *waiter, np_poller *p, np_token token, int64_t until,
                 const char *what)
{
    np_waiting *w = np_waiting_of(waiter);

    int rc = np_sema_try(s);
    if (rc != NP_AGAIN)
        return rc;
    if (passed(until))
        return NP_TIMEOUT;
    rc = np_sema_install();
    if (rc < 0)
        return rc;
    *w = (np_waiting){.sema = s, .thread = np_thread_id(), .what = what, .since = np_now_coarse()};
    do
        rc = enter_queue(s, w, p, token, until);
    while (rc == NP_AGAIN && (rc = np_sema_try(s)) == NP_AGAIN);
    return rc;
}

/* --- the end of a token's wait --------------------------------------------------------------- */

int np_waiter_resume(np_waiter *waiter)
{
    np_waiting *w = np_waiting_of(waiter);

    if (np_waiter_parked(waiter))
        return NP_AGAIN;
    int rc = np_waiting_result(w);
    if (w->sema && rc != NP_OK && rc != NP_AGAIN)
        leave_queue(w);
    return rc;
}

/* In one critical section, so that fork finds the wait ended or not.  With both locks held,
 * whatever ended it before has delivered the token. */
int np_waiter_cancel(np_waiter *waiter, int *result)
{
    np_waiting *w = np_waiting_of(waiter);
    root *r = w->sema ? root_of(w->sema) : NULL;

    if (r)
        np_mutex_lock(&r->lock);
    if (w->at_sema)
        unlink_locked(w);
    bool inside = np_waiting_detach(w);
    if (r)
        np_mutex_unlock(&r->lock);
    *result = np_load(&w->state) == WAITER_OPENED ? NP_AGAIN : np_waiting_result(w);
    if (inside)
        np_poller_unref(w->poller);
    return inside;
}

/* --- looking inside -------------------------------------------------------------------------- */

bool np_sema_each(int64_t timeout_ns, void (*visit)(const np_waiting *w, void *context),
                  void *context)
{
    bool all = true;

    for (int i = 0; i < ROOTS; i++) {
        root *r = &roots[i];
        if (!np_mutex_timedlock(&r->lock, timeout_ns)) {
            all = false;
            continue;
        }
        np_link *waiters = waiters_of(r);
        for (np_link *l = waiters->next; l != waiters; l = l->next)
            visit(NP_CONTAINER(l, np_waiting, root_link), context);
        np_mutex_unlock(&r->lock);
    }
    return all;
}
