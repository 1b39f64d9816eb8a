/* The poller: its life, its wake, its ready queue, and np_poll. */
#include <stdlib.h>
#include <string.h>

#include "core/internal.h"
#include "core/waiter.h"

/* --- backends -------------------------------------------------------------------------------- */

static const np_backend *const backends[] = {
#ifdef NP_HAVE_EPOLL
    &np_backend_epoll,
#endif
#ifdef NP_HAVE_KQUEUE
    &np_backend_kqueue,
#endif
#ifdef NP_HAVE_IOCP
    &np_backend_iocp,
#endif
#ifdef NP_HAVE_POLL
    &np_backend_poll,
#endif
};
enum { BACKENDS = sizeof backends / sizeof *backends };

static const np_backend *nth_backend(int n)
{
    for (int i = 0; i < BACKENDS; i++)
        if (backends[i]->usable() && n-- == 0)
            return backends[i];
    return NULL;
}

const char *np_backend_name(int i)
{
    const np_backend *b = i < 0 ? NULL : nth_backend(i);
    return b ? b->name : NULL;
}

static const np_backend *find_backend(const char *name)
{
    const np_backend *b = NULL;
    for (int i = 0; (b = nth_backend(i)) != NULL; i++)
        if (!name || strcmp(b->name, name) == 0)
            break;
    return b;
}

/* --- the host's global lock ------------------------------------------------------------------ */

static void *(*blocking_enter)(void);
static void (*blocking_leave)(void *);

void np_set_blocking_hooks(void *(*enter)(void), void (*leave)(void *))
{
    blocking_enter = enter;
    blocking_leave = leave;
}

void *np_blocking_enter(void)
{
    return blocking_enter ? blocking_enter() : NULL;
}

void np_blocking_leave(void *cookie)
{
    if (blocking_leave)
        blocking_leave(cookie);
}

/* --- the lock and what is done after it ------------------------------------------------------ */

static void flush_wake_q(np_wake_q *wake_q)
{
    for (int i = 0; i < wake_q->count; i++)
        np_futex_wake(wake_q->words[i]);
    wake_q->count = 0;
}

void np_wake_q_add(np_wake_q *wake_q, np_atomic32 *word)
{
    np_assert(np_wake_q_lock(wake_q) && np_mutex_held(np_wake_q_lock(wake_q)));
    if (wake_q->count == NP_WAKE_Q_SIZE)
        flush_wake_q(wake_q); /* under the lock: rare, and only slower */
    np_assert(wake_q->count < NP_WAKE_Q_SIZE);
    wake_q->words[wake_q->count++] = word;
}

static void set_lock(np_wake_q *wake_q, const np_mutex *lock)
{
#ifdef NP_DEBUG
    wake_q->lock = lock;
#endif
    (void)wake_q, (void)lock;
}

NP_HOT void np_lock(np_poller *p, np_wake_q *wake_q)
{
    wake_q->count = 0;
    wake_q->wake_driver = false;
    np_mutex_lock(&p->lock);
    set_lock(wake_q, &p->lock);
}

NP_HOT void np_unlock(np_poller *p, np_wake_q *wake_q)
{
    np_assert(np_wake_q_lock(wake_q) == &p->lock && np_poller_is_sound(p));
    if (p->nested && np_load(&p->state) == STATE_OPEN)
        np_sync_nest(p);
    set_lock(wake_q, NULL);
    np_mutex_unlock(&p->lock);
    if (wake_q->wake_driver)
        np_wake_driver(p);
    flush_wake_q(wake_q);
}

/* Signal the wake object.  Without the lock, for np_wake: the count of signallers holds the object
 * open until the write is done (np_release_kernel stores the state first and reads the count
 * second; here it is the other way round). */
void np_wake_driver(np_poller *p)
{
    np_inc(&p->signallers);
    if (np_load(&p->state) == STATE_OPEN && np_cas(&p->signalled, 0, 1))
        p->backend->wake(p->kernel);
    np_dec(&p->signallers);
}

/* The poller is closed and no driver is inside. */
void np_release_kernel(np_poller *p)
{
    np_assert(np_peek(&p->state) == STATE_CLOSED && np_list_empty(&p->drivers));
    if (!p->kernel)
        return;
    while (np_load(&p->signallers) > 0)
        np_yield();
    p->backend->fini(p->kernel);
    p->kernel = NULL;
}

/* After a fork, the first call that needs the kernel comes here: a kernel object of our own, with
 * every open descriptor registered again. */
static int renew(np_poller *p, np_wake_q *wake_q)
{
    int rc = p->backend->renew(p->kernel);
    if (rc < 0)
        return rc;
    /* Eviction does not change the table, so it may be walked. */
    for (uint32_t i = 0; i < p->fds.capacity; i++)
        if (p->fds.buckets[i] && (rc = np_register_again(p->fds.buckets[i], wake_q)) < 0)
            return rc;
    p->outlived = false;
    p->nest_when = 0; /* the new nest is empty; np_unlock sets it */
    p->nest_work = false;
    /* An np_wake that still saw FORKED has signalled nothing, but it stored pending before it
     * loaded the state, so it is seen here. */
    np_store(&p->state, STATE_OPEN);
    wake_q->wake_driver = wake_q->wake_driver || np_load(&p->pending);
    return NP_OK;
}

int np_ensure_kernel(np_poller *p, np_wake_q *wake_q)
{
    np_assert_locked(p);
    switch (np_load(&p->state)) {
    case STATE_OPEN:
        return NP_OK;
    case STATE_FORKED:
        return renew(p, wake_q);
    default:
        return NP_CLOSED;
    }
}

/* --- life ------------------------------------------------------------------------------------ */

int np_poller_new(const char *backend, np_poller **out)
{
    const np_backend *b = find_backend(backend);
    if (!b)
        return -ENOSYS;
    np_poller *p = calloc(1, sizeof *p);
    if (!p)
        return -ENOMEM;
    p->backend = b;
    int rc = b->init(&p->kernel);
    if (rc < 0)
        goto no_kernel;
    np_mutex_init(&p->lock);
    np_store(&p->state, STATE_OPEN);
    np_store(&p->refs, 1);
    np_list_init(&p->drivers);
    np_list_init(&p->followers);
    np_list_init(&p->waiters);
    np_list_init(&p->foreign);
    rc = np_registry_add(p);
    if (rc < 0)
        goto no_registry;
    *out = p;
    return NP_OK;

no_registry:
    np_mutex_destroy(&p->lock);
    b->fini(p->kernel);
no_kernel:
    free(p);
    return rc;
}

void np_poller_close(np_poller *p)
{
    np_wake_q wake_q;

    np_lock(p, &wake_q);
    if (np_load(&p->state) != STATE_CLOSED) {
        np_store(&p->state, STATE_CLOSED);
        for (uint32_t i = 0; i < p->fds.capacity; i++)
            if (p->fds.buckets[i])
                np_evict_locked(p->fds.buckets[i], INFO_CLOSING | INFO_DEREGISTERED, &wake_q);
        np_waiting_close_all_locked(p, &wake_q);
        p->stats.open = 0;
        np_kick_all(p, &wake_q);
        np_hand_over(p, &wake_q);
    }
    np_unlock(p, &wake_q);
}

void np_poller_ref(np_poller *p)
{
    np_assert(np_peek(&p->refs) > 0);
    np_inc(&p->refs);
}

void np_poller_unref(np_poller *p)
{
    if (np_dec(&p->refs) != 1)
        return;
    np_poller_close(p);
    np_foreign_forget(p); /* in a forked child: the calls that should have are gone */
    np_registry_remove(p);
    np_assert(np_poller_is_empty(p));
    np_mutex_destroy(&p->lock);
    free(p->heap.entries);
    free(p->fds.buckets);
    np_cache_destroy(&p->cache);
    free(p);
}

const char *np_poller_backend(const np_poller *p)
{
    return p->backend->name;
}

NP_HOT int np_poller_closed(const np_poller *p)
{
    return np_load(&p->state) == STATE_CLOSED;
}

/* --- the ready queue ------------------------------------------------------------------------- */

void np_ready_push(np_ready_queue *q, np_entry *e)
{
    e->next = NULL;
    if (q->first)
        q->last->next = e;
    else
        q->first = e;
    q->last = e;
}

/* For a cancel, which is rare: the queue is searched. */
void np_ready_remove(np_ready_queue *q, np_entry *e)
{
    np_entry *before = NULL;

    for (np_entry *at = q->first; at != e; at = at->next)
        before = at;
    if (before)
        before->next = e->next;
    else
        q->first = e->next;
    if (q->last == e)
        q->last = before;
}

/* NULL: a waiter's. */
static np_side *side_of(np_entry *e)
{
    return e->kind == KIND_SIDE ? NP_CONTAINER(e, np_side, entry) : NULL;
}

/* A side's delivery is QUEUED already, and its slot stays until the token is out.  (A waiter holds
 * a reference to the poller.) */
NP_HOT void np_enqueue_token(np_poller *p, np_entry *r, np_wake_q *wake_q)
{
    np_side *s = side_of(r);

    np_assert_locked(p);
    np_assert(!s || np_peek(&s->delivery) == DELIVERY_QUEUED);
    if (s && s->foreign) {
        np_foreign_enqueue(s);
        return;
    }
    np_ready_push(&p->ready, r);
    np_kick_polls(p, wake_q);
}

void np_unqueue_token(np_poller *p, np_entry *r)
{
    np_side *s = side_of(r);

    if (s && s->foreign)
        np_foreign_unqueue(s);
    else
        np_ready_remove(&p->ready, r);
}

/* The token is about to be given out. */
NP_HOT static void popped(np_entry *r)
{
    if (r->kind == KIND_WAITER) {
        np_waiting_popped_locked(NP_CONTAINER(r, np_waiting, entry));
        return;
    }
    np_side *s = side_of(r);
    if (s->foreign)
        np_dec(&np_foreign_leave(s)->refs); /* not the last one: its np_poll holds another */
    np_met(delivery, np_peek(&s->delivery), "out");
    uint32_t next = np_load(&s->delivery) == DELIVERY_QUEUED ? DELIVERY_OUT : DELIVERY_NONE;
    np_assert(np_delivery_may_become(np_peek(&s->delivery), next));
    np_store_release(&s->delivery, next);
    np_unqueued_locked(np_desc_of(s));
}

NP_HOT void np_pop(np_ready_queue *q, np_tokens *out)
{
    while (out->n < out->max && q->first) {
        np_entry *r = q->first;
        q->first = r->next;
        out->at[out->n++] = r->token;
        popped(r);
    }
}

int np_take_ready(np_poller *p, np_token *tokens, int max)
{
    np_tokens out = {.at = tokens, .max = max};
    np_wake_q wake_q;

    np_lock(p, &wake_q);
    np_pop(&p->ready, &out);
    bool others = !np_list_empty(&p->foreign);
    np_unlock(p, &wake_q);
    if (others)
        np_foreign_take(p, &out);
    return out.n;
}

/* --- polling --------------------------------------------------------------------------------- */

typedef struct np_poll_call {
    int64_t until;
    np_driver driver;
    np_tokens out;
    bool timed_out; /* the last poll of the kernel brought nothing */
} np_poll_call;

/* Poll the kernel once, blocking until `until`.  Returns NP_OK to go on, NP_PARKED when there is
 * something to return for, or the error. */
NP_HOT static int poll_once(np_poller *p, np_poll_call *c, int64_t until, np_wake_q *wake_q)
{
    int rc = np_ensure_kernel(p, wake_q);
    if (rc != NP_OK)
        return rc;
    /* Tokens may have come while there was no driver, and then nothing was woken for them. */
    if (p->ready.first)
        until = 0;
    int events = np_list_empty(&p->foreign) ? np_drive(p, &c->driver, until, wake_q)
                                            : np_drive_foreign(p, until, &c->out, wake_q);
    c->timed_out = events == 0;
    if (np_load(&p->state) == STATE_CLOSED && c->out.n == 0)
        return NP_CLOSED;
    np_pop(&p->ready, &c->out);
    if (c->out.n > 0)
        return NP_PARKED;
    if (events < 0)
        return events == -EINTR ? NP_INTERRUPTED : events;
    return NP_OK;
}

/* On the way out.  A wake-up that is pending does not hide that the poller is closed. */
static int finish_poll(np_poller *p, int rc, np_wake_q *wake_q)
{
    np_hand_over(p, wake_q);
    return rc == NP_OK && np_load(&p->state) == STATE_CLOSED ? NP_CLOSED : rc;
}

/* Until there is something to return for: tokens, a wake, the time; or another driver, which
 * what was drained here may be meant for; or the host has to check for signals. */
static int poll_blocking(np_poller *p, np_poll_call *c, np_wake_q *wake_q)
{
    np_signal_slice slice = np_signal_slice_begin();
    int rc = NP_OK;

    np_unlock(p, wake_q);
    void *cookie = np_blocking_enter();
    np_lock(p, wake_q);
    /* pending is checked under the lock, which is then kept until this call is linked as a driver:
     * a driver that drains the wake object later sees that it is meant for this one. */
    while (rc == NP_OK && !np_swap(&p->pending, 0) &&
           (rc = poll_once(p, c, slice.end < c->until ? slice.end : c->until, wake_q)) == NP_OK) {
        if (!np_list_empty(&p->drivers) || np_now() >= c->until)
            break;
        if (np_signal_slice_over(&slice, c->timed_out))
            rc = NP_INTERRUPTED;
    }
    rc = finish_poll(p, rc, wake_q);
    np_unlock(p, wake_q);
    np_blocking_leave(cookie);
    return rc;
}

/* A poll that does not block leaves events, tokens and wake-ups to one that sleeps. */
static bool another_poll_sleeps(np_poller *p, np_wake_q *wake_q)
{
    for (np_link *l = p->drivers.next; l != &p->drivers; l = l->next) {
        np_driver *d = NP_CONTAINER(l, np_driver, link);
        if (!d->is_poll || !d->sleeps)
            continue;
        if (p->ready.first)
            wake_q->wake_driver = d->kicked = true;
        return true;
    }
    return false;
}

/* The first poll of the kernel does not block, so it keeps the host's global lock; a host without
 * one goes straight to the second. */
NP_HOT int np_poll(np_poller *p, int64_t timeout_ns, np_token *tokens, int max, int *n)
{
    np_poll_call c = {.out = {.at = tokens, .max = max}, .driver = {.is_poll = true}};
    np_wake_q wake_q;
    int rc = NP_OK;

    if (timeout_ns != 0) {
        int64_t now = np_now();
        c.until = timeout_ns < 0 || timeout_ns > INT64_MAX - now ? INT64_MAX : now + timeout_ns;
    }
    np_lock(p, &wake_q);
    bool left_to_another = timeout_ns == 0 && another_poll_sleeps(p, &wake_q);
    if (!left_to_another && (timeout_ns == 0 || p->ready.first || blocking_enter))
        rc = poll_once(p, &c, 0, &wake_q);
    if (rc != NP_OK || timeout_ns == 0 || np_swap(&p->pending, 0)) {
        rc = finish_poll(p, rc, &wake_q);
        np_unlock(p, &wake_q);
    } else {
        np_hand_over(p, &wake_q); /* what was drained may have been for another driver */
        rc = poll_blocking(p, &c, &wake_q);
    }
    *n = c.out.n;
    return rc == NP_PARKED ? NP_OK : rc;
}

void np_wake(np_poller *p)
{
    np_store(&p->pending, 1);
    np_wake_driver(p);
}

/* --- inspection ------------------------------------------------------------------------------ */

int64_t np_next_deadline(np_poller *p)
{
    np_wake_q wake_q;

    np_lock(p, &wake_q);
    int64_t first = np_heap_top(&p->heap);
    np_unlock(p, &wake_q);
    if (first == INT64_MAX)
        return -1;
    int64_t left = first - np_now();
    return left > 0 ? left : 0;
}

void np_poller_stats(np_poller *p, np_stats *out)
{
    np_wake_q wake_q;

    np_lock(p, &wake_q);
    *out = p->stats;
    out->parked_readers = np_count_parked(p, NP_READ);
    out->parked_writers = np_count_parked(p, NP_WRITE);
    np_unlock(p, &wake_q);
}
