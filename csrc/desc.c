/* The state machine of a descriptor: Go's netpoll.go, platform-independent part.
 *
 * A waiter goes  NIL -> WAIT -> (check the info word again) -> THREAD or TOKEN.
 * Whoever ends waits goes  info word -> semaphore.
 * Each stores first and loads second, so at least one of the two sees the other: either the waiter
 * sees the bit and does not park, or the other sees WAIT (or the parked waiter) and undoes it.
 *
 * A side in WAIT belongs to its waiter until that one leaves it.  What happens meanwhile is noted
 * in the semaphore (WAIT_AGAIN, WAIT_READY), so that the waiter cannot commit; but it does not set
 * the side free, or a second waiter could come in and the first commit in the second's place.
 *
 * Events and deadlines come with the lock held (np_*_locked); waiters come without it.
 */
#include "internal.h"

/* --- what the lock guards -------------------------------------------------------------------- */

/* A store costs a look twenty times over, and mostly there is nothing to change. */
static void set(np_atomic32 *a, uint32_t v)
{
    if (np_load(a) != v)
        np_store(a, v);
}

static void set_info(np_desc *d, uint32_t bits, uint32_t clear)
{
    set(&d->info, (np_load(&d->info) & ~clear) | bits);
}

/* seq moves on: what the heap still has is stale. */
static void drop_deadline(np_side *s)
{
    if (np_load64(&s->deadline) != 0)
        np_store64(&s->deadline, 0);
    s->seq++;
}

/* Any pending notification belongs to the slot's last owner: forget it. */
static void setup_side(np_side *s)
{
    set(&s->sem, SEM_NIL);
    set(&s->claim, CLAIM_NONE);
    drop_deadline(s);
}

void np_desc_setup(np_desc *d, np_fd fd)
{
    d->fd = fd;
    setup_side(&d->side[0]);
    setup_side(&d->side[1]);
    set(&d->info, 0);
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
        return ready ? SEM_NEWS : SEM_NIL;
    default:
        return sem;
    }
}

/* Go's netpollunblock.  ready: an event; else a deadline, unblock or close, which leaves no
 * notification behind, as every later wait checks the info word first. */
static void unblock_locked(np_side *s, bool ready, np_wakes *wakes)
{
    np_poller *p = np_desc_of(s)->poller;

    for (;;) {
        uint32_t old = np_load(&s->sem);
        uint32_t next = sem_after(old, ready);
        if (next == old)
            return;
        /* Before the side is free: the next token must find this one in the queue.  TOKEN is left
         * under the lock only, so this will not fail. */
        if (old == SEM_TOKEN)
            np_store(&s->claim, CLAIM_QUEUED);
        if (!np_cas(&s->sem, old, next))
            continue;
        if (old == SEM_THREAD || old == SEM_TOKEN) {
            np_dec(&p->parked[s->mode - 1]);
            NP_PROBE4(unpark, np_desc_of(s), np_desc_of(s)->fd, (int)s->mode, (int)ready);
        }
        if (old == SEM_THREAD)
            np_notify_thread(s->thread, ready, wakes);
        else if (old == SEM_TOKEN)
            np_enqueue_token(p, s, wakes);
        return;
    }
}

/* Go's netpollready: the kernel says that modes may be tried.  INFO_LAST first: who is woken and
 * reads short must see it. */
void np_ready_locked(np_desc *d, const np_event *event, np_wakes *wakes)
{
    bool tell = event->error && !(np_load(&d->info) & INFO_ERR_READY);

    set_info(d, (tell ? (uint32_t)INFO_EVENT_ERR : 0) | (event->last ? (uint32_t)INFO_LAST : 0),
             INFO_EVENT_ERR);
    NP_PROBE3(ready, d, d->fd, (int)event->modes);
    for (int mode = NP_READ; mode <= NP_WRITE; mode++)
        if (event->modes & mode)
            unblock_locked(np_side_of(d, mode), true, wakes);
}

/* Go's pollUnblock: info is INFO_CLOSING, and INFO_GONE if no event can come any more. */
void np_evict_locked(np_desc *d, uint32_t info, np_wakes *wakes)
{
    set_info(d, info, 0);
    for (int i = 0; i < 2; i++) {
        drop_deadline(&d->side[i]);
        unblock_locked(&d->side[i], false, wakes);
    }
}

/* The side's deadline has passed.  Go's netpolldeadlineimpl.  The bit first: who looks without the
 * lock sees the deadline or the bit, or both, but never neither. */
static void expire_side(np_side *s, np_wakes *wakes)
{
    set_info(np_desc_of(s), INFO_EXPIRED(s->mode), 0);
    np_store64(&s->deadline, -1);
    s->seq++;
    unblock_locked(s, false, wakes);
}

/* A combined timer, one for two equal deadlines, is kept on the read side: it expires both. */
void np_expire_locked(np_side *s, np_wakes *wakes)
{
    np_desc *d = np_desc_of(s);
    np_side *other = np_side_of(d, s->mode ^ (NP_READ | NP_WRITE));
    bool combined = np_load64(&other->deadline) == np_load64(&s->deadline);

    d->poller->stats.deadlines_fired++;
    NP_PROBE3(deadline, d, d->fd, (int)s->mode);
    expire_side(s, wakes);
    if (combined)
        expire_side(other, wakes);
}

/* --- waiting --------------------------------------------------------------------------------- */

/* Rule 6: a deadline binds as soon as the clock has passed it, even if nobody has driven the
 * poller.  The clock is read only when there is a deadline. */
static void expire_if_passed(np_desc *d, np_side *s)
{
    int64_t when = np_load64(&s->deadline);
    if (when <= 0 || np_now() < when)
        return;

    np_wakes wakes;
    np_lock(d->poller, &wakes);
    when = np_load64(&s->deadline);
    if (when > 0 && np_now() >= when)
        np_expire_locked(s, &wakes);
    np_unlock(d->poller, &wakes);
}

/* Go's netpollcheckerr, in the order of rule 7.  An error event is for readers only: a writer
 * meets it in its write, which can tell more. */
int np_block_check(np_desc *d, np_side *s, int flags)
{
    uint32_t info = np_load(&d->info);

    if (flags & NP_IO_ONLY)
        return info & INFO_GONE ? NP_CLOSED : NP_OK;
    if (info & INFO_CLOSING)
        return NP_CLOSED;
    if (!(info & INFO_EXPIRED(s->mode))) {
        expire_if_passed(d, s);
        info = np_load(&d->info);
    }
    if (info & INFO_CLOSING)
        return NP_CLOSED;
    if (info & INFO_EXPIRED(s->mode))
        return NP_TIMEOUT;
    if (s->mode == NP_READ && info & INFO_EVENT_ERR)
        return NP_NOT_POLLABLE;
    return NP_OK;
}

/* Take the notification, if there is one. */
static bool consume(np_side *s)
{
    return np_cas(&s->sem, SEM_READY, SEM_NIL) || np_cas(&s->sem, SEM_NEWS, SEM_NIL);
}

/* The waiter leaves WAIT without having parked.  A notification that came meanwhile stays.  Each
 * state can only turn into the next one here. */
void np_block_give_up(np_side *s)
{
    if (!np_cas(&s->sem, SEM_WAIT, SEM_NIL) && !np_cas(&s->sem, SEM_WAIT_AGAIN, SEM_NIL))
        np_cas(&s->sem, SEM_WAIT_READY, SEM_READY);
}

static int arm(np_desc *d, int mode)
{
    np_poller *p = d->poller;
    np_wakes wakes;

    np_lock(p, &wakes);
    int rc = np_enter(p, &wakes);
    if (rc == NP_OK && !(np_load(&d->info) & INFO_GONE)) {
        rc = p->backend->arm(p->kernel, d->fd, np_tag_of(d), mode);
        wakes.raise = rc > 0;
        rc = rc > 0 ? 0 : rc;
    }
    np_unlock(p, &wakes);
    return rc;
}

/* The first half of Go's netpollblock.  NP_PARKED: the side is in SEM_WAIT, and the caller's to
 * commit; else the wait is over with that result. */
int np_block_begin(np_desc *d, np_side *s, int flags)
{
    int rc = np_block_check(d, s, flags);
    if (rc != NP_OK)
        return rc;
    for (;;) {
        if (consume(s))
            return NP_OK;
        if (np_load(&s->sem) >= SEM_WAIT)
            return NP_BUSY;
        if (np_cas(&s->sem, SEM_NIL, SEM_WAIT))
            break;
    }
    /* Armed only now that the side is ours: before, another waiter could come in between, use up
     * what we armed, and leave; and we would park with nothing armed. */
    if (d->poller->backend->arm)
        rc = arm(d, s->mode);
    /* The other half of publish before unblock: look again, now that the semaphore says WAIT.  An
     * event may have come meanwhile: it stays, for whoever waits next. */
    if (rc == NP_OK)
        rc = np_block_check(d, s, flags);
    if (rc != NP_OK) {
        np_block_give_up(s);
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
            return np_load(&d->info) & (flags & NP_IO_ONLY ? INFO_GONE : INFO_CLOSING) ? NP_CLOSED
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

/* Only READY is dropped, in one step: a waiter that parks meanwhile stays, and so does the news of
 * a token that is on its way to its owner. */
int np_reset(np_desc *d, int mode)
{
    np_side *s = np_side_of(d, mode);
    int rc = np_block_check(d, s, 0);

    if (rc == NP_OK && np_load(&s->sem) == SEM_READY)
        np_cas(&s->sem, SEM_READY, SEM_NIL);
    return rc;
}

/* --- schedulers ------------------------------------------------------------------------------ */

/* Commit, Go's netpollblockcommit.  The side is in SEM_WAIT and ours, so nobody else writes its
 * waiter, and no token of it can enter the queue meanwhile.  False: an event or an unblock came
 * first.  True: the token may be out already, and d be gone with its last reference, so nothing of
 * it is looked at any more. */
static bool commit_token(np_desc *d, np_side *s, np_token token)
{
    np_fd fd = d->fd;
    int mode = s->mode;

    np_cas(&s->claim, CLAIM_OUT, CLAIM_NONE);
    s->token = token;
    s->since = np_now_roughly();
    np_inc(&d->poller->parked[mode - 1]);
    if (np_cas(&s->sem, SEM_WAIT, SEM_TOKEN)) {
        NP_PROBE3(park, d, fd, mode);
        return true;
    }
    np_dec(&d->poller->parked[mode - 1]);
    np_block_give_up(s);
    return false;
}

int np_park(np_desc *d, int mode, np_token token, int flags)
{
    np_side *s = np_side_of(d, mode);

    for (;;) {
        int rc = np_block_begin(d, s, flags);
        if (rc != NP_PARKED)
            return rc;
        /* The side has one link for the ready queue.  If the last token is still in it, its owner
         * is the waiter of this mode until it comes out. */
        uint32_t claim = np_load(&s->claim);
        if (claim == CLAIM_QUEUED || claim == CLAIM_DROPPED) {
            np_block_give_up(s);
            return NP_BUSY;
        }
        if (commit_token(d, s, token))
            return NP_PARKED;
    }
}

int np_resume(np_desc *d, int mode, int flags)
{
    np_side *s = np_side_of(d, mode);

    /* Only the owner of a token that came out may take the news. */
    if (np_cas(&s->claim, CLAIM_OUT, CLAIM_NONE) && consume(s))
        return np_load(&d->info) & (flags & NP_IO_ONLY ? INFO_GONE : INFO_CLOSING) ? NP_CLOSED
                                                                                   : NP_OK;
    int rc = np_block_check(d, s, flags);
    return rc == NP_OK ? NP_AGAIN : rc;
}

/* Whoever's token it is, or only this one.  While one is parked, or in the ready queue, which ends
 * under the lock only, nobody writes s->token.  Of one that is out it cannot be told whose it is;
 * to give up the claim of another harms nobody: its owner finds READY when it parks again. */
static bool cancel_locked(np_side *s, const np_token *only, np_token *token)
{
    if (np_load(&s->sem) == SEM_TOKEN) {
        if (only && *only != s->token)
            return false;
        np_dec(&np_desc_of(s)->poller->parked[s->mode - 1]);
        *token = s->token; /* before the side is free, and another token's */
        np_store(&s->sem, SEM_NIL);
        return true;
    }
    if (only && np_load(&s->claim) == CLAIM_QUEUED && *only != s->token)
        return false;
    if (np_cas(&s->claim, CLAIM_OUT, CLAIM_NONE) || np_cas(&s->claim, CLAIM_QUEUED, CLAIM_DROPPED))
        np_cas(&s->sem, SEM_NEWS, SEM_READY);
    return false;
}

static bool cancel(np_desc *d, int mode, const np_token *only, np_token *token)
{
    np_wakes wakes;

    np_lock(d->poller, &wakes);
    bool withdrawn = cancel_locked(np_side_of(d, mode), only, token);
    np_unlock(d->poller, &wakes);
    return withdrawn;
}

int np_cancel(np_desc *d, int mode, np_token *token)
{
    return cancel(d, mode, NULL, token);
}

int np_cancel_token(np_desc *d, int mode, np_token token)
{
    return cancel(d, mode, &(const np_token){token}, &token);
}

/* --- deadlines ------------------------------------------------------------------------------- */

/* An instant on the clock, or 0 for none, or -1 for one that has passed. */
static int64_t instant(int64_t timeout_ns)
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
        r->seq++;
        np_heap_want(&d->poller->heap, r);
    }
    if (wd != wd0 || regroup) {
        w->seq++;
        np_heap_want(&d->poller->heap, w);
    }
}

/* A driver that would sleep past the new first deadline must come back and look again. */
static void cover_deadline(np_poller *p, int64_t when, np_wakes *wakes)
{
    if (np_list_empty(&p->drivers))
        return;
    for (np_link *l = p->drivers.next; l != &p->drivers; l = l->next)
        if (NP_CONTAINER(l, np_driver, link)->until <= when)
            return;
    np_kick_all(p, wakes);
}

static int set_deadline(np_desc *d, int64_t when, int modes)
{
    np_poller *p = d->poller;
    np_wakes wakes;
    int rc = NP_OK;

    np_lock(p, &wakes);
    if (np_load(&d->info) & INFO_CLOSING)
        rc = NP_CLOSED;
    else if (when > 0)
        rc = np_heap_reserve(&p->heap, 2);
    if (rc == NP_OK) {
        move_deadlines(d, when, modes);
        if (when > 0)
            cover_deadline(p, when, &wakes);
        for (int mode = NP_READ; when < 0 && mode <= NP_WRITE; mode++)
            if (modes & mode)
                unblock_locked(np_side_of(d, mode), false, &wakes);
    }
    np_unlock(p, &wakes);
    return rc;
}

int np_set_deadline(np_desc *d, int64_t timeout_ns, int modes)
{
    return set_deadline(d, instant(timeout_ns), modes);
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

/* --- what users that do I/O need to know ------------------------------------------------------ */

void np_errors_are_ready(np_desc *d)
{
    np_wakes wakes;

    np_lock(d->poller, &wakes);
    set_info(d, INFO_ERR_READY, INFO_EVENT_ERR);
    np_unlock(d->poller, &wakes);
}

void np_set_ready(np_desc *d, int modes)
{
    np_event event = {.modes = (uint8_t)modes};
    np_wakes wakes;

    np_lock(d->poller, &wakes);
    if (!(np_load(&d->info) & INFO_GONE))
        np_ready_locked(d, &event, &wakes);
    np_unlock(d->poller, &wakes);
}

int np_short_is_drained(const np_desc *d)
{
    return (np_load(&d->info) & INFO_LAST) == 0;
}

/* --- looking --------------------------------------------------------------------------------- */

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
    return sem == SEM_READY || sem == SEM_NEWS || sem == SEM_WAIT_READY;
}

int np_is_parked(const np_desc *d, int mode)
{
    uint32_t sem = np_load(&d->side[mode - 1].sem);
    return sem == SEM_THREAD || sem == SEM_TOKEN;
}

/* A token that becomes ready is marked as queued before its side leaves TOKEN. */
int np_holds_token(const np_desc *d, int mode)
{
    const np_side *s = &d->side[mode - 1];
    if (np_load(&s->sem) == SEM_TOKEN)
        return 1;
    uint32_t claim = np_load(&s->claim);
    return claim == CLAIM_QUEUED || claim == CLAIM_DROPPED;
}

int np_desc_size(void)
{
    return (int)sizeof(np_desc);
}
