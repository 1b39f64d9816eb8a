/* np_waiter, as the core sees it: one wait of a token for an instant, a semaphore, or both.
 *
 * The memory is the owner's.  It is the core's from the park on until the token has come out, or
 * np_waiter_cancel has withdrawn it.
 *
 * state says what ended the wait:
 *
 *   WAITING   nothing yet, or np_waiter_cancel
 *   GRANTED   a unit of its semaphore is its own
 *   OPENED    its semaphore was opened: it goes on without a unit
 *   EXPIRED   its instant came
 *   CLOSED    its poller was closed
 *
 * WAITING is left by a compare-and-swap, so exactly one of them ends a wait.  The one that does for
 * a token then delivers it: EXPIRED and CLOSED in the critical section of the poller's lock in
 * which they were set, the others in that of the root's lock.  So with both locks held, a state
 * that is not WAITING means that the token was delivered, and np_waiter_cancel holds both.
 *
 * A thread's waiter is on its stack and knows no poller; the state is the word that it sleeps on.
 */
#ifndef NP_WAITER_H
#define NP_WAITER_H

#include "core/internal.h"

enum { WAITER_WAITING, WAITER_GRANTED, WAITER_OPENED, WAITER_EXPIRED, WAITER_CLOSED };

typedef struct np_waiting {
    np_atomic32 state;
    bool is_thread; /* constant */

    /* Under the poller's lock; a token's only. */
    np_atomic32 inside; /* the token is parked, or in the ready queue; read without the lock, too */
    bool at_poller;     /* linked in np_poller.waiters: not delivered yet */
    np_link poller_link;
    np_entry entry;
    int64_t until; /* INT64_MAX: no end; of a thread, constant */

    /* Under the root's lock. */
    bool at_sema; /* linked in its queue, and in the root's list */
    np_link sema_link, root_link;
    uint64_t arrival; /* its place in the queue; 0: it has not come yet */

    /* Constant while it waits. */
    np_sema *sema;     /* NULL: a timer */
    np_poller *poller; /* a reference; NULL for a thread */
    uintptr_t thread;  /* that began to wait, for itself or for a token */
    const char *what;
    int64_t since;
} np_waiting;

_Static_assert(sizeof(np_waiting) <= sizeof(np_waiter), "np_waiter is too small");
_Static_assert(_Alignof(np_waiting) <= _Alignof(np_waiter), "and it is aligned for less");

static inline np_waiting *np_waiting_of(np_waiter *w)
{
    return (np_waiting *)(void *)w;
}

/* Link a waiter that is WAITING to its poller, and set its timer.  NP_OK, NP_CLOSED or -ENOMEM. */
int np_waiting_attach(np_waiting *w, np_poller *p, np_token token, int64_t until);

/* _locked: the poller's lock is held. */
void np_waiting_deliver_locked(np_waiting *w, np_wake_q *wake_q);
void np_waiting_expire_locked(np_waiting *w, np_wake_q *wake_q);
void np_waiting_close_all_locked(np_poller *p, np_wake_q *wake_q);
/* The waiter has been given out: it is the owner's again. */
void np_waiting_popped_locked(np_waiting *w);

/* Take it back, with its root's lock held: from the poller's list, or out of the ready queue, and
 * its reference to the poller is the caller's.  False: it was given out, or has never been
 * attached. */
bool np_waiting_detach(np_waiting *w);

/* What ended the wait, as a result; NP_AGAIN: nothing. */
int np_waiting_result(const np_waiting *w);

#endif
