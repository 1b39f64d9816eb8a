/* The type DescBase, the base of netpoll.PollDesc. */
#include "desc.h"
#include "docs_made.h"
#include "hub.h"

PyObject *ext_desc_unopened(void)
{
    PyErr_SetString(PyExc_RuntimeError, "a PollDesc comes from Poller.open");
    return NULL;
}

/* --- life ------------------------------------------------------------------------------------ */

/* It was not closed, and will not be. */
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
    ext_desc_unlink(d);
    if (d->desc)
        np_desc_unref(d->desc); /* closes it if finalization did not come to it */
    desc_clear(self);
    Py_XDECREF(d->poller);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

/* --- closing, inspection --------------------------------------------------------------------- */

static PyObject *desc_unblock(PyObject *self, PyObject *unused)
{
    DescObject *d = (DescObject *)self;
    (void)unused;
    REQUIRE_OPENED(d);
    np_unblock(d->desc);
    Py_RETURN_NONE;
}

/* A user's token is not needed any more, and may refer to us: to come out it is the core's.  A
 * greenlet that waits forgets its own. */
static void drop_token(DescObject *d, int mode)
{
    EXT_LOCK(d);
    PyObject *token = d->parked[mode - 1];
    if (token && ext_is_waiter(token))
        token = NULL;
    if (token)
        d->parked[mode - 1] = NULL;
    EXT_UNLOCK(d);
    Py_XDECREF(token);
}

static PyObject *desc_close(PyObject *self, PyObject *unused)
{
    DescObject *d = (DescObject *)self;
    (void)unused;
    REQUIRE_OPENED(d);
    d->closed = true;
    np_close(d->desc);
    drop_token(d, NP_READ);
    drop_token(d, NP_WRITE);
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

/* parked_token(desc, mode, key): for a dump, which found the core's token to be key. */
static PyObject *desc_token(PyObject *self, PyObject *args)
{
    DescObject *d = (DescObject *)self;
    PyObject *number, *key, *token = Py_None;
    int mode;
    if (!PyArg_ParseTuple(args, "OO:parked_token", &number, &key) || !ext_mode(d, number, &mode))
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

static PyMethodDef methods[] = {
    {"reset", EXT_FUNCTION(ext_desc_reset), METH_FASTCALL | METH_KEYWORDS, DOC_DescBase_reset},
    {"set_deadline", EXT_FUNCTION(ext_desc_set_deadline), METH_FASTCALL | METH_KEYWORDS,
     DOC_DescBase_set_deadline},
    {"deadline", EXT_FUNCTION(ext_desc_deadline), METH_FASTCALL | METH_KEYWORDS,
     DOC_DescBase_deadline},
    {"unblock", desc_unblock, METH_NOARGS, DOC_DescBase_unblock},
    {"close", desc_close, METH_NOARGS, DOC_DescBase_close},
    {"park", EXT_FUNCTION(ext_desc_park), METH_FASTCALL | METH_KEYWORDS, DOC_DescBase_park},
    {"resume", EXT_FUNCTION(ext_desc_resume), METH_FASTCALL | METH_KEYWORDS, DOC_DescBase_resume},
    {"cancel", EXT_FUNCTION(ext_desc_cancel), METH_FASTCALL | METH_KEYWORDS, DOC_DescBase_cancel},
    {"wait", EXT_FUNCTION(ext_desc_wait), METH_FASTCALL | METH_KEYWORDS, DOC_DescBase_wait},
    {"wait_canceled", EXT_FUNCTION(ext_desc_wait_canceled), METH_FASTCALL | METH_KEYWORDS,
     DOC_DescBase_wait_canceled},
    {NULL, NULL, 0, NULL},
};

/* Functions of the module: _engine.py describes them. */
static PyMethodDef internals[] = {
    {"desc_state", desc_state, METH_O, NULL},
    {"desc_adopt", ext_desc_adopt, METH_VARARGS, NULL},
    {"desc_address", desc_address, METH_NOARGS, NULL},
    {"desc_unclosed", desc_unclosed, METH_NOARGS, NULL},
    {"parked_token", desc_token, METH_VARARGS, NULL},
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
    {Py_tp_init, (void *)ext_desc_init},
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

int ext_add_desc_type(PyObject *module)
{
    desc_base = (PyTypeObject *)PyType_FromSpec(&spec);
    if (!desc_base || PyModule_AddObjectRef(module, "DescBase", (PyObject *)desc_base) < 0)
        return -1;
    return ext_add_internals(module, desc_base, internals);
}
