/* Parking threads, and which of them drives the poller.
 *
 * There is no background thread.  Of the threads that wait on a poller one at a time, the driver,
 * is inside backend->poll; the others, the followers, are parked each on a word of its own.  The
 * driver hands events to their waiters.  When it has something to return for, it promotes a
 * follower (np_hand_over).  np_poll is a driver too, whether threads wait or not.
 *
 * So that no waiter is stranded, a driver that comes out of backend->poll and is about to return
 * makes sure that (1) if no driver is left, a follower is promoted, and (2) if others are still
 * inside, and the wake that it drained was meant for one of them, or a deadline is due before the
 * first of them comes back, the wake is signalled again.  A thread that comes back and finds
 * another driver becomes a follower, so two never wake each other in turns.  An np_poll of another
 * poller that has tokens here follows, too (foreign_poll.c).
 */
#include "core/internal.h"
#include "core/waiter.h"

/* --- drivers --------------------------------------------------------------------------------- */

NP_HOT static void dispatch(np_poller *p, const np_event *events, int n, np_wake_q *wake_q)
{
    p->stats.events += (uint64_t)n;
    for (int i = 0; i < n; i++) {
        np_desc *d = np_cache_at(p, (uint32_t)events[i].tag);
        if (d && np_tag_of(d) == events[i].tag && !(np_load(&d->info) & INFO_DEREGISTERED))
            np_ready_locked(d, &events[i], wake_q);
        else
            p->stats.stale_events++;
    }
}

NP_HOT static void fire_deadlines(np_poller *p, np_wake_q *wake_q)
{
    if (np_heap_top(&p->heap) == INT64_MAX)
        return;
    int64_t now = np_now();
    for (np_entry *e; (e = np_heap_due(&p->heap, now)) != NULL;)
        if (e->kind == KIND_SIDE)
            np_expire_locked(NP_CONTAINER(e, np_side, entry), wake_q);
        else
            np_waiting_expire_locked(NP_CONTAINER(e, np_waiting, entry), wake_q);
}

int64_t np_time_left(int64_t until)
{
    if (until == INT64_MAX)
        return -1;
    if (until == 0)
        return 0;
    int64_t left = until - np_now();
    return left > 0 ? left : 0;
}

NP_HOT void np_drive_enter(np_poller *p, np_driver *driver, int64_t until)
{
    int64_t first = np_heap_top(&p->heap);

    np_assert_locked(p);
    np_assert(!driver->inside && np_peek(&p->state) == STATE_OPEN);
    driver->until = until < first ? until : first;
    driver->kicked = false;
    driver->sleeps = until != 0;
    driver->inside = true;
    np_list_append(&p->drivers, &driver->link);
    p->stats.polls++;
}

NP_HOT void np_ask_kernel(np_poller *p, int64_t timeout, np_event_batch *batch)
{
    batch->woken = false;
    batch->n = p->backend->poll(p->kernel, batch->events, NP_EVENT_BATCH, timeout, &batch->woken);
    if (batch->woken) /* drained: from here on a wake must signal anew */
        np_store(&p->signalled, 0);
    NP_PROBE3(poll, p, batch->n, (int)batch->woken);
}

NP_HOT void np_drive_leave(np_poller *p, np_driver *driver, const np_event_batch *batch,
                           np_wake_q *wake_q)
{
    np_list_remove(&driver->link);
    driver->inside = false;
    p->stats.wakeups += batch->woken;
    if (batch->n > 0)
        dispatch(p, batch->events, batch->n, wake_q);
    fire_deadlines(p, wake_q);
}

/* Go's netpoll, up to `until` (0: do not block) or the first deadline: the lock is released
 * meanwhile.  Returns the number of events, or a negated errno value. */
NP_HOT int np_drive(np_poller *p, np_driver *driver, int64_t until, np_wake_q *wake_q)
{
    np_event_batch batch;

    np_drive_enter(p, driver, until);
    np_unlock(p, wake_q);
    np_ask_kernel(p, np_time_left(driver->until), &batch);
    np_lock(p, wake_q);
    np_drive_leave(p, driver, &batch, wake_q);
    return batch.n;
}

static bool other_driver_needs_wake(np_poller *p)
{
    bool covered = np_heap_top(&p->heap) == INT64_MAX;

    for (np_link *l = p->drivers.next; l != &p->drivers; l = l->next) {
        np_driver *d = NP_CONTAINER(l, np_driver, link);
        if (d->kicked ||
            (d->is_poll && (p->ready.first || np_load(&p->pending) || np_load(&p->foreign_work))))
            return true;
        covered = covered || d->until <= np_heap_top(&p->heap);
    }
    return !covered;
}

void np_follow(np_poller *p, np_thread_waiter *w)
{
    w->following = true;
    np_store(&w->word, WORD_IDLE);
    np_list_append(&p->followers, &w->link);
}

void np_unfollow(np_thread_waiter *w)
{
    np_assert(w->following && np_peek(&w->word) == WORD_IDLE);
    np_list_remove(&w->link);
    w->following = false;
}

static void promote(np_thread_waiter *w, np_wake_q *wake_q)
{
    np_unfollow(w);
    np_store(&w->word, WORD_LEAD);
    if (!w->home) {
        np_wake_q_add(wake_q, &w->word);
        return;
    }
    np_inc(&w->home->foreign_work);
    np_wake_driver(w->home);
}

NP_HOT void np_hand_over(np_poller *p, np_wake_q *wake_q)
{
    np_assert_locked(p);
    if (!np_list_empty(&p->drivers)) {
        if (!other_driver_needs_wake(p))
            return;
        if (np_load(&p->state) == STATE_CLOSED)
            p->backend->wake(p->kernel); /* np_wake_driver does not any more; they keep it alive */
        else
            wake_q->wake_driver = true;
    } else if (np_load(&p->state) == STATE_CLOSED) {
        np_release_kernel(p);
    } else if (!np_list_empty(&p->followers)) {
        promote(NP_CONTAINER(p->followers.next, np_thread_waiter, link), wake_q);
    }
}

void np_kick_all(np_poller *p, np_wake_q *wake_q)
{
    np_assert_locked(p);
    for (np_link *l = p->drivers.next; l != &p->drivers; l = l->next) {
        NP_CONTAINER(l, np_driver, link)->kicked = true;
        wake_q->wake_driver = true;
    }
}

/* For what np_poll alone returns for. */
NP_HOT void np_kick_polls(np_poller *p, np_wake_q *wake_q)
{
    for (np_link *l = p->drivers.next; l != &p->drivers; l = l->next)
        if (NP_CONTAINER(l, np_driver, link)->is_poll)
            wake_q->wake_driver = NP_CONTAINER(l, np_driver, link)->kicked = true;
}

void np_kick_for_deadline(np_poller *p, int64_t when, np_wake_q *wake_q)
{
    if (np_list_empty(&p->drivers))
        return;
    for (np_link *l = p->drivers.next; l != &p->drivers; l = l->next)
        if (NP_CONTAINER(l, np_driver, link)->until <= when)
            return;
    np_kick_all(p, wake_q);
}

/* --- threads --------------------------------------------------------------------------------- */

/* The semaphore has left SEM_THREAD: notify the thread.  The store of the word is the last access.
 */
void np_notify_thread(np_thread_waiter *w, bool ready, np_wake_q *wake_q)
{
    uint32_t done = ready ? WORD_DONE_READY : WORD_DONE;

    np_assert(!(np_peek(&w->word) & WORD_DONE)); /* an outcome is final */
    np_assert(!(w->following && w->driver.inside));
    if (w->following) {
        np_list_remove(&w->link);
        np_store(&w->word, done);
        np_wake_q_add(wake_q, &w->word);
        return;
    }
    if (w->driver.inside) {
        w->driver.kicked = true;
        wake_q->wake_driver = true;
    }
    np_store(&w->word, done | WORD_MUST_HAND_OVER);
}

/* Park while another thread drives.  The lock is held, and released while parked; false if it is
 * not held again, because the outcome came meanwhile and nothing else is to be done. */
static bool follow(np_poller *p, np_thread_waiter *w, np_signal_slice *slice, int *rc,
                   np_wake_q *wake_q)
{
    np_hand_over(p, wake_q); /* if it just drove, what it drained may have been for the other */
    np_assert(!w->following && !w->driver.inside);
    np_follow(p, w);
    np_unlock(p, wake_q);

    *rc = np_futex_wait(&w->word, WORD_IDLE, np_time_left(slice->end));
    uint32_t word = np_load(&w->word);
    if (word == WORD_DONE || word == WORD_DONE_READY)
        return false;
    np_lock(p, wake_q);
    word = np_load(&w->word);
    if (word == WORD_DONE || word == WORD_DONE_READY) {
        np_unlock(p, wake_q);
        return false;
    }
    if (w->following)
        np_unfollow(w);
    if (np_signal_slice_over(slice, *rc != 0))
        *rc = -EINTR;
    return true;
}

static int lead(np_poller *p, np_thread_waiter *w, np_signal_slice *slice, np_wake_q *wake_q)
{
    int rc = np_ensure_kernel(p, wake_q);
    if (rc != NP_OK)
        return rc;
    int events = np_drive(p, &w->driver, slice->end, wake_q);
    if (events < 0)
        return events;
    if (np_load(&w->word) & WORD_DONE)
        return NP_OK;
    return np_signal_slice_over(slice, events == 0) ? -EINTR : NP_OK;
}

/* The wait ends without an outcome (a signal, an error of the kernel): the side is still in
 * SEM_THREAD, for leaving it takes the lock and would have set the word. */
static int withdraw(np_desc *d, np_side *s, int rc)
{
    np_assert_locked(d->poller);
    np_met(sem, np_peek(&s->sem), "signal");
    np_sem_cas(s, SEM_THREAD, SEM_NIL);
    d->poller->unparked[s->entry.mode - 1]++;
    return rc == -EINTR ? NP_INTERRUPTED : rc;
}

static int park_committed(np_desc *d, np_side *s, np_thread_waiter *w, np_wake_q *wake_q)
{
    np_poller *p = d->poller;
    np_signal_slice slice = np_signal_slice_begin();
    int rc = 0;

    while ((np_load(&w->word) & WORD_DONE) == 0 && rc == 0) {
        if (np_list_empty(&p->drivers))
            rc = lead(p, w, &slice, wake_q);
        else if (!follow(p, w, &slice, &rc, wake_q))
            return 0;
    }
    if ((np_load(&w->word) & WORD_DONE) == 0)
        rc = withdraw(d, s, rc);
    else
        rc = 0;
    np_hand_over(p, wake_q);
    np_unlock(p, wake_q);
    return rc;
}

/* The side is in SEM_WAIT and the caller's.  0: the wait ended, *ready tells how (or an event or an
 * unblock came before the commit, which is the same).  NP_INTERRUPTED or an error: withdrawn. */
int np_park_thread(np_desc *d, np_side *s, bool *ready)
{
    np_thread_waiter w = {.following = false,
                          .thread = np_thread_id(),
                          .since = np_now_coarse(),
                          .driver = {.is_poll = false, .inside = false}};
    np_wake_q wake_q;
    np_poller *p = d->poller;
    int rc = 0;

    np_store(&w.word, WORD_IDLE);
    void *cookie = np_blocking_enter();
    np_lock(p, &wake_q);
    s->thread = &w;
    np_met(sem, np_peek(&s->sem), "commit");
    if (np_sem_cas(s, SEM_WAIT, SEM_THREAD)) {
        np_inc(&p->parked[s->entry.mode - 1]);
        NP_PROBE3(park, d, d->fd, (int)s->entry.mode);
        rc = park_committed(d, s, &w, &wake_q);
    } else {
        np_block_abort(s);
        np_unlock(p, &wake_q);
    }
    np_blocking_leave(cookie);
    *ready = (np_load(&w.word) & ~(uint32_t)WORD_MUST_HAND_OVER) == WORD_DONE_READY;
    return rc;
}
