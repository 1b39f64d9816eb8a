/* A hub's record of a greenlet: its token, and the exception thrown into it. */
#include "docs_made.h"
#include "greenlets.h"
#include "hub.h"

PyTypeObject *ext_waiter_type;

static PyObject *attribute; /* "_netpoll" */

/* --- a greenlet and its waiter --------------------------------------------------------------- */

WaiterObject *ext_new_waiter(HubObject *h)
{
    WaiterObject *w = (WaiterObject *)PyType_GenericAlloc(ext_waiter_type, 0);
    if (w) {
        Py_INCREF(h);
        w->hub = h;
        w->state = GREENLET_RUNNING;
    }
    return w;
}

int ext_bind_waiter(WaiterObject *w, PyObject *greenlet)
{
    if (PyObject_SetAttr(greenlet, attribute, (PyObject *)w) < 0)
        return -1;
    Py_INCREF(greenlet);
    w->greenlet = greenlet;
    return 0;
}

void ext_unbind_waiter(WaiterObject *w)
{
    HubObject *h = w->hub;

    EXT_LOCK(h);
    PyObject *greenlet = w->greenlet;
    w->greenlet = NULL;
    w->state = GREENLET_ENDED;
    EXT_UNLOCK(h);
    if (h->current == w)
        Py_CLEAR(h->current);
    Py_CLEAR(w->timeout);
    Py_XDECREF(greenlet);
}

void ext_forget_waiter(PyObject *greenlet)
{
    if (PyObject_DelAttr(greenlet, attribute) < 0)
        PyErr_Clear(); /* it never had one */
}

static WaiterObject *bind_new(HubObject *h, PyObject *greenlet)
{
    WaiterObject *w = ext_new_waiter(h);
    if (w && ext_bind_waiter(w, greenlet) < 0)
        Py_CLEAR(w);
    return w;
}

/* One of another hub is left over from one that came to nothing. */
WaiterObject *ext_find_waiter(HubObject *h, PyObject *greenlet)
{
    PyObject *found = PyObject_GetAttr(greenlet, attribute);
    if (!found && !PyErr_ExceptionMatches(PyExc_AttributeError))
        return NULL;
    if (found && ext_is_waiter(found) && ((WaiterObject *)found)->hub == h)
        return (WaiterObject *)found;
    PyErr_Clear();
    Py_XDECREF(found);
    return bind_new(h, greenlet);
}

/* --- exceptions for it ----------------------------------------------------------------------- */

void ext_schedule_throw(WaiterObject *w, PyObject *exception)
{
    Py_INCREF(exception);
    EXT_LOCK(w->hub);
    PyObject *before = w->thrown;
    w->thrown = exception;
    EXT_UNLOCK(w->hub);
    Py_XDECREF(before);
    ext_make_ready(w);
}

bool ext_withdraw_throw(WaiterObject *w, PyObject *exception)
{
    EXT_LOCK(w->hub);
    bool pending = w->thrown == exception;
    if (pending)
        w->thrown = NULL;
    EXT_UNLOCK(w->hub);
    if (pending)
        Py_DECREF(exception);
    return pending;
}

void ext_raise_thrown(WaiterObject *w)
{
    EXT_LOCK(w->hub);
    PyObject *exception = w->thrown;
    w->thrown = NULL;
    EXT_UNLOCK(w->hub);
    ext_set_exception(exception);
    Py_DECREF(exception);
}

/* --- the type -------------------------------------------------------------------------------- */

static PyObject *waiter_greenlet(PyObject *self, void *unused)
{
    WaiterObject *w = (WaiterObject *)self;
    (void)unused;
    EXT_LOCK(w->hub);
    PyObject *greenlet = w->greenlet ? w->greenlet : Py_None;
    Py_INCREF(greenlet);
    EXT_UNLOCK(w->hub);
    return greenlet;
}

static PyObject *waiter_ended(PyObject *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(np_sema_is_open(&((WaiterObject *)self)->done));
}

static int waiter_set_name(PyObject *self, PyObject *name, void *unused)
{
    WaiterObject *w = (WaiterObject *)self;

    (void)unused;
    if (!name || !PyUnicode_Check(name)) {
        PyErr_SetString(PyExc_TypeError, "the name of a greenlet is a str");
        return -1;
    }
    Py_INCREF(name);
    EXT_LOCK(w->hub);
    PyObject *before = w->name;
    w->name = name;
    EXT_UNLOCK(w->hub);
    Py_XDECREF(before);
    return 0;
}

static PyObject *waiter_withdraw(PyObject *self, PyObject *exception)
{
    return PyBool_FromLong(ext_withdraw_throw((WaiterObject *)self, exception));
}

static PyObject *waiter_error(PyObject *self, void *unused)
{
    PyObject *error = ((WaiterObject *)self)->error;
    (void)unused;
    if (!error)
        Py_RETURN_NONE;
    Py_INCREF(error);
    return error;
}

static PyObject *waiter_name(PyObject *self, void *unused)
{
    WaiterObject *w = (WaiterObject *)self;

    (void)unused;
    EXT_LOCK(w->hub);
    PyObject *name = w->name;
    Py_XINCREF(name);
    EXT_UNLOCK(w->hub);
    return name ? name : PyUnicode_FromString("main");
}

static int waiter_traverse(PyObject *self, visitproc visit, void *arg)
{
    const WaiterObject *w = (const WaiterObject *)self;
    Py_VISIT((PyObject *)w->hub);
    Py_VISIT(w->greenlet);
    Py_VISIT(w->thrown);
    Py_VISIT(w->function);
    Py_VISIT(w->args);
    Py_VISIT(w->kwargs);
    Py_VISIT(w->value);
    Py_VISIT(w->error);
    Py_VISIT(w->timeout);
    Py_VISIT(w->on_end);
    Py_VISIT(Py_TYPE(self));
    return 0;
}

/* Not the greenlet and the hub: those it lives with, and they forget it. */
static int waiter_clear(PyObject *self)
{
    WaiterObject *w = (WaiterObject *)self;
    PyObject *thrown = w->thrown;
    w->thrown = NULL;
    Py_XDECREF(thrown);
    Py_CLEAR(w->function);
    Py_CLEAR(w->args);
    Py_CLEAR(w->kwargs);
    Py_CLEAR(w->value);
    Py_CLEAR(w->error);
    Py_CLEAR(w->timeout);
    Py_CLEAR(w->on_end);
    return 0;
}

static void waiter_dealloc(PyObject *self)
{
    WaiterObject *w = (WaiterObject *)self;
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    waiter_clear(self);
    Py_CLEAR(w->locals);
    Py_CLEAR(w->name);
    Py_CLEAR(w->greenlet);
    Py_CLEAR(w->hub);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"join", ext_waiter_join, METH_O, DOC_WaiterBase_join},
    {"get", ext_waiter_get, METH_O, DOC_WaiterBase_get},
    {"kill", ext_waiter_kill, METH_O, DOC_WaiterBase_kill},
    {"withdraw", waiter_withdraw, METH_O, DOC_WaiterBase_withdraw},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"greenlet", waiter_greenlet, NULL, DOC_WaiterBase_greenlet, NULL},
    {"ended", waiter_ended, NULL, DOC_WaiterBase_ended, NULL},
    {"error", waiter_error, NULL, DOC_WaiterBase_error, NULL},
    {"name", waiter_name, waiter_set_name, DOC_WaiterBase_name, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_call, (void *)ext_waiter_call},
    {Py_tp_traverse, (void *)waiter_traverse},
    {Py_tp_clear, (void *)waiter_clear},
    {Py_tp_dealloc, (void *)waiter_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {Py_tp_doc, (void *)DOC_WaiterBase},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "netpoll._core.WaiterBase",
    .basicsize = sizeof(WaiterObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots,
};

int ext_add_waiter_type(PyObject *module)
{
    attribute = PyUnicode_InternFromString("_netpoll");
    ext_waiter_type = (PyTypeObject *)PyType_FromSpec(&spec);
    if (!attribute || !ext_waiter_type)
        return -1;
    return PyModule_AddObjectRef(module, "WaiterBase", (PyObject *)ext_waiter_type);
}
