/* How a PollDesc begins: Poller.open, and around what was opened in C. */
#include "bind.h"
#include "desc.h"

#include <limits.h>

static void link_to(PollerObject *p, DescObject *d)
{
    EXT_LOCK(p);
    d->next = p->descs;
    d->link = &p->descs;
    if (d->next)
        d->next->link = &d->next;
    p->descs = d;
    EXT_UNLOCK(p);
}

void ext_desc_unlink(DescObject *d)
{
    if (!d->poller)
        return;
    EXT_LOCK((PollerObject *)d->poller);
    *d->link = d->next;
    if (d->next)
        d->next->link = d->link;
    EXT_UNLOCK((PollerObject *)d->poller);
}

/* NP_BUSY: it is open already. */
static int open_once(PollerObject *p, DescObject *d, np_fd fd)
{
    np_desc *desc = NULL;
    int rc = NP_BUSY;

    EXT_LOCK(d);
    if (!d->desc && (rc = np_open(p->poller, fd, &desc)) == NP_OK) {
        Py_INCREF(p);
        d->poller = (PyObject *)p;
        d->desc = desc; /* last: a thread that sees it sees the rest */
    }
    EXT_UNLOCK(d);
    return rc;
}

static int open_on(DescObject *d, PyObject *poller, PyObject *number)
{
    PollerObject *p = ext_poller(poller);
    np_fd fd;

    if (!p || !ext_fd(number, &fd))
        return -1;
    int rc = open_once(p, d, fd);
    if (rc != NP_OK) {
        if (rc == NP_BUSY)
            PyErr_SetString(PyExc_RuntimeError, "a PollDesc is opened once");
        else
            ext_raise_fd(rc, (long long)fd);
        return -1;
    }
    link_to(p, d);
    return 0;
}

int ext_desc_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"poller", "fd", NULL};
    PyObject *poller, *number;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO:PollDesc", names, &poller, &number))
        return -1;
    return open_on((DescObject *)self, poller, number);
}

/* A new PollDesc, without a call of the class unless what that does was changed (by the debug
 * mode). */
static PyObject *new_desc(PyObject *poller, PyObject *number)
{
    PyTypeObject *type = (PyTypeObject *)ext_bound.desc_class;
    if (PyType_GetSlot(type, Py_tp_init) != (void *)ext_desc_init)
        return PyObject_CallFunctionObjArgs(ext_bound.desc_class, poller, number, NULL);
    PyObject *desc = PyType_GenericAlloc(type, 0);
    if (desc && open_on((DescObject *)desc, poller, number) < 0)
        Py_CLEAR(desc);
    return desc;
}

static bool is_small(PyObject *number)
{
    int overflow;
    long v = PyLong_AsLongAndOverflow(number, &overflow);
    return !overflow && v >= 0 && v <= INT_MAX;
}

PyObject *ext_open(PyObject *poller, PyObject *file)
{
    if (PyLong_CheckExact(file) && is_small(file))
        return new_desc(poller, file);
    PyObject *number = PyObject_CallFunctionObjArgs(ext_bound.descriptor_number, file, NULL);
    PyObject *desc = number ? new_desc(poller, number) : NULL;
    Py_XDECREF(number);
    return desc;
}

/* desc_adopt(desc, poller, address): instead of __init__, for a descriptor that was opened in C. */
PyObject *ext_desc_adopt(PyObject *self, PyObject *args)
{
    DescObject *d = (DescObject *)self;
    PyObject *poller, *address;

    if (!PyArg_ParseTuple(args, "OO:desc_adopt", &poller, &address))
        return NULL;
    PollerObject *p = ext_poller(poller);
    np_desc *desc = PyLong_AsVoidPtr(address);
    if (!p || !desc || d->desc)
        return PyErr_Occurred() ? NULL
                                : PyErr_Format(PyExc_RuntimeError, "a PollDesc is made once");
    np_desc_ref(desc);
    Py_INCREF(poller);
    d->poller = poller;
    d->desc = desc; /* last: a thread that sees it sees the rest */
    link_to(p, d);
    Py_RETURN_NONE;
}
