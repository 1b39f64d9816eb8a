/* Connecting: an operation that the system call begins, and readiness to write ends. */
#include "blocking.h"
#include "connecting.h"

/* Until the connection is there.  The errno of what went wrong; IN_PROGRESS: SO_SNDTIMEO is over;
 * with an exception set -1, or EXT_ENDED. */
static long wait_until_connected(np_op *op)
{
    int number = IN_PROGRESS;

    while (number == IN_PROGRESS) {
        int rc = ext_wait(op);
        if (rc < 0) {
            if (rc != EXT_ENDED || !PyErr_ExceptionMatches(PyExc_BlockingIOError))
                return rc;
            PyErr_Clear();
            return IN_PROGRESS;
        }
        number = connect_result((socket_fd)op->file->fd);
    }
    if (ext_blocks(op))
        settle_connect(op->file->fd, number);
    return number;
}

int ext_await_connection(np_op *op)
{
    long number = connect_result((socket_fd)op->file->fd);

    if (number == IN_PROGRESS)
        number = wait_until_connected(op);
    if (number > 0) {
        errno = (int)number;
        PyErr_SetFromErrno(PyExc_OSError);
    }
    return number == 0 ? 0 : -1;
}

static long begin_once(PyObject *begin, PyObject *address)
{
    PyObject *begun = PyObject_CallFunctionObjArgs(begin, address, NULL);
    long number = begun ? PyLong_AsLong(begun) : -1;
    Py_XDECREF(begun);
    return number;
}

/* A socket that blocks waits for a connection too that was begun before. */
static bool is_connecting(const np_op *op, long number)
{
    return op->may_wait && (number == IN_PROGRESS || (number == ALREADY && ext_blocks(op)));
}

/* busy: the errno that says that the peer's backlog is full, or 0. */
static long connect_and_wait(np_op *op, PyObject *begin, PyObject *address, long busy)
{
    long number;

    ext_forget_drained(op);
    int rc = ext_try(op);
    if (rc < 0)
        return rc;
    while ((number = begin_once(begin, address)) == busy && busy && op->may_wait) {
        np_file_retry(op->file, op->mode); /* no event tells when there is room */
        rc = ext_wait(op);
        if (rc < 0)
            return rc;
    }
    return is_connecting(op, number) ? wait_until_connected(op) : number;
}

/* What look_up gives, as soon as it does not raise BlockingIOError any more: a new reference.  Else
 * NULL, and rc -1 or EXT_ENDED. */
static PyObject *look_up_address(np_op *op, PyObject *look_up, int *rc)
{
    while ((*rc = ext_try(op)) == 0) {
        PyObject *known = PyObject_CallFunctionObjArgs(look_up, NULL);
        bool closed = np_file_closed(op->file); /* since it was tried */
        *rc = -1;
        if (known || !PyErr_ExceptionMatches(closed ? PyExc_OSError : PyExc_BlockingIOError))
            return known;
        PyErr_Clear();
        if (!closed && (*rc = ext_wait(op)) < 0)
            break;
    }
    return NULL;
}

/* The time is over, and no handler says so, nor a timeout that is thrown into the greenlet. */
static bool has_timed_out(long number)
{
    PyObject *kind = PyErr_Occurred();
    return number == EXT_ENDED && (kind == PyExc_TimeoutError || kind == PyExc_BlockingIOError);
}

static long connect_to(np_op *op, PyObject *begin, PyObject *address, long busy, PyObject *look_up)
{
    if (look_up == Py_None)
        return connect_and_wait(op, begin, address, busy);
    int rc = 0;
    PyObject *known = look_up_address(op, look_up, &rc);
    long number = known ? connect_and_wait(op, begin, known, busy) : rc;
    Py_XDECREF(known);
    return number;
}

/* connect(begin, address, busy, look_up, late) */
PyObject *ext_fd_connect(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    np_op op;

    if (n != 5) {
        PyErr_SetString(PyExc_TypeError, "connect() takes 5 arguments");
        return NULL;
    }
    long busy = PyLong_AsLong(args[2]);
    if (busy == -1 && PyErr_Occurred())
        return NULL;
    long number = ext_begin(&op, (FdObject *)self, NP_WRITE, 0);
    if (number == 0) {
        number = connect_to(&op, args[0], args[1], busy, args[3]);
        ext_end(&op);
    }
    if (args[4] != Py_None && has_timed_out(number)) {
        PyErr_Clear();
        Py_INCREF(args[4]);
        return args[4];
    }
    return PyErr_Occurred() ? NULL : PyLong_FromLong(number);
}
