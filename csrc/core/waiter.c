/* Waits of tokens at a poller, and timers, which are such waits and nothing more. */
#include "core/waiter.h"

/* The instant at which the heap needs it. */
static bool has_end(const np_waiting *w)
{
    return w->until != INT64_MAX;
}

/* For the heap 0 is no instant; and all that have passed are the same. */
static int64_t instant(int64_t when)
{
    return when > 0 ? when : 1;
}

int np_waiting_attach(np_waiting *w, np_poller *p, np_token token, int64_t until)
{
    np_wake_q wake_q;

    np_lock(p, &wake_q);
    int rc = np_load(&p->state) == STATE_CLOSED ? NP_CLOSED : NP_OK;
    if (rc == NP_OK && until != INT64_MAX)
        rc = np_heap_reserve(&p->heap, 1);
    if (rc == NP_OK) {
        w->poller = p;
        np_inc(&p->refs);
        w->until = instant(until);
        w->entry = (np_entry){.kind = KIND_WAITER, .token = token, .heap_pos = NP_NO_TIMER};
        np_store(&w->inside, 1);
        w->at_poller = true;
        np_list_append(&p->waiters, &w->poller_link);
        p->stats.waiters++;
        if (has_end(w)) {
            np_heap_update(&p->heap, &w->entry);
            np_kick_for_deadline(p, w->until, &wake_q);
        }
    }
    np_unlock(p, &wake_q);
    return rc;
}

/* It waits no longer: out of the list, and out of the heap, which must not keep its address. */
static void unlink_locked(np_waiting *w)
{
    np_assert_locked(w->poller);
    np_list_remove(&w->poller_link);
    w->at_poller = false;
    w->poller->stats.waiters--;
    np_heap_remove(&w->poller->heap, &w->entry);
}

void np_waiting_deliver_locked(np_waiting *w, np_wake_q *wake_q)
{
    unlink_locked(w);
    np_enqueue_token(w->poller, &w->entry, wake_q);
}

/* Its instant has come, and it is out of the heap.  One that was granted meanwhile is being
 * delivered. */
void np_waiting_expire_locked(np_waiting *w, np_wake_q *wake_q)
{
    if (!np_cas(&w->state, WAITER_WAITING, WAITER_EXPIRED))
        return;
    w->poller->stats.timers_fired++;
    np_waiting_deliver_locked(w, wake_q);
}

/* One that was granted meanwhile stays in the list until the granter has the lock. */
void np_waiting_close_all_locked(np_poller *p, np_wake_q *wake_q)
{
    for (np_link *l = p->waiters.next, *next; l != &p->waiters; l = next) {
        np_waiting *w = NP_CONTAINER(l, np_waiting, poller_link);
        next = l->next;
        if (np_cas(&w->state, WAITER_WAITING, WAITER_CLOSED))
            np_waiting_deliver_locked(w, wake_q);
    }
}

/* The caller holds another reference to the poller. */
void np_waiting_popped_locked(np_waiting *w)
{
    np_poller *p = w->poller;

    np_assert_locked(p);
    np_store(&w->inside, 0); /* from here on its owner may use it again */
    np_dec(&p->refs);
}

bool np_waiting_detach(np_waiting *w)
{
    np_poller *p = w->poller;
    np_wake_q wake_q;

    if (!np_load(&w->inside))
        return false;
    np_lock(p, &wake_q);
    bool inside = np_load(&w->inside) != 0;
    if (w->at_poller)
        unlink_locked(w);
    else if (inside)
        np_unqueue_token(p, &w->entry);
    np_store(&w->inside, 0);
    np_unlock(p, &wake_q);
    return inside;
}

int np_waiter_parked(const np_waiter *waiter)
{
    return np_load(&((const np_waiting *)(const void *)waiter)->inside) != 0;
}

int np_waiting_result(const np_waiting *w)
{
    switch (np_load(&w->state)) {
    case WAITER_WAITING:
        return NP_AGAIN;
    case WAITER_GRANTED:
    case WAITER_OPENED:
        return NP_OK;
    case WAITER_EXPIRED:
        return w->sema ? NP_TIMEOUT : NP_OK;
    default:
        return NP_CLOSED;
    }
}

/* --- timers ---------------------------------------------------------------------------------- */

int np_timer_start(np_waiter *waiter, np_poller *p, np_token token, int64_t when, const char *what)
{
    np_waiting *w = np_waiting_of(waiter);

    *w = (np_waiting){.what = what, .since = np_now_coarse()};
    int rc = np_waiting_attach(w, p, token, when);
    return rc == NP_OK ? NP_PARKED : rc;
}

/* Later costs nothing: the heap's entry finds out when it comes to the top. */
int np_timer_move(np_waiter *waiter, int64_t when)
{
    np_waiting *w = np_waiting_of(waiter);
    np_poller *p = w->poller;
    np_wake_q wake_q;
    int rc = NP_OK;

    np_lock(p, &wake_q);
    bool waits = w->at_poller;
    if (waits && when != INT64_MAX)
        rc = np_heap_reserve(&p->heap, 1);
    if (waits && rc == NP_OK) {
        w->until = instant(when);
        w->entry.seq++;
        np_heap_update(&p->heap, &w->entry);
        if (has_end(w))
            np_kick_for_deadline(p, w->until, &wake_q);
    }
    np_unlock(p, &wake_q);
    return rc == NP_OK ? waits : rc;
}
