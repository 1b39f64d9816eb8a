/* Operations of Python's on an FD: called again when the mode is ready. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* POLLRDHUP */
#endif
#include "blocking.h"

#include <errno.h>

#ifndef _WIN32
#include <poll.h>
#endif

bool ext_read_shut(const np_op *op)
{
#ifdef __linux__
    struct pollfd pfd = {.fd = (int)op->file->fd, .events = POLLRDHUP};
    int error = errno;
    bool shut = op->mode == NP_READ && op->may_wait && op->file->kind == NP_FILE_MESSAGES &&
                poll(&pfd, 1, 0) > 0 && pfd.revents & POLLRDHUP;
    errno = error;
    return shut;
#else
    (void)op;
    return false;
#endif
}

void ext_forget_drained(np_op *op)
{
    np_half_of(op->file, op->mode)->drained = false;
}

/* Is the exception a BlockingIOError after which to wait?  It is for a connection that is being
 * made (MSG_FASTOPEN) too, which only a socket that blocks waits for. */
static bool would_block(const np_op *op)
{
    PyObject *kind, *error, *where;

    if (!PyErr_ExceptionMatches(PyExc_BlockingIOError))
        return false;
    if (ext_blocks(op))
        return true;
    PyErr_Fetch(&kind, &error, &where);
    PyErr_NormalizeException(&kind, &error, &where);
    PyObject *number = PyObject_GetAttrString(error, "errno");
    bool connecting = number && PyLong_Check(number) && PyLong_AsLong(number) == EINPROGRESS;
    Py_XDECREF(number);
    PyErr_Clear();
    PyErr_Restore(kind, error, where);
    return !connecting;
}

PyObject *ext_call(np_op *op, ext_maker eof, PyObject *function, PyObject *args)
{
    ext_forget_drained(op);
    while (ext_try(op) == 0) {
        PyObject *result = PyObject_Call(function, args, NULL);
        if (result || !PyErr_ExceptionMatches(PyExc_OSError))
            return result;
        if (np_file_closed(op->file)) { /* since it was tried */
            PyErr_Clear();
            continue;
        }
        if (!op->may_wait || !would_block(op))
            return NULL;
        PyErr_Clear();
        if (eof && ext_read_shut(op))
            return eof();
        if (ext_wait(op) < 0)
            return NULL;
    }
    return NULL;
}

static PyObject *tuple_of(PyObject *const *items, Py_ssize_t n)
{
    PyObject *tuple = PyTuple_New(n);
    for (Py_ssize_t i = 0; tuple && i < n; i++) {
        Py_INCREF(items[i]);
        PyTuple_SetItem(tuple, i, items[i]);
    }
    return tuple;
}

/* call(mode, flags, function, *args) */
PyObject *ext_fd_call(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    FdObject *f = (FdObject *)self;
    np_op op;
    int mode, flags;

    if (n < 3) {
        PyErr_SetString(PyExc_TypeError, "call() takes at least 3 arguments");
        return NULL;
    }
    if (!ext_mode_of_fd((long long)f->file.fd, args[0], &mode) || !ext_flags(args[1], &flags))
        return NULL;
    PyObject *rest = tuple_of(args + 3, n - 3);
    if (!rest)
        return NULL;
    PyObject *result = NULL;
    if (ext_begin(&op, f, mode, flags) == 0) {
        result = ext_call(&op, NULL, args[2], rest);
        ext_end(&op);
    }
    Py_DECREF(rest);
    return result;
}
