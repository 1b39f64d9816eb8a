/* SimpleQueue: that of `queue`, an unbounded FIFO queue.  A ring has the items, and a semaphore a
 * unit for each of them. */
#include "bind.h"
#include "sync.h"

#include "docs_made.h"

typedef struct QueueObject {
    PyObject_HEAD
    EXT_MUTEX        /* guards the ring, and is held until the unit of an item is there */
    np_sema items;   /* units: items that are nobody's yet */
    PyObject **ring; /* references */
    size_t room, head, count;
    PyObject *weakrefs;
} QueueObject;

enum { FIRST_ROOM = 16 };

/* --- the ring: the mutex is held ------------------------------------------------------------- */

static bool grow(QueueObject *q)
{
    size_t room = q->room ? 2 * q->room : FIRST_ROOM;
    PyObject **ring = PyMem_Malloc(room * sizeof *ring);

    if (!ring)
        return false;
    for (size_t i = 0; i < q->count; i++)
        ring[i] = q->ring[(q->head + i) % q->room];
    PyMem_Free(q->ring);
    q->ring = ring;
    q->room = room;
    q->head = 0;
    return true;
}

static bool append(QueueObject *q, PyObject *item)
{
    if (q->count == q->room && !grow(q))
        return false;
    Py_INCREF(item);
    q->ring[(q->head + q->count++) % q->room] = item;
    return true;
}

static PyObject *take_first(QueueObject *q)
{
    PyObject *item = q->ring[q->head];
    q->head = (q->head + 1) % q->room;
    q->count--;
    return item;
}

/* --- put ------------------------------------------------------------------------------------- */

static PyObject *put(QueueObject *q, PyObject *item)
{
    EXT_LOCK(q);
    bool appended = append(q, item);
    if (appended)
        np_sema_release(&q->items, 1);
    EXT_UNLOCK(q);
    if (!appended)
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

/* It never waits, so block and timeout mean nothing: they are Queue's. */
static PyObject *queue_put(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    static const ext_signature s = {"put", 1, 3, {"item", "block", "timeout"}};
    PyObject *given[3];

    return ext_arguments(&s, args, n, names, given) ? put((QueueObject *)self, given[0]) : NULL;
}

static PyObject *queue_put_nowait(PyObject *self, PyObject *const *args, Py_ssize_t n,
                                  PyObject *names)
{
    static const ext_signature s = {"put_nowait", 1, 1, {"item"}};
    PyObject *item;

    return ext_arguments(&s, args, n, names, &item) ? put((QueueObject *)self, item) : NULL;
}

/* --- get ------------------------------------------------------------------------------------- */

static bool get_limit(PyObject *block, PyObject *timeout, int64_t *until)
{
    int may_wait = block ? PyObject_IsTrue(block) : 1;

    *until = 0;
    if (may_wait <= 0)
        return may_wait == 0;
    if (!timeout || timeout == Py_None) {
        *until = NP_NEVER;
        return true;
    }
    double seconds = PyFloat_AsDouble(timeout);
    if (seconds == -1 && PyErr_Occurred())
        return false;
    if (seconds < 0) {
        PyErr_SetString(PyExc_ValueError, "'timeout' must be a non-negative number");
        return false;
    }
    return ext_instant(timeout, until);
}

/* The unit that was acquired is for one item, whichever it is. */
static PyObject *get(QueueObject *q, int64_t until)
{
    int rc = ext_acquire_in_turn(&q->items, until, "queue");
    if (rc == NP_AGAIN || rc == NP_TIMEOUT) {
        PyErr_SetNone(ext_bound.queue_empty);
        return NULL;
    }
    if (rc != NP_OK)
        return rc == EXT_RAISED ? NULL : ext_raise_poller(rc, "queue");
    EXT_LOCK(q);
    PyObject *item = take_first(q);
    EXT_UNLOCK(q);
    return item;
}

static PyObject *queue_get(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    static const ext_signature s = {"get", 0, 2, {"block", "timeout"}};
    PyObject *given[2];
    int64_t until;

    if (!ext_arguments(&s, args, n, names, given) || !get_limit(given[0], given[1], &until))
        return NULL;
    return get((QueueObject *)self, until);
}

static PyObject *queue_get_nowait(PyObject *self, PyObject *unused)
{
    (void)unused;
    return get((QueueObject *)self, 0);
}

static PyObject *queue_qsize(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyLong_FromSize_t(((QueueObject *)self)->count);
}

static PyObject *queue_empty(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(((QueueObject *)self)->count == 0);
}

/* --- the type -------------------------------------------------------------------------------- */

static PyObject *queue_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {NULL};

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, ":SimpleQueue", names))
        return NULL;
    return PyType_GenericAlloc(type, 0);
}

static int queue_traverse(PyObject *self, visitproc visit, void *arg)
{
    const QueueObject *q = (const QueueObject *)self;

    for (size_t i = 0; i < q->count; i++)
        Py_VISIT(q->ring[(q->head + i) % q->room]);
    Py_VISIT(Py_TYPE(self));
    return 0;
}

/* Each item with its unit; what waits here keeps the queue from this. */
static int queue_clear(PyObject *self)
{
    QueueObject *q = (QueueObject *)self;

    while (np_sema_try(&q->items) == NP_OK)
        Py_DECREF(take_first(q));
    return 0;
}

static void queue_dealloc(PyObject *self)
{
    QueueObject *q = (QueueObject *)self;
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    if (q->weakrefs)
        PyObject_ClearWeakRefs(self);
    queue_clear(self);
    PyMem_Free(q->ring);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"put", EXT_FUNCTION(queue_put), METH_FASTCALL | METH_KEYWORDS, DOC_SimpleQueue_put},
    {"put_nowait", EXT_FUNCTION(queue_put_nowait), METH_FASTCALL | METH_KEYWORDS,
     DOC_SimpleQueue_put_nowait},
    {"get", EXT_FUNCTION(queue_get), METH_FASTCALL | METH_KEYWORDS, DOC_SimpleQueue_get},
    {"get_nowait", queue_get_nowait, METH_NOARGS, DOC_SimpleQueue_get_nowait},
    {"qsize", queue_qsize, METH_NOARGS, DOC_SimpleQueue_qsize},
    {"empty", queue_empty, METH_NOARGS, DOC_SimpleQueue_empty},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(QueueObject, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, (void *)queue_new},
    {Py_tp_traverse, (void *)queue_traverse},
    {Py_tp_clear, (void *)queue_clear},
    {Py_tp_dealloc, (void *)queue_dealloc},
    {Py_tp_doc, (void *)DOC_SimpleQueue},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "netpoll.sync.SimpleQueue",
    .basicsize = sizeof(QueueObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = slots,
};

int ext_add_queue_type(PyObject *module)
{
    PyObject *type = PyType_FromSpec(&spec);
    int rc = type ? PyModule_AddObjectRef(module, "SimpleQueue", type) : -1;
    Py_XDECREF(type);
    return rc;
}
