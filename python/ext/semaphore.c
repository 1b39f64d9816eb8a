/* SemaphoreBase: the counters of `threading`. */
#include "sync.h"

#include "docs_made.h"

typedef struct SemaphoreObject {
    BlockObject block;
    np_sema units;
    uint32_t limit; /* that are free at a time */
    bool bounded;   /* a release that would exceed it is wrong, and not only too much */
} SemaphoreObject;

static PyTypeObject *semaphore_type;

bool ext_is_semaphore(PyObject *object)
{
    return PyObject_TypeCheck(object, semaphore_type);
}

enum { MOST_UNITS = 1 << 28 }; /* more could overflow in the core's word */

/* --- acquiring ------------------------------------------------------------------------------- */

static PyObject *acquire(SemaphoreObject *s, int64_t until)
{
    return ext_acquired(ext_acquire_in_turn(&s->units, until, "semaphore"), "semaphore");
}

static PyObject *semaphore_acquire(PyObject *self, PyObject *const *args, Py_ssize_t n,
                                   PyObject *names)
{
    static const ext_signature s = {"acquire", 0, 2, {"blocking", "timeout"}};
    PyObject *given[2];
    int64_t until = 0;

    if (!ext_arguments(&s, args, n, names, given))
        return NULL;
    int may_wait = given[0] ? PyObject_IsTrue(given[0]) : 1;
    if (may_wait < 0)
        return NULL;
    if (!may_wait && given[1] && given[1] != Py_None)
        return PyErr_Format(PyExc_ValueError, "can't specify timeout for non-blocking acquire");
    if (may_wait && !ext_instant(given[1], &until))
        return NULL;
    return acquire((SemaphoreObject *)self, until);
}

static PyObject *semaphore_enter(PyObject *self, PyObject *unused)
{
    LeavingObject *block = ext_entering((BlockObject *)self);

    (void)unused;
    return ext_entered(block, acquire((SemaphoreObject *)self, NP_NEVER));
}

/* --- releasing ------------------------------------------------------------------------------- */

static PyObject *release(SemaphoreObject *s, Py_ssize_t n)
{
    if (n < 1)
        return PyErr_Format(PyExc_ValueError, "n must be one or more");
    if (n <= MOST_UNITS && np_sema_release_within(&s->units, (uint32_t)n, s->limit) == NP_OK)
        Py_RETURN_NONE;
    return PyErr_Format(s->bounded ? PyExc_ValueError : PyExc_OverflowError,
                        "Semaphore released too many times");
}

static PyObject *semaphore_release(PyObject *self, PyObject *const *args, Py_ssize_t n,
                                   PyObject *names)
{
    static const ext_signature s = {"release", 0, 1, {"n"}};
    PyObject *given;
    Py_ssize_t count = 1;

    if (!ext_arguments(&s, args, n, names, &given))
        return NULL;
    if (given && (count = PyNumber_AsSsize_t(given, NULL)) == -1 && PyErr_Occurred())
        return NULL;
    return release((SemaphoreObject *)self, count);
}

PyObject *ext_semaphore_exit(PyObject *semaphore)
{
    return release((SemaphoreObject *)semaphore, 1);
}

static PyObject *exit_method(PyObject *self, PyObject *unused)
{
    (void)unused;
    return ext_semaphore_exit(self);
}

/* --- the type -------------------------------------------------------------------------------- */

static int semaphore_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"value", "bounded", NULL};
    SemaphoreObject *s = (SemaphoreObject *)self;
    Py_ssize_t value;
    int bounded;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "np:Semaphore", names, &value, &bounded))
        return -1;
    if (value < 0 || value > MOST_UNITS) {
        PyErr_SetString(PyExc_ValueError, value < 0 ? "semaphore initial value must be >= 0"
                                                    : "semaphore initial value is too large");
        return -1;
    }
    np_sema_init(&s->units, (uint32_t)value);
    s->limit = bounded ? (uint32_t)value : MOST_UNITS;
    s->bounded = bounded;
    return 0;
}

static void semaphore_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyObject *semaphore_value(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLong(np_sema_count(&((SemaphoreObject *)self)->units));
}

static PyMethodDef methods[] = {
    {"acquire", EXT_FUNCTION(semaphore_acquire), METH_FASTCALL | METH_KEYWORDS,
     DOC_SemaphoreBase_acquire},
    {"release", EXT_FUNCTION(semaphore_release), METH_FASTCALL | METH_KEYWORDS,
     DOC_SemaphoreBase_release},
    {"__enter__", semaphore_enter, METH_NOARGS, NULL},
    {"__exit__", exit_method, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"_value", semaphore_value, NULL, NULL, NULL}, /* as the standard one has it */
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_init, (void *)semaphore_init},
    {Py_tp_dealloc, (void *)semaphore_dealloc},
    {Py_tp_doc, (void *)DOC_SemaphoreBase},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "netpoll._core.SemaphoreBase",
    .basicsize = sizeof(SemaphoreObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = slots,
};

int ext_add_semaphore_type(PyObject *module)
{
    semaphore_type = (PyTypeObject *)PyType_FromSpec(&spec);
    PyObject *type = (PyObject *)semaphore_type;
    return !type || PyModule_AddObjectRef(module, "SemaphoreBase", type) < 0 ? -1
                                                                             : ext_guard_with(type);
}
