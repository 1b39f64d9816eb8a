/* Parking threads, and who drives the poller.
 *
 * There is no background thread.  Of the threads that wait on a poller one at a time, the driver,
 * is inside backend->poll; the others, the followers, are parked each on a word of its own.  A
 * driver hands events to whoever they are for.  When it has something to return for, and leaves, it
 * promotes a follower (np_hand_over).  np_poll is a driver too, whether threads wait or not.
 *
 * So that nobody is stranded, whoever comes out of backend->poll and is about to leave makes sure
 * that (1) if no driver is left, a follower is promoted, and (2) if others are still inside, and
 * the wake that it drained was meant for one of them, or a deadline is due before the first of
 * them comes back, the wake is signalled again.  A thread that comes back and finds another driver
 * becomes a follower, so two never wake each other in turns.
 */
#include "internal.h"

/* --- drivers --------------------------------------------------------------------------------- */

static void dispatch(np_poller *p, const np_event *events, int n, np_wakes *wakes)
{
    p->stats.events += (uint64_t)n;
    for (int i = 0; i < n; i++) {
        np_desc *d = np_cache_at(p, (uint32_t)events[i].tag);
        if (d && np_tag_of(d) == events[i].tag && !(np_load(&d->info) & INFO_GONE))
            np_ready_locked(d, &events[i], wakes);
        else
            p->stats.stale_events++;
    }
}

static void fire_deadlines(np_poller *p, np_wakes *wakes)
{
    if (np_heap_top(&p->heap) == INT64_MAX)
        return;
    int64_t now = np_now();
    for (np_side *s; (s = np_heap_due(&p->heap, now)) != NULL;)
        np_expire_locked(s, wakes);
}

static int64_t timeout_until(int64_t until)
{
    if (until == INT64_MAX)
        return -1;
    if (until == 0)
        return 0;
    int64_t left = until - np_now();
    return left > 0 ? left : 0;
}

/* Go's netpoll, up to `until` (0: do not block) or the first deadline: the lock is given up
 * meanwhile.  Returns the number of events, or a negated errno value. */
int np_drive(np_poller *p, np_driver *driver, int64_t until, np_wakes *wakes)
{
    np_event events[NP_EVENT_BATCH];
    bool woken = false;
    int64_t first = np_heap_top(&p->heap);

    driver->until = until < first ? until : first;
    driver->kicked = false;
    driver->sleeps = until != 0;
    driver->inside = true;
    np_list_append(&p->drivers, &driver->link);
    p->stats.polls++;
    np_unlock(p, wakes);

    int n =
        p->backend->poll(p->kernel, events, NP_EVENT_BATCH, timeout_until(driver->until), &woken);
    if (woken) /* drained: from here on a wake must signal anew */
        np_store(&p->raised, 0);

    NP_PROBE3(poll, p, n, (int)woken);
    np_lock(p, wakes);
    np_list_remove(&driver->link);
    driver->inside = false;
    p->stats.wakeups += woken;
    if (n > 0)
        dispatch(p, events, n, wakes);
    fire_deadlines(p, wakes);
    return n;
}

static bool somebody_else_is_meant(np_poller *p)
{
    bool covered = np_heap_top(&p->heap) == INT64_MAX;

    for (np_link *l = p->drivers.next; l != &p->drivers; l = l->next) {
        np_driver *d = NP_CONTAINER(l, np_driver, link);
        if (d->kicked || (d->is_poll && (p->ready_first || np_load(&p->pending))))
            return true;
        covered = covered || d->until <= np_heap_top(&p->heap);
    }
    return !covered;
}

static void promote(np_waiter *w, np_wakes *wakes)
{
    np_list_remove(&w->link);
    w->following = false;
    np_store(&w->word, WORD_LEAD);
    np_wakes_add(wakes, &w->word);
}

void np_hand_over(np_poller *p, np_wakes *wakes)
{
    if (!np_list_empty(&p->drivers)) {
        if (!somebody_else_is_meant(p))
            return;
        if (np_load(&p->state) == STATE_CLOSED)
            p->backend->wake(p->kernel); /* np_raise does not any more; they keep it alive */
        else
            wakes->raise = true;
    } else if (np_load(&p->state) == STATE_CLOSED) {
        np_give_back_kernel(p);
    } else if (!np_list_empty(&p->followers)) {
        promote(NP_CONTAINER(p->followers.next, np_waiter, link), wakes);
    }
}

void np_kick_all(np_poller *p, np_wakes *wakes)
{
    for (np_link *l = p->drivers.next; l != &p->drivers; l = l->next) {
        NP_CONTAINER(l, np_driver, link)->kicked = true;
        wakes->raise = true;
    }
}

/* --- threads --------------------------------------------------------------------------------- */

/* The semaphore has left SEM_THREAD: tell the thread.  Storing the word is the last touch. */
void np_notify_thread(np_waiter *w, bool ready, np_wakes *wakes)
{
    uint32_t done = ready ? WORD_DONE_READY : WORD_DONE;

    if (w->following) {
        np_list_remove(&w->link);
        np_store(&w->word, done);
        np_wakes_add(wakes, &w->word);
        return;
    }
    if (w->driver.inside) {
        w->driver.kicked = true;
        wakes->raise = true;
    }
    np_store(&w->word, done | WORD_BATON);
}

/* Let another driver do it.  The lock is held, and given up while parked; false if it is not held
 * again, because the outcome came meanwhile and nothing else is to be done. */
static bool follow(np_poller *p, np_waiter *w, np_slice *slice, int *rc, np_wakes *wakes)
{
    np_hand_over(p, wakes); /* if it just drove, what it drained may have been for the other */
    w->following = true;
    np_store(&w->word, WORD_IDLE);
    np_list_append(&p->followers, &w->link);
    np_unlock(p, wakes);

    *rc = np_park_wait(&w->word, WORD_IDLE, timeout_until(slice->end));
    uint32_t word = np_load(&w->word);
    if (word == WORD_DONE || word == WORD_DONE_READY)
        return false;
    np_lock(p, wakes);
    word = np_load(&w->word);
    if (word == WORD_DONE || word == WORD_DONE_READY) {
        np_unlock(p, wakes);
        return false;
    }
    if (w->following) {
        np_list_remove(&w->link);
        w->following = false;
    }
    if (np_slice_over(slice, *rc != 0))
        *rc = -EINTR;
    return true;
}

static int lead(np_poller *p, np_waiter *w, np_slice *slice, np_wakes *wakes)
{
    int rc = np_enter(p, wakes);
    if (rc != NP_OK)
        return rc;
    int events = np_drive(p, &w->driver, slice->end, wakes);
    if (events < 0)
        return events;
    if (np_load(&w->word) & WORD_DONE)
        return NP_OK;
    return np_slice_over(slice, events == 0) ? -EINTR : NP_OK;
}

/* The thread gives up (a signal, an error of the kernel): nobody has taken it out of SEM_THREAD,
 * for that takes the lock and would have set the word. */
static int withdraw(np_desc *d, np_side *s, int rc)
{
    np_cas(&s->sem, SEM_THREAD, SEM_NIL);
    np_dec(&d->poller->parked[s->mode - 1]);
    return rc == -EINTR ? NP_INTERRUPTED : rc;
}

static int park_committed(np_desc *d, np_side *s, np_waiter *w, np_wakes *wakes)
{
    np_poller *p = d->poller;
    np_slice slice = np_slice_begin();
    int rc = 0;

    while ((np_load(&w->word) & WORD_DONE) == 0 && rc == 0) {
        if (np_list_empty(&p->drivers))
            rc = lead(p, w, &slice, wakes);
        else if (!follow(p, w, &slice, &rc, wakes))
            return 0;
    }
    if ((np_load(&w->word) & WORD_DONE) == 0)
        rc = withdraw(d, s, rc);
    else
        rc = 0;
    np_hand_over(p, wakes);
    np_unlock(p, wakes);
    return rc;
}

/* The side is in SEM_WAIT and the caller's.  0: the wait ended, *ready tells how (or an event or an
 * unblock came before the commit, which is the same).  NP_INTERRUPTED or an error: withdrawn. */
int np_park_thread(np_desc *d, np_side *s, bool *ready)
{
    np_waiter w = {.following = false,
                   .thread = np_thread_id(),
                   .since = np_now_roughly(),
                   .driver = {.is_poll = false, .inside = false}};
    np_wakes wakes;
    np_poller *p = d->poller;
    int rc = 0;

    np_store(&w.word, WORD_IDLE);
    void *cookie = np_blocking_enter();
    np_lock(p, &wakes);
    s->thread = &w;
    if (np_cas(&s->sem, SEM_WAIT, SEM_THREAD)) {
        np_inc(&p->parked[s->mode - 1]);
        NP_PROBE3(park, d, d->fd, (int)s->mode);
        rc = park_committed(d, s, &w, &wakes);
    } else {
        np_block_give_up(s);
        np_unlock(p, &wakes);
    }
    np_blocking_leave(cookie);
    *ready = (np_load(&w.word) & ~(uint32_t)WORD_BATON) == WORD_DONE_READY;
    return rc;
}
