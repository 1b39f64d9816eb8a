/* FD: Go's internal/poll.FD on CPython, and what the operations of a socket need of it.
 *
 * netpoll/_fd.py tells what an FD is; this is the same, with the operations fused with the wait:
 * while one goes on no Python frame is entered and no exception is raised, but to end it.
 */
#ifndef NP_FD_H
#define NP_FD_H

#include "turns.h"

enum { NOT_A_STREAM, TCP_STREAM, UNIX_STREAM };

typedef struct FdObject {
    PyObject_HEAD
    np_fdmutex mutex;
    np_fd number;
    int64_t timeout; /* nanoseconds that an operation may take; 0: it never waits; < 0: for ever */

    /* By mode; whoever has locked it writes these. */
    int64_t limit[2]; /* when the timeout of the one who waits is over; 0: nobody waits */
    int64_t bound[2]; /* what the deadline of desc is set to */
    np_bell *bell[2]; /* of a thread that waits by itself */
    bool drained[2];  /* the last read or write was short: to try again can only fail */

    int64_t deadline[2]; /* anybody's to set, who then tells the one who waits; NP_NEVER: none */
    DescObject *desc; /* NULL until a greenlet had to wait, or a thread where there are no bells */
    ext_doubt doubt;  /* of a greenlet that waits to read */
    PyObject *queues; /* of netpoll/_parking.py; NULL until two met at one mode */
    uint8_t stream;   /* a short read or write means drained: which kind of stream */
    bool kept;        /* by detach: the number is not ours to close */
} FdObject;

/* An operation: from ext_begin to ext_end the mode is the caller's.  All that return int return 0,
 * or -1 with an exception set. */
typedef struct ext_operation {
    FdObject *fd; /* a reference */
    int mode;
    bool waits;    /* or else EAGAIN is an error */
    int64_t limit; /* when the timeout is over; 0: not known yet, nobody has had to wait */
} ext_operation;

/* flags: those of the system call; some mean that it never waits. */
int ext_begin(ext_operation *op, FdObject *fd, int mode, int flags);
void ext_end(ext_operation *op); /* an exception that is set stays */

int ext_refuse(const ext_operation *op); /* with the exception for it; 0 if all is well */

/* May it go on?  Before each try. */
static inline int ext_check(const ext_operation *op)
{
    const FdObject *f = op->fd;
    if (f->deadline[op->mode - 1] == NP_NEVER && !np_fdmutex_closed(&f->mutex))
        return 0;
    return ext_refuse(op);
}

/* Can a try succeed, as far as we know? */
static inline bool ext_worth_trying(const ext_operation *op)
{
    const FdObject *f = op->fd;
    return !op->waits || !f->drained[op->mode - 1] ||
           (f->desc && !np_short_is_drained(f->desc->desc));
}

/* The system call failed, and errno tells why: -1, or try again, after a wait if there was need. */
int ext_failed(ext_operation *op);

/* Wait until the mode is ready, or perhaps is. */
int ext_block(ext_operation *op);

/* An operation of Python's, called until it does not raise BlockingIOError any more.  ask: what it
 * does is a system call, so the kernel can tell if it would wait; TLS has a buffer of its own. */
PyObject *ext_call(ext_operation *op, bool ask, PyObject *function, PyObject *args,
                   PyObject *kwargs);

/* For present and later operations of the modes: seconds from now, or None. */
PyObject *ext_set_io_deadline(FdObject *fd, PyObject *timeout, int modes);

int ext_add_fd_type(PyObject *module);
int ext_add_socket_methods(PyObject *module);

#endif
