/* The poller: its life, its wake, its ready queue, and np_poll. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

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

static void flush_parked(np_wakes *wakes)
{
    for (int i = 0; i < wakes->count; i++)
        np_unpark(wakes->parked[i]);
    wakes->count = 0;
}

void np_wakes_add(np_wakes *wakes, np_atomic32 *word)
{
    if (wakes->count == NP_WAKES)
        flush_parked(wakes); /* under the lock: rare, and only slower */
    wakes->parked[wakes->count++] = word;
}

void np_lock(np_poller *p, np_wakes *wakes)
{
    wakes->count = 0;
    wakes->raise = false;
    np_mutex_lock(&p->lock);
}

/* For the loop that the poller is nested in.  The timer goes off at the first deadline, or before:
 * it is not set anew when that moves later, but when it has gone off and np_poll has found nothing
 * due. */
static void sync_nest(np_poller *p, np_wakes *wakes)
{
    bool work = p->ready_first != NULL;
    int64_t first = np_heap_top(&p->heap), when = first == INT64_MAX ? 0 : first;
    bool gone_off = p->nest_when && p->nest_when <= np_now();

    if ((when && (!p->nest_when || when < p->nest_when)) || gone_off) {
        p->backend->nest_timer(p->kernel, when);
        p->nest_when = when;
    }
    if (work == p->nest_work)
        return;
    p->nest_work = work;
    if (p->backend->nest_work)
        p->backend->nest_work(p->kernel, work);
    else
        wakes->raise = wakes->raise || work;
}

void np_unlock(np_poller *p, np_wakes *wakes)
{
    if (p->nested && np_load(&p->state) == STATE_OPEN)
        sync_nest(p, wakes);
    np_mutex_unlock(&p->lock);
    if (wakes->raise)
        np_raise(p);
    flush_parked(wakes);
}

/* Signal the wake object.  Without the lock, for np_wake: the wakers' count holds the object open
 * until the write is done (np_give_back_kernel stores the state first and reads the count second;
 * here it is the other way round). */
void np_raise(np_poller *p)
{
    np_inc(&p->wakers);
    if (np_load(&p->state) == STATE_OPEN && np_cas(&p->raised, 0, 1))
        p->backend->wake(p->kernel);
    np_dec(&p->wakers);
}

/* The poller is closed and no driver is inside. */
void np_give_back_kernel(np_poller *p)
{
    if (!p->kernel)
        return;
    while (np_load(&p->wakers) > 0)
        np_yield();
    p->backend->fini(p->kernel);
    p->kernel = NULL;
}

/* After a fork, the first call that needs the kernel comes here: a kernel object of our own, with
 * every open descriptor registered again. */
static int renew(np_poller *p, np_wakes *wakes)
{
    int rc = p->backend->renew(p->kernel);
    if (rc < 0)
        return rc;
    /* Eviction does not change the table, so it may be walked. */
    for (uint32_t i = 0; i < p->fds.capacity; i++)
        if (p->fds.buckets[i] && (rc = np_register_again(p->fds.buckets[i], wakes)) < 0)
            return rc;
    p->nest_when = 0; /* the new nest knows nothing; np_unlock tells it */
    p->nest_work = false;
    /* An np_wake that still saw FORKED has signalled nothing, but it stored pending before it
     * looked, so it is seen here. */
    np_store(&p->state, STATE_OPEN);
    wakes->raise = wakes->raise || np_load(&p->pending);
    return NP_OK;
}

int np_enter(np_poller *p, np_wakes *wakes)
{
    switch (np_load(&p->state)) {
    case STATE_OPEN:
        return NP_OK;
    case STATE_FORKED:
        return renew(p, wakes);
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
    np_wakes wakes;

    np_lock(p, &wakes);
    if (np_load(&p->state) != STATE_CLOSED) {
        np_store(&p->state, STATE_CLOSED);
        for (uint32_t i = 0; i < p->fds.capacity; i++)
            if (p->fds.buckets[i])
                np_evict_locked(p->fds.buckets[i], INFO_CLOSING | INFO_GONE, &wakes);
        p->stats.open = 0;
        np_kick_all(p, &wakes);
        np_hand_over(p, &wakes);
    }
    np_unlock(p, &wakes);
}

void np_poller_ref(np_poller *p)
{
    np_inc(&p->refs);
}

void np_poller_unref(np_poller *p)
{
    if (np_dec(&p->refs) != 1)
        return;
    np_poller_close(p);
    np_registry_remove(p);
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

int np_poller_closed(const np_poller *p)
{
    return np_load(&p->state) == STATE_CLOSED;
}

/* --- the ready queue ------------------------------------------------------------------------- */

/* The queue holds a reference, so that the slot stays until the token is out.  The claim is QUEUED
 * already. */
void np_enqueue_token(np_poller *p, np_side *s, np_wakes *wakes)
{
    np_inc(&np_desc_of(s)->refs);
    s->next = NULL;
    if (p->ready_first)
        p->ready_last->next = s;
    else
        p->ready_first = s;
    p->ready_last = s;

    for (np_link *l = p->drivers.next; l != &p->drivers; l = l->next)
        if (NP_CONTAINER(l, np_driver, link)->is_poll)
            wakes->raise = NP_CONTAINER(l, np_driver, link)->kicked = true;
}

int np_pop_tokens(np_poller *p, np_token *tokens, int max, np_wakes *wakes)
{
    int n = 0;
    while (n < max && p->ready_first) {
        np_side *s = p->ready_first;
        p->ready_first = s->next;
        tokens[n++] = s->token;
        if (!np_cas(&s->claim, CLAIM_QUEUED, CLAIM_OUT))
            np_store(&s->claim, CLAIM_NONE);
        np_unref_locked(np_desc_of(s), wakes);
    }
    return n;
}

int np_take_ready(np_poller *p, np_token *tokens, int max)
{
    np_wakes wakes;

    np_lock(p, &wakes);
    int n = np_pop_tokens(p, tokens, max, &wakes);
    np_unlock(p, &wakes);
    return n;
}

/* --- polling --------------------------------------------------------------------------------- */

typedef struct np_poll_call {
    int64_t until;
    np_driver driver;
    np_token *tokens;
    int max, n;
    bool quiet; /* the last look at the kernel saw nothing */
} np_poll_call;

/* One look at the kernel, blocking until `until`.  Returns NP_OK to go on, NP_PARKED when there is
 * something to return for, or the error. */
static int poll_once(np_poller *p, np_poll_call *c, int64_t until, np_wakes *wakes)
{
    int rc = np_enter(p, wakes);
    if (rc != NP_OK)
        return rc;
    /* Tokens may have come while nobody drove, and then nobody was woken for them. */
    int events = np_drive(p, &c->driver, p->ready_first ? 0 : until, wakes);
    c->quiet = events == 0;
    if (np_load(&p->state) == STATE_CLOSED)
        return NP_CLOSED;
    c->n = np_pop_tokens(p, c->tokens, c->max, wakes);
    if (c->n > 0)
        return NP_PARKED;
    if (events < 0)
        return events == -EINTR ? NP_INTERRUPTED : events;
    return NP_OK;
}

/* On the way out.  A wake-up that is pending does not hide that the poller is closed. */
static int leave(np_poller *p, int rc, np_wakes *wakes)
{
    np_hand_over(p, wakes);
    return rc == NP_OK && np_load(&p->state) == STATE_CLOSED ? NP_CLOSED : rc;
}

/* Until there is something to return for: tokens, a wake, the time; or another driver, who may be
 * meant by what was drained here; or the host has to look for signals. */
static int poll_blocking(np_poller *p, np_poll_call *c, np_wakes *wakes)
{
    np_slice slice = np_slice_begin();
    int rc = NP_OK;

    np_unlock(p, wakes);
    void *cookie = np_blocking_enter();
    np_lock(p, wakes);
    /* A wake is looked for under the lock, which is then kept until we are linked as a driver:
     * whoever drains a wake object later sees that we are meant. */
    while (rc == NP_OK && !np_swap(&p->pending, 0) &&
           (rc = poll_once(p, c, slice.end < c->until ? slice.end : c->until, wakes)) == NP_OK) {
        if (!np_list_empty(&p->drivers) || np_now() >= c->until)
            break;
        if (np_slice_over(&slice, c->quiet))
            rc = NP_INTERRUPTED;
    }
    rc = leave(p, rc, wakes);
    np_unlock(p, wakes);
    np_blocking_leave(cookie);
    return rc;
}

/* A look that does not block leaves events, tokens and wake-ups to a poll that sleeps. */
static bool another_sleeps(np_poller *p, np_wakes *wakes)
{
    for (np_link *l = p->drivers.next; l != &p->drivers; l = l->next) {
        np_driver *d = NP_CONTAINER(l, np_driver, link);
        if (!d->is_poll || !d->sleeps)
            continue;
        if (p->ready_first)
            wakes->raise = d->kicked = true;
        return true;
    }
    return false;
}

/* The first look does not block, so it keeps the host's global lock; a host without one goes
 * straight to the second. */
int np_poll(np_poller *p, int64_t timeout_ns, np_token *tokens, int max, int *n)
{
    np_poll_call c = {.tokens = tokens, .max = max, .n = 0, .driver = {.is_poll = true}};
    np_wakes wakes;
    int rc = NP_OK;

    if (timeout_ns != 0) {
        int64_t now = np_now();
        c.until = timeout_ns < 0 || timeout_ns > INT64_MAX - now ? INT64_MAX : now + timeout_ns;
    }
    np_lock(p, &wakes);
    bool left_to_another = timeout_ns == 0 && another_sleeps(p, &wakes);
    if (!left_to_another && (timeout_ns == 0 || p->ready_first || blocking_enter))
        rc = poll_once(p, &c, 0, &wakes);
    if (rc != NP_OK || timeout_ns == 0 || np_swap(&p->pending, 0)) {
        rc = leave(p, rc, &wakes);
        np_unlock(p, &wakes);
    } else {
        np_hand_over(p, &wakes); /* what the first look drained may have been for another driver */
        rc = poll_blocking(p, &c, &wakes);
    }
    *n = c.n;
    return rc == NP_PARKED ? NP_OK : rc;
}

void np_wake(np_poller *p)
{
    np_store(&p->pending, 1);
    np_raise(p);
}

int np_poller_fileno(np_poller *p, np_fd *out)
{
    np_wakes wakes;

    np_lock(p, &wakes);
    int rc = np_enter(p, &wakes);
    if (rc == NP_OK)
        rc = p->backend->fileno(p->kernel, out);
    p->nested = p->nested || rc == 0;
    np_unlock(p, &wakes);
    return rc;
}

/* --- looking --------------------------------------------------------------------------------- */

int64_t np_next_deadline(np_poller *p)
{
    np_wakes wakes;

    np_lock(p, &wakes);
    int64_t first = np_heap_top(&p->heap);
    np_unlock(p, &wakes);
    if (first == INT64_MAX)
        return -1;
    int64_t left = first - np_now();
    return left > 0 ? left : 0;
}

void np_poller_stats(np_poller *p, np_stats *out)
{
    np_wakes wakes;

    np_lock(p, &wakes);
    *out = p->stats;
    np_unlock(p, &wakes);
    out->parked_readers = np_load(&p->parked[0]);
    out->parked_writers = np_load(&p->parked[1]);
}
