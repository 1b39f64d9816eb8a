/* TimeoutBase: a limit for all that a greenlet waits for in a `with` block.
 *
 * It is the token of a timer at the hub's poller.  When that comes out, a TimeoutError is thrown
 * into the greenlet, once; on the way out of the block, the timer and what was not raised yet are
 * withdrawn.  A greenlet that is inside others meanwhile gets ext_outer_timeout, which their
 * handlers for TimeoutError let pass; it becomes a TimeoutError on the way out of its own block.
 *
 * The timer may come out in another thread, and any thread may move it: each call is a critical
 * section of the object.
 */
#include "timeout.h"

#include "bind.h"
#include "docs_made.h"
#include "greenlets.h"
#include "sema.h"
#include "wait.h"

typedef struct TimeoutObject {
    PyObject_HEAD
    int64_t limit;        /* nanoseconds from the beginning of the block, or NP_NEVER */
    WaiterObject *waiter; /* of the greenlet inside: a reference; NULL: none is */
    PyObject *outer;      /* the TimeoutObject that it was inside before, or NULL */
    WaitObject *timer;    /* or NULL: no limit, or it has come */
    int64_t when;         /* that comes */
    PyObject *error;      /* what was thrown, until the end of the block */
    EXT_SHARED(bool) expired;
} TimeoutObject;

enum { RETRY_NS = 1000000 };

static PyTypeObject *timeout_type;

bool ext_is_timeout(PyObject *object)
{
    return PyObject_TypeCheck(object, timeout_type);
}

/* --- the timer ------------------------------------------------------------------------------- */

static void stop(TimeoutObject *t)
{
    WaitObject *timer = t->timer;

    t->timer = NULL;
    if (timer)
        ext_stop_timer(timer);
    Py_XDECREF(timer);
}

/* 0, or -1 with an exception set. */
static int start(TimeoutObject *t, int64_t when)
{
    HubObject *h = t->waiter->hub;

    t->when = when;
    if (when == NP_NEVER)
        return 0;
    if (ext_hub() == h && !ext_hub_poller(h))
        return -1;
    t->timer = (WaitObject *)ext_start_timer(h->poller, (PyObject *)t, when, "timeout");
    return t->timer ? 0 : -1;
}

static PyObject *make_error(const TimeoutObject *t)
{
    bool innermost = t->waiter->timeout == (PyObject *)t;
    return PyObject_CallFunction(innermost ? PyExc_TimeoutError : ext_bound.outer_timeout, "s",
                                 "timed out");
}

/* Something else is about to be raised in the greenlet, which may go on: then this is due again. */
static int throw_or_retry(TimeoutObject *t)
{
    if (t->waiter->thrown)
        return start(t, ext_instant_after(RETRY_NS));
    t->error = make_error(t);
    if (!t->error)
        return -1;
    t->expired = true;
    ext_schedule_throw(t->waiter, t->error);
    return 0;
}

/* It may be of a timer that has been stopped, or replaced, meanwhile. */
static void due(TimeoutObject *t)
{
    int rc = t->timer ? ext_timer_result(t->timer) : NP_AGAIN;

    if (rc != NP_AGAIN)
        Py_CLEAR(t->timer);
    if (rc != NP_AGAIN && t->waiter && t->waiter->greenlet &&
        (rc == NP_CLOSED ? start(t, t->when) : throw_or_retry(t)) < 0)
        PyErr_WriteUnraisable((PyObject *)t);
}

void ext_timeout_due(PyObject *token)
{
    EXT_CRITICAL_BEGIN(token);
    due((TimeoutObject *)token);
    EXT_CRITICAL_END();
    Py_DECREF(token);
}

/* --- the block ------------------------------------------------------------------------------- */

static WaiterObject *present_waiter(void)
{
    HubObject *h = ext_hub();
    PyObject *greenlet = h ? ext_running_greenlet(h) : NULL;
    WaiterObject *w = greenlet ? ext_find_waiter(h, greenlet) : NULL;

    if (!greenlet)
        PyErr_SetString(
            PyExc_RuntimeError,
            "a timeout is for greenlets: use it in what green.run or green.spawn calls");
    Py_XDECREF(greenlet);
    return w;
}

/* The next that the greenlet is inside: blocks may have been left in another order.  Takes over. */
static PyObject *skip_left(PyObject *timeout)
{
    while (timeout && !((TimeoutObject *)timeout)->waiter) {
        PyObject *outer = ((TimeoutObject *)timeout)->outer;
        ((TimeoutObject *)timeout)->outer = NULL;
        Py_DECREF(timeout);
        timeout = outer;
    }
    return timeout;
}

static void leave(TimeoutObject *t)
{
    WaiterObject *w = t->waiter;

    if (!w)
        return;
    stop(t);
    t->waiter = NULL;
    w->timeout = skip_left(w->timeout);
    if (t->error)
        ext_withdraw_throw(w, t->error);
    Py_DECREF(w);
}

/* 0, or -1 with an exception set. */
static int enter(TimeoutObject *t)
{
    if (t->waiter) {
        PyErr_Format(PyExc_RuntimeError, "%R: a greenlet is inside already", t);
        return -1;
    }
    t->waiter = present_waiter();
    if (!t->waiter)
        return -1;
    t->outer = t->waiter->timeout;
    Py_INCREF(t);
    t->waiter->timeout = (PyObject *)t;
    t->expired = false;
    if (start(t, ext_instant_after(t->limit)) == 0)
        return 0;
    leave(t);
    return -1;
}

static PyObject *timeout_enter(PyObject *self, PyObject *unused)
{
    int rc;

    (void)unused;
    EXT_CRITICAL_BEGIN(self);
    rc = enter((TimeoutObject *)self);
    EXT_CRITICAL_END();
    if (rc < 0)
        return NULL;
    Py_INCREF(self);
    return self;
}

/* What the greenlet was thrown through other blocks as. */
static PyObject *raise_as_timeout(PyObject *error)
{
    PyObject *timeout = PyObject_CallFunction(PyExc_TimeoutError, "s", "timed out");
    PyObject *traceback = timeout ? PyException_GetTraceback(error) : NULL;

    if (traceback)
        PyException_SetTraceback(timeout, traceback);
    Py_XDECREF(traceback);
    if (!timeout)
        return NULL;
    PyException_SetCause(timeout, NULL); /* so the other is not shown */
    ext_set_exception(timeout);
    Py_DECREF(timeout);
    return NULL;
}

static PyObject *timeout_exit(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    TimeoutObject *t = (TimeoutObject *)self;
    PyObject *error;

    EXT_CRITICAL_BEGIN(self);
    leave(t);
    error = t->error;
    t->error = NULL;
    EXT_CRITICAL_END();
    bool ours = error && n == 3 && args[1] == error && ext_bound.outer_timeout == args[0];
    PyObject *result = ours ? raise_as_timeout(error) : PyBool_FromLong(0);
    Py_XDECREF(error);
    return result;
}

/* --- moving ---------------------------------------------------------------------------------- */

static int move_inside(TimeoutObject *t, int64_t ns)
{
    t->limit = ns;
    if (!t->waiter)
        return 0;
    stop(t);
    if (t->error && ext_withdraw_throw(t->waiter, t->error))
        t->expired = false;
    Py_CLEAR(t->error);
    return start(t, ext_instant_after(ns));
}

static int move(PyObject *self, int64_t ns)
{
    int rc;

    EXT_CRITICAL_BEGIN(self);
    rc = move_inside((TimeoutObject *)self, ns);
    EXT_CRITICAL_END();
    return rc;
}

static PyObject *timeout_move(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    static const ext_signature s = {"move", 1, 1, {"seconds"}};
    PyObject *seconds;
    int64_t ns;

    if (!ext_arguments(&s, args, n, names, &seconds) ||
        !ext_timeout(NULL, seconds, NP_NEVER, &ns) || move(self, ns) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *timeout_cancel(PyObject *self, PyObject *unused)
{
    (void)unused;
    if (move(self, NP_NEVER) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *timeout_expired(PyObject *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(((TimeoutObject *)self)->expired);
}

/* --- the type -------------------------------------------------------------------------------- */

static PyObject *timeout_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"seconds", NULL};
    PyObject *seconds;
    int64_t ns;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:timeout", names, &seconds) ||
        !ext_timeout(NULL, seconds, NP_NEVER, &ns))
        return NULL;
    TimeoutObject *t = (TimeoutObject *)PyType_GenericAlloc(type, 0);
    if (t)
        t->limit = ns;
    return (PyObject *)t;
}

static int timeout_traverse(PyObject *self, visitproc visit, void *arg)
{
    const TimeoutObject *t = (const TimeoutObject *)self;

    Py_VISIT((PyObject *)t->waiter);
    Py_VISIT(t->outer);
    Py_VISIT((PyObject *)t->timer);
    Py_VISIT(t->error);
    Py_VISIT(Py_TYPE(self));
    return 0;
}

static int timeout_clear(PyObject *self)
{
    TimeoutObject *t = (TimeoutObject *)self;

    stop(t);
    Py_CLEAR(t->waiter);
    Py_CLEAR(t->outer);
    Py_CLEAR(t->error);
    return 0;
}

static void timeout_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    timeout_clear(self);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyObject *timeout_repr(PyObject *self)
{
    const TimeoutObject *t = (const TimeoutObject *)self;

    if (!t->waiter || !t->waiter->greenlet)
        return PyUnicode_FromFormat("<netpoll.timeout at %p>", self);
    return PyUnicode_FromFormat("<netpoll.timeout of %R at %p>", t->waiter->greenlet, self);
}

static PyMethodDef methods[] = {
    {"__enter__", timeout_enter, METH_NOARGS, NULL},
    {"__exit__", EXT_FUNCTION(timeout_exit), METH_FASTCALL, NULL},
    {"move", EXT_FUNCTION(timeout_move), METH_FASTCALL | METH_KEYWORDS, DOC_TimeoutBase_move},
    {"cancel", timeout_cancel, METH_NOARGS, DOC_TimeoutBase_cancel},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"expired", timeout_expired, NULL, DOC_TimeoutBase_expired, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, (void *)timeout_new},
    {Py_tp_traverse, (void *)timeout_traverse},
    {Py_tp_clear, (void *)timeout_clear},
    {Py_tp_dealloc, (void *)timeout_dealloc},
    {Py_tp_repr, (void *)timeout_repr},
    {Py_tp_doc, (void *)DOC_TimeoutBase},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "netpoll._core.TimeoutBase",
    .basicsize = sizeof(TimeoutObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = slots,
};

int ext_add_timeout_type(PyObject *module)
{
    timeout_type = (PyTypeObject *)PyType_FromSpec(&spec);
    return timeout_type ? PyModule_AddObjectRef(module, "TimeoutBase", (PyObject *)timeout_type)
                        : -1;
}
