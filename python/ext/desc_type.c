/* DescBase: what netpoll.PollDesc is made of.  The calls that cannot block cost an argument and a
 * few atomic instructions. */
#include "turns.h"

static PyObject *uninitialised(void)
{
    PyErr_SetString(PyExc_RuntimeError, "a PollDesc comes from Poller.open");
    return NULL;
}

#define REQUIRE_OPENED(d)                                                                          \
    do {                                                                                           \
        if (!(d)->desc)                                                                            \
            return uninitialised();                                                                \
    } while (0)

/* --- life ------------------------------------------------------------------------------------ */

static int desc_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"poller", "fd", NULL};
    DescObject *d = (DescObject *)self;
    PyObject *poller, *number;
    np_fd fd;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO:PollDesc", names, &poller, &number))
        return -1;
    PollerObject *p = ext_poller(poller);
    if (!p || !ext_fd(number, &fd))
        return -1;
    if (d->desc) {
        PyErr_SetString(PyExc_RuntimeError, "a PollDesc is opened once");
        return -1;
    }
    int rc = np_open(p->poller, fd, &d->desc);
    if (rc != NP_OK) {
        ext_raise_fd(rc, (long long)fd);
        return -1;
    }
    Py_INCREF(poller);
    d->poller = poller;
    return 0;
}

static void desc_finalize(PyObject *self)
{
    DescObject *d = (DescObject *)self;
    if (!d->desc || d->closed)
        return;
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (!np_poller_closed(np_desc_poller(d->desc)) &&
        PyErr_ResourceWarning(self, 1, "unclosed %R", self) < 0)
        PyErr_WriteUnraisable(self);
    np_close(d->desc);
    PyErr_Restore(type, value, traceback);
}

/* The token stays the poller's; this is a note of which it was. */
void ext_set_parked(DescObject *d, int mode, PyObject *token)
{
    PyObject *before = d->parked[mode - 1];
    Py_XINCREF(token);
    d->parked[mode - 1] = token;
    Py_XDECREF(before);
}

static int desc_clear(PyObject *self)
{
    ext_set_parked((DescObject *)self, NP_READ, NULL);
    ext_set_parked((DescObject *)self, NP_WRITE, NULL);
    return 0; /* the poller never refers back */
}

static int desc_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(((DescObject *)self)->parked[0]);
    Py_VISIT(((DescObject *)self)->parked[1]);
    Py_VISIT(((DescObject *)self)->poller);
    Py_VISIT(Py_TYPE(self));
    return 0;
}

static void desc_dealloc(PyObject *self)
{
    DescObject *d = (DescObject *)self;
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    if (d->desc)
        np_desc_unref(d->desc); /* closes it if finalization did not come to it */
    desc_clear(self);
    Py_XDECREF(d->poller);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

/* --- waiting --------------------------------------------------------------------------------- */

static PyObject *desc_reset(PyObject *self, PyObject *arg)
{
    DescObject *d = (DescObject *)self;
    int mode;
    if (!ext_mode(d, arg, &mode))
        return NULL;
    REQUIRE_OPENED(d);
    int rc = np_reset(d->desc, mode);
    if (rc != NP_OK)
        return ext_raise(d, mode, rc);
    Py_RETURN_NONE;
}

static bool count_is(Py_ssize_t n, Py_ssize_t low, Py_ssize_t high, const char *name)
{
    if (n >= low && n <= high)
        return true;
    PyErr_Format(PyExc_TypeError, "%s() takes %zd to %zd arguments (%zd given)", name, low, high, n);
    return false;
}

/* An optional last argument: 0, or NP_IO_ONLY. */
static bool flags_of(PyObject *const *args, Py_ssize_t n, Py_ssize_t at, int *flags)
{
    long v = n > at ? PyLong_AsLong(args[at]) : 0;
    *flags = v ? NP_IO_ONLY : 0;
    return !(v == -1 && PyErr_Occurred());
}

/* Signal handlers run between two waits, with nobody parked: they may do anything. */
static PyObject *wait_in_thread(DescObject *d, int mode, int flags)
{
    for (;;) {
        int rc = flags ? np_wait_canceled(d->desc, mode) : np_wait(d->desc, mode);
        if (rc == NP_OK)
            Py_RETURN_NONE;
        if (rc != NP_INTERRUPTED)
            return ext_raise(d, mode, rc);
        if (PyErr_CheckSignals() < 0)
            return NULL;
    }
}

/* In a thread with a hub the greenlet waits, elsewhere the thread. */
static PyObject *wait_here(PyObject *self, PyObject *arg, int flags)
{
    DescObject *d = (DescObject *)self;
    TurnsObject *turns = ext_turns_here();
    int mode;
    if (!ext_mode(d, arg, &mode))
        return NULL;
    REQUIRE_OPENED(d);
    return turns ? ext_wait_here(turns, d, mode, flags) : wait_in_thread(d, mode, flags);
}

static PyObject *desc_wait(PyObject *self, PyObject *arg)
{
    return wait_here(self, arg, 0);
}

static PyObject *desc_wait_canceled(PyObject *self, PyObject *arg)
{
    return wait_here(self, arg, NP_IO_ONLY);
}

static PyObject *desc_wait_thread(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    DescObject *d = (DescObject *)self;
    int mode, flags;
    if (!count_is(n, 1, 2, "_wait") || !ext_mode(d, args[0], &mode) || !flags_of(args, n, 1, &flags))
        return NULL;
    REQUIRE_OPENED(d);
    return wait_in_thread(d, mode, flags);
}

/* --- schedulers ------------------------------------------------------------------------------ */

/* While parked the poller owns a reference to the token. */
static PyObject *desc_park(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    DescObject *d = (DescObject *)self;
    int mode, flags;
    if (!count_is(n, 2, 3, "park") || !ext_mode(d, args[0], &mode) || !flags_of(args, n, 2, &flags))
        return NULL;
    REQUIRE_OPENED(d);
    Py_INCREF(args[1]);
    int rc = np_park(d->desc, mode, (np_token)args[1], flags);
    if (rc == NP_PARKED) {
        ext_set_parked(d, mode, args[1]);
        Py_RETURN_TRUE;
    }
    Py_DECREF(args[1]);
    if (rc == NP_OK)
        Py_RETURN_FALSE;
    return ext_raise(d, mode, rc);
}

static PyObject *desc_resume(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    DescObject *d = (DescObject *)self;
    int mode, flags;
    if (!count_is(n, 1, 2, "resume") || !ext_mode(d, args[0], &mode) || !flags_of(args, n, 1, &flags))
        return NULL;
    REQUIRE_OPENED(d);
    ext_set_parked(d, mode, NULL);
    int rc = np_resume(d->desc, mode, flags);
    if (rc == NP_OK)
        Py_RETURN_TRUE;
    if (rc == NP_AGAIN)
        Py_RETURN_FALSE;
    return ext_raise(d, mode, rc);
}

static PyObject *withdraw(DescObject *d, int mode)
{
    np_token token;
    if (!np_cancel(d->desc, mode, &token))
        Py_RETURN_FALSE;
    ext_set_parked(d, mode, NULL);
    Py_DECREF((PyObject *)token);
    Py_RETURN_TRUE;
}

static PyObject *desc_cancel(PyObject *self, PyObject *arg)
{
    DescObject *d = (DescObject *)self;
    int mode;
    if (!ext_mode(d, arg, &mode))
        return NULL;
    REQUIRE_OPENED(d);
    if (d->parked[mode - 1] && ext_is_waiter(d->parked[mode - 1])) /* a greenlet in wait */
        Py_RETURN_FALSE;
    return withdraw(d, mode);
}

static PyObject *desc_withdraw(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    DescObject *d = (DescObject *)self;
    int mode;
    if (!count_is(n, 2, 2, "_withdraw") || !ext_mode(d, args[0], &mode))
        return NULL;
    REQUIRE_OPENED(d);
    if (d->parked[mode - 1] != args[1])
        Py_RETURN_FALSE;
    return withdraw(d, mode);
}

/* --- deadlines ------------------------------------------------------------------------------- */

/* set_deadline(timeout, mode=READ | WRITE), each by position or by name. */
static bool deadline_arguments(PyObject *const *args, Py_ssize_t n, PyObject *names,
                               PyObject *out[2])
{
    static const char *const known[] = {"timeout", "mode"};
    Py_ssize_t named = names ? PyTuple_Size(names) : 0;

    for (Py_ssize_t i = 0; i < n && i < 2; i++)
        out[i] = args[i];
    for (Py_ssize_t i = 0; i < named; i++) {
        PyObject *name = PyTuple_GetItem(names, i);
        int at = PyUnicode_CompareWithASCIIString(name, known[0]) == 0   ? 0
                 : PyUnicode_CompareWithASCIIString(name, known[1]) == 0 ? 1
                                                                         : -1;
        if (at < 0 || out[at]) {
            PyErr_Format(PyExc_TypeError, "set_deadline() got %s argument %R",
                         at < 0 ? "an unexpected keyword" : "multiple values for", name);
            return false;
        }
        out[at] = args[n + i];
    }
    return count_is(n + named, 1, 2, "set_deadline") && (out[0] || count_is(0, 1, 2, "set_deadline"));
}

static PyObject *desc_set_deadline(PyObject *self, PyObject *const *args, Py_ssize_t n,
                                   PyObject *names)
{
    DescObject *d = (DescObject *)self;
    PyObject *given[2] = {NULL, NULL};
    int64_t ns;
    int modes = NP_READ | NP_WRITE;

    if (!deadline_arguments(args, n, names, given) || !ext_timeout(d, given[0], NP_NEVER, &ns) ||
        (given[1] && !ext_modes(d, given[1], &modes)))
        return NULL;
    REQUIRE_OPENED(d);
    int rc = np_set_deadline(d->desc, ns, modes);
    if (rc != NP_OK)
        return ext_raise(d, modes, rc);
    Py_RETURN_NONE;
}

static PyObject *desc_deadline(PyObject *self, PyObject *arg)
{
    DescObject *d = (DescObject *)self;
    int64_t left;
    int mode;
    if (!ext_mode(d, arg, &mode))
        return NULL;
    REQUIRE_OPENED(d);
    if (!np_deadline(d->desc, mode, &left))
        Py_RETURN_NONE;
    return PyFloat_FromDouble((double)left * 1e-9);
}

/* --- closing, looking ------------------------------------------------------------------------ */

static PyObject *desc_unblock(PyObject *self, PyObject *unused)
{
    DescObject *d = (DescObject *)self;
    (void)unused;
    REQUIRE_OPENED(d);
    np_unblock(d->desc);
    Py_RETURN_NONE;
}

static PyObject *desc_close(PyObject *self, PyObject *unused)
{
    DescObject *d = (DescObject *)self;
    (void)unused;
    REQUIRE_OPENED(d);
    d->closed = true;
    np_close(d->desc);
    Py_RETURN_NONE;
}

static PyObject *desc_state(PyObject *self, PyObject *arg)
{
    DescObject *d = (DescObject *)self;
    int mode;
    if (!ext_mode(d, arg, &mode))
        return NULL;
    REQUIRE_OPENED(d);
    return PyUnicode_FromString(np_is_parked(d->desc, mode)  ? "parked"
                                : np_is_ready(d->desc, mode) ? "ready"
                                                             : "");
}

static PyObject *desc_fd(PyObject *self, void *unused)
{
    DescObject *d = (DescObject *)self;
    (void)unused;
    REQUIRE_OPENED(d);
    return PyLong_FromLongLong((long long)np_desc_fd(d->desc));
}

static PyObject *desc_poller(PyObject *self, void *unused)
{
    DescObject *d = (DescObject *)self;
    (void)unused;
    REQUIRE_OPENED(d);
    Py_INCREF(d->poller);
    return d->poller;
}

static PyObject *desc_closed(PyObject *self, void *unused)
{
    DescObject *d = (DescObject *)self;
    (void)unused;
    REQUIRE_OPENED(d);
    return PyBool_FromLong(np_desc_closed(d->desc));
}

/* --- the type -------------------------------------------------------------------------------- */

#define FAST(f) ((PyCFunction)(void (*)(void))(f))

static PyMethodDef methods[] = {
    {"reset", desc_reset, METH_O, NULL},
    {"set_deadline", FAST(desc_set_deadline), METH_FASTCALL | METH_KEYWORDS, NULL},
    {"deadline", desc_deadline, METH_O, NULL},
    {"unblock", desc_unblock, METH_NOARGS, NULL},
    {"close", desc_close, METH_NOARGS, NULL},
    {"park", FAST(desc_park), METH_FASTCALL, NULL},
    {"resume", FAST(desc_resume), METH_FASTCALL, NULL},
    {"cancel", desc_cancel, METH_O, NULL},
    {"wait", desc_wait, METH_O, NULL},
    {"wait_canceled", desc_wait_canceled, METH_O, NULL},
    {"_wait", FAST(desc_wait_thread), METH_FASTCALL, NULL},
    {"_park", FAST(desc_park), METH_FASTCALL, NULL},
    {"_resume", FAST(desc_resume), METH_FASTCALL, NULL},
    {"_withdraw", FAST(desc_withdraw), METH_FASTCALL, NULL},
    {"_state", desc_state, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"fd", desc_fd, NULL, NULL, NULL},
    {"poller", desc_poller, NULL, NULL, NULL},
    {"closed", desc_closed, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, (void *)PyType_GenericNew},
    {Py_tp_init, (void *)desc_init},
    {Py_tp_finalize, (void *)desc_finalize},
    {Py_tp_traverse, (void *)desc_traverse},
    {Py_tp_clear, (void *)desc_clear},
    {Py_tp_dealloc, (void *)desc_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "netpoll._core.DescBase",
    .basicsize = sizeof(DescObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = slots,
};

int ext_add_desc_type(PyObject *module)
{
    PyObject *type = PyType_FromSpec(&spec);
    int rc = type ? PyModule_AddObjectRef(module, "DescBase", type) : -1;
    Py_XDECREF(type);
    return rc;
}
