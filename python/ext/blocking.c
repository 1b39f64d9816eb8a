/* What the kernel promises for a socket that blocks, where ours do not. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* POLLRDHUP */
#endif
#include "blocking.h"

#ifdef _WIN32
#include <winsock2.h>
#else
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#endif

#ifndef MSG_WAITALL
#define MSG_WAITALL 0
#endif
#ifndef POLLRDHUP
#define POLLRDHUP 0
#endif

#ifdef _WIN32

static int events_of(const np_op *op, int wanted)
{
    (void)op, (void)wanted;
    return 0;
}

static long unread(const np_op *op)
{
    u_long n = 0;
    return ioctlsocket((SOCKET)op->file->fd, FIONREAD, &n) == 0 ? (long)n : -1;
}

static bool at_urgent_mark(const np_op *op)
{
    (void)op;
    return false;
}

enum { FAILED = 1, ENDED = 1, READABLE = 1 };

#else

static int events_of(const np_op *op, int wanted)
{
    struct pollfd pfd = {.fd = (int)op->file->fd, .events = (short)wanted};
    return poll(&pfd, 1, 0) > 0 ? pfd.revents : 0;
}

static long unread(const np_op *op)
{
    int n = 0;
    return ioctl((int)op->file->fd, FIONREAD, &n) == 0 ? n : -1;
}

static bool at_urgent_mark(const np_op *op)
{
    return op->mode == NP_READ && op->file->kind != NP_FILE_MESSAGES &&
           sockatmark((int)op->file->fd) == 1;
}

enum {
    FAILED = POLLERR | POLLHUP,
    ENDED = POLLHUP | POLLRDHUP | POLLPRI,
    READABLE = POLLIN | POLLHUP | POLLPRI,
};

#endif

/* --- parts ----------------------------------------------------------------------------------- */

bool ext_keep_partial(Py_ssize_t done, Py_ssize_t rc)
{
    if (done <= 0 || rc != EXT_ENDED)
        return false;
    PyErr_Clear();
    return true;
}

/* An attempt would take the error of a connection that was reset, and nothing would report it
 * again.  POLLERR alone may be the error queue's. */
static bool has_failed(const np_op *op)
{
    return (events_of(op, 0) & FAILED) == FAILED && !(op->mode == NP_READ && unread(op) > 0);
}

int ext_try_part(np_op *op)
{
    int rc = ext_try(op);
    if (rc < 0 || !(has_failed(op) || at_urgent_mark(op)))
        return rc;
    PyErr_SetNone(PyExc_OSError);
    return EXT_ENDED;
}

/* --- reads ----------------------------------------------------------------------------------- */

static int low_water(const np_op *op)
{
    return ext_fd_of_op(op)->low_water;
}

Py_ssize_t ext_read_target(const np_op *op, Py_ssize_t n, int flags)
{
    int kind = op->file->kind;

    /* UNIX sockets peek at what is there, whatever they are told to wait for. */
    if (kind == NP_FILE_MESSAGES || flags & MSG_OOB || !ext_blocks(op) ||
        (kind == NP_FILE_UNIX && flags & MSG_PEEK))
        return 1;
    if (flags & MSG_WAITALL)
        return n;
    if (kind != NP_FILE_UNIX || low_water(op) == 0)
        return 1;
    return low_water(op) < n ? low_water(op) : n;
}

/* Not if it is no connection: the read says so, and no event would. */
static bool is_below(const np_op *op, Py_ssize_t wanted)
{
    long n = unread(op);
    return n >= 0 && n < wanted && !(events_of(op, READABLE) & READABLE);
}

int ext_wait_for_low_water(np_op *op, Py_ssize_t n, int flags)
{
    Py_ssize_t wanted = low_water(op) < n ? low_water(op) : n;

    if (wanted == 0 || op->file->kind != NP_FILE_TCP || flags & MSG_OOB || !ext_blocks(op))
        return 0;
    while (is_below(op, wanted))
        if (ext_wait(op) < 0 || ext_try(op) < 0)
            return -1;
    return 0;
}

bool ext_no_more_comes(const np_op *op)
{
    return (events_of(op, ENDED) & ENDED) != 0;
}

/* --- options --------------------------------------------------------------------------------- */

/* set_blocking_options(read_timeout, write_timeout, low_water) */
PyObject *ext_fd_set_blocking_options(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    FdObject *f = (FdObject *)self;
    int64_t ns[2];
    long bytes;

    if (!ext_arg_count("set_blocking_options", n, 3, 3) ||
        !ext_timeout(NULL, args[0], -1, &ns[0]) || !ext_timeout(NULL, args[1], -1, &ns[1]))
        return NULL;
    bytes = PyLong_AsLong(args[2]);
    if (bytes == -1 && PyErr_Occurred())
        return NULL;
    for (int mode = NP_READ; mode <= NP_WRITE; mode++)
        np_file_set_option_timeout(&f->file, ns[mode - 1], mode);
    f->low_water = (int)bytes;
    Py_RETURN_NONE;
}

PyObject *ext_fd_blocking_options(PyObject *self, void *unused)
{
    FdObject *f = (FdObject *)self;

    (void)unused;
    return PyBool_FromLong(f->low_water > 0 || np_file_option_timeout(&f->file, NP_READ) >= 0 ||
                           np_file_option_timeout(&f->file, NP_WRITE) >= 0);
}
