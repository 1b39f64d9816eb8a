/* `__exit__` of a lock or a semaphore, and of a condition with one of our locks, from CPython 3.14
 * on.
 *
 * There a signal handler may run, and raise, between `__enter__` and the block of a `with`: what
 * was acquired is held, and `__exit__` is not called any more.  But it was looked up before
 * `__enter__` ran, and is dropped when the `with` is left so.  So `__enter__` notes in what was
 * looked up that the block is entered, and that releases what was acquired when it is called, or
 * else dropped.
 */
#include "sync.h"

struct LeavingObject {
    PyObject_HEAD
    PyObject *method;            /* of the type's attribute: what `__exit__` was; else NULL */
    BlockObject *object;         /* of what was looked up; else NULL */
    LeavingObject *next, **link; /* in the object's `begun`, until `__enter__` takes it out */
    uintptr_t who;               /* looked it up */
    EXT_SHARED(bool) entered;
};

static PyTypeObject *leaving_type;

static PyObject *make(PyObject *method, BlockObject *object)
{
    LeavingObject *l = PyObject_GC_New(LeavingObject, leaving_type);

    if (l) {
        Py_XINCREF(method);
        Py_XINCREF((PyObject *)object);
        l->method = method;
        l->object = object;
        l->link = NULL;
        l->who = ext_current_id();
        l->entered = false;
        EXT_MAY_TRY_INCREF(l);
        PyObject_GC_Track(l);
    }
    return (PyObject *)l;
}

/* --- those that have begun ------------------------------------------------------------------- */

static void begin(LeavingObject *l)
{
    BlockObject *o = l->object;

    EXT_LOCK(o);
    l->next = o->begun;
    l->link = &o->begun;
    if (l->next)
        l->next->link = &l->next;
    o->begun = l;
    EXT_UNLOCK(o);
}

static void take_out_locked(LeavingObject *l)
{
    if (!l->link)
        return;
    *l->link = l->next;
    if (l->next)
        l->next->link = l->link;
    l->link = NULL;
}

/* The last is the innermost. */
LeavingObject *ext_entering(BlockObject *o)
{
    EXT_LOCK(o);
    LeavingObject *l = o->begun;
    while (l && (l->who != ext_current_id() || !EXT_TRY_INCREF(l)))
        l = l->next;
    if (l)
        take_out_locked(l);
    EXT_UNLOCK(o);
    return l;
}

PyObject *ext_entered(LeavingObject *l, PyObject *acquired)
{
    if (l && acquired)
        l->entered = true;
    Py_XDECREF((PyObject *)l);
    return acquired;
}

/* --- the attribute, and what is looked up ---------------------------------------------------- */

static BlockObject *block_of(PyObject *object)
{
    return ext_is_semaphore(object) ? (BlockObject *)object : (BlockObject *)ext_lock_of(object);
}

static PyObject *leaving_get(PyObject *self, PyObject *object, PyObject *type)
{
    PyObject *method = ((LeavingObject *)self)->method;
    BlockObject *o = object ? block_of(object) : NULL;

    if (o) {
        PyObject *leaving = make(NULL, o);
        if (leaving)
            begin((LeavingObject *)leaving);
        return leaving;
    }
    if (object)
        return PyObject_CallMethod(method, "__get__", "OO", object, type ? type : Py_None);
    Py_INCREF(method);
    return method;
}

static PyObject *leave(LeavingObject *l)
{
    PyObject *object = (PyObject *)l->object;

    l->entered = false;
    return ext_is_semaphore(object) ? ext_semaphore_exit(object) : ext_lock_exit(object);
}

/* What ended the block says nothing to a lock. */
static PyObject *leaving_call(PyObject *self, PyObject *args, PyObject *kwargs)
{
    LeavingObject *l = (LeavingObject *)self;
    return l->object ? leave(l) : PyObject_Call(l->method, args, kwargs);
}

static int leaving_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((LeavingObject *)self)->method);
    Py_VISIT((PyObject *)((LeavingObject *)self)->object);
    return 0;
}

/* Whoever has released it meanwhile has done it: that is no error. */
static void leave_dropped(LeavingObject *l)
{
    PyObject *type, *value, *traceback;

    PyErr_Fetch(&type, &value, &traceback);
    Py_XDECREF(leave(l));
    PyErr_Restore(type, value, traceback);
}

static void leaving_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    LeavingObject *l = (LeavingObject *)self;

    PyObject_GC_UnTrack(self);
    if (l->object) {
        EXT_LOCK(l->object);
        take_out_locked(l);
        EXT_UNLOCK(l->object);
        if (l->entered)
            leave_dropped(l);
    }
    Py_XDECREF((PyObject *)l->object);
    Py_XDECREF(l->method);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

static PyType_Slot slots[] = {
    {Py_tp_descr_get, (void *)leaving_get},
    {Py_tp_call, (void *)leaving_call},
    {Py_tp_traverse, (void *)leaving_traverse},
    {Py_tp_dealloc, (void *)leaving_dealloc},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "netpoll._core.Leaving",
    .basicsize = sizeof(LeavingObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = slots,
};

bool ext_python_is(unsigned long least)
{
    PyObject *version = PySys_GetObject("hexversion"); /* borrowed */
    return version && PyLong_AsUnsignedLong(version) >= least;
}

int ext_guard_with(PyObject *type)
{
    if (!ext_python_is(0x030e0000))
        return 0;
    if (!leaving_type && !(leaving_type = (PyTypeObject *)PyType_FromSpec(&spec)))
        return -1;
    PyObject *method = PyObject_GetAttrString(type, "__exit__");
    PyObject *leaving = method ? make(method, NULL) : NULL;
    int rc = leaving ? PyObject_SetAttrString(type, "__exit__", leaving) : -1;
    Py_XDECREF(leaving);
    Py_XDECREF(method);
    return rc;
}
