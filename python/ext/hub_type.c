/* The type HubBase, the base of netpoll.green.Hub. */
#include "docs_made.h"
#include "hub.h"

/* --- life ------------------------------------------------------------------------------------ */

static PyObject *hub_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *self = PyType_GenericNew(type, args, kwargs);
    HubObject *h = (HubObject *)self;
    if (h) {
        h->thread = PyThread_get_thread_ident();
        np_list_init(&h->queue);
        ext_rechecks_init(&h->rechecks);
    }
    return self;
}

static int hub_traverse(PyObject *self, visitproc visit, void *arg)
{
    const HubObject *h = (const HubObject *)self;

    for (const np_link *l = h->queue.next; l && l != &h->queue; l = l->next)
        Py_VISIT((PyObject *)NP_CONTAINER(l, WaiterObject, link));
    Py_VISIT(h->poller);
    Py_VISIT(h->main);
    Py_VISIT(h->greenlet);
    Py_VISIT(h->alive);
    Py_VISIT((PyObject *)h->main_waiter);
    Py_VISIT((PyObject *)h->current);
    Py_VISIT((PyObject *)h->handed);
    Py_VISIT(Py_TYPE(self));
    return 0;
}

static int hub_clear(PyObject *self)
{
    HubObject *h = (HubObject *)self;

    ext_clear_queue(h);
    Py_CLEAR(h->main);
    Py_CLEAR(h->greenlet);
    Py_CLEAR(h->alive);
    Py_CLEAR(h->main_waiter);
    Py_CLEAR(h->current);
    Py_CLEAR(h->handed);
    return 0; /* the poller never refers back */
}

static void hub_dealloc(PyObject *self)
{
    HubObject *h = (HubObject *)self;
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    ext_rechecks_clear(&h->rechecks);
    hub_clear(self);
    Py_CLEAR(h->poller);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyObject *current_poller(HubObject *h)
{
    EXT_LOCK(h);
    PyObject *poller = h->poller;
    Py_XINCREF(poller);
    EXT_UNLOCK(h);
    if (!poller)
        PyErr_SetString(PyExc_RuntimeError, "Hub.__init__ was not called");
    return poller;
}

/* In another thread the one that there is, closed or not. */
static PyObject *hub_poller(PyObject *self, void *unused)
{
    HubObject *h = (HubObject *)self;

    (void)unused;
    if (ext_hub() == h && !h->finished && !ext_hub_poller(h))
        return NULL;
    return current_poller(h);
}

static PyObject *hub_greenlet(PyObject *self, void *unused)
{
    PyObject *greenlet = ((HubObject *)self)->greenlet;

    (void)unused;
    if (!greenlet) /* it has ended */
        Py_RETURN_NONE;
    Py_INCREF(greenlet);
    return greenlet;
}

static PyObject *hub_alive(PyObject *self, void *unused)
{
    HubObject *h = (HubObject *)self;
    (void)unused;
    return PySet_New(h->alive);
}

static PyObject *hub_thread(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLong(((HubObject *)self)->thread);
}

static PyObject *hub_finished(PyObject *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(((HubObject *)self)->finished);
}

/* How many of a list of greenlets that were spawned do not run now; -1 with an exception set. */
static Py_ssize_t count_waiting(HubObject *h, PyObject *greenlets)
{
    Py_ssize_t n = 0;

    for (Py_ssize_t i = 0; i < PyList_Size(greenlets); i++) {
        WaiterObject *w = ext_find_waiter(h, PyList_GetItem(greenlets, i));
        if (!w)
            return -1;
        n += w->state == GREENLET_FRESH || w->state == GREENLET_PARKED;
        Py_DECREF(w);
    }
    return n;
}

/* hub_counts(hub) */
static PyObject *hub_counts(PyObject *self, PyObject *unused)
{
    HubObject *h = (HubObject *)self;
    PyObject *alive = PySequence_List(h->alive);
    Py_ssize_t waiting = alive ? count_waiting(h, alive) : -1;
    Py_ssize_t count = alive ? PyList_Size(alive) : -1;

    (void)unused;
    Py_XDECREF(alive);
    if (waiting < 0)
        return NULL;
    EXT_LOCK(h);
    size_t queued = h->queued;
    EXT_UNLOCK(h);
    return Py_BuildValue("nnn", count, waiting, (Py_ssize_t)queued);
}

/* hub_poller(hub) */
static PyObject *poller_as_it_is(PyObject *self, PyObject *unused)
{
    (void)unused;
    return current_poller((HubObject *)self);
}

/* Functions of the module: _engine.py describes them. */
static PyMethodDef internals[] = {
    {"hub_counts", hub_counts, METH_NOARGS, NULL},
    {"hub_poller", poller_as_it_is, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"poller", hub_poller, NULL, DOC_HubBase_poller, NULL},
    {"thread", hub_thread, NULL, DOC_HubBase_thread, NULL},
    {"greenlet", hub_greenlet, NULL, DOC_HubBase_greenlet, NULL},
    {"alive", hub_alive, NULL, DOC_HubBase_alive, NULL},
    {"finished", hub_finished, NULL, DOC_HubBase_finished, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, (void *)hub_new},
    {Py_tp_init, (void *)ext_hub_init},
    {Py_tp_call, (void *)ext_hub_call},
    {Py_tp_traverse, (void *)hub_traverse},
    {Py_tp_clear, (void *)hub_clear},
    {Py_tp_dealloc, (void *)hub_dealloc},
    {Py_tp_getset, properties},
    {Py_tp_doc, (void *)DOC_HubBase},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "netpoll._core.HubBase",
    .basicsize = sizeof(HubObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = slots,
};

/* current_hub(): the calling thread's, or None. */
static PyObject *current_hub(PyObject *module, PyObject *unused)
{
    HubObject *h = ext_hub();
    (void)module;
    (void)unused;
    if (!h)
        Py_RETURN_NONE;
    Py_INCREF(h);
    return (PyObject *)h;
}

/* get_hub(): the calling thread's, made if it has none. */
static PyObject *get_hub(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    PyObject *hub = (PyObject *)ext_make_hub();
    Py_XINCREF(hub);
    return hub;
}

static PyMethodDef functions[] = {
    {"current_hub", current_hub, METH_NOARGS, NULL},
    {"get_hub", get_hub, METH_NOARGS, DOC_get_hub},
    {"end_hub", ext_end_hub, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

int ext_add_hub_type(PyObject *module)
{
    PyObject *type = PyType_FromSpec(&spec);
    int rc = type ? PyModule_AddObjectRef(module, "HubBase", type) : -1;
    if (rc == 0)
        rc = ext_add_internals(module, (PyTypeObject *)type, internals);
    Py_XDECREF(type);
    return rc < 0 ? rc : PyModule_AddFunctions(module, functions);
}
