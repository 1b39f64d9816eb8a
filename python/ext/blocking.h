/* What the kernel promises for a socket that blocks: blocking.c.
 *
 * Ours do not block, and with timeout None the promises are kept here: a write takes all that it is
 * given, a read waits for what MSG_WAITALL and SO_RCVLOWAT say, SO_RCVTIMEO and SO_SNDTIMEO limit
 * both.  What has moved is reported before what ends the operation, as the kernel does. */
#ifndef NP_BLOCKING_H
#define NP_BLOCKING_H

#include "fd.h"

/* Has it timeout None, and no flag that says otherwise? */
static inline bool ext_blocks(const np_op *op)
{
    return op->may_wait && np_file_timeout(op->file) < 0;
}

/* So much has moved, and rc, with an exception set, ends it: if that is EXT_ENDED, it is forgotten,
 * as the next operation will meet it again. */
bool ext_keep_partial(Py_ssize_t done, Py_ssize_t rc);

/* ext_try, before an attempt at another part.  EXT_ENDED also if the connection has failed: the
 * next operation is to meet the error, as the kernel reports it only once; or if urgent data are
 * next, where the kernel ends a read. */
int ext_try_part(np_op *op);

/* How many bytes a read of n waits for. */
Py_ssize_t ext_read_target(const np_op *op, Py_ssize_t n, int flags);

/* Before a read of n: SO_RCVLOWAT of TCP, whose readiness knows of it.  0 or -1. */
int ext_wait_for_low_water(np_op *op, Py_ssize_t n, int flags);

/* Has the other side ended, or are urgent data next, so that a peek sees no more than is there? */
bool ext_no_more_comes(const np_op *op);

/* Methods of FD. */
PyObject *ext_fd_set_blocking_options(PyObject *self, PyObject *const *args, Py_ssize_t n);
PyObject *ext_fd_blocking_options(PyObject *self, void *unused);

#endif
