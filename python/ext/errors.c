/* Results of the core as exceptions.  The exceptions, and their messages, are Python's: see
 * netpoll/_errors.py. */
#include <errno.h>

#include "bind.h"
#include "ext.h"

/* Raise the exception that a function of _errors.py returned; takes over the reference. */
static PyObject *raise_made(PyObject *error)
{
    if (error) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_DECREF(error);
    }
    return NULL;
}

static PyObject *raise_system(int number, const char *what)
{
    if (number == ENOMEM)
        return PyErr_NoMemory();
    return raise_made(PyObject_CallFunction(ext_bound.system_error, "is", number, what));
}

PyObject *ext_raise_of_fd(int rc, long long fd, int mode)
{
    switch (rc) {
    case NP_CLOSED:
        return raise_made(PyObject_CallFunction(ext_bound.closed, "L", fd));
    case NP_TIMEOUT:
        return raise_made(PyObject_CallFunction(ext_bound.deadline_exceeded, "Li", fd, mode));
    case NP_NOT_POLLABLE:
        return raise_made(PyObject_CallFunction(ext_bound.not_pollable, "L", fd));
    case NP_BUSY:
        return raise_made(PyObject_CallFunction(ext_bound.busy, "Li", fd, mode));
    default:
        return ext_raise_fd(rc, fd);
    }
}

PyObject *ext_raise(const DescObject *d, int mode, int rc)
{
    return ext_raise_of_fd(rc, (long long)np_desc_fd(d->desc), mode);
}

PyObject *ext_raise_poller(int rc, const char *what)
{
    if (rc == NP_CLOSED)
        return raise_made(PyObject_CallFunction(ext_bound.poller_closed, NULL));
    return raise_system(-rc, what);
}

PyObject *ext_raise_fd(int rc, long long fd)
{
    char what[64];

    if (rc == NP_CLOSED)
        return raise_made(PyObject_CallFunction(ext_bound.poller_closed, "L", fd));
    if (rc == -EPERM)
        return raise_made(PyObject_CallFunction(ext_bound.not_pollable, "L", fd));
    PyOS_snprintf(what, sizeof what,
                  rc == -EEXIST ? "fd %lld is open on this poller already" : "fd %lld", fd);
    return raise_system(-rc, what);
}

void ext_set_exception(PyObject *exception)
{
    if (PyExceptionInstance_Check(exception))
        PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    else
        PyErr_SetNone(exception);
}

PyObject *ext_take_exception(void)
{
    PyObject *type, *value, *traceback;

    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback)
        PyException_SetTraceback(value, traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return value;
}
