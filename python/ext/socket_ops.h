/* The methods of netpoll.socket that may have to wait, fused with the wait.
 *
 * Each is: lock the mode, try, wait, try again, unlock.  The socket is non-blocking, so the system
 * calls keep the GIL.  Two release it: large ones, whose copying takes longer than handing it over,
 * and the sends of threads, where that pays (gil.c).
 *
 * Drained.  A stream's read or write that is short shows that the next one could only fail, so it
 * waits at once, without that system call.  That holds for TCP and UNIX streams, with exceptions
 * that are checked where they arise: an end of the file, an error or urgent data among the events
 * (np_short_io_means_drained), and messages at which a read of a UNIX stream stops (recheck.h).
 *
 * Nothing large is on the stack during a wait: a greenlet's stack is copied. */
#ifndef NP_SOCKET_OPS_H
#define NP_SOCKET_OPS_H

#include "address.h"
#include "buffer.h"
#include "fd.h"

#ifdef _WIN32
#include <winsock2.h>
typedef int ext_io_size;
#else
#include <sys/socket.h>
typedef size_t ext_io_size;
#endif

enum {
    EXT_GIL_RELEASE_MIN = 256 * 1024, /* from here on to copy takes longer than to pass the GIL */
    EXT_MAX_RW = 1 << 30              /* at once: what every system can */
};

/* What a system call is given besides its buffer. */
typedef struct ext_io_args {
    int flags;
    ext_address *peer; /* recvfrom: where the sender's goes; sendto: the receiver's; or NULL */
} ext_io_args;

/* socket_type.c: the class's own slot, which is the last thing in an object. */
extern Py_ssize_t ext_socket_slot;

NP_COLD void ext_raise_no_fd(void);

static inline FdObject *ext_fd_of(PyObject *self)
{
    FdObject *f = *(FdObject **)(void *)((char *)self + ext_socket_slot);
    if (!f)
        ext_raise_no_fd();
    return f;
}

/* socket_recv.c.  Inside an operation; -1 or NULL with an exception set. */
Py_ssize_t ext_recv_enough(np_op *op, char *to, Py_ssize_t n, const ext_io_args *args);
PyObject *ext_recv_bytes(np_op *op, Py_ssize_t n, const ext_io_args *args);
bool ext_recv_size(const char *function, const ext_buffer *b, Py_ssize_t *size);

/* socket_send.c */
Py_ssize_t ext_send_enough(np_op *op, const char *from, Py_ssize_t n, const ext_io_args *args);

/* socket_stdlib.c: the standard method, called until it does not say BlockingIOError.  flags_at:
 * where its flags are among the arguments.  eof: makes what it gives for a direction that has
 * ended, or NULL. */
PyObject *ext_call_stdlib(PyObject *self, const char *name, int mode, PyObject *args,
                          Py_ssize_t flags_at, ext_maker eof);

/* To an address that may be a name. */
PyObject *ext_sendto_stdlib(PyObject *self, PyObject *args);

/* Each file's own; their ends are marked by a NULL.  A method without a text gets the standard
 * one's. */
extern PyMethodDef ext_recv_methods[], ext_send_methods[], ext_datagram_methods[],
    ext_stdlib_methods[];

#endif
