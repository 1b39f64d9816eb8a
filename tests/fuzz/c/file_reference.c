#include "file_reference.h"

#include "target.h"

enum { VAIN_WAITS = 16, QUICK_NS = 1600000, PAUSE_NS = 2000000 };

static bool passed(int64_t instant)
{
    return instant != NP_NEVER && ref_clock >= instant;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

void ref_init(ref_file *f)
{
    *f = (ref_file){.timeout = -1};
    for (int i = 0; i < 2; i++)
        f->mode[i].deadline = NP_NEVER;
}

/* --- turns ------------------------------------------------------------------------------------ */

static void enter(ref_op *op)
{
    op->f->mode[op->mode - 1].holder = op;
    op->stage = REF_INSIDE;
}

int ref_begin(ref_op *op, ref_file *f, int mode, bool may_wait)
{
    *op = (ref_op){.f = f, .mode = mode, .may_wait = may_wait, .limit = NP_NEVER};
    if (f->closed)
        return NP_CLOSED;
    if (!f->mode[mode - 1].holder) {
        enter(op);
        return NP_OK;
    }
    if (!may_wait)
        return NP_AGAIN;
    op->stage = REF_WANTS_TURN;
    return NP_BUSY;
}

static void unqueue(ref_op *op)
{
    int n = 0, *queued = &op->f->mode[op->mode - 1].queued;
    ref_op **queue = op->f->mode[op->mode - 1].queue;
    for (int i = 0; i < *queued; i++)
        if (queue[i] != op)
            queue[n++] = queue[i];
    *queued = n;
}

bool ref_is_retired(const ref_file *f)
{
    return f->closed && !f->mode[0].holder && !f->mode[1].holder;
}

/* The first that still waits has the turn, and its wait is over. */
bool ref_end(ref_op *op)
{
    ref_file *f = op->f;
    bool was_inside = op->stage == REF_INSIDE;

    op->stage = REF_NONE;
    if (!was_inside)
        return false;
    f->mode[op->mode - 1].holder = NULL;
    while (f->mode[op->mode - 1].queued > 0) {
        ref_op *first = f->mode[op->mode - 1].queue[0];
        unqueue(first);
        if (first->end != NP_PARKED)
            continue;
        first->end = NP_OK;
        f->mode[op->mode - 1].holder = first;
        return false;
    }
    return ref_is_retired(f) && !f->detached;
}

/* --- attempts --------------------------------------------------------------------------------- */

int ref_check(const ref_op *op)
{
    if (op->f->closed)
        return NP_CLOSED;
    if (passed(op->f->mode[op->mode - 1].deadline))
        return NP_TIMEOUT;
    return passed(op->limit) ? NP_TIMED_OUT : NP_OK;
}

static void set_limit(ref_op *op)
{
    if (!op->limited && op->f->timeout >= 0)
        op->limit = op->f->timeout < NP_NEVER - ref_clock ? ref_clock + op->f->timeout : NP_NEVER;
    op->limited = true;
}

int ref_try(ref_op *op)
{
    if (op->in_parts)
        set_limit(op);
    int rc = ref_check(op);
    return rc == NP_OK && op->may_wait && op->f->mode[op->mode - 1].drained ? NP_BUSY : rc;
}

void ref_moved(ref_op *op, bool is_short)
{
    op->f->mode[op->mode - 1].drained = is_short;
    op->vain = 0;
    op->in_parts = true;
}

/* --- waits ------------------------------------------------------------------------------------ */

static int64_t limit_of(const ref_op *op)
{
    return earlier(op->limit, op->f->mode[op->mode - 1].deadline);
}

static bool needs_pause(ref_op *op)
{
    if (++op->vain % VAIN_WAITS != 0)
        return false;
    bool quick = op->since != 0 && ref_clock - op->since < QUICK_NS;
    op->since = op->until = ref_clock + (quick ? PAUSE_NS : 0);
    return true;
}

static bool take_retry(ref_op *op)
{
    bool retry = op->f->mode[op->mode - 1].retry;
    op->f->mode[op->mode - 1].retry = false;
    return retry;
}

/* A wait for readiness is over. */
static int outcome(ref_op *op)
{
    op->f->mode[op->mode - 1].drained = false;
    return ref_check(op);
}

static int pause_outcome(const ref_op *op)
{
    int rc = ref_check(op);
    return rc == NP_OK ? NP_INTERRUPTED : rc;
}

static int parked(ref_op *op, enum ref_wait wait, ref_hub *hub, int64_t until)
{
    op->wait = wait;
    op->hub = hub;
    op->until = until;
    op->end = NP_PARKED;
    return NP_PARKED;
}

/* The turn, if it is free; NP_PARKED: it is not. */
static int take_turn(ref_op *op)
{
    if (op->f->closed)
        return NP_CLOSED;
    if (!op->f->mode[op->mode - 1].holder) {
        enter(op);
        return NP_OK;
    }
    return passed(op->limit) ? NP_TIMED_OUT : NP_PARKED;
}

static int park_for_turn(ref_op *op, ref_hub *hub)
{
    int rc = take_turn(op);
    if (rc != NP_PARKED)
        return rc;
    if (hub->closed)
        return NP_NO_POLLER;
    op->f->mode[op->mode - 1].queue[op->f->mode[op->mode - 1].queued++] = op;
    return parked(op, REF_FOR_TURN, hub, op->limit);
}

int ref_park(ref_op *op, ref_hub *hub)
{
    set_limit(op);
    if (op->stage == REF_WANTS_TURN)
        return park_for_turn(op, hub);
    bool pauses = needs_pause(op);
    if (hub->closed)
        return NP_NO_POLLER;
    if (pauses)
        return parked(op, REF_FOR_PAUSE, hub, earlier(op->until, limit_of(op)));
    if (take_retry(op) || op->f->closed || passed(limit_of(op)))
        return outcome(op);
    return parked(op, REF_FOR_READY, hub, NP_NEVER);
}

int ref_wait_in_thread(ref_op *op, bool readable)
{
    ref_op before = *op;
    int rc = NP_PARKED;

    set_limit(op);
    if (op->stage == REF_WANTS_TURN)
        rc = take_turn(op);
    else if (needs_pause(op))
        rc = outcome(op) == NP_OK ? NP_INTERRUPTED : pause_outcome(op);
    else if (op->f->closed || take_retry(op) || passed(limit_of(op)) || readable)
        rc = outcome(op);
    if (rc == NP_PARKED)
        *op = before; /* the call is not made */
    return rc;
}

bool ref_must_come_out(const ref_op *op, bool readable)
{
    if (op->wait == REF_FOR_READY)
        return op->hub->closed || op->f->closed || op->f->mode[op->mode - 1].retry ||
               passed(limit_of(op)) || readable;
    return op->end != NP_PARKED || passed(op->until);
}

int ref_resume(ref_op *op)
{
    enum ref_wait wait = op->wait;

    op->wait = REF_RUNS;
    if (wait == REF_FOR_READY)
        return outcome(op);
    if (wait == REF_FOR_PAUSE)
        return pause_outcome(op);
    unqueue(op);
    if (op->end == NP_OK)
        enter(op);
    return op->end == NP_NO_POLLER && op->f->closed ? NP_CLOSED : op->end;
}

void ref_cancel(ref_op *op)
{
    if (op->wait == REF_FOR_TURN) {
        unqueue(op);
        if (op->end == NP_OK)
            enter(op);
    }
    op->wait = REF_RUNS;
}

/* --- what ends waits -------------------------------------------------------------------------- */

static void end_queue(ref_file *f, int mode)
{
    for (int i = 0; i < f->mode[mode - 1].queued; i++)
        if (f->mode[mode - 1].queue[i]->end == NP_PARKED)
            f->mode[mode - 1].queue[i]->end = NP_CLOSED;
}

bool ref_close(ref_file *f, bool detach)
{
    f->closed = true;
    f->detached = detach;
    end_queue(f, NP_READ);
    end_queue(f, NP_WRITE);
    return ref_is_retired(f) && !detach;
}

/* Timers go off when their hub looks at the clock. */
void ref_hub_polled(ref_hub *hub, ref_op *ops, int n)
{
    for (ref_op *op = ops; op < ops + n; op++)
        if (op->hub == hub && op->wait == REF_FOR_TURN && op->end == NP_PARKED && passed(op->until))
            op->end = NP_TIMED_OUT;
}

void ref_hub_close(ref_hub *hub, ref_op *ops, int n)
{
    hub->closed = true;
    for (ref_op *op = ops; op < ops + n; op++)
        if (op->hub == hub && op->wait != REF_RUNS && op->end == NP_PARKED)
            op->end = NP_NO_POLLER;
}
