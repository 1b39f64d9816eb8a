/* The queue of a hub, and its greenlet. */
#include "hub.h"

#include "bind.h"
#include "gil.h"
#include "greenlets.h"
#include "timeout.h"

/* --- the queue: the mutex is held ------------------------------------------------------------ */

/* False: it stands there already. */
NP_HOT static bool push(HubObject *h, WaiterObject *w)
{
    if (w->link.next)
        return false;
    np_list_append(&h->queue, &w->link);
    h->queued++;
    return true;
}

static void take_out(HubObject *h, WaiterObject *w)
{
    np_list_remove(&w->link);
    w->link.next = NULL;
    h->queued--;
}

/* False: it is not to run for it. */
NP_HOT static bool deliver(HubObject *h, WaiterObject *w)
{
    if (w->strays > 0) {
        w->strays--;
        return false;
    }
    w->delivered = true;
    return push(h, w);
}

/* The hub may sleep in its poller, which is replaced under the mutex. */
static void wake(HubObject *h)
{
    if (ext_hub() != h)
        np_wake(h->np);
}

/* --- into the queue, from any thread --------------------------------------------------------- */

void ext_make_ready(WaiterObject *w)
{
    HubObject *h = w->hub;

    EXT_LOCK(h);
    if (push(h, w)) {
        Py_INCREF(w);
        wake(h);
    }
    EXT_UNLOCK(h);
}

void ext_deliver(WaiterObject *w)
{
    HubObject *h = w->hub;

    EXT_LOCK(h);
    bool pushed = deliver(h, w);
    if (pushed)
        wake(h);
    EXT_UNLOCK(h);
    if (!pushed)
        Py_DECREF(w);
}

void ext_unqueue(WaiterObject *w)
{
    HubObject *h = w->hub;

    EXT_LOCK(h);
    bool queued = w->link.next && !w->thrown;
    if (queued)
        take_out(h, w);
    EXT_UNLOCK(h);
    if (queued)
        Py_DECREF(w);
}

void ext_interrupt(HubObject *h, PyObject *exception)
{
    WaiterObject *w = h->main_waiter;

    EXT_LOCK(h);
    PyObject *before = w->thrown;
    w->thrown = exception;
    if (w->link.next)
        take_out(h, w);
    else
        Py_INCREF(w);
    np_list_append(h->queue.next, &w->link);
    h->queued++;
    EXT_UNLOCK(h);
    h->turns++; /* before the next poll, which may be what fails */
    Py_XDECREF(before);
}

/* --- polling --------------------------------------------------------------------------------- */

static void deliver_here(HubObject *h, WaiterObject *w)
{
    EXT_LOCK(h);
    bool pushed = deliver(h, w);
    EXT_UNLOCK(h);
    if (!pushed)
        Py_DECREF(w);
}

/* A token may be another hub's, or a user's scheduler's. */
NP_HOT static void collect(HubObject *h, const np_token *tokens, int n)
{
    for (int i = 0; i < n; i++) {
        PyObject *token = (PyObject *)tokens[i];
        WaiterObject *w = (WaiterObject *)token;
        if (ext_is_timeout(token))
            ext_timeout_due(token);
        else if (!ext_is_waiter(token))
            ext_hold_token((PollerObject *)h->poller, token);
        else if (w->hub == h)
            deliver_here(h, w);
        else
            ext_deliver(w);
    }
}

static void collect_ready(HubObject *h)
{
    np_token tokens[EXT_TOKEN_BATCH];
    int n;

    while ((n = np_take_ready(h->np, tokens, EXT_TOKEN_BATCH)) > 0)
        collect(h, tokens, n);
}

static inline size_t count_queue(HubObject *h)
{
    EXT_LOCK(h);
    size_t queued = h->queued;
    EXT_UNLOCK(h);
    return queued;
}

/* Without blocking.  What is not NP_OK the hub's greenlet meets again, before any other runs, but
 * for signals: they may come again and again, and must not keep the others from running.
 * Not inlined: what is on the stack at a switch is copied. */
NP_HOT EXT_NOINLINE static int poll_ready(HubObject *h)
{
    np_token tokens[EXT_TOKEN_BATCH];
    int n;

    if (h->finished)
        return NP_CLOSED;
    int rc = np_poll(h->np, 0, tokens, EXT_TOKEN_BATCH, &n);
    collect(h, tokens, n);
    if (rc == NP_OK && h->rechecks.first &&
        (count_queue(h) ? ext_recheck_some(&h->rechecks, n) : ext_recheck_all(&h->rechecks)))
        collect_ready(h);
    h->turns = rc == NP_OK || rc == NP_INTERRUPTED ? count_queue(h) : 0;
    return rc;
}

NP_HOT WaiterObject *ext_next(HubObject *h)
{
    WaiterObject *w = NULL;

    if ((h->turns == 0 || count_queue(h) == 0) && poll_ready(h) != NP_OK)
        return NULL;
    EXT_LOCK(h);
    if (h->queued > 0) {
        w = NP_CONTAINER(h->queue.next, WaiterObject, link);
        take_out(h, w);
        h->turns--;
    }
    EXT_UNLOCK(h);
    return w;
}

/* Until it waits again. */
static bool run(HubObject *h, const WaiterObject *w)
{
    if (w->state != GREENLET_PARKED || w == h->main_waiter)
        return false;
    Py_XDECREF(ext_greenlet.switch_to(w->greenlet, NULL, NULL));
    if (PyErr_Occurred())
        PyErr_WriteUnraisable((PyObject *)h);
    return true;
}

bool ext_run_ready(HubObject *h)
{
    np_token tokens[EXT_TOKEN_BATCH];
    bool ran = false;
    int n;

    (void)np_poll(h->np, 0, tokens, EXT_TOKEN_BATCH, &n);
    collect(h, tokens, n);
    h->turns = count_queue(h);
    while (h->turns > 0 && count_queue(h) > 0) {
        WaiterObject *w = ext_next(h);
        ran |= w && run(h, w);
        Py_XDECREF(w);
    }
    h->turns = 0;
    return ran;
}

/* Block until there is something to do.  0, or -1 with an exception set: a signal handler's, or
 * there is no poller. */
static int poll_blocking(HubObject *h)
{
    np_token tokens[EXT_TOKEN_BATCH];
    int n;

    if (ext_recheck_all(&h->rechecks))
        collect_ready(h);
    int64_t timeout = count_queue(h) ? 0 : -1; /* the recheck above may have found some */
    int rc = ext_poll((PollerObject *)h->poller, timeout, tokens, EXT_TOKEN_BATCH, &n);
    collect(h, tokens, n);
    switch (rc) {
    case NP_OK: /* greenlets that wait inside C, again and again, run no handler themselves */
        return PyErr_CheckSignals();
    case NP_INTERRUPTED: /* perhaps before it has slept, and released the GIL */
        rc = ext_check_eval_breaker();
        if (rc < 0)
            np_begin_wait();
        return rc;
    case NP_CLOSED:
        return ext_replace_poller(h) ? 0 : -1;
    default:
        ext_raise_poller(rc, "poll");
        return -1;
    }
}

/* --- a poller that was closed ---------------------------------------------------------------- */

/* All that were parked at it are given out.  One that a semaphore has granted to may not have
 * arrived yet: it is counted until it has. */
static void drain(HubObject *h, np_poller *closed)
{
    np_token tokens[EXT_TOKEN_BATCH];
    np_stats stats;
    int n;

    do {
        np_poller_stats(closed, &stats);
        while ((n = np_take_ready(closed, tokens, EXT_TOKEN_BATCH)) > 0)
            collect(h, tokens, n);
    } while (stats.waiters > 0);
}

np_poller *ext_replace_poller(HubObject *h)
{
    PyObject *poller = PyObject_CallFunctionObjArgs(ext_bound.internal_poller, NULL);
    if (!poller)
        return NULL;
    PyObject *unused = poller;
    EXT_LOCK(h);
    if (np_poller_closed(h->np)) { /* a signal handler may have been here meanwhile */
        unused = h->poller;
        h->poller = poller;
        h->np = ((PollerObject *)poller)->poller;
    }
    EXT_UNLOCK(h);
    if (unused != poller)
        drain(h, ((PollerObject *)unused)->poller);
    Py_DECREF(unused);
    return h->np;
}

/* --- the hub's greenlet ---------------------------------------------------------------------- */

/* From the hub's stack, which is a short one.  The hub comes back when the greenlet ends, if not
 * before. */
static PyObject *start(WaiterObject *w)
{
    if (w->thrown) {
        ext_raise_thrown(w);
        ext_end_by_exception(w);
        Py_RETURN_NONE;
    }
    PyObject *greenlet = w->greenlet;
    Py_INCREF(greenlet);
    PyObject *back = ext_greenlet.switch_to(greenlet, NULL, NULL);
    Py_DECREF(greenlet);
    return back;
}

/* It waits in a way of its own, or does not wait any more. */
static PyObject *throw_into(WaiterObject *w)
{
    PyObject *type, *value, *traceback, *greenlet = w->greenlet;

    if (!w->thrown)
        Py_RETURN_NONE;
    ext_raise_thrown(w);
    PyErr_Fetch(&type, &value, &traceback);
    Py_INCREF(greenlet);
    PyObject *back = ext_greenlet.throw_into(greenlet, type, value, traceback);
    Py_DECREF(greenlet);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
    return back;
}

static PyObject *visit(WaiterObject *w)
{
    switch (w->state) {
    case GREENLET_PARKED:
        return ext_greenlet.switch_to(w->greenlet, NULL, NULL);
    case GREENLET_FRESH:
        return start(w);
    case GREENLET_RUNNING:
        return throw_into(w);
    default:
        Py_RETURN_NONE;
    }
}

/* 0, or -1 with an exception set. */
static int step(HubObject *h)
{
    WaiterObject *w = h->handed;

    h->handed = NULL;
    if (!w && count_queue(h) > 0)
        w = ext_next(h);
    if (!w)
        return poll_blocking(h);
    PyObject *back = visit(w);
    Py_DECREF(w);
    Py_XDECREF(back);
    return back ? 0 : -1;
}

PyObject *ext_hub_call(PyObject *self, PyObject *args, PyObject *kwargs)
{
    HubObject *h = (HubObject *)self;
    PyObject *greenlet = ext_greenlet.current();
    bool own = greenlet == h->greenlet;

    (void)args;
    (void)kwargs;
    Py_XDECREF(greenlet);
    if (!own)
        return PyErr_Format(PyExc_RuntimeError, "a hub runs in its own greenlet only");
    while (!h->finished)
        if (step(h) < 0 && !h->finished)
            ext_interrupt(h, ext_take_exception());
    if (PyErr_Occurred()) /* GreenletExit */
        return NULL;
    Py_RETURN_NONE;
}
