/* send, sendall; and sending for what is given an address too. */
#include "blocking.h"
#include "gil.h"
#include "socket_ops.h"

#ifndef MSG_FASTOPEN
#define MSG_FASTOPEN 0
#endif

#ifdef _WIN32
NP_HOT static Py_ssize_t send_once(const np_op *op, const char *from, Py_ssize_t n,
                                   const ext_io_args *args)
{
    return send((SOCKET)op->file->fd, from, (ext_io_size)n, args->flags);
}
#else
NP_HOT static Py_ssize_t send_once(const np_op *op, const char *from, Py_ssize_t n,
                                   const ext_io_args *args)
{
    if (!args->peer)
        return send((int)op->file->fd, from, (ext_io_size)n, args->flags);
    return sendto((int)op->file->fd, from, (ext_io_size)n, args->flags, &args->peer->at.any,
                  args->peer->size);
}
#endif

NP_HOT static Py_ssize_t send_try(np_op *op, const char *from, Py_ssize_t n,
                                  const ext_io_args *args)
{
    Py_ssize_t sent;

    n = n < EXT_MAX_RW ? n : EXT_MAX_RW;
    if (n < EXT_GIL_RELEASE_MIN && (ext_hub() || !ext_gil_uncontended())) {
        sent = send_once(op, from, n, args);
    } else {
        void *state = ext_release_gil();
        sent = send_once(op, from, n, args);
        ext_acquire_gil(state);
    }
    if (sent >= 0)
        np_op_moved(op, sent, n);
    return sent;
}

/* try_first: ext_try or ext_try_part. */
static inline Py_ssize_t send_some(np_op *op, const char *from, Py_ssize_t n,
                                   const ext_io_args *args, int (*try_first)(np_op *))
{
    for (;;) {
        int rc = try_first(op);
        if (rc < 0)
            return rc;
        Py_ssize_t sent = send_try(op, from, n, args);
        if (sent >= 0)
            return sent;
        if ((rc = ext_failed(op)) < 0)
            return rc;
    }
}

NP_HOT static int send_all(np_op *op, const char *from, Py_ssize_t n, const ext_io_args *args)
{
    Py_ssize_t done = 0;
    do {
        Py_ssize_t sent = send_some(op, from + done, n - done, args, ext_try);
        if (sent < 0)
            return -1;
        done += sent;
        if (done >= n)
            return 0;
    } while (ext_between_parts() == 0);
    return -1;
}

/* What is left after a part that was sent to an address: that was for connecting. */
static int after_fastopen(np_op *op, ext_io_args *args)
{
    if (!(args->flags & MSG_FASTOPEN))
        return 0;
    args->flags &= ~MSG_FASTOPEN;
    args->peer = NULL;
    return ext_await_connection(op);
}

static Py_ssize_t send_rest(np_op *op, const char *from, Py_ssize_t n, Py_ssize_t done,
                            const ext_io_args *args)
{
    while (done < n && ext_blocks(op)) {
        if (ext_between_parts() < 0)
            return -1;
        Py_ssize_t sent = send_some(op, from + done, n - done, args, ext_try_part);
        if (sent < 0)
            return ext_keep_partial(done, sent) ? done : sent;
        done += sent;
    }
    return done;
}

/* Inside an operation: as much as a socket that blocks would take.  -1 with an exception set. */
Py_ssize_t ext_send_enough(np_op *op, const char *from, Py_ssize_t n, const ext_io_args *args)
{
    Py_ssize_t sent = send_some(op, from, n, args, ext_try);
    bool is_usual = sent == n && !(args->flags & MSG_FASTOPEN);

    if (sent < 0 || is_usual || !ext_blocks(op))
        return sent;
    ext_io_args left = *args;
    return after_fastopen(op, &left) < 0 ? -1 : send_rest(op, from, n, sent, &left);
}

/* send and sendall: data, flags. */
NP_HOT static PyObject *send_with(PyObject *self, PyObject *const *args, Py_ssize_t n, bool all)
{
    np_op op;
    ext_buffer b;
    int flags;
    PyObject *result = NULL;
    FdObject *f = ext_fd_of(self);

    if (!f || !ext_arg_count(all ? "sendall" : "send", n, 1, 2) ||
        !ext_flags(n > 1 ? args[1] : NULL, &flags) || ext_get_buffer_readable(args[0], &b) < 0)
        return NULL;
    if (ext_begin(&op, f, NP_WRITE, flags) == 0) {
        ext_io_args plain = {.flags = flags};
        Py_ssize_t rc = all ? send_all(&op, b.start, b.size, &plain)
                            : ext_send_enough(&op, b.start, b.size, &plain);
        if (rc >= 0 && all) {
            Py_INCREF(Py_None);
            result = Py_None;
        } else if (rc >= 0) {
            result = PyLong_FromSsize_t(rc);
        }
        ext_end(&op);
    }
    ext_release_buffer(&b);
    return result;
}

NP_HOT static PyObject *sock_send(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    return send_with(self, args, n, false);
}

NP_HOT static PyObject *sock_sendall(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    return send_with(self, args, n, true);
}

PyMethodDef ext_send_methods[] = {
    {"send", EXT_FUNCTION(sock_send), METH_FASTCALL, NULL},
    {"sendall", EXT_FUNCTION(sock_sendall), METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};
