/* FD: an np_file for Python, and the operations on it: np_op in a thread or a greenlet, with signal
 * handlers, and exceptions for results.
 *
 * netpoll/_cffi/fd.py does the same over cffi.  An operation in C is:
 *
 *     if (ext_begin(&op, fd, NP_READ, flags) < 0)
 *         return NULL;
 *     while (ext_try(&op) == 0) {
 *         n = recv(...);
 *         if (n >= 0) { np_op_moved(&op, n, wanted); break; }
 *         if (ext_failed(&op) < 0)
 *             break;
 *     }
 *     ext_end(&op);
 *
 * While it goes on no Python frame is entered and no exception is raised, but to end it.  All that
 * return int return 0, or with an exception set -1, or EXT_ENDED. */
#ifndef NP_FD_H
#define NP_FD_H

#include "io/file.h"
#include "wait.h"

/* The exception is the operation's own: a limit, a close, what the system call said.  Others are
 * raised by signal handlers, or thrown into the greenlet. */
enum { EXT_ENDED = -2 };

typedef struct FdObject {
    PyObject_HEAD
    ext_recheck recheck; /* of a greenlet that waits to read */
    np_file file;
    EXT_SHARED(uint8_t) family; /* of socket_datagram.c */
    EXT_SHARED(int) low_water;  /* SO_RCVLOWAT, if it is more than 1: blocking.h */
} FdObject;

static inline FdObject *ext_fd_of_op(const np_op *op)
{
    return NP_CONTAINER(op->file, FdObject, file);
}

NP_COLD bool
ext_closed(const FdObject *f); /* with the exception for it; for what begins no operation */

/* A read of no bytes, which is no operation, but gives way as one.  0 or -1. */
int ext_begin_nothing(const FdObject *f, int flags);

/* fd_op.c */

/* flags: those of the system call; some mean that it never waits.  The operation holds a reference
 * to the FD; one that could not begin needs no end. */
int ext_begin(np_op *op, FdObject *f, int mode, int flags);
void ext_end(np_op *op); /* an exception that is set stays */

/* Before each attempt: wait until it is worth while. */
int ext_try(np_op *op);

/* The system call failed, and errno tells why: -1, or try again, after a wait if there was need. */
NP_COLD int ext_failed(np_op *op);

/* Wait, as np_op_wait does. */
int ext_wait(np_op *op);

/* Between the parts of an operation, which may not have to wait: runs signal handlers and, in a
 * hub, yields now and then. */
int ext_between_parts(void);

/* fd_call.c */

/* The attempt would block, but can never succeed: a datagram socket was shut for reading.  Linux
 * ends system calls that wait, and reports it to others by an event only. */
NP_COLD bool ext_read_shut(const np_op *op);

/* Of an operation that does not use np_op_moved: it is tried first, whatever the last one moved. */
void ext_forget_drained(np_op *op);

typedef PyObject *(*ext_maker)(void);

/* An operation of Python's, called until it does not raise BlockingIOError any more.  It is called
 * before the first wait: only that tells wrong arguments and states, which no event is for.  eof:
 * makes what it gives when its direction has ended, or NULL. */
PyObject *ext_call(np_op *op, ext_maker eof, PyObject *function, PyObject *args);

/* Methods of the type. */
PyObject *ext_fd_call(PyObject *self, PyObject *const *args, Py_ssize_t n);
PyObject *ext_fd_connect(PyObject *self, PyObject *const *args, Py_ssize_t n); /* fd_connect.c */

/* fd_connect.c: 0, or -1 with an exception set. */
int ext_await_connection(np_op *op);

/* fd_type.c: for present and later operations of the modes: seconds from now, or None. */
PyObject *ext_set_io_deadline(FdObject *f, PyObject *timeout, int modes);

/* accept.c, where the system has the call for it */
#if defined(__linux__) || defined(__FreeBSD__) || defined(__OpenBSD__) || defined(__DragonFly__)
#define EXT_ACCEPT
enum { EXT_ACCEPTS = 1 };
PyObject *ext_accept(FdObject *f); /* number, which does not block, and address */
#else
enum { EXT_ACCEPTS = 0 };
#endif

int ext_add_fd_type(PyObject *module);
int ext_add_socket_methods(PyObject *module);

#endif
