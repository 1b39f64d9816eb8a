/* How the calling greenlet, or a thread without a hub, waits. */
#include "wait.h"

#include "bind.h"
#include "docs_made.h"
#include "greenlets.h"
#include "sys/sync.h"

/* --- a wait ---------------------------------------------------------------------------------- */

/* Not in the midst of another wait: a trace function is called there, and may call anything. */
NP_COLD static WaiterObject *look_up(HubObject *h, PyObject *greenlet)
{
    if (greenlet == h->greenlet) {
        PyErr_SetString(PyExc_RuntimeError,
                        "the hub cannot wait: was this called in a signal handler?");
        return NULL;
    }
    WaiterObject *w = ext_find_waiter(h, greenlet);
    if (!w || (w->greenlet && w->state == GREENLET_RUNNING))
        return w;
    if (!w->greenlet) /* it was left behind when its hub ended */
        PyErr_SetNone(ext_greenlet.exit);
    else
        PyErr_SetString(PyExc_RuntimeError, "the greenlet waits already");
    Py_DECREF(w);
    return NULL;
}

/* Mostly it is the one that ended a wait last. */
NP_HOT WaiterObject *ext_begin_wait(HubObject *h)
{
    PyObject *greenlet = ext_greenlet.current();
    WaiterObject *w = h->current;

    if (w && w->greenlet == greenlet)
        h->current = NULL;
    else
        w = greenlet ? look_up(h, greenlet) : NULL;
    Py_XDECREF(greenlet);
    return w;
}

NP_HOT void ext_end_wait(HubObject *h, WaiterObject *w)
{
    WaiterObject *before = h->current;
    h->current = w;
    Py_XDECREF(before);
}

NP_HOT PyObject *ext_switch_next(HubObject *h, WaiterObject *self)
{
    PyObject *target = h->greenlet;

    h->coop_ops = 0;
    WaiterObject *w = ext_next(h);
    if (w && w->state == GREENLET_PARKED) {
        target = w->greenlet;
        Py_DECREF(w); /* not the last: it is in a wait */
        if (w == self)
            Py_RETURN_NONE;
    } else {
        h->handed = w;
        if (h->finished)
            target = h->main;
    }
    return ext_greenlet.switch_to(target, NULL, NULL);
}

/* What is in the queue for it is out of date, but for what is to be thrown. */
void ext_cut_wait(WaiterObject *w, bool withdrawn)
{
    EXT_LOCK(w->hub);
    if (!withdrawn && !w->delivered)
        w->strays++; /* another thread has polled it out */
    EXT_UNLOCK(w->hub);
    if (withdrawn)
        Py_DECREF(w);
    ext_unqueue(w);
}

/* --- descriptors ----------------------------------------------------------------------------- */

static int park(HubObject *h, DescObject *d, int mode, int flags, WaiterObject *w)
{
    np_poller *home = ext_hub_poller(h);
    if (!home)
        return EXT_RAISED;
    w->delivered = false;
    return ext_park(d, mode, (PyObject *)w, flags, home);
}

int ext_wait_in_hub(HubObject *h, DescObject *d, int mode, int flags)
{
    WaiterObject *w = ext_begin_wait(h);
    int rc;

    if (!w)
        return EXT_RAISED;
    do {
        rc = park(h, d, mode, flags, w);
        if (rc != NP_PARKED)
            break;
        if (ext_await_token(h, w) < 0) {
            ext_cut_wait(w, ext_forget_parked(d, mode, (PyObject *)w, true));
            rc = EXT_RAISED;
            break;
        }
        ext_forget_parked(d, mode, (PyObject *)w, false);
        rc = np_resume(d->desc, mode, flags);
    } while (rc == NP_AGAIN);
    ext_end_wait(h, w);
    return rc;
}

/* Signal handlers run between two waits, with nothing parked: they may do anything. */
int ext_wait_in_thread(DescObject *d, int mode, int flags)
{
    np_begin_wait();
    for (;;) {
        int rc = flags ? np_wait_canceled(d->desc, mode) : np_wait(d->desc, mode);
        if (rc != NP_INTERRUPTED)
            return rc;
        if (PyErr_CheckSignals() < 0)
            return EXT_RAISED;
    }
}

/* --- semaphores and instants ----------------------------------------------------------------- */

/* An exception was thrown into the wait.  A unit that was granted meanwhile is released. */
static int cut(np_sema *s, WaiterObject *w)
{
    int result;

    ext_cut_wait(w, np_waiter_cancel(&w->wait, &result));
    if (s && result == NP_OK)
        np_sema_release(s, 1);
    return EXT_RAISED;
}

/* s NULL: for the instant alone. */
static int park_waiter(np_sema *s, HubObject *h, WaiterObject *w, int64_t until, const char *what)
{
    np_poller *p = ext_hub_poller(h);

    if (!p)
        return EXT_RAISED;
    ext_arm(w);
    int rc = s ? np_sema_park(s, &w->wait, p, (np_token)w, until, what)
               : np_timer_start(&w->wait, p, (np_token)w, until, what);
    if (rc != NP_PARKED) {
        ext_disarm(w);
        return rc;
    }
    return ext_await_token(h, w) < 0 ? cut(s, w) : np_waiter_resume(&w->wait);
}

/* A poller that is closed ends no such wait. */
static int wait_in_hub(np_sema *s, HubObject *h, int64_t until, const char *what)
{
    WaiterObject *w = ext_begin_wait(h);
    int rc;

    if (!w)
        return EXT_RAISED;
    do
        rc = park_waiter(s, h, w, until, what);
    while (rc == NP_CLOSED && !(s && np_sema_is_shut(s)));
    ext_end_wait(h, w);
    return rc;
}

/* Signal handlers run between two waits; the place in the queue is kept. */
static int acquire_in_thread(np_sema *s, int64_t until, const char *what)
{
    uint64_t place = 0;
    int rc;

    np_begin_wait();
    while ((rc = np_sema_acquire(s, until, what, &place)) == NP_INTERRUPTED)
        if (PyErr_CheckSignals() < 0)
            return EXT_RAISED;
    return rc;
}

int ext_acquire(np_sema *s, int64_t until, const char *what)
{
    int rc = np_sema_try(s);
    if (rc != NP_AGAIN)
        return rc;
    HubObject *h = ext_hub();
    return h ? wait_in_hub(s, h, until, what) : acquire_in_thread(s, until, what);
}

int ext_acquire_in_turn(np_sema *s, int64_t until, const char *what)
{
    if (ext_coop_yield(until != 0) < 0)
        return EXT_RAISED;
    return until == 0 ? np_sema_try(s) : ext_acquire(s, until, what);
}

PyObject *ext_acquired(int rc, const char *what)
{
    switch (rc) {
    case NP_OK:
        Py_RETURN_TRUE;
    case NP_AGAIN:
    case NP_TIMEOUT:
        Py_RETURN_FALSE;
    case EXT_RAISED:
        return NULL;
    default:
        return ext_raise_poller(rc, what);
    }
}

int64_t ext_instant_after(int64_t ns)
{
    if (ns == NP_NEVER)
        return ns;
    int64_t now = np_now();
    return ns < NP_NEVER - now ? now + ns : NP_NEVER;
}

/* --- letting others run ---------------------------------------------------------------------- */

static bool is_queued(WaiterObject *w)
{
    EXT_LOCK(w->hub);
    bool queued = w->link.next != NULL;
    EXT_UNLOCK(w->hub);
    return queued;
}

static int yield_now(HubObject *h, WaiterObject *w)
{
    ext_make_ready(w);
    do
        if (ext_let_others_run(h, w) < 0) {
            ext_unqueue(w);
            return -1;
        }
    while (is_queued(w));
    return 0;
}

static int yield_in_hub(HubObject *h)
{
    WaiterObject *w = ext_begin_wait(h);
    if (!w)
        return -1;
    int rc = yield_now(h, w);
    ext_end_wait(h, w);
    return rc;
}

/* A child begins anew: hooks of the fork may be running, before which nothing else should. */
static bool has_forked(HubObject *h)
{
    uint32_t forks = np_load(&np_fork_generation);
    bool forked = forks != h->forks;

    h->forks = forks;
    return forked;
}

/* False where a wait would be refused, in the hub itself and in the midst of a wait: a signal
 * handler or a trace function may call from there, and need not wait.  And as the hub ends, when
 * whoever waits is left behind.  -1 with an exception. */
static int can_yield(HubObject *h)
{
    PyObject *greenlet = ext_greenlet.current();
    int can = greenlet ? 0 : -1;

    if (greenlet && greenlet != h->greenlet && !h->finished && !has_forked(h)) {
        WaiterObject *w = ext_find_waiter(h, greenlet);
        can = w ? w->greenlet && w->state == GREENLET_RUNNING : -1;
        Py_XDECREF(w);
    }
    Py_XDECREF(greenlet);
    return can;
}

/* What may not wait is for code that has interrupted other code, too. */
static int is_uninterrupted(void)
{
    PyObject *answer = PyObject_CallFunctionObjArgs(ext_bound.is_interruption, NULL);
    int interruption = answer ? PyObject_IsTrue(answer) : -1;

    Py_XDECREF(answer);
    return interruption < 0 ? -1 : !interruption;
}

NP_COLD static int coop_yield(HubObject *h, bool may_wait)
{
    h->coop_ops = 0;
    int can = can_yield(h);
    if (can > 0 && !may_wait)
        can = is_uninterrupted();
    return can > 0 ? yield_in_hub(h) : can;
}

NP_HOT int ext_coop_yield(bool may_wait)
{
    HubObject *h = ext_hub();
    return h && ++h->coop_ops > EXT_COOP_BUDGET ? coop_yield(h, may_wait) : 0;
}

/* --- sleep ----------------------------------------------------------------------------------- */

static bool raise_bad_duration(PyObject *kind, PyObject *arg)
{
    PyErr_Format(kind, "cannot sleep for %R seconds", arg);
    return false;
}

/* Seconds, 0 or more; what is too long is without an end. */
static bool duration(PyObject *arg, int64_t *ns)
{
    double seconds = PyFloat_AsDouble(arg);
    bool too_large = seconds == -1.0 && PyErr_ExceptionMatches(PyExc_OverflowError);

    if (seconds == -1.0 && PyErr_Occurred() && !too_large) {
        bool no_number = PyErr_ExceptionMatches(PyExc_TypeError);
        return no_number && raise_bad_duration(PyExc_TypeError, arg);
    }
    PyErr_Clear();
    if (!too_large && !(seconds >= 0))
        return raise_bad_duration(PyExc_ValueError, arg);
    if (!ext_timeout(NULL, arg, NP_NEVER, ns))
        return false;
    return !too_large || *ns > 0 || raise_bad_duration(PyExc_ValueError, arg);
}

static int sleep_for(HubObject *h, int64_t ns)
{
    if (ns == 0)
        return yield_in_hub(h);
    int rc = wait_in_hub(NULL, h, ext_instant_after(ns), "sleep");
    if (rc < 0)
        ext_raise_poller(rc, "sleep");
    return rc == NP_OK ? 0 : -1;
}

/* sleep(seconds=0) */
static PyObject *green_sleep(PyObject *module, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    static const ext_signature s = {"sleep", 0, 1, {"seconds"}};
    PyObject *arg = n == 1 ? args[0] : NULL;
    int64_t ns = 0;

    (void)module;
    if ((n > 1 || names) && !ext_arguments(&s, args, n, names, &arg))
        return NULL;
    HubObject *h = !arg || duration(arg, &ns) ? ext_make_hub() : NULL;
    if (!h || sleep_for(h, ns) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"sleep", EXT_FUNCTION(green_sleep), METH_FASTCALL | METH_KEYWORDS, DOC_sleep},
    {NULL, NULL, 0, NULL},
};

int ext_add_wait(PyObject *module)
{
    return PyModule_AddFunctions(module, functions);
}
