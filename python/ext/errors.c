/* Results of the core as exceptions.  The exceptions, and their messages, are Python's: see
 * netpoll/_errors.py. */
#include <errno.h>

#include "ext.h"

static PyObject *closed, *poller_closed, *deadline_exceeded, *not_pollable, *busy, *system_error;

static PyObject *function(PyObject *module, const char *name)
{
    return module ? PyObject_GetAttrString(module, name) : NULL;
}

int ext_errors_init(void)
{
    PyObject *errors = PyImport_ImportModule("netpoll._errors");
    closed = function(errors, "closed");
    poller_closed = function(errors, "poller_closed");
    deadline_exceeded = function(errors, "deadline_exceeded");
    not_pollable = function(errors, "not_pollable");
    busy = function(errors, "busy");
    system_error = function(errors, "system");
    Py_XDECREF(errors);
    return closed && poller_closed && deadline_exceeded && not_pollable && busy && system_error
               ? 0
               : -1;
}

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
    return raise_made(PyObject_CallFunction(system_error, "is", number, what));
}

PyObject *ext_raise_of_fd(int rc, long long fd, int mode)
{
    switch (rc) {
    case NP_CLOSED:
        return raise_made(PyObject_CallFunction(closed, "L", fd));
    case NP_TIMEOUT:
        return raise_made(PyObject_CallFunction(deadline_exceeded, "Li", fd, mode));
    case NP_NOT_POLLABLE:
        return raise_made(PyObject_CallFunction(not_pollable, "L", fd));
    case NP_BUSY:
        return raise_made(PyObject_CallFunction(busy, "Li", fd, mode));
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
        return raise_made(PyObject_CallFunction(poller_closed, NULL));
    return raise_system(-rc, what);
}

PyObject *ext_raise_fd(int rc, long long fd)
{
    char what[64];

    if (rc == NP_CLOSED)
        return raise_made(PyObject_CallFunction(poller_closed, "L", fd));
    if (rc == -EPERM)
        return raise_made(PyObject_CallFunction(not_pollable, "L", fd));
    PyOS_snprintf(what, sizeof what,
                  rc == -EEXIST ? "fd %lld is open on this poller already" : "fd %lld", fd);
    return raise_system(-rc, what);
}
