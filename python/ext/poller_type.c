/* The type PollerBase, the base of netpoll.Poller. */
#include <errno.h>

#include "docs_made.h"
#include "gil.h"
#include "hub.h"
#include "timeout.h"

static PyTypeObject *poller_base;

bool ext_is_poller(PyObject *object)
{
    return PyObject_TypeCheck(object, poller_base);
}

PollerObject *ext_poller(PyObject *object)
{
    if (!ext_is_poller(object)) {
        PyErr_Format(PyExc_TypeError, "not a Poller: %R", object);
        return NULL;
    }
    PollerObject *p = (PollerObject *)object;
    if (!p->poller)
        PyErr_SetString(PyExc_RuntimeError, "Poller.__init__ was not called");
    return p->poller ? p : NULL;
}

/* --- life ------------------------------------------------------------------------------------ */

static int poller_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"backend", NULL};
    PollerObject *p = (PollerObject *)self;
    const char *backend = NULL;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "z:Poller", names, &backend))
        return -1;
    np_poller *made = NULL;
    int rc = NP_BUSY;
    EXT_LOCK(p);
    if (!p->poller && (rc = np_poller_new(backend, &made)) == NP_OK)
        p->poller = made;
    EXT_UNLOCK(p);
    if (rc == NP_BUSY)
        PyErr_SetString(PyExc_RuntimeError, "a Poller is initialised once");
    else if (rc != NP_OK)
        ext_raise_poller(rc, "no poller");
    return rc == NP_OK ? 0 : -1;
}

/* poller_adopt(poller, address): instead of __init__, for a poller that was made in C. */
static PyObject *poller_adopt(PyObject *self, PyObject *address)
{
    PollerObject *p = (PollerObject *)self;
    np_poller *poller = PyLong_AsVoidPtr(address);
    if (!poller || p->poller)
        return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_RuntimeError, "a Poller is made once");
    np_poller_ref(poller);
    p->poller = poller;
    Py_RETURN_NONE;
}

/* The tokens that are parked on a poller belong to it. */
static void drop_tokens(np_poller *poller)
{
    np_token tokens[EXT_TOKEN_BATCH];
    int n;
    while ((n = np_take_ready(poller, tokens, EXT_TOKEN_BATCH)) > 0)
        for (int i = 0; i < n; i++)
            Py_DECREF((PyObject *)tokens[i]);
}

static void drop_held(PollerObject *p)
{
    for (int i = 0; i < p->held_count; i++)
        Py_DECREF(p->held[i]);
    PyMem_Free(p->held);
    p->held = NULL;
    p->held_count = p->held_room = 0;
}

static int poller_traverse(PyObject *self, visitproc visit, void *arg)
{
    const PollerObject *p = (const PollerObject *)self;
    for (const DescObject *d = p->polling ? NULL : p->descs; d; d = d->next)
        for (int mode = NP_READ; mode <= NP_WRITE; mode++)
            if (d->parked[mode - 1] && np_holds_token(d->desc, mode))
                Py_VISIT(d->parked[mode - 1]);
    for (int i = 0; i < p->held_count; i++)
        Py_VISIT(p->held[i]);
    Py_VISIT(Py_TYPE(self));
    return p->polling ? 0 : ext_waits_traverse(p, visit, arg);
}

/* It was not closed, and will not be. */
static bool is_unclosed(const PollerObject *p)
{
    return p->poller && !p->internal && !np_poller_closed(p->poller);
}

/* In C, as what a signal handler raises in a finalizer of Python's is lost. */
static void poller_finalize(PyObject *self)
{
    PyObject *type, *value, *traceback;

    if (!is_unclosed((const PollerObject *)self))
        return;
    PyErr_Fetch(&type, &value, &traceback);
    if (PyErr_ResourceWarning(self, 1, "unclosed %R", self) < 0)
        PyErr_WriteUnraisable(self);
    PyErr_Restore(type, value, traceback);
}

/* Only a garbage cycle refers to the poller now. */
static int poller_clear(PyObject *self)
{
    PollerObject *p = (PollerObject *)self;
    if (p->poller) {
        np_poller_close(p->poller);
        drop_tokens(p->poller);
    }
    drop_held(p);
    return 0;
}

static void poller_dealloc(PyObject *self)
{
    PollerObject *p = (PollerObject *)self;
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    poller_clear(self);
    if (p->poller)
        np_poller_unref(p->poller);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

/* --- polling --------------------------------------------------------------------------------- */

int ext_poll(PollerObject *p, int64_t timeout, np_token *tokens, int max, int *n)
{
    p->polling++;
    int rc = np_poll(p->poller, timeout, tokens, max, n);
    p->polling--;
    return rc;
}

/* With the mutex held; false: out of memory. */
static bool make_room(PollerObject *p)
{
    if (p->held_count < p->held_room)
        return true;
    int room = p->held_room ? p->held_room * 2 : 16;
    PyObject **held = PyMem_Realloc(p->held, (size_t)room * sizeof *held);
    if (!held)
        return false;
    p->held = held;
    p->held_room = room;
    return true;
}

/* Takes over the reference. */
void ext_hold_token(PollerObject *p, PyObject *token)
{
    EXT_LOCK(p);
    bool room = make_room(p);
    if (room)
        p->held[p->held_count++] = token;
    EXT_UNLOCK(p);
    if (room) {
        np_wake(p->poller);
        return;
    }
    PyErr_NoMemory();
    PyErr_WriteUnraisable(token);
    Py_DECREF(token);
}

/* Takes over the references of all tokens, whatever comes.  Those of greenlets go to their hubs. */
static int append_tokens(PyObject *list, const np_token *tokens, int n)
{
    int rc = 0;
    for (int i = 0; i < n; i++) {
        PyObject *token = (PyObject *)tokens[i];
        if (ext_is_waiter(token)) {
            ext_deliver((WaiterObject *)token);
            continue;
        }
        if (ext_is_timeout(token)) {
            ext_timeout_due(token);
            continue;
        }
        if (rc == 0)
            rc = PyList_Append(list, token);
        Py_DECREF(token);
    }
    return rc;
}

/* Those that a hub has polled out; as append_tokens. */
static int append_held(PyObject *list, PollerObject *p)
{
    EXT_LOCK(p);
    PyObject **held = p->held;
    int n = p->held_count, rc = 0;
    p->held = NULL;
    p->held_count = p->held_room = 0;
    EXT_UNLOCK(p);
    for (int i = 0; i < n; i++) {
        if (rc == 0)
            rc = PyList_Append(list, held[i]);
        Py_DECREF(held[i]);
    }
    PyMem_Free(held);
    return rc;
}

/* All that is ready, into list; NP_OK, NP_CLOSED, an errno, or NP_BUSY with an exception set.
 * Signal handlers run only when there is nothing to lose. */
static int poll_into(PollerObject *p, int64_t timeout, PyObject *list)
{
    int64_t until = timeout > 0 ? np_now() + timeout : 0;
    np_token tokens[EXT_TOKEN_BATCH];
    int n;

    np_begin_wait();
    for (;;) {
        if (append_held(list, p) < 0)
            return NP_BUSY;
        int rc = ext_poll(p, PyList_Size(list) > 0 ? 0 : timeout, tokens, EXT_TOKEN_BATCH, &n);
        if (append_tokens(list, tokens, n) < 0)
            return NP_BUSY;
        if (n == EXT_TOKEN_BATCH || rc == NP_CLOSED) {
            while ((n = np_take_ready(p->poller, tokens, EXT_TOKEN_BATCH)) > 0)
                if (append_tokens(list, tokens, n) < 0)
                    return NP_BUSY;
        }
        if (rc != NP_INTERRUPTED)
            return rc == NP_OK && append_held(list, p) < 0 ? NP_BUSY : rc;
        if (ext_check_eval_breaker() < 0)
            return NP_BUSY;
        if (timeout > 0 && (timeout = until - np_now()) < 0)
            timeout = 0;
        if (timeout == 0) /* signals may come for ever */
            return NP_OK;
    }
}

static bool timeout_of(PyObject *arg, int64_t *ns)
{
    if (!ext_timeout(NULL, arg, INT64_MAX, ns))
        return false;
    if (*ns > INT64_MAX / 2) /* for ever, or longer than any wait */
        *ns = -1;
    return true;
}

/* A closed poller's ClosedError carries the tokens that were still parked. */
static PyObject *raise_closed(PyObject *tokens)
{
    PyObject *type, *value, *traceback;

    ext_raise_poller(NP_CLOSED, "poll");
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (PyObject_SetAttrString(value, "tokens", tokens) == 0) {
        PyErr_Restore(type, value, traceback);
    } else {
        Py_XDECREF(type);
        Py_XDECREF(value);
        Py_XDECREF(traceback);
    }
    Py_DECREF(tokens);
    return NULL;
}

static PyObject *poller_poll(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"timeout", NULL};
    PollerObject *p = ext_poller(self);
    PyObject *arg = NULL;
    int64_t timeout = 0;

    if (!p || !PyArg_ParseTupleAndKeywords(args, kwargs, "|O:poll", names, &arg) ||
        (arg && !timeout_of(arg, &timeout)))
        return NULL;
    PyObject *list = PyList_New(0);
    if (!list)
        return NULL;
    int rc = poll_into(p, timeout, list);
    if (rc == NP_OK)
        return list;
    if (rc == NP_CLOSED)
        return raise_closed(list);
    Py_DECREF(list);
    return rc == NP_BUSY ? NULL : ext_raise_poller(rc, "poll");
}

static PyObject *poller_wake(PyObject *self, PyObject *unused)
{
    PollerObject *p = ext_poller(self);
    (void)unused;
    if (!p)
        return NULL;
    np_wake(p->poller);
    Py_RETURN_NONE;
}

/* --- nesting, closing, inspection ------------------------------------------------------------ */

static PyObject *poller_fileno(PyObject *self, PyObject *unused)
{
    PollerObject *p = ext_poller(self);
    np_fd fd;
    (void)unused;
    if (!p)
        return NULL;
    int rc = np_poller_fileno(p->poller, &fd);
    if (rc == NP_OK)
        return PyLong_FromLongLong((long long)fd);
    if (rc != -ENOSYS)
        return ext_raise_poller(rc, "fileno");
    PyErr_SetString(PyExc_NotImplementedError, "a poller has no descriptor on this system");
    return NULL;
}

static PyObject *poller_open(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    static const ext_signature s = {"open", 1, 1, {"fd"}};
    PyObject *file;
    return ext_arguments(&s, args, n, names, &file) ? ext_open(self, file) : NULL;
}

static PyObject *poller_next_deadline(PyObject *self, PyObject *unused)
{
    PollerObject *p = ext_poller(self);
    (void)unused;
    if (!p)
        return NULL;
    int64_t left = np_next_deadline(p->poller);
    if (left < 0)
        Py_RETURN_NONE;
    return PyFloat_FromDouble((double)left / 1e9);
}

static PyObject *poller_is_poll_descriptor(PyObject *self, PyObject *arg)
{
    PollerObject *p = ext_poller(self);
    np_fd fd;
    if (!p || !ext_fd(arg, &fd))
        return NULL;
    return PyBool_FromLong(np_is_poll_descriptor(p->poller, fd));
}

static PyObject *poller_close(PyObject *self, PyObject *unused)
{
    PollerObject *p = ext_poller(self);
    (void)unused;
    if (!p)
        return NULL;
    np_poller_close(p->poller);
    Py_RETURN_NONE;
}

static PyObject *poller_counters(PyObject *self, PyObject *unused)
{
    PollerObject *p = ext_poller(self);
    np_stats s;
    (void)unused;
    if (!p)
        return NULL;
    np_poller_stats(p->poller, &s);
    return Py_BuildValue("KKKKKKKKKK", s.open, s.parked_readers, s.parked_writers, s.polls,
                         s.events, s.stale_events, s.deadlines_fired, s.wakeups, s.waiters,
                         s.timers_fired);
}

/* filed_token(poller, key): for a dump, which found the core's token to be key. */
static PyObject *poller_filed_token(PyObject *self, PyObject *key)
{
    const void *address = PyLong_AsVoidPtr(key);
    if (!address && PyErr_Occurred())
        return NULL;
    return ext_filed_token((PollerObject *)self, address);
}

static PyObject *poller_set_internal(PyObject *self, PyObject *unused)
{
    (void)unused;
    ((PollerObject *)self)->internal = true;
    Py_RETURN_NONE;
}

static PyObject *poller_unclosed(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(is_unclosed((const PollerObject *)self));
}

static PyObject *poller_address(PyObject *self, PyObject *unused)
{
    const PollerObject *p = (const PollerObject *)self;
    (void)unused;
    return PyLong_FromVoidPtr(p->poller);
}

static PyObject *poller_backend(PyObject *self, void *unused)
{
    PollerObject *p = ext_poller(self);
    (void)unused;
    return p ? PyUnicode_FromString(np_poller_backend(p->poller)) : NULL;
}

static PyObject *poller_closed(PyObject *self, void *unused)
{
    const PollerObject *p = (const PollerObject *)self;
    (void)unused;
    return PyBool_FromLong(!p->poller || np_poller_closed(p->poller));
}

/* --- the type -------------------------------------------------------------------------------- */

static PyMethodDef methods[] = {
    {"open", EXT_FUNCTION(poller_open), METH_FASTCALL | METH_KEYWORDS, DOC_PollerBase_open},
    {"poll", EXT_FUNCTION(poller_poll), METH_VARARGS | METH_KEYWORDS, DOC_PollerBase_poll},
    {"wake", poller_wake, METH_NOARGS, DOC_PollerBase_wake},
    {"fileno", poller_fileno, METH_NOARGS, DOC_PollerBase_fileno},
    {"next_deadline", poller_next_deadline, METH_NOARGS, DOC_PollerBase_next_deadline},
    {"is_poll_descriptor", poller_is_poll_descriptor, METH_O, DOC_PollerBase_is_poll_descriptor},
    {"close", poller_close, METH_NOARGS, DOC_PollerBase_close},
    {NULL, NULL, 0, NULL},
};

/* Functions of the module: _engine.py describes them. */
static PyMethodDef internals[] = {
    {"poller_counters", poller_counters, METH_NOARGS, NULL},
    {"poller_adopt", poller_adopt, METH_O, NULL},
    {"poller_address", poller_address, METH_NOARGS, NULL},
    {"filed_token", poller_filed_token, METH_O, NULL},
    {"poller_set_internal", poller_set_internal, METH_NOARGS, NULL},
    {"poller_unclosed", poller_unclosed, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"backend", poller_backend, NULL, DOC_PollerBase_backend, NULL},
    {"closed", poller_closed, NULL, DOC_PollerBase_closed, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, (void *)PyType_GenericNew},
    {Py_tp_init, (void *)poller_init},
    {Py_tp_traverse, (void *)poller_traverse},
    {Py_tp_clear, (void *)poller_clear},
    {Py_tp_finalize, (void *)poller_finalize},
    {Py_tp_dealloc, (void *)poller_dealloc},
    {Py_tp_doc, (void *)DOC_PollerBase},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "netpoll._core.PollerBase",
    .basicsize = sizeof(PollerObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = slots,
};

int ext_add_poller_type(PyObject *module)
{
    poller_base = (PyTypeObject *)PyType_FromSpec(&spec);
    if (!poller_base || PyModule_AddObjectRef(module, "PollerBase", (PyObject *)poller_base) < 0)
        return -1;
    return ext_add_internals(module, poller_base, internals);
}
