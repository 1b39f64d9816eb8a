/* The type Sema: an np_sema for Python, at which threads, greenlets and tokens wait alike. */
#include "sema.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "docs_made.h"
#include "wait.h"

/* More could overflow in the core's word. */
enum { MAX_UNITS = 1 << 28 };

/* --- arguments ------------------------------------------------------------------------------- */

static bool units_of(PyObject *arg, Py_ssize_t min, uint32_t *units)
{
    Py_ssize_t n = PyNumber_AsSsize_t(arg, NULL); /* clipped */
    if (n == -1 && PyErr_Occurred())
        return false;
    if (n < min || n > MAX_UNITS) {
        PyErr_Format(PyExc_ValueError, "units are %zd to %d, not %R", min, (int)MAX_UNITS, arg);
        return false;
    }
    *units = (uint32_t)n;
    return true;
}

bool ext_instant(PyObject *arg, int64_t *when)
{
    int64_t ns;

    if (!ext_timeout(NULL, arg ? arg : Py_None, NP_NEVER, &ns))
        return false;
    *when = ns == 0 ? 0 : ext_instant_after(ns);
    return true;
}

void ext_set_what(char what[NP_WHAT_SIZE], const char *name)
{
    strncpy(what, name ? name : "", NP_WHAT_SIZE - 1);
}

const char *ext_what(const char what[NP_WHAT_SIZE])
{
    return what[0] ? what : NULL;
}

/* --- acquiring ------------------------------------------------------------------------------- */

static PyObject *sema_acquire(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    static const ext_signature signature = {"acquire", 0, 1, {"timeout"}};
    SemaObject *s = (SemaObject *)self;
    PyObject *timeout;
    int64_t until;

    if (!ext_arguments(&signature, args, n, names, &timeout) || !ext_instant(timeout, &until))
        return NULL;
    return ext_acquired(ext_acquire_in_turn(&s->sema, until, ext_what(s->what)), "acquire");
}

static PyObject *sema_try_acquire(PyObject *self, PyObject *unused)
{
    (void)unused;
    return ext_acquired(ext_acquire_in_turn(&((SemaObject *)self)->sema, 0, NULL), "acquire");
}

static PyObject *sema_park(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    static const ext_signature s = {"park", 2, 3, {"poller", "token", "timeout"}};
    PyObject *given[3];
    int64_t until;

    if (!ext_arguments(&s, args, n, names, given) || !ext_instant(given[2], &until))
        return NULL;
    return ext_park_at_sema((SemaObject *)self, given[0], given[1], until);
}

/* --- releasing ------------------------------------------------------------------------------- */

static PyObject *sema_release(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    static const ext_signature signature = {"release", 0, 1, {"n"}};
    SemaObject *s = (SemaObject *)self;
    PyObject *given;
    uint32_t units = 1;

    if (!ext_arguments(&signature, args, n, names, &given) ||
        (given && !units_of(given, 1, &units)))
        return NULL;
    if (np_sema_release_within(&s->sema, units, s->limit) == NP_OK)
        Py_RETURN_NONE;
    return PyErr_Format(PyExc_OverflowError, "more than %u units", (unsigned)s->limit);
}

static PyObject *sema_open(PyObject *self, PyObject *unused)
{
    (void)unused;
    np_sema_open(&((SemaObject *)self)->sema);
    Py_RETURN_NONE;
}

static PyObject *sema_reset(PyObject *self, PyObject *unused)
{
    (void)unused;
    np_sema_reset(&((SemaObject *)self)->sema);
    Py_RETURN_NONE;
}

static PyObject *sema_is_open(PyObject *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(np_sema_is_open(&((SemaObject *)self)->sema));
}

static PyObject *sema_units(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLong(np_sema_count(&((SemaObject *)self)->sema));
}

/* --- the type -------------------------------------------------------------------------------- */

static PyObject *sema_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"units", "name", "limit", NULL};
    PyObject *number = NULL, *most = Py_None;
    const char *name = NULL;
    uint32_t units = 0, limit = MAX_UNITS;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O$zO:Sema", names, &number, &name, &most) ||
        (number && !units_of(number, 0, &units)) ||
        (most != Py_None && !units_of(most, units, &limit)))
        return NULL;
    SemaObject *s = (SemaObject *)PyType_GenericAlloc(type, 0);
    if (s) {
        np_sema_init(&s->sema, units);
        s->limit = limit;
        ext_set_what(s->what, name);
    }
    return (PyObject *)s;
}

static void sema_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

/* The address is that of a dump, written as there: Python's "%p" has capitals and zeros on Windows.
 */
static PyObject *sema_repr(PyObject *self)
{
    SemaObject *s = (SemaObject *)self;
    const char *space = s->what[0] ? " " : "";
    char where[2 * sizeof(uintptr_t) + 3];
    snprintf(where, sizeof where, "0x%" PRIxPTR, (uintptr_t)&s->sema);
    if (np_sema_is_open(&s->sema))
        return PyUnicode_FromFormat("<netpoll.Sema%s%s at %s, open>", space, s->what, where);
    return PyUnicode_FromFormat("<netpoll.Sema%s%s at %s, %u units>", space, s->what, where,
                                (unsigned)np_sema_count(&s->sema));
}

static PyMethodDef methods[] = {
    {"try_acquire", sema_try_acquire, METH_NOARGS, DOC_Sema_try_acquire},
    {"acquire", EXT_FUNCTION(sema_acquire), METH_FASTCALL | METH_KEYWORDS, DOC_Sema_acquire},
    {"park", EXT_FUNCTION(sema_park), METH_FASTCALL | METH_KEYWORDS, DOC_Sema_park},
    {"release", EXT_FUNCTION(sema_release), METH_FASTCALL | METH_KEYWORDS, DOC_Sema_release},
    {"open", sema_open, METH_NOARGS, DOC_Sema_open},
    {"reset", sema_reset, METH_NOARGS, DOC_Sema_reset},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"is_open", sema_is_open, NULL, DOC_Sema_is_open, NULL},
    {"units", sema_units, NULL, DOC_Sema_units, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, (void *)sema_new},
    {Py_tp_dealloc, (void *)sema_dealloc},
    {Py_tp_repr, (void *)sema_repr},
    {Py_tp_doc, (void *)DOC_Sema},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "netpoll._core.Sema",
    .basicsize = sizeof(SemaObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = slots,
};

int ext_add_sema_type(PyObject *module)
{
    PyObject *type = PyType_FromSpec(&spec);
    int rc = type ? PyModule_AddObjectRef(module, "Sema", type) : -1;
    Py_XDECREF(type);
    return rc;
}
