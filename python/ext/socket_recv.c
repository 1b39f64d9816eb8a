/* recv, recv_into; and receiving for what reads addresses too. */
#include "blocking.h"
#include "gil.h"
#include "socket_ops.h"

#include <errno.h>
#include <string.h>

#ifndef MSG_WAITALL
#define MSG_WAITALL 0
#endif
#ifndef MSG_TRUNC
#define MSG_TRUNC 0
#endif

/* From here on copying takes longer than allocating an object in vain. */
enum { FILLED_MIN = 4 * 1024 };

/* Reads of up to so many bytes go through a buffer, unless the last one filled its own.  With the
 * GIL it is one for all, written and read with no switch in between; without, it is on the stack,
 * but not through a wait. */
#ifndef Py_GIL_DISABLED
enum { SCRATCH = 64 * 1024 };
static char scratch[SCRATCH];
#else
enum { SCRATCH = 16 * 1024 };
#endif

/* --- a try ------------------------------------------------------------------------------------ */

#ifdef _WIN32
NP_HOT static Py_ssize_t recv_once(const np_op *op, char *to, Py_ssize_t n, const ext_io_args *args)
{
    return recv((SOCKET)op->file->fd, to, (ext_io_size)n, args->flags);
}
#else
NP_HOT static Py_ssize_t recv_once(const np_op *op, char *to, Py_ssize_t n, const ext_io_args *args)
{
    if (!args->peer)
        return recv((int)op->file->fd, to, (ext_io_size)n, args->flags);
    args->peer->size = sizeof args->peer->at;
    Py_ssize_t got = recvfrom((int)op->file->fd, to, (ext_io_size)n, args->flags,
                              &args->peer->at.any, &args->peer->size);
    if (got < 0)
        args->peer->size = 0;
    return got;
}
#endif

/* What was peeked at is there still: that is no progress. */
static void moved_with_flags(np_op *op, Py_ssize_t got, int flags)
{
    if (flags & MSG_PEEK)
        ext_forget_drained(op);
    else
        np_op_moved(op, got, got);
}

NP_HOT static Py_ssize_t recv_try(np_op *op, char *to, Py_ssize_t n, const ext_io_args *args)
{
    Py_ssize_t got;

    n = n < EXT_MAX_RW ? n : EXT_MAX_RW;
    if (n < EXT_GIL_RELEASE_MIN) {
        got = recv_once(op, to, n, args);
    } else {
        void *state = ext_release_gil();
        got = recv_once(op, to, n, args);
        ext_acquire_gil(state);
    }
    if (got >= 0 && args->flags == 0)
        np_op_moved(op, got, n);
    else if (got >= 0)
        moved_with_flags(op, got, args->flags);
    op->file->filled = got == n && n >= FILLED_MIN;
    return got;
}

/* --- an operation ----------------------------------------------------------------------------- */

static bool at_end(const np_op *op)
{
#ifdef _WIN32
    (void)op;
    return false;
#else
    return errno == EAGAIN && ext_read_shut(op);
#endif
}

/* Up to n bytes.  Negative with an exception set.  try_first: ext_try or ext_try_part. */
static inline Py_ssize_t recv_some_by(np_op *op, char *to, Py_ssize_t n, const ext_io_args *args,
                                      int (*try_first)(np_op *))
{
    for (;;) {
        int rc = try_first(op);
        if (rc < 0)
            return rc;
        Py_ssize_t got = recv_try(op, to, n, args);
        if (got >= 0)
            return got;
        if (at_end(op))
            return 0;
        if ((rc = ext_failed(op)) < 0)
            return rc;
    }
}

static Py_ssize_t recv_some(np_op *op, char *to, Py_ssize_t n, const ext_io_args *args)
{
    return recv_some_by(op, to, n, args, ext_try);
}

/* Peeks again when there may be more. */
static Py_ssize_t peek_all(np_op *op, char *to, Py_ssize_t n, const ext_io_args *args)
{
    Py_ssize_t got;
    int rc;

    while ((got = recv_some(op, to, n, args)) > 0 && got < ext_read_target(op, n, args->flags) &&
           !ext_no_more_comes(op))
        if ((rc = ext_wait(op)) < 0)
            return ext_keep_partial(got, rc) ? got : rc;
    return got;
}

/* As much as a socket that blocks would wait for. */
static Py_ssize_t recv_all(np_op *op, char *to, Py_ssize_t n, const ext_io_args *args)
{
    Py_ssize_t done = recv_some(op, to, n, args), got = done;

    while (got > 0 && done < ext_read_target(op, n, args->flags)) {
        if (ext_between_parts() < 0)
            return -1;
        got = recv_some_by(op, to + done, n - done, args, ext_try_part);
        if (got < 0 && !ext_keep_partial(done, got))
            return got;
        done += got > 0 ? got : 0;
    }
    return done;
}

/* May the first bytes not be enough? */
static bool recv_is_usual(const np_op *op, const ext_io_args *args)
{
    return !(args->flags & MSG_WAITALL) && ext_fd_of_op(op)->low_water == 0;
}

Py_ssize_t ext_recv_enough(np_op *op, char *to, Py_ssize_t n, const ext_io_args *args)
{
    if (recv_is_usual(op, args))
        return recv_some(op, to, n, args);
    if (ext_wait_for_low_water(op, n, args->flags) < 0)
        return -1;
    return args->flags & MSG_PEEK ? peek_all(op, to, n, args) : recv_all(op, to, n, args);
}

#ifndef Py_GIL_DISABLED
/* The wait is over before the scratch buffer is written, and no other thread runs before it is
 * read. */
NP_HOT static PyObject *recv_small(np_op *op, Py_ssize_t n, const ext_io_args *args)
{
    Py_ssize_t got = recv_some(op, scratch, n, args);
    return got < 0 ? NULL : PyBytes_FromStringAndSize(scratch, got);
}
#else
/* *result: NULL with an exception set, unless the try fails. */
EXT_NOINLINE static Py_ssize_t recv_on_stack(np_op *op, Py_ssize_t n, const ext_io_args *args,
                                             PyObject **result)
{
    char scratch[SCRATCH];
    Py_ssize_t got = recv_try(op, scratch, n, args);
    if (got >= 0)
        *result = PyBytes_FromStringAndSize(scratch, got);
    return got;
}

static PyObject *recv_small(np_op *op, Py_ssize_t n, const ext_io_args *args)
{
    PyObject *result = NULL;

    for (;;) {
        if (ext_try(op) < 0)
            return NULL;
        if (recv_on_stack(op, n, args, &result) >= 0)
            return result;
        if (at_end(op))
            return PyBytes_FromStringAndSize(NULL, 0);
        if (ext_failed(op) < 0)
            return NULL;
    }
}
#endif

/* The first bytes of a result that is the caller's; a reference is taken. */
static PyObject *shrink(PyObject *whole, Py_ssize_t n, Py_ssize_t got)
{
    if (got == n)
        return whole;
    PyObject *result = PyBytes_FromStringAndSize(PyBytes_AsString(whole), got);
    Py_DECREF(whole);
    return result;
}

/* The error of the try before it outlives it. */
static void decref_keep_errno(PyObject *whole)
{
#ifdef _WIN32
    int error = WSAGetLastError();
    Py_DECREF(whole);
    WSASetLastError(error);
#else
    int error = errno;
    Py_DECREF(whole);
    errno = error;
#endif
}

/* Straight into the result: made for each try, so that nothing large is held through a wait. */
static PyObject *recv_large(np_op *op, Py_ssize_t n, const ext_io_args *args)
{
    for (;;) {
        if (ext_try(op) < 0)
            return NULL;
        PyObject *whole = PyBytes_FromStringAndSize(NULL, n);
        if (!whole)
            return NULL;
        Py_ssize_t got = recv_try(op, PyBytes_AsString(whole), n, args);
        if (got >= 0 || at_end(op))
            return shrink(whole, n, got > 0 ? got : 0);
        decref_keep_errno(whole);
        if (ext_failed(op) < 0)
            return NULL;
    }
}

/* With MSG_TRUNC the kernel tells how much there was, which may be more than it has written, or has
 * written nothing: the rest is zeros, and not what was in the memory before. */
NP_COLD static PyObject *recv_truncated(np_op *op, Py_ssize_t n, const ext_io_args *args)
{
    char *room = PyMem_Calloc((size_t)n, 1);
    if (!room)
        return PyErr_NoMemory();
    PyObject *result = NULL;
    Py_ssize_t got = ext_recv_enough(op, room, n, args);
    if (got >= 0)
        result = PyBytes_FromStringAndSize(NULL, got);
    if (result) {
        Py_ssize_t there = got < n ? got : n;
        memcpy(PyBytes_AsString(result), room, (size_t)there);
        memset(PyBytes_AsString(result) + there, 0, (size_t)(got - there));
    }
    PyMem_Free(room);
    return result;
}

NP_COLD static PyObject *recv_whole(np_op *op, Py_ssize_t n, const ext_io_args *args)
{
    PyObject *whole = PyBytes_FromStringAndSize(NULL, n);
    if (!whole)
        return NULL;
    Py_ssize_t got = ext_recv_enough(op, PyBytes_AsString(whole), n, args);
    if (got >= 0)
        return shrink(whole, n, got);
    Py_DECREF(whole);
    return NULL;
}

NP_HOT PyObject *ext_recv_bytes(np_op *op, Py_ssize_t n, const ext_io_args *args)
{
    if (args->flags & MSG_TRUNC)
        return recv_truncated(op, n, args);
    if (!recv_is_usual(op, args))
        return recv_whole(op, n, args);
    if (n <= SCRATCH && !op->file->filled)
        return recv_small(op, n, args);
    return recv_large(op, n, args);
}

/* --- the methods ----------------------------------------------------------------------------- */

NP_HOT static PyObject *sock_recv(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    np_op op;
    Py_ssize_t size;
    int flags;
    FdObject *f = ext_fd_of(self);

    if (!f || !ext_arg_count("recv", n, 1, 2) || !ext_size(args[0], &size) ||
        !ext_flags(n > 1 ? args[1] : NULL, &flags))
        return NULL;
    if (size < 0) {
        PyErr_SetString(PyExc_ValueError, "negative buffersize in recv");
        return NULL;
    }
    if (size == 0)
        return ext_begin_nothing(f, flags) < 0 ? NULL : PyBytes_FromStringAndSize(NULL, 0);
    if (ext_begin(&op, f, NP_READ, flags) < 0)
        return NULL;
    PyObject *result = ext_recv_bytes(&op, size, &(ext_io_args){.flags = flags});
    ext_end(&op);
    return result;
}

bool ext_recv_size(const char *name, const ext_buffer *b, Py_ssize_t *size)
{
    if (*size < 0)
        PyErr_Format(PyExc_ValueError, "negative buffersize in %s", name);
    else if (*size > b->size)
        PyErr_SetString(PyExc_ValueError, "buffer too small for requested bytes");
    else
        *size = *size ? *size : b->size;
    return !PyErr_Occurred();
}

static PyObject *sock_recv_into(PyObject *self, PyObject *const *args, Py_ssize_t n,
                                PyObject *names)
{
    static const ext_signature s = {"recv_into", 1, 3, {"buffer", "nbytes", "flags"}};
    PyObject *given[3], *result = NULL;
    np_op op;
    Py_ssize_t size = 0;
    ext_buffer b;
    int flags;
    FdObject *f = ext_fd_of(self);

    if (!f || !ext_arguments(&s, args, n, names, given) ||
        (given[1] && !ext_size(given[1], &size)) || !ext_flags(given[2], &flags) ||
        ext_get_buffer_writable(given[0], &b) < 0)
        return NULL;
    if (ext_recv_size("recv_into", &b, &size) && size == 0) {
        result = ext_begin_nothing(f, flags) < 0 ? NULL : PyLong_FromLong(0);
    } else if (!PyErr_Occurred() && ext_begin(&op, f, NP_READ, flags) == 0) {
        Py_ssize_t got = ext_recv_enough(&op, b.start, size, &(ext_io_args){.flags = flags});
        if (got >= 0)
            result = PyLong_FromSsize_t(got);
        ext_end(&op);
    }
    ext_release_buffer(&b);
    return result;
}

PyMethodDef ext_recv_methods[] = {
    {"recv", EXT_FUNCTION(sock_recv), METH_FASTCALL, NULL},
    {"recv_into", EXT_FUNCTION(sock_recv_into), METH_FASTCALL | METH_KEYWORDS, NULL},
    {NULL, NULL, 0, NULL},
};
