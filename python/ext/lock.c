/* Lock and RLock: those of `threading`, for threads and greenlets alike. */
#include "sync.h"

#include <math.h>

#include "docs_made.h"

static PyTypeObject *lock_type, *rlock_type;

bool ext_is_lock(PyObject *object)
{
    return Py_IS_TYPE(object, lock_type);
}

bool ext_is_rlock(PyObject *object)
{
    return PyObject_TypeCheck(object, rlock_type);
}

/* --- limits ---------------------------------------------------------------------------------- */

static bool refuse(PyObject *kind, const char *why)
{
    PyErr_SetString(kind, why);
    return false;
}

static bool timeout_limit(double seconds, int64_t *until)
{
    double ns = seconds * 1e9;

    if (ns != ns)
        return refuse(PyExc_ValueError, "the timeout is NaN");
    if (ns < 0)
        return refuse(PyExc_ValueError, "timeout value must be a non-negative number");
    if (ns >= (double)INT64_MAX)
        return refuse(PyExc_OverflowError, "timeout value is too large");
    /* Rounded up, so that nothing is early. */
    *until = ns == 0 ? 0 : ext_instant_after((int64_t)ceil(ns));
    return true;
}

bool ext_lock_limit(PyObject *blocking, PyObject *timeout, int64_t *until)
{
    int may_wait = blocking ? PyObject_IsTrue(blocking) : 1;
    double seconds = timeout ? PyFloat_AsDouble(timeout) : -1;

    if (may_wait < 0 || (seconds == -1 && PyErr_Occurred()))
        return false;
    *until = may_wait ? NP_NEVER : 0;
    if (seconds == -1)
        return true;
    return may_wait ? timeout_limit(seconds, until)
                    : refuse(PyExc_ValueError, "can't specify a timeout for a non-blocking call");
}

/* --- acquiring ------------------------------------------------------------------------------- */

int ext_acquire_anyway(np_sema *s, const char *what, bool *acquired)
{
    PyObject *type = NULL, *value = NULL, *traceback = NULL;
    int rc, exits = 0;

    while ((rc = ext_acquire(s, NP_NEVER, what)) == EXT_RAISED) {
        Py_XDECREF(type);
        Py_XDECREF(value);
        Py_XDECREF(traceback);
        PyErr_Fetch(&type, &value, &traceback);
        if (ext_hub() && ext_hub()->finished && ++exits >= EXT_MAX_EXITS)
            break;
    }
    *acquired = rc == NP_OK;
    if (rc < 0 && !type)
        ext_raise_poller(rc, what);
    if (type)
        PyErr_Restore(type, value, traceback);
    return type || rc < 0 ? -1 : 0;
}

static bool limit_of(PyObject *const *args, Py_ssize_t n, PyObject *names, int64_t *until)
{
    static const ext_signature s = {"acquire", 0, 2, {"blocking", "timeout"}};
    PyObject *given[2];

    *until = NP_NEVER;
    return (n == 0 && !names) ||
           (ext_arguments(&s, args, n, names, given) && ext_lock_limit(given[0], given[1], until));
}

static PyObject *acquire(LockObject *lock, int64_t until)
{
    return ext_acquired(ext_acquire_in_turn(&lock->free, until, "lock"), "lock");
}

static PyObject *lock_acquire(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    int64_t until;

    if (!limit_of(args, n, names, &until))
        return NULL;
    return acquire((LockObject *)self, until);
}

static PyObject *lock_enter(PyObject *self, PyObject *unused)
{
    LeavingObject *block = ext_entering((BlockObject *)self);

    (void)unused;
    return ext_entered(block, acquire((LockObject *)self, NP_NEVER));
}

/* It stays the owner's while this is written: nothing runs between the unit and the owner. */
static int acquire_again(LockObject *lock, int64_t until)
{
    uintptr_t me = ext_current_id();

    if (lock->owner == me) {
        lock->depth++;
        return NP_OK;
    }
    int rc = ext_acquire_in_turn(&lock->free, until, "lock");
    if (rc == NP_OK) {
        lock->owner = me;
        lock->depth = 1;
    }
    return rc;
}

static PyObject *rlock_acquire(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    int64_t until;

    if (!limit_of(args, n, names, &until))
        return NULL;
    return ext_acquired(acquire_again((LockObject *)self, until), "lock");
}

static PyObject *rlock_enter(PyObject *self, PyObject *unused)
{
    LeavingObject *block = ext_entering((BlockObject *)self);
    int rc = acquire_again((LockObject *)self, NP_NEVER);

    (void)unused;
    return ext_entered(block, ext_acquired(rc, "lock"));
}

/* --- releasing ------------------------------------------------------------------------------- */

/* False: it is not locked. */
static bool disown(LockObject *lock)
{
    lock->owner = 0;
    lock->depth = 0;
    return np_sema_release_within(&lock->free, 1, 1) == NP_OK;
}

/* Of __exit__, too, whose arguments say nothing. */
static PyObject *lock_release(PyObject *self, PyObject *unused)
{
    (void)unused;
    if (disown((LockObject *)self))
        Py_RETURN_NONE;
    return PyErr_Format(PyExc_RuntimeError, "release unlocked lock");
}

static bool is_owned(const LockObject *lock)
{
    if (lock->owner == ext_current_id())
        return true;
    PyErr_SetString(PyExc_RuntimeError, "cannot release un-acquired lock");
    return false;
}

static PyObject *rlock_release(PyObject *self, PyObject *unused)
{
    LockObject *lock = (LockObject *)self;

    (void)unused;
    if (!is_owned(lock))
        return NULL;
    if (lock->depth > 1)
        lock->depth--;
    else
        disown(lock);
    Py_RETURN_NONE;
}

PyObject *ext_lock_enter(PyObject *lock)
{
    return ext_is_lock(lock) ? lock_enter(lock, NULL) : rlock_enter(lock, NULL);
}

PyObject *ext_lock_exit(PyObject *lock)
{
    return ext_is_lock(lock) ? lock_release(lock, NULL) : rlock_release(lock, NULL);
}

/* --- what `threading` calls ------------------------------------------------------------------ */

static PyObject *lock_locked(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(np_sema_count(&((LockObject *)self)->free) == 0);
}

/* In a forked child: whoever has it may be gone.  Greenlets of this thread may still wait. */
static PyObject *lock_at_fork_reinit(PyObject *self, PyObject *unused)
{
    (void)unused;
    disown((LockObject *)self);
    Py_RETURN_NONE;
}

static PyObject *rlock_is_owned(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(((LockObject *)self)->owner == ext_current_id());
}

static PyObject *rlock_recursion_count(PyObject *self, PyObject *unused)
{
    LockObject *lock = (LockObject *)self;
    (void)unused;
    return PyLong_FromUnsignedLong(lock->owner == ext_current_id() ? lock->depth : 0);
}

static PyObject *rlock_release_save(PyObject *self, PyObject *unused)
{
    LockObject *lock = (LockObject *)self;

    (void)unused;
    if (!is_owned(lock))
        return NULL;
    PyObject *depth = PyLong_FromUnsignedLong(lock->depth);
    if (depth)
        disown(lock);
    return depth;
}

static PyObject *rlock_acquire_restore(PyObject *self, PyObject *saved)
{
    LockObject *lock = (LockObject *)self;
    unsigned long depth = PyLong_AsUnsignedLong(saved);
    bool acquired;

    if (depth == (unsigned long)-1 && PyErr_Occurred())
        return NULL;
    int rc = ext_acquire_anyway(&lock->free, "lock", &acquired);
    if (acquired) {
        lock->owner = ext_current_id();
        lock->depth = depth;
    }
    if (rc < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* --- the types ------------------------------------------------------------------------------- */

static PyObject *lock_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    bool given = PyTuple_Size(args) > 0 || (kwargs && PyDict_Size(kwargs) > 0);

    if (given && (type == lock_type || (type == rlock_type && ext_python_is(0x030f0000))))
        return PyErr_Format(PyExc_TypeError, "%s() takes no arguments",
                            type == lock_type ? "Lock" : "RLock");
    PyObject *self = PyType_GenericAlloc(type, 0);
    if (self)
        np_sema_init(&((LockObject *)self)->free, 1);
    return self;
}

static void lock_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    if (((LockObject *)self)->weakrefs)
        PyObject_ClearWeakRefs(self);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static const char *state_of(const LockObject *lock)
{
    return np_sema_count(&lock->free) == 0 ? "locked" : "unlocked";
}

static PyObject *lock_repr(PyObject *self)
{
    const LockObject *lock = (LockObject *)self;
    return PyUnicode_FromFormat("<%s netpoll.Lock object at %p>", state_of(lock), self);
}

static PyObject *rlock_repr(PyObject *self)
{
    const LockObject *lock = (LockObject *)self;
    PyObject *kind = PyObject_GetAttrString((PyObject *)Py_TYPE(self), "__qualname__");
    PyObject *text =
        kind ? PyUnicode_FromFormat("<%s netpoll.%S object owner=%zu count=%lu at %p>",
                                    state_of(lock), kind, (size_t)lock->owner, lock->depth, self)
             : NULL;
    Py_XDECREF(kind);
    return text;
}

/* `__exit__` takes what ended the block, which says nothing here. */
#define RELEASE(function)                                                                          \
    {"release", function, METH_NOARGS, DOC_Lock_release},                                          \
    {                                                                                              \
        "__exit__", function, METH_VARARGS, NULL                                                   \
    }

static PyMethodDef lock_methods[] = {
    {"acquire", EXT_FUNCTION(lock_acquire), METH_FASTCALL | METH_KEYWORDS, DOC_Lock_acquire},
    {"locked", lock_locked, METH_NOARGS, DOC_Lock_locked},
    RELEASE(lock_release),
    {"__enter__", lock_enter, METH_NOARGS, NULL},
    {"_at_fork_reinit", lock_at_fork_reinit, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef rlock_methods[] = {
    {"acquire", EXT_FUNCTION(rlock_acquire), METH_FASTCALL | METH_KEYWORDS, DOC_RLock_acquire},
    {"locked", lock_locked, METH_NOARGS, DOC_Lock_locked},
    RELEASE(rlock_release),
    {"__enter__", rlock_enter, METH_NOARGS, NULL},
    {"_at_fork_reinit", lock_at_fork_reinit, METH_NOARGS, NULL},
    {"_is_owned", rlock_is_owned, METH_NOARGS, NULL},
    {"_recursion_count", rlock_recursion_count, METH_NOARGS, NULL},
    {"_release_save", rlock_release_save, METH_NOARGS, NULL},
    {"_acquire_restore", rlock_acquire_restore, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(LockObject, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot lock_slots[] = {
    {Py_tp_new, (void *)lock_new},
    {Py_tp_dealloc, (void *)lock_dealloc},
    {Py_tp_repr, (void *)lock_repr},
    {Py_tp_doc, (void *)DOC_Lock},
    {Py_tp_methods, lock_methods},
    {Py_tp_members, members},
    {0, NULL},
};

static PyType_Slot rlock_slots[] = {
    {Py_tp_new, (void *)lock_new},
    {Py_tp_dealloc, (void *)lock_dealloc},
    {Py_tp_repr, (void *)rlock_repr},
    {Py_tp_doc, (void *)DOC_RLock},
    {Py_tp_methods, rlock_methods},
    {Py_tp_members, members},
    {0, NULL},
};

static PyType_Spec lock_spec = {
    .name = "netpoll.sync.Lock",
    .basicsize = sizeof(LockObject),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = lock_slots,
};

static PyType_Spec rlock_spec = {
    .name = "netpoll.sync.RLock",
    .basicsize = sizeof(LockObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = rlock_slots,
};

/* get_ident() */
static PyObject *get_ident(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return PyLong_FromSize_t(ext_current_id());
}

static PyMethodDef functions[] = {
    {"get_ident", get_ident, METH_NOARGS, DOC_get_ident},
    {NULL, NULL, 0, NULL},
};

int ext_add_lock_types(PyObject *module)
{
    lock_type = (PyTypeObject *)PyType_FromSpec(&lock_spec);
    rlock_type = (PyTypeObject *)PyType_FromSpec(&rlock_spec);
    if (!lock_type || PyModule_AddObjectRef(module, "Lock", (PyObject *)lock_type) < 0 ||
        ext_guard_with((PyObject *)lock_type) < 0 || !rlock_type ||
        PyModule_AddObjectRef(module, "RLock", (PyObject *)rlock_type) < 0 ||
        ext_guard_with((PyObject *)rlock_type) < 0)
        return -1;
    return PyModule_AddFunctions(module, functions);
}
