/* `__exit__` of a lock, and of a condition that has one of ours, from CPython 3.14 on.
 *
 * There a signal handler may run, and raise, between `__enter__` and the block of a `with`: the
 * lock is taken, and `__exit__` is not called any more.  But it was looked up before `__enter__`
 * ran, and is dropped when the `with` is left so.  So what is looked up notes how often the lock is
 * the caller's; when it is dropped, that is so again.
 */
#include "sync.h"

typedef struct LeavingObject {
    PyObject_HEAD
    PyObject *method; /* of the type's attribute: what `__exit__` was; else NULL */
    LockObject *lock; /* of what was looked up; else NULL */
    unsigned long depth;
} LeavingObject;

static PyTypeObject *leaving_type;

static unsigned long depth_of(const LockObject *lock)
{
    return lock->owner == ext_current_id() ? lock->depth : 0;
}

static PyObject *make(PyObject *method, LockObject *lock)
{
    LeavingObject *l = PyObject_GC_New(LeavingObject, leaving_type);

    if (l) {
        Py_XINCREF(method);
        Py_XINCREF(lock);
        l->method = method;
        l->lock = lock;
        l->depth = lock ? depth_of(lock) : 0;
        PyObject_GC_Track(l);
    }
    return (PyObject *)l;
}

static PyObject *leaving_get(PyObject *self, PyObject *object, PyObject *type)
{
    PyObject *method = ((LeavingObject *)self)->method;
    LockObject *lock = object ? ext_lock_of(object) : NULL;

    if (lock)
        return make(NULL, lock);
    if (object)
        return PyObject_CallMethod(method, "__get__", "OO", object, type ? type : Py_None);
    Py_INCREF(method);
    return method;
}

/* What ended the block says nothing to a lock. */
static PyObject *leaving_call(PyObject *self, PyObject *args, PyObject *kwargs)
{
    LeavingObject *l = (LeavingObject *)self;
    return l->lock ? ext_lock_exit((PyObject *)l->lock) : PyObject_Call(l->method, args, kwargs);
}

static int leaving_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((LeavingObject *)self)->method);
    Py_VISIT(((LeavingObject *)self)->lock);
    return 0;
}

static void leaving_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    LeavingObject *l = (LeavingObject *)self;

    PyObject_GC_UnTrack(self);
    if (l->lock && depth_of(l->lock) > l->depth)
        ext_lock_restore(l->lock, l->depth);
    Py_XDECREF(l->lock);
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

int ext_guard_with(PyObject *type)
{
    PyObject *version = PySys_GetObject("hexversion"); /* borrowed */

    if (!version || PyLong_AsUnsignedLong(version) < 0x030e0000)
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
