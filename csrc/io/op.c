/* An operation on a file: its turn, its attempts, its waits.
 *
 * A thread waits in poll(2) on the descriptor and its waker, or at the turn; a token is parked at
 * the descriptor, at the turn, or on a timer.  What binds them and what the end of a wait means is
 * the same for both: np_op_check, outcome and turn_outcome.
 */
#include "io/op.h"

static bool passed(int64_t instant)
{
    return instant != NP_NEVER && np_now() >= instant;
}

/* --- begin, try, end ------------------------------------------------------------------------- */

/* np_op.limited */
enum { LIMIT_UNKNOWN, LIMIT_DUE, LIMIT_KNOWN };

static int64_t instant_after(int64_t timeout)
{
    int64_t now = np_now();
    return timeout < NP_NEVER - now ? now + timeout : NP_NEVER;
}

/* When the timeout is over, counted from the first wait on, or from the second part: most
 * operations have neither, and need no clock. */
NP_HOT static void set_limit(np_op *op)
{
    if (op->limited == LIMIT_KNOWN)
        return;
    op->limited = LIMIT_KNOWN;
    int64_t timeout = np_load64(&op->file->timeout);
    if (timeout < 0)
        timeout = np_file_option_timeout(op->file, op->mode);
    if (timeout >= 0)
        op->limit = instant_after(timeout);
}

NP_HOT static void enter(np_op *op)
{
    op->state = OP_INSIDE;
    np_store_plain(&np_half_of(op->file, op->mode)->holder, np_thread_id());
}

NP_HOT int np_op_begin(np_op *op, np_file *f, int mode, int may_wait)
{
    *op = (np_op){.file = f, .mode = mode, .may_wait = may_wait, .limit = NP_NEVER};
    int rc = np_sema_try(&np_half_of(f, mode)->turn);
    if (rc == NP_OK)
        enter(op);
    if (rc != NP_AGAIN || !may_wait)
        return rc;
    op->state = OP_QUEUED;
    return NP_BUSY;
}

int np_op_refused(const np_op *op)
{
    np_file *f = op->file;

    if (np_file_closed(f))
        return NP_CLOSED;
    if (passed(np_load64(&np_half_of(f, op->mode)->deadline)))
        return NP_TIMEOUT;
    return passed(op->limit) ? NP_TIMED_OUT : NP_OK;
}

NP_HOT int np_op_try(np_op *op)
{
    np_half *h = np_half_of(op->file, op->mode);

    if (op->limited == LIMIT_DUE)
        set_limit(op);
    int rc = np_op_check(op);
    if (rc != NP_OK)
        return rc;
    /* Once an event has told of a hang-up there may be more, and no edge to tell of it. */
    if (h->drained && op->may_wait && !(h->desc && !np_short_io_means_drained(h->desc)))
        return NP_BUSY;
    if (h->desc)
        np_side_reset(np_side_of(h->desc, op->mode)); /* the attempt will tell the rest */
    return NP_OK;
}

NP_HOT void np_op_moved(np_op *op, int64_t n, int64_t wanted)
{
    np_file *f = op->file;
    /* A read of nothing is the end, which stays. */
    bool tells = f->kind != NP_FILE_MESSAGES && (n > 0 || op->mode == NP_WRITE);

    np_half_of(f, op->mode)->drained = tells && n < wanted;
    op->vain = 0;
    if (op->limited == LIMIT_UNKNOWN)
        op->limited = LIMIT_DUE; /* peers that are quick enough could keep it going for ever */
}

NP_HOT int np_op_end(np_op *op)
{
    if (op->state != OP_INSIDE)
        return NP_OK;
    np_half *h = np_half_of(op->file, op->mode);
    op->state = OP_NEW;
    np_sema_hand_over(&h->turn, &h->holder);
    return np_sema_is_shut(&h->turn) ? np_file_retire(op->file, op->mode) : NP_OK;
}

/* --- waits, of threads and tokens ------------------------------------------------------------ */

enum { VAIN_WAITS = 16, QUICK_NS = VAIN_WAITS * 100 * 1000, PAUSE_NS = 2 * 1000 * 1000 };

/* The kernel says ready and the attempt fails all the same, again and again: as for a datagram to a
 * UNIX socket that is full, or with an error queue that nobody reads.  Now and then there is a
 * pause, or it would take the whole processor; at least others get a turn, and signals are handled.
 */
NP_COLD static void set_pause(np_op *op, int64_t *until)
{
    int64_t now = np_now();
    bool quick = op->since != 0 && now - op->since < QUICK_NS;
    *until = now + (quick ? PAUSE_NS : 0);
    op->since = *until;
}

NP_HOT static bool needs_pause(np_op *op, int64_t *until)
{
    if (++op->vain % VAIN_WAITS != 0)
        return false;
    set_pause(op, until);
    return true;
}

static void publish_limit(np_op *op)
{
    np_half *h = np_half_of(op->file, op->mode);
    if (np_load64(&h->limit) != op->limit)
        np_store64(&h->limit, op->limit);
}

static bool take_retry(np_half *h)
{
    return np_load(&h->retry) && np_swap(&h->retry, 0);
}

/* The wait for readiness is over: why?  What is not the operation's end lets it try, and wait again
 * if need be: a deadline that fired and was moved, a poller that was closed.  Signals that come all
 * the time end no wait for its limits, so these are checked here. */
NP_HOT static int outcome(np_op *op, int rc)
{
    np_half_of(op->file, op->mode)->drained = false;
    if (rc < 0)
        return rc;
    int end = np_op_check(op);
    return end == NP_OK && rc == NP_INTERRUPTED ? NP_INTERRUPTED : end;
}

/* No signal has ended a system call in a pause, and others may have waited for the host's lock. */
static int pause_outcome(np_op *op)
{
    int rc = np_op_check(op);
    return rc == NP_OK ? NP_INTERRUPTED : rc;
}

NP_COLD static int turn_outcome(np_op *op, int rc)
{
    switch (rc) {
    case NP_OK:
        enter(op);
        return NP_OK;
    case NP_TIMEOUT:
        return NP_TIMED_OUT;
    case NP_CLOSED:
        return np_file_closed(op->file) ? NP_CLOSED : NP_NO_POLLER;
    default:
        return rc;
    }
}

/* --- where tokens wait ----------------------------------------------------------------------- */

static bool is_open(const np_desc *d)
{
    return d && !(np_load(&d->info) & INFO_CLOSING);
}

static bool serves(const np_desc *d, const np_poller *p)
{
    return is_open(d) && d->poller == p;
}

/* Register the number, or share what the other mode has.  A new reference.  The lock is held, so
 * the two modes do not register it twice. */
NP_COLD static int open_locked(np_file *f, int mode, np_poller *p, np_desc **out)
{
    np_desc *other = np_half_of(f, mode ^ (NP_READ | NP_WRITE))->desc;
    if (serves(other, p)) {
        np_desc_ref(other);
        *out = other;
        return NP_OK;
    }
    int rc = np_open(p, f->fd, out);
    if (rc == NP_OK)
        np_treat_errors_as_ready(*out);
    return rc;
}

/* The half's descriptor is to be of p. */
NP_COLD static int register_at(np_file *f, int mode, np_poller *p)
{
    np_half *h = np_half_of(f, mode);
    np_desc *d = NULL, *old = NULL;

    np_file_lock(f);
    int rc = open_locked(f, mode, p, &d);
    if (rc == NP_OK) {
        old = h->desc;
        h->desc = d;
        np_store64(&h->bound, INT64_MIN); /* not known: it may have been ours before */
        if (np_file_closed(f))            /* before it could see the descriptor */
            np_close(d);
    }
    np_file_unlock(f);
    if (old)
        np_desc_unref(old);
    return rc == NP_CLOSED ? NP_NO_POLLER : rc;
}

/* If the number is registered with p already, by another's doing, a poller of our own has it. */
NP_COLD static int register_for(np_file *f, int mode, np_poller *p)
{
    np_poller *overflow = NULL;

    int rc = register_at(f, mode, p);
    if (rc != -EEXIST)
        return rc;
    rc = np_file_overflow_poller(&overflow);
    return rc == NP_OK ? register_at(f, mode, overflow) : rc;
}

NP_COLD static int bind_changed(np_file *f, int mode)
{
    np_file_lock(f);
    int rc = np_file_bind_locked(f, mode);
    np_file_unlock(f);
    return rc;
}

/* A deadline that is moved after it was loaded here is bound by the call that moves it. */
static int bind_limits(np_file *f, int mode)
{
    np_half *h = np_half_of(f, mode);
    return np_half_limit(h) == np_load64(&h->bound) ? NP_OK : bind_changed(f, mode);
}

static bool is_home(const np_half *h, const np_poller *p)
{
    return is_open(h->desc) && (h->desc->poller == p || h->home == p);
}

/* NP_OK: the descriptor is there and bound, and nothing is to be tried before a park. */
NP_HOT static int prepare(np_op *op, np_poller *p, bool *again)
{
    np_half *h = np_half_of(op->file, op->mode);

    publish_limit(op);
    int rc = is_home(h, p) ? NP_OK : register_for(op->file, op->mode, p);
    if (rc != NP_OK)
        return rc;
    h->home = p;
    *again = take_retry(h);
    return *again ? NP_OK : bind_limits(op->file, op->mode);
}

/* --- waits for a turn ------------------------------------------------------------------------ */

/* By mode.  The address tells reports which semaphores are turns. */
static const char turn_names[2][20] = {"turn to read", "turn to write"};

static const char *turn_name(const np_op *op)
{
    return turn_names[op->mode - 1];
}

np_file *np_file_of_turn(const np_waiting *w, int *mode)
{
    for (*mode = NP_READ; *mode <= NP_WRITE; ++*mode)
        if (w->what == turn_names[*mode - 1])
            return NP_CONTAINER(NP_CONTAINER(w->sema, np_half, turn) - (*mode - 1), np_file, half);
    return NULL;
}

/* --- a token --------------------------------------------------------------------------------- */

/* Once the token is parked it may come out, and the operation go on or end, in another thread: so
 * the state says so before, and nothing is touched afterwards. */

NP_HOT static void set_parked(np_op *op, int state)
{
    np_half_of(op->file, op->mode)->parked = true;
    op->state = state;
}

NP_HOT static void set_inside(np_op *op)
{
    np_half_of(op->file, op->mode)->parked = false;
    op->state = OP_INSIDE;
}

NP_COLD static int park_for_turn(np_op *op, np_poller *p, np_waiter *w, np_token token)
{
    np_half *h = np_half_of(op->file, op->mode);
    op->state = OP_PARKED_TURN;
    int rc = np_sema_park(&h->turn, w, p, token, op->limit, turn_name(op));
    if (rc == NP_PARKED)
        return NP_PARKED;
    op->state = OP_QUEUED;
    return turn_outcome(op, rc);
}

NP_COLD static int park_for_pause(np_op *op, np_poller *p, np_waiter *w, np_token token,
                                  int64_t until)
{
    int64_t limit = np_earlier(op->limit, np_load64(&np_half_of(op->file, op->mode)->deadline));
    set_parked(op, OP_PARKED_PAUSE);
    int rc = np_timer_start(w, p, token, np_earlier(until, limit), "pause");
    if (rc == NP_PARKED)
        return NP_PARKED;
    set_inside(op);
    return rc == NP_CLOSED ? NP_NO_POLLER : rc;
}

NP_HOT static int park_for_ready(np_op *op, np_poller *p, np_token token)
{
    bool again = false;

    int rc = prepare(op, p, &again);
    if (rc != NP_OK || again)
        return rc == NP_NO_POLLER ? rc : outcome(op, rc);
    op->desc = np_half_of(op->file, op->mode)->desc;
    set_parked(op, OP_PARKED_READY);
    rc = np_park_at(op->desc, op->mode, token, 0, p);
    if (rc == NP_PARKED)
        return NP_PARKED;
    set_inside(op);
    return rc == NP_NO_POLLER ? rc : outcome(op, rc);
}

NP_HOT int np_op_park(np_op *op, np_poller *p, np_waiter *w, np_token token)
{
    int64_t until = 0;

    set_limit(op);
    if (op->state == OP_QUEUED)
        return park_for_turn(op, p, w, token);
    if (needs_pause(op, &until))
        return park_for_pause(op, p, w, token, until);
    return park_for_ready(op, p, token);
}

NP_HOT static int resume_ready(np_op *op)
{
    if (np_side_holds_token(np_side_of(op->desc, op->mode)))
        return NP_AGAIN;
    set_inside(op);
    return outcome(op, np_resume(op->desc, op->mode, 0));
}

NP_COLD static int resume_waiter(np_op *op, np_waiter *w)
{
    int rc = np_waiter_resume(w);
    if (rc == NP_AGAIN)
        return NP_AGAIN;
    bool queued = op->state == OP_PARKED_TURN;
    if (queued)
        op->state = OP_QUEUED;
    else
        set_inside(op);
    return queued ? turn_outcome(op, rc) : pause_outcome(op);
}

NP_HOT int np_op_resume(np_op *op, np_waiter *w)
{
    return op->state == OP_PARKED_READY ? resume_ready(op) : resume_waiter(op, w);
}

int np_op_cancel(np_op *op, np_waiter *w)
{
    int state = op->state, result = NP_AGAIN;
    np_token token = 0;

    if (state < OP_PARKED_TURN)
        return 0;
    if (state == OP_PARKED_TURN)
        op->state = OP_QUEUED;
    else
        set_inside(op);
    if (state == OP_PARKED_READY)
        return np_withdraw(op->desc, op->mode, &token);
    int withdrawn = np_waiter_cancel(w, &result);
    if (state == OP_PARKED_TURN && result == NP_OK)
        enter(op); /* np_op_end hands the turn on */
    return withdrawn;
}

/* --- a thread -------------------------------------------------------------------------------- */

static int wait_for_turn(np_op *op)
{
    np_half *h = np_half_of(op->file, op->mode);
    return turn_outcome(op, np_sema_acquire(&h->turn, op->limit, turn_name(op), &op->place));
}

#ifdef _WIN32

/* An attempt first, as the wait releases the host's lock even if the data is there. */
static int wait_for_ready(np_op *op, np_poller *p)
{
    np_half *h = np_half_of(op->file, op->mode);
    bool again = h->drained;

    h->drained = false;
    if (again)
        return NP_OK;
    int rc = prepare(op, p, &again);
    if (rc != NP_OK || again)
        return rc == NP_NO_POLLER ? rc : outcome(op, rc);
    return outcome(op, np_wait(h->desc, op->mode));
}

static int wait_for_pause(np_op *op, int64_t until)
{
    np_sema never = {0};
    int rc = np_sema_acquire(&never, np_earlier(until, op->limit), "pause", NULL);
    return rc == NP_TIMEOUT ? pause_outcome(op) : rc;
}

#else

static void set_waker(np_file *f, int mode, np_waker *waker)
{
    np_file_lock(f);
    np_half_of(f, mode)->waker = waker;
    np_file_unlock(f);
}

/* Until the descriptor is ready for mode (0: it does not matter), or the instant, or what binds the
 * operation ends it.  A wake leads to an attempt, too: so an operation that is woken all the time
 * pauses and is limited like one that is always ready.
 *
 * The hook that ends blocking may end the thread, as CPython's does while the interpreter exits:
 * nothing refers to the waker by then, which goes with its thread. */
static int wait_at_waker(np_op *op, int mode, int64_t until)
{
    np_file *f = op->file;
    np_half *h = np_half_of(f, op->mode);
    int rc = NP_OK;
    np_waker *waker = np_thread_waker(&rc);

    if (!waker)
        return rc;
    void *cookie = np_blocking_enter();
    set_waker(f, op->mode, waker);
    if (!np_file_closed(f) && !(mode && take_retry(h))) {
        int64_t limit = np_earlier(op->limit, np_load64(&h->deadline));
        rc = np_wait_fd_released(waker, f->fd, mode, np_earlier(limit, until));
    }
    set_waker(f, op->mode, NULL);
    np_blocking_leave(cookie);
    return outcome(op, rc);
}

static int wait_for_ready(np_op *op, np_poller *p)
{
    (void)p;
    return wait_at_waker(op, op->mode, NP_NEVER);
}

static int wait_for_pause(np_op *op, int64_t until)
{
    int rc = wait_at_waker(op, 0, until);
    return rc == NP_OK ? pause_outcome(op) : rc;
}

#endif

int np_op_wait(np_op *op, np_poller *p)
{
    int64_t until = 0;

    set_limit(op);
    if (op->state == OP_QUEUED)
        return wait_for_turn(op);
    return needs_pause(op, &until) ? wait_for_pause(op, until) : wait_for_ready(op, p);
}
