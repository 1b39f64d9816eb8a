/* The state machine of a descriptor: Go's netpoll.go, platform-independent part.
 *
 * A waiter goes           NIL -> WAIT -> (check the info word again) -> THREAD or TOKEN.
 * A call that ends waits  info word -> semaphore.
 * Each stores first and loads second, so at least one of the two sees the other: either the waiter
 * sees the bit and does not park, or the other sees WAIT (or the parked waiter) and undoes it.
 *
 * A side in WAIT belongs to its waiter until that waiter leaves it.  What happens meanwhile is
 * noted in the semaphore (WAIT_AGAIN, WAIT_READY), so that the waiter cannot commit; but it does
 * not set the side free, or a second waiter could come in and the first commit in the second's
 * place.
 *
 * Events and deadlines come with the lock held (np_*_locked); waiters come without it.
 */
#include "core/internal.h"

/* --- what the lock guards -------------------------------------------------------------------- */

/* A store costs twenty loads, and mostly there is nothing to change. */
static void store_if_changed(np_atomic32 *a, uint32_t v)
{
    if (np_load(a) != v)
        np_store(a, v);
}

static void set_info(np_desc *d, uint32_t bits, uint32_t clear)
{
    np_assert_locked(d->poller);
    np_assert(np_info_is_sound((np_peek(&d->info) & ~clear) | bits));
    store_if_changed(&d->info, (np_load(&d->info) & ~clear) | bits);
}

/* seq moves on: what the heap still has is stale. */
static void drop_deadline(np_side *s)
{
    if (np_load64(&s->deadline) != 0)
        np_store64(&s->deadline, 0);
    s->entry.seq++;
}

/* Any pending notification belongs to the slot's last owner: forget it. */
static void setup_side(np_side *s)
{
    np_assert(np_side_is_idle(s));
    store_if_changed(&s->sem, SEM_NIL);
    store_if_changed(&s->delivery, DELIVERY_NONE);
    drop_deadline(s);
}

void np_desc_setup(np_desc *d, np_fd fd)
{
    d->fd = fd;
    setup_side(&d->side[0]);
    setup_side(&d->side[1]);
    store_if_changed(&d->info, 0);
    np_store(&d->refs, 1);
}

/* What an event (ready), or a deadline, unblock or close, makes of the semaphore. */
static uint32_t sem_after(uint32_t sem, bool ready)
{
    switch (sem) {
    case SEM_NIL:
        return ready ? SEM_READY : SEM_NIL;
    case SEM_WAIT:
    case SEM_WAIT_AGAIN:
        return ready ? SEM_WAIT_READY : SEM_WAIT_AGAIN;
    case SEM_THREAD:
        return SEM_NIL;
    case SEM_TOKEN:
        return ready ? SEM_READY_TOKEN : SEM_NIL;
    default:
        return sem;
    }
}

/* Go's netpollunblock.  ready: an event; else a deadline, unblock or close, which leaves no
 * notification behind, as every later wait checks the info word first. */
NP_HOT void np_unblock_locked(np_side *s, bool ready, np_wake_q *wake_q)
{
    np_poller *p = np_desc_of(s)->poller;

    np_assert_locked(p);
    for (;;) {
        uint32_t old = np_load(&s->sem);
        uint32_t next = sem_after(old, ready);
        if (next == old) {
            np_met(sem, old, ready ? "event" : "end");
            return;
        }
        /* Before the side is free: the next token must find this one in the queue.  TOKEN is left
         * under the lock only, so this will not fail. */
        if (old == SEM_TOKEN) {
            np_assert(np_delivery_may_become(np_peek(&s->delivery), DELIVERY_QUEUED));
            np_met(delivery, np_peek(&s->delivery), "ready");
            np_store_release(&s->delivery, DELIVERY_QUEUED);
        }
        if (!np_sem_cas(s, old, next))
            continue;
        np_met(sem, old, ready ? "event" : "end");
        if (old == SEM_THREAD || old == SEM_TOKEN) {
            p->unparked[s->entry.mode - 1]++;
            NP_PROBE4(unpark, np_desc_of(s), np_desc_of(s)->fd, (int)s->entry.mode, (int)ready);
        }
        if (old == SEM_THREAD)
            np_notify_thread(s->thread, ready, wake_q);
        else if (old == SEM_TOKEN)
            np_enqueue_token(p, &s->entry, wake_q);
        return;
    }
}

/* Go's netpollready: the kernel says that modes may be tried.
 * INFO_NO_MORE_EDGES first: a waiter that is woken and reads short must see it. */
NP_HOT void np_ready_locked(np_desc *d, const np_event *event, np_wake_q *wake_q)
{
    bool error_only = event->error && !(np_load(&d->info) & INFO_ERR_READY);

    set_info(d,
             (error_only ? (uint32_t)INFO_EVENT_ERR : 0) |
                 (event->no_more_edges ? (uint32_t)INFO_NO_MORE_EDGES : 0),
             INFO_EVENT_ERR);
    NP_PROBE3(ready, d, d->fd, (int)event->modes);
    for (int mode = NP_READ; mode <= NP_WRITE; mode++)
        if (event->modes & mode)
            np_unblock_locked(np_side_of(d, mode), true, wake_q);
}

/* Go's pollUnblock: info is INFO_CLOSING, and INFO_DEREGISTERED if no event can come any more. */
void np_evict_locked(np_desc *d, uint32_t info, np_wake_q *wake_q)
{
    np_assert(info & INFO_CLOSING);
    set_info(d, info, 0);
    for (int i = 0; i < 2; i++) {
        drop_deadline(&d->side[i]);
        np_unblock_locked(&d->side[i], false, wake_q);
    }
}

/* The side's deadline has passed.  Go's netpolldeadlineimpl.  The bit first: a load without the
 * lock sees the deadline or the bit, or both, but never neither. */
static void expire_side(np_side *s, np_wake_q *wake_q)
{
    set_info(np_desc_of(s), INFO_EXPIRED(s->entry.mode), 0);
    np_store64(&s->deadline, -1);
    s->entry.seq++;
    np_unblock_locked(s, false, wake_q);
}

/* A combined timer, one for two equal deadlines, is kept on the read side: it expires both. */
void np_expire_locked(np_side *s, np_wake_q *wake_q)
{
    np_desc *d = np_desc_of(s);
    np_side *other = np_side_of(d, s->entry.mode ^ (NP_READ | NP_WRITE));
    bool combined = np_load64(&other->deadline) == np_load64(&s->deadline);

    np_assert_locked(d->poller);
    np_assert(np_peek64(&s->deadline) > 0);
    d->poller->stats.deadlines_fired++;
    NP_PROBE3(deadline, d, d->fd, (int)s->entry.mode);
    expire_side(s, wake_q);
    if (combined)
        expire_side(other, wake_q);
    np_assert(np_deadlines_are_sound(d));
}

/* --- waiting --------------------------------------------------------------------------------- */

/* Rule 6: a deadline binds as soon as the clock has passed it, even if nothing has driven the
 * poller.  The clock is read only when there is a deadline. */
NP_COLD static void expire_if_passed(np_desc *d, np_side *s)
{
    int64_t when = np_load64(&s->deadline);
    if (when <= 0 || np_now() < when)
        return;

    np_wake_q wake_q;
    np_lock(d->poller, &wake_q);
    when = np_load64(&s->deadline);
    if (when > 0 && np_now() >= when)
        np_expire_locked(s, &wake_q);
    np_unlock(d->poller, &wake_q);
}

/* The last event was an error and nothing else.  Is that so still, and the descriptor's end?  The
 * event may have told less than there is (poll(2) was asked for one mode), and no event may tell
 * that an error is over.  Under the lock, so that a later event's error is not taken for this
 * one's.
 */
static bool error_lasts(np_desc *d)
{
    np_wake_q wake_q;

    np_lock(d->poller, &wake_q);
    bool lasts = np_load(&d->info) & INFO_EVENT_ERR && np_fd_is_broken(d->fd);
    if (!lasts)
        set_info(d, 0, INFO_EVENT_ERR);
    np_unlock(d->poller, &wake_q);
    return lasts;
}

/* Go's netpollcheckerr, in the order of rule 7.  An error event is for readers only: a writer
 * meets it in its write, which can error_only more. */
NP_HOT int np_block_check(np_desc *d, np_side *s, int flags)
{
    uint32_t info = np_load(&d->info);

    if (flags & NP_IO_ONLY)
        return info & INFO_DEREGISTERED ? NP_CLOSED : NP_OK;
    if (info & INFO_CLOSING)
        return NP_CLOSED;
    if (np_load64(&s->deadline) != 0) { /* also -1: the bit may be new */
        expire_if_passed(d, s);
        info = np_load(&d->info);
    }
    if (info & INFO_CLOSING)
        return NP_CLOSED;
    if (info & INFO_EXPIRED(s->entry.mode))
        return NP_TIMEOUT;
    if (s->entry.mode == NP_READ && info & INFO_EVENT_ERR && error_lasts(d))
        return NP_NOT_POLLABLE;
    return NP_OK;
}

/* Take the notification, if there is one.  False, too, if it has changed meanwhile. */
static bool consume(np_side *s)
{
    uint32_t sem = np_load(&s->sem);
    return (sem == SEM_READY || sem == SEM_READY_TOKEN) && np_sem_cas(s, sem, SEM_NIL);
}

/* The waiter leaves WAIT without having parked.  A notification that came meanwhile stays.  Each
 * state can only turn into the next one here. */
void np_block_abort(np_side *s)
{
    np_met(sem, np_peek(&s->sem), "abort");
    if (!np_sem_cas(s, SEM_WAIT, SEM_NIL) && !np_sem_cas(s, SEM_WAIT_AGAIN, SEM_NIL))
        np_sem_cas(s, SEM_WAIT_READY, SEM_READY);
}

NP_COLD static int arm(np_desc *d, int mode)
{
    np_poller *p = d->poller;
    np_wake_q wake_q;

    np_lock(p, &wake_q);
    int rc = np_ensure_kernel(p, &wake_q);
    if (rc == NP_OK && !(np_load(&d->info) & INFO_DEREGISTERED)) {
        rc = p->backend->arm(p->kernel, d->fd, np_tag_of(d), mode);
        if (rc > 0)
            np_kick_all(p, &wake_q);
        rc = rc > 0 ? 0 : rc;
    }
    np_unlock(p, &wake_q);
    return rc;
}

/* The first half of Go's netpollblock.  NP_PARKED: the side is in SEM_WAIT, and the caller's to
 * commit; else the wait is over with that result. */
NP_HOT int np_block_begin(np_desc *d, np_side *s, int flags)
{
    int rc = np_block_check(d, s, flags);
    if (rc != NP_OK)
        return rc;
    for (;;) {
        np_met(sem, np_peek(&s->sem), "wait");
        if (consume(s))
            return NP_OK;
        if (np_load(&s->sem) >= SEM_WAIT)
            return NP_BUSY;
        if (np_sem_cas(s, SEM_NIL, SEM_WAIT))
            break;
    }
    /* Armed only now that the side is ours: before, another waiter could come in between, use up
     * what we armed, and leave; and we would park with nothing armed. */
    if (d->poller->backend->arm)
        rc = arm(d, s->entry.mode);
    /* The other half of publish before unblock: check again, now that the semaphore says WAIT.  An
     * event may have come meanwhile: it stays, for the next waiter. */
    if (rc == NP_OK)
        rc = np_block_check(d, s, flags);
    if (rc != NP_OK) {
        np_block_abort(s);
        return rc;
    }
    return NP_PARKED;
}

static int wait_in_thread(np_desc *d, int mode, int flags)
{
    np_side *s = np_side_of(d, mode);

    for (;;) {
        int rc = np_block_begin(d, s, flags);
        if (rc != NP_PARKED)
            return rc;
        bool ready = false;
        rc = np_park_thread(d, s, &ready);
        if (rc != NP_OK)
            return rc;
        if (ready) /* readiness wins over a deadline that passed since; closing wins over both */
            return np_load(&d->info) & (flags & NP_IO_ONLY ? INFO_DEREGISTERED : INFO_CLOSING)
                       ? NP_CLOSED
                       : NP_OK;
        /* Not ready: begin tells why.  If it finds nothing, a deadline fired and was moved before
         * we ran, and the wait goes on. */
    }
}

int np_wait(np_desc *d, int mode)
{
    return wait_in_thread(d, mode, 0);
}

int np_wait_canceled(np_desc *d, int mode)
{
    return wait_in_thread(d, mode, NP_IO_ONLY);
}

int np_reset(np_desc *d, int mode)
{
    np_side *s = np_side_of(d, mode);
    int rc = np_block_check(d, s, 0);

    np_met(sem, np_peek(&s->sem), "reset");
    if (rc == NP_OK)
        np_side_reset(s);
    return rc;
}

/* --- schedulers ------------------------------------------------------------------------------ */

/* The side is in SEM_WAIT and ours, so no other writes its waiter, and no token of it can enter the
 * queue meanwhile. */
NP_HOT bool np_commit_token(np_desc *d, np_side *s, np_token token)
{
    np_fd fd = d->fd;
    int mode = s->entry.mode;

    if (np_load(&s->delivery) == DELIVERY_OUT) /* mostly it was resumed */
        np_delivery_cas(s, DELIVERY_OUT, DELIVERY_NONE);
    s->entry.token = token;
    s->since = np_now_coarse();
    np_inc(&d->poller->parked[mode - 1]);
    np_met(sem, np_peek(&s->sem), "commit");
    if (np_sem_cas(s, SEM_WAIT, SEM_TOKEN)) {
        NP_PROBE3(park, d, fd, mode);
        return true;
    }
    np_dec(&d->poller->parked[mode - 1]);
    return false;
}

static int commit(np_desc *d, np_side *s, np_token token, np_poller *home)
{
    if (home != d->poller)
        return np_foreign_commit(d, s, token, home);
    return np_commit_token(d, s, token) ? NP_PARKED : NP_AGAIN;
}

NP_HOT int np_park_at(np_desc *d, int mode, np_token token, int flags, np_poller *home)
{
    np_side *s = np_side_of(d, mode);

    for (;;) {
        int rc = np_block_begin(d, s, flags);
        if (rc != NP_PARKED)
            return rc;
        /* The side has one link for the ready queue.  If the last token is still in it, its owner
         * is the waiter of this mode until it comes out. */
        uint32_t delivery = np_load(&s->delivery);
        np_met(delivery, delivery, "park");
        if (delivery == DELIVERY_QUEUED || delivery == DELIVERY_DROPPED) {
            np_block_abort(s);
            return NP_BUSY;
        }
        rc = commit(d, s, token, home);
        if (rc == NP_PARKED)
            return rc;
        np_block_abort(s);
        if (rc != NP_AGAIN)
            return rc;
    }
}

int np_park(np_desc *d, int mode, np_token token, int flags)
{
    return np_park_at(d, mode, token, flags, d->poller);
}

NP_HOT int np_resume(np_desc *d, int mode, int flags)
{
    np_side *s = np_side_of(d, mode);

    np_met(sem, np_peek(&s->sem), "resume");
    np_met(delivery, np_peek(&s->delivery), "resume");
    /* Only the owner of a token that came out may take the notification. */
    if (np_delivery_cas(s, DELIVERY_OUT, DELIVERY_NONE) && consume(s))
        return np_load(&d->info) & (flags & NP_IO_ONLY ? INFO_DEREGISTERED : INFO_CLOSING)
                   ? NP_CLOSED
                   : NP_OK;
    int rc = np_block_check(d, s, flags);
    return rc == NP_OK ? NP_AGAIN : rc;
}

/* Where a token that is withdrawn would have come out; NULL: at its descriptor's poller. */
static np_poller *leave_home(np_side *s)
{
    return s->foreign ? np_foreign_leave(s) : NULL;
}

/* Any token, or only this one.  While one is parked, or in the ready queue, which ends
 * under the lock only, nothing writes s->entry.token.  Of one that is out the owner is not known;
 * to drop another's delivery does no harm: its owner finds READY when it parks again. */
static bool cancel_locked(np_side *s, const np_token *only, np_token *token, np_poller **home)
{
    np_assert_locked(np_desc_of(s)->poller);
    np_met(sem, np_peek(&s->sem), "cancel");
    np_met(delivery, np_peek(&s->delivery), "cancel");
    if (np_load(&s->sem) == SEM_TOKEN) {
        if (only && *only != s->entry.token)
            return false;
        np_desc_of(s)->poller->unparked[s->entry.mode - 1]++;
        *token = s->entry.token; /* before the side is free, and another token's */
        np_assert(np_sem_may_become(np_peek(&s->sem), SEM_NIL));
        *home = leave_home(s);
        np_store(&s->sem, SEM_NIL);
        return true;
    }
    if (only && np_load(&s->delivery) == DELIVERY_QUEUED && *only != s->entry.token)
        return false;
    if (np_delivery_cas(s, DELIVERY_OUT, DELIVERY_NONE) ||
        np_delivery_cas(s, DELIVERY_QUEUED, DELIVERY_DROPPED))
        np_sem_cas(s, SEM_READY_TOKEN, SEM_READY);
    return false;
}

static bool cancel(np_desc *d, int mode, const np_token *only, np_token *token)
{
    np_poller *home = NULL;
    np_wake_q wake_q;

    np_lock(d->poller, &wake_q);
    bool withdrawn = cancel_locked(np_side_of(d, mode), only, token, &home);
    np_unlock(d->poller, &wake_q);
    if (home)
        np_foreign_left(home);
    return withdrawn;
}

int np_cancel(np_desc *d, int mode, np_token *token)
{
    return cancel(d, mode, NULL, token);
}

/* The notification that it was queued for stays for the next waiter. */
int np_withdraw(np_desc *d, int mode, np_token *token)
{
    np_side *s = np_side_of(d, mode);
    np_poller *home = NULL;
    np_wake_q wake_q;

    np_lock(d->poller, &wake_q);
    bool withdrawn = cancel_locked(s, NULL, token, &home);
    if (!withdrawn && np_load(&s->delivery) == DELIVERY_DROPPED) {
        *token = s->entry.token;
        np_unqueue_token(d->poller, &s->entry);
        home = leave_home(s);
        np_store(&s->delivery, DELIVERY_NONE);
        withdrawn = true;
    }
    np_unlock(d->poller, &wake_q);
    if (home)
        np_foreign_left(home);
    return withdrawn;
}

int np_cancel_token(np_desc *d, int mode, np_token token)
{
    return cancel(d, mode, &(const np_token){token}, &token);
}

/* --- deadlines ------------------------------------------------------------------------------- */

/* An instant on the clock, or 0 for none, or -1 for one that has passed. */
static int64_t to_instant(int64_t timeout_ns)
{
    if (timeout_ns == NP_NEVER)
        return 0;
    if (timeout_ns <= 0)
        return -1;
    int64_t now = np_now();
    return timeout_ns < INT64_MAX - now ? now + timeout_ns : 0;
}

/* seq changes with the deadline, and with combining, which changes whose timer it is. */
static void move_deadlines(np_desc *d, int64_t when, int modes)
{
    np_side *r = &d->side[0], *w = &d->side[1];
    int64_t rd0 = np_load64(&r->deadline), wd0 = np_load64(&w->deadline);
    int64_t rd = modes & NP_READ ? when : rd0, wd = modes & NP_WRITE ? when : wd0;
    bool regroup = (rd0 > 0 && rd0 == wd0) != (rd > 0 && rd == wd);
    uint32_t expired =
        (rd < 0 ? (uint32_t)INFO_EXPIRED_READ : 0) | (wd < 0 ? (uint32_t)INFO_EXPIRED_WRITE : 0);

    if (expired) /* the bit first, as in expire_side */
        set_info(d, expired, 0);
    np_store64(&r->deadline, rd);
    np_store64(&w->deadline, wd);
    set_info(d, expired, INFO_EXPIRED_READ | INFO_EXPIRED_WRITE);
    if (rd != rd0 || regroup) {
        r->entry.seq++;
        np_heap_update(&d->poller->heap, &r->entry);
    }
    if (wd != wd0 || regroup) {
        w->entry.seq++;
        np_heap_update(&d->poller->heap, &w->entry);
    }
    np_assert(np_deadlines_are_sound(d));
}

static int set_deadline(np_desc *d, int64_t when, int modes)
{
    np_poller *p = d->poller;
    np_wake_q wake_q;
    int rc = NP_OK;

    np_lock(p, &wake_q);
    if (np_load(&d->info) & INFO_CLOSING)
        rc = NP_CLOSED;
    else if (when > 0)
        rc = np_heap_reserve(&p->heap, 2);
    if (rc == NP_OK) {
        move_deadlines(d, when, modes);
        if (when > 0)
            np_kick_for_deadline(p, when, &wake_q);
        for (int mode = NP_READ; when < 0 && mode <= NP_WRITE; mode++)
            if (modes & mode)
                np_unblock_locked(np_side_of(d, mode), false, &wake_q);
    }
    np_unlock(p, &wake_q);
    return rc;
}

int np_set_deadline(np_desc *d, int64_t timeout_ns, int modes)
{
    return set_deadline(d, to_instant(timeout_ns), modes);
}

int np_set_deadline_at(np_desc *d, int64_t when, int modes)
{
    return set_deadline(d, when == NP_NEVER ? 0 : when > 0 && when > np_now() ? when : -1, modes);
}

int np_deadline(const np_desc *d, int mode, int64_t *left)
{
    int64_t when = np_load64(&d->side[mode - 1].deadline);
    if (when == 0)
        return 0;
    *left = when < 0 ? -1 : when - np_now();
    return 1;
}

/* --- for users that do I/O ----------------------------------------------------------------------
 */

void np_treat_errors_as_ready(np_desc *d)
{
    np_wake_q wake_q;

    np_lock(d->poller, &wake_q);
    set_info(d, INFO_ERR_READY, INFO_EVENT_ERR);
    np_unlock(d->poller, &wake_q);
}

void np_set_ready(np_desc *d, int modes)
{
    np_event event = {.modes = (uint8_t)modes};
    np_wake_q wake_q;

    np_lock(d->poller, &wake_q);
    if (!(np_load(&d->info) & INFO_DEREGISTERED))
        np_ready_locked(d, &event, &wake_q);
    np_unlock(d->poller, &wake_q);
}

int np_short_io_means_drained(const np_desc *d)
{
    return (np_load(&d->info) & INFO_NO_MORE_EDGES) == 0;
}

/* --- inspection ------------------------------------------------------------------------------ */

np_fd np_desc_fd(const np_desc *d)
{
    return d->fd;
}

np_poller *np_desc_poller(const np_desc *d)
{
    return d->poller;
}

int np_desc_closed(const np_desc *d)
{
    return (np_load(&d->info) & INFO_CLOSING) != 0;
}

int np_is_ready(const np_desc *d, int mode)
{
    uint32_t sem = np_load(&d->side[mode - 1].sem);
    return sem == SEM_READY || sem == SEM_READY_TOKEN || sem == SEM_WAIT_READY;
}

int np_is_parked(const np_desc *d, int mode)
{
    uint32_t sem = np_load(&d->side[mode - 1].sem);
    return sem == SEM_THREAD || sem == SEM_TOKEN;
}

int np_holds_token(const np_desc *d, int mode)
{
    return np_side_holds_token(&d->side[mode - 1]);
}

int np_desc_size(void)
{
    return (int)sizeof(np_desc);
}
