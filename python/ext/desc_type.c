/* DescBase: what netpoll.PollDesc is made of.  The calls that cannot block cost an argument and a
 * few atomic instructions. */
#include <limits.h>

#include "docs_made.h"
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

static void link_to(PollerObject *p, DescObject *d)
{
    EXT_LOCK(p);
    d->next = p->descs;
    d->link = &p->descs;
    if (d->next)
        d->next->link = &d->next;
    p->descs = d;
    EXT_UNLOCK(p);
}

static void unlink_from_poller(DescObject *d)
{
    if (!d->poller)
        return;
    EXT_LOCK((PollerObject *)d->poller);
    *d->link = d->next;
    if (d->next)
        d->next->link = d->link;
    EXT_UNLOCK((PollerObject *)d->poller);
}

/* What connect_desc gave: the class netpoll.PollDesc, and what makes a number of anything else. */
static PyObject *desc_class, *descriptor_of;

/* NP_BUSY: it is open already. */
static int open_once(PollerObject *p, DescObject *d, np_fd fd)
{
    np_desc *desc = NULL;
    int rc = NP_BUSY;

    EXT_LOCK(d);
    if (!d->desc && (rc = np_open(p->poller, fd, &desc)) == NP_OK) {
        Py_INCREF(p);
        d->poller = (PyObject *)p;
        d->desc = desc; /* last: whoever sees it sees the rest */
    }
    EXT_UNLOCK(d);
    return rc;
}

static int open_on(DescObject *d, PyObject *poller, PyObject *number)
{
    PollerObject *p = ext_poller(poller);
    np_fd fd;

    if (!p || !ext_fd(number, &fd))
        return -1;
    int rc = open_once(p, d, fd);
    if (rc != NP_OK) {
        if (rc == NP_BUSY)
            PyErr_SetString(PyExc_RuntimeError, "a PollDesc is opened once");
        else
            ext_raise_fd(rc, (long long)fd);
        return -1;
    }
    link_to(p, d);
    return 0;
}

static int desc_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"poller", "fd", NULL};
    PyObject *poller, *number;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO:PollDesc", names, &poller, &number))
        return -1;
    return open_on((DescObject *)self, poller, number);
}

/* A new PollDesc, without a call of the class unless somebody has changed what that does (the debug
 * mode has). */
static PyObject *new_desc(PyObject *poller, PyObject *number)
{
    PyTypeObject *type = (PyTypeObject *)desc_class;
    if (PyType_GetSlot(type, Py_tp_init) != (void *)desc_init)
        return PyObject_CallFunctionObjArgs(desc_class, poller, number, NULL);
    PyObject *desc = PyType_GenericAlloc(type, 0);
    if (desc && open_on((DescObject *)desc, poller, number) < 0)
        Py_CLEAR(desc);
    return desc;
}

static bool is_small(PyObject *number)
{
    int overflow;
    long v = PyLong_AsLongAndOverflow(number, &overflow);
    return !overflow && v >= 0 && v <= INT_MAX;
}

PyObject *ext_open(PyObject *poller, PyObject *file)
{
    if (PyLong_CheckExact(file) && is_small(file))
        return new_desc(poller, file);
    PyObject *number = PyObject_CallFunctionObjArgs(descriptor_of, file, NULL);
    PyObject *desc = number ? new_desc(poller, number) : NULL;
    Py_XDECREF(number);
    return desc;
}

/* _adopt(poller, address): instead of __init__, for a descriptor that somebody opened in C. */
static PyObject *desc_adopt(PyObject *self, PyObject *args)
{
    DescObject *d = (DescObject *)self;
    PyObject *poller, *address;

    if (!PyArg_ParseTuple(args, "OO:_adopt", &poller, &address))
        return NULL;
    PollerObject *p = ext_poller(poller);
    np_desc *desc = PyLong_AsVoidPtr(address);
    if (!p || !desc || d->desc)
        return PyErr_Occurred() ? NULL
                                : PyErr_Format(PyExc_RuntimeError, "a PollDesc is made once");
    np_desc_ref(desc);
    Py_INCREF(poller);
    d->poller = poller;
    d->desc = desc; /* last: whoever sees it sees the rest */
    link_to(p, d);
    Py_RETURN_NONE;
}

/* Nobody closed it, and nobody will. */
static bool is_unclosed(const DescObject *d)
{
    return d->desc && !d->closed && !np_poller_closed(np_desc_poller(d->desc));
}

static void desc_finalize(PyObject *self)
{
    DescObject *d = (DescObject *)self;
    if (!d->desc || d->closed)
        return;
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (is_unclosed(d) && PyErr_ResourceWarning(self, 1, "unclosed %R", self) < 0)
        PyErr_WriteUnraisable(self);
    np_close(d->desc);
    PyErr_Restore(type, value, traceback);
}

static int desc_clear(PyObject *self)
{
    DescObject *d = (DescObject *)self;
    Py_CLEAR(d->parked[0]);
    Py_CLEAR(d->parked[1]);
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
    unlink_from_poller(d);
    if (d->desc)
        np_desc_unref(d->desc); /* closes it if finalization did not come to it */
    desc_clear(self);
    Py_XDECREF(d->poller);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

/* --- the note of who is parked --------------------------------------------------------------- */

/* np_park.  While parked the poller owns a reference to the token, and may have given it out before
 * np_park returns. */
int ext_park(DescObject *d, int mode, PyObject *token, int flags)
{
    PyObject *before = NULL;

    Py_INCREF(token);
    EXT_LOCK(d);
    int rc = np_park(d->desc, mode, (np_token)token, flags);
    if (rc == NP_PARKED) {
        before = d->parked[mode - 1];
        Py_INCREF(token);
        d->parked[mode - 1] = token;
    }
    EXT_UNLOCK(d);
    if (rc != NP_PARKED)
        Py_DECREF(token);
    Py_XDECREF(before);
    return rc;
}

/* Does the core hold a token for the mode, and was this one the last that was parked? */
bool ext_still_parked(DescObject *d, int mode, PyObject *token)
{
    EXT_LOCK(d);
    bool parked = d->parked[mode - 1] == token && np_holds_token(d->desc, mode);
    EXT_UNLOCK(d);
    return parked;
}

/* If this token was the last that was parked: it no longer is, and may be withdrawn. */
void ext_forget_parked(DescObject *d, int mode, PyObject *token, bool cancel)
{
    PyObject *note = NULL;
    np_token withdrawn = 0;

    EXT_LOCK(d);
    if (d->parked[mode - 1] == token) {
        note = token;
        d->parked[mode - 1] = NULL;
        if (cancel && !np_cancel(d->desc, mode, &withdrawn))
            withdrawn = 0;
    }
    EXT_UNLOCK(d);
    Py_XDECREF((PyObject *)withdrawn);
    Py_XDECREF(note);
}

/* --- waiting --------------------------------------------------------------------------------- */

/* The one argument of most methods. */
static bool mode_argument(DescObject *d, const char *function, PyObject *const *args, Py_ssize_t n,
                          PyObject *names, int *mode)
{
    ext_signature s = {function, 1, 1, {"mode"}};
    PyObject *arg;
    if (n == 1 && !names)
        arg = args[0];
    else if (!ext_arguments(&s, args, n, names, &arg))
        return false;
    if (!ext_mode(d, arg, mode))
        return false;
    if (!d->desc)
        uninitialised();
    return d->desc != NULL;
}

/* METH_FASTCALL | METH_KEYWORDS */
#define ARGUMENTS PyObject *const *args, Py_ssize_t n, PyObject *names

static PyObject *desc_reset(PyObject *self, ARGUMENTS)
{
    DescObject *d = (DescObject *)self;
    int mode;
    if (!mode_argument(d, "reset", args, n, names, &mode))
        return NULL;
    int rc = np_reset(d->desc, mode);
    if (rc != NP_OK)
        return ext_raise(d, mode, rc);
    Py_RETURN_NONE;
}

/* An optional argument: 0, or NP_IO_ONLY. */
static bool flags_of(PyObject *arg, int *flags)
{
    long v = arg ? PyLong_AsLong(arg) : 0;
    *flags = v ? NP_IO_ONLY : 0;
    return !(v == -1 && PyErr_Occurred());
}

/* Signal handlers run between two waits, with nobody parked: they may do anything. */
int ext_wait_in_thread(DescObject *d, int mode, int flags)
{
    for (;;) {
        int rc = flags ? np_wait_canceled(d->desc, mode) : np_wait(d->desc, mode);
        if (rc != NP_INTERRUPTED)
            return rc;
        if (PyErr_CheckSignals() < 0)
            return EXT_RAISED;
    }
}

static PyObject *waited(const DescObject *d, int mode, int rc)
{
    if (rc == NP_OK)
        Py_RETURN_NONE;
    return rc == EXT_RAISED ? NULL : ext_raise(d, mode, rc);
}

/* In a thread with a hub the greenlet waits, elsewhere the thread. */
static PyObject *wait_here(DescObject *d, int mode, int flags)
{
    TurnsObject *turns = ext_turns_here();
    if (ext_give_way() < 0)
        return NULL;
    return waited(d, mode,
                  turns ? ext_wait_in_hub(turns, d, mode, flags)
                        : ext_wait_in_thread(d, mode, flags));
}

static PyObject *desc_wait(PyObject *self, ARGUMENTS)
{
    DescObject *d = (DescObject *)self;
    int mode;
    return mode_argument(d, "wait", args, n, names, &mode) ? wait_here(d, mode, 0) : NULL;
}

static PyObject *desc_wait_canceled(PyObject *self, ARGUMENTS)
{
    DescObject *d = (DescObject *)self;
    int mode;
    return mode_argument(d, "wait_canceled", args, n, names, &mode) ? wait_here(d, mode, NP_IO_ONLY)
                                                                    : NULL;
}

static PyObject *desc_wait_thread(PyObject *self, ARGUMENTS)
{
    static const ext_signature s = {"_wait", 2, 2, {"mode", "flags"}};
    DescObject *d = (DescObject *)self;
    PyObject *given[2];
    int mode, flags;
    if (!ext_arguments(&s, args, n, names, given) || !ext_mode(d, given[0], &mode) ||
        !flags_of(given[1], &flags))
        return NULL;
    REQUIRE_OPENED(d);
    return waited(d, mode, ext_wait_in_thread(d, mode, flags));
}

/* --- schedulers ------------------------------------------------------------------------------ */

static PyObject *desc_park(PyObject *self, ARGUMENTS)
{
    static const ext_signature s = {"park", 2, 2, {"mode", "token"}};
    DescObject *d = (DescObject *)self;
    PyObject *given[2];
    int mode;
    if (!ext_arguments(&s, args, n, names, given) || !ext_mode(d, given[0], &mode))
        return NULL;
    REQUIRE_OPENED(d);
    int rc = ext_park(d, mode, given[1], 0);
    if (rc == NP_PARKED)
        Py_RETURN_TRUE;
    if (rc == NP_OK)
        Py_RETURN_FALSE;
    return ext_raise(d, mode, rc);
}

static PyObject *desc_resume(PyObject *self, ARGUMENTS)
{
    DescObject *d = (DescObject *)self;
    PyObject *note = NULL;
    int mode;
    if (!mode_argument(d, "resume", args, n, names, &mode))
        return NULL;

    EXT_LOCK(d);
    if (!np_holds_token(d->desc, mode)) { /* else somebody else's is parked by now */
        note = d->parked[mode - 1];
        d->parked[mode - 1] = NULL;
    }
    EXT_UNLOCK(d);
    Py_XDECREF(note);
    int rc = np_resume(d->desc, mode, 0);
    if (rc == NP_OK)
        Py_RETURN_TRUE;
    if (rc == NP_AGAIN)
        Py_RETURN_FALSE;
    return ext_raise(d, mode, rc);
}

static PyObject *desc_cancel(PyObject *self, ARGUMENTS)
{
    DescObject *d = (DescObject *)self;
    np_token token;
    int mode;
    if (!mode_argument(d, "cancel", args, n, names, &mode))
        return NULL;

    EXT_LOCK(d);
    PyObject *note = d->parked[mode - 1];
    bool withdrawn = !(note && ext_is_waiter(note)) && np_cancel(d->desc, mode, &token);
    if (withdrawn)
        d->parked[mode - 1] = NULL;
    EXT_UNLOCK(d);
    if (!withdrawn)
        Py_RETURN_FALSE;
    Py_XDECREF(note);
    Py_DECREF((PyObject *)token);
    Py_RETURN_TRUE;
}

/* --- deadlines ------------------------------------------------------------------------------- */

static PyObject *desc_set_deadline(PyObject *self, ARGUMENTS)
{
    static const ext_signature s = {"set_deadline", 1, 2, {"timeout", "mode"}};
    DescObject *d = (DescObject *)self;
    PyObject *given[2];
    int64_t ns;
    int modes = NP_READ | NP_WRITE;

    if (!ext_arguments(&s, args, n, names, given) || !ext_timeout(d, given[0], NP_NEVER, &ns) ||
        (given[1] && !ext_modes(d, given[1], &modes)))
        return NULL;
    REQUIRE_OPENED(d);
    int rc = np_set_deadline(d->desc, ns, modes);
    if (rc != NP_OK)
        return ext_raise(d, modes, rc);
    Py_RETURN_NONE;
}

static PyObject *desc_set_deadline_at(PyObject *self, PyObject *args)
{
    DescObject *d = (DescObject *)self;
    long long when;
    int modes;
    if (!PyArg_ParseTuple(args, "Li:_set_deadline_at", &when, &modes))
        return NULL;
    REQUIRE_OPENED(d);
    int rc = np_set_deadline_at(d->desc, when, modes);
    if (rc != NP_OK)
        return ext_raise(d, modes, rc);
    Py_RETURN_NONE;
}

static PyObject *desc_deadline(PyObject *self, ARGUMENTS)
{
    DescObject *d = (DescObject *)self;
    int64_t left;
    int mode;
    if (!mode_argument(d, "deadline", args, n, names, &mode))
        return NULL;
    if (!np_deadline(d->desc, mode, &left))
        Py_RETURN_NONE;
    return PyFloat_FromDouble((double)left / 1e9);
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

static PyObject *desc_set_ready(PyObject *self, PyObject *arg)
{
    DescObject *d = (DescObject *)self;
    int modes;
    if (!ext_modes(d, arg, &modes))
        return NULL;
    REQUIRE_OPENED(d);
    np_set_ready(d->desc, modes);
    Py_RETURN_NONE;
}

static PyObject *desc_short_is_drained(PyObject *self, PyObject *unused)
{
    DescObject *d = (DescObject *)self;
    (void)unused;
    REQUIRE_OPENED(d);
    return PyBool_FromLong(np_short_is_drained(d->desc));
}

static PyObject *desc_for_io(PyObject *self, PyObject *unused)
{
    DescObject *d = (DescObject *)self;
    (void)unused;
    REQUIRE_OPENED(d);
    np_errors_are_ready(d->desc);
    d->closed = true;
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

static PyObject *desc_address(PyObject *self, PyObject *unused)
{
    const DescObject *d = (const DescObject *)self;
    (void)unused;
    return PyLong_FromVoidPtr(d->desc);
}

static PyObject *desc_unclosed(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(is_unclosed((const DescObject *)self));
}

/* _token(mode, key): for those who look, and found the core's token to be key. */
static PyObject *desc_token(PyObject *self, PyObject *args)
{
    DescObject *d = (DescObject *)self;
    PyObject *number, *key, *token = Py_None;
    int mode;
    if (!PyArg_ParseTuple(args, "OO:_token", &number, &key) || !ext_mode(d, number, &mode))
        return NULL;
    const void *address = PyLong_AsVoidPtr(key);
    if (!address && PyErr_Occurred())
        return NULL;
    EXT_LOCK(d);
    if (d->parked[mode - 1] == address && address)
        token = d->parked[mode - 1];
    Py_INCREF(token);
    EXT_UNLOCK(d);
    return token;
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

#define FAST(name, f, doc)                                                                         \
    {name, (PyCFunction)(void (*)(void))(f), METH_FASTCALL | METH_KEYWORDS, doc}

static PyMethodDef methods[] = {
    FAST("reset", desc_reset, DOC_DescBase_reset),
    FAST("set_deadline", desc_set_deadline, DOC_DescBase_set_deadline),
    FAST("deadline", desc_deadline, DOC_DescBase_deadline),
    {"unblock", desc_unblock, METH_NOARGS, DOC_DescBase_unblock},
    {"close", desc_close, METH_NOARGS, DOC_DescBase_close},
    FAST("park", desc_park, DOC_DescBase_park),
    FAST("resume", desc_resume, DOC_DescBase_resume),
    FAST("cancel", desc_cancel, DOC_DescBase_cancel),
    FAST("wait", desc_wait, DOC_DescBase_wait),
    FAST("wait_canceled", desc_wait_canceled, DOC_DescBase_wait_canceled),
    FAST("_wait", desc_wait_thread, NULL),
    {"_set_deadline_at", desc_set_deadline_at, METH_VARARGS, NULL},
    {"_set_ready", desc_set_ready, METH_O, NULL},
    {"_short_is_drained", desc_short_is_drained, METH_NOARGS, NULL},
    {"_for_io", desc_for_io, METH_NOARGS, NULL},
    {"_state", desc_state, METH_O, NULL},
    {"_adopt", desc_adopt, METH_VARARGS, NULL},
    {"_address", desc_address, METH_NOARGS, NULL},
    {"_unclosed", desc_unclosed, METH_NOARGS, NULL},
    {"_token", desc_token, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"fd", desc_fd, NULL, DOC_DescBase_fd, NULL},
    {"poller", desc_poller, NULL, DOC_DescBase_poller, NULL},
    {"closed", desc_closed, NULL, DOC_DescBase_closed, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, (void *)PyType_GenericNew},
    {Py_tp_init, (void *)desc_init},
    {Py_tp_finalize, (void *)desc_finalize},
    {Py_tp_traverse, (void *)desc_traverse},
    {Py_tp_clear, (void *)desc_clear},
    {Py_tp_dealloc, (void *)desc_dealloc},
    {Py_tp_doc, (void *)DOC_DescBase},
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

static PyTypeObject *desc_base;

bool ext_is_desc(PyObject *object)
{
    return PyObject_TypeCheck(object, desc_base);
}

/* connect_desc(PollDesc, descriptor): for Poller.open, given by _api.py when it is imported. */
static PyObject *connect_desc(PyObject *module, PyObject *args)
{
    (void)module;
    Py_CLEAR(desc_class);
    Py_CLEAR(descriptor_of);
    if (!PyArg_ParseTuple(args, "OO:connect_desc", &desc_class, &descriptor_of))
        return NULL;
    Py_INCREF(desc_class);
    Py_INCREF(descriptor_of);
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"connect_desc", connect_desc, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

int ext_add_desc_type(PyObject *module)
{
    desc_base = (PyTypeObject *)PyType_FromSpec(&spec);
    int rc = desc_base ? PyModule_AddObjectRef(module, "DescBase", (PyObject *)desc_base) : -1;
    return rc < 0 ? rc : PyModule_AddFunctions(module, functions);
}
