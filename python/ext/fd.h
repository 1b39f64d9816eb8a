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
    np_fdmutex users;
    np_fd number;
    EXT_SHARED(int64_t) timeout; /* ns for an operation; 0: it never waits; < 0: for ever */

    EXT_MUTEX /* without a GIL it guards limit, bound, bell and desc: others look at them */

    /* By mode; whoever has locked it writes these. */
    int64_t limit[2]; /* when the timeout of the one who waits is over; 0: nobody waits */
    int64_t bound[2]; /* what the deadline of desc is set to */
    np_bell *bell[2]; /* of a thread that waits by itself */
    bool drained[2];  /* the last read or write was short: to try again can only fail */
    bool filled;      /* the last read filled a buffer of some size: so may the next */

    bool again[2]; /* by mode: who waits is to try once more; anybody's to set, under the mutex */
    EXT_SHARED(int64_t) deadline[2]; /* anybody's to set, who then tells the one who waits */
    DescObject *desc; /* NULL until a greenlet had to wait, or a thread where there are no bells */
    ext_doubt doubt;  /* of a greenlet that waits to read */
    EXT_SHARED(PyObject *) queues; /* of netpoll/_parking.py; NULL until two met at one mode */
    uint8_t stream;                /* a short read or write means drained: which kind of stream */
    EXT_SHARED(uint8_t) family;    /* of socket_ops.c */
    EXT_SHARED(bool) kept;         /* by detach: the number is not ours to close */
    EXT_SHARED(unsigned) forks;    /* of this process, when it was seen last */
    EXT_SHARED(unsigned long) owner[2]; /* by mode: the thread that has locked it, if any has */
} FdObject;

/* An operation: from ext_begin to ext_end the mode is the caller's.  All that return int return 0,
 * or -1 with an exception set. */
typedef struct ext_operation {
    FdObject *fd; /* a reference */
    int mode;
    bool waits;      /* or else EAGAIN is an error */
    int64_t limit;   /* when the timeout is over; 0: not known yet, nobody has had to wait */
    unsigned waited; /* how often */
    int64_t since;   /* when it was counted last */
} ext_operation;

/* flags: those of the system call; some mean that it never waits. */
int ext_begin(ext_operation *op, FdObject *fd, int mode, int flags);
void ext_end(ext_operation *op); /* an exception that is set stays */

bool ext_closed(const FdObject *f); /* with the exception for it; for what begins no operation */

int ext_refuse(const ext_operation *op); /* with the exception for it; 0 if all is well */

/* Wait until the mode is ready, or perhaps is. */
int ext_block(ext_operation *op);

/* May it go on?  Before each try. */
static inline int ext_check(const ext_operation *op)
{
    const FdObject *f = op->fd;
    if (f->deadline[op->mode - 1] == NP_NEVER && !np_fdmutex_closed(&f->users))
        return 0;
    return ext_refuse(op);
}

/* Can a try succeed, as far as we know? */
static inline bool ext_worth_trying(const ext_operation *op)
{
    FdObject *f = op->fd;
    if (!op->waits || !f->drained[op->mode - 1])
        return true;
#ifdef _WIN32
    if (!ext_turns_here()) /* a thread's wait gives the GIL back even if the data is there */
        return true;
#endif
    EXT_LOCK(f);
    bool worth = f->desc && !np_short_is_drained(f->desc->desc);
    EXT_UNLOCK(f);
    return worth;
}

/* Wait until a try is worth while. */
static inline int ext_until_worth_trying(ext_operation *op)
{
    for (;;) {
        if (ext_check(op) < 0)
            return -1;
        if (ext_worth_trying(op))
            return 0;
        if (ext_block(op) < 0)
            return -1;
    }
}

/* Before a try: what was remembered is forgotten, since the try will tell. */
void ext_forget(FdObject *f, int mode);

/* The system call failed, and errno tells why: -1, or try again, after a wait if there was need. */
int ext_failed(ext_operation *op);

/* The try said "not now" of what can never be: a socket of datagrams was shut for reading.  Linux
 * ends those who wait in the system call, and tells others by an event only. */
bool ext_ended(const ext_operation *op);

typedef PyObject *(*ext_maker)(void);

/* An operation of Python's, called until it does not raise BlockingIOError any more.  ask: what it
 * does is a system call, so the kernel can tell if it would wait; TLS has a buffer of its own.
 * nothing: makes what it gives when it has ended, or NULL. */
PyObject *ext_call(ext_operation *op, bool ask, ext_maker nothing, PyObject *function,
                   PyObject *args, PyObject *kwargs);

/* For present and later operations of the modes: seconds from now, or None. */
PyObject *ext_set_io_deadline(FdObject *fd, PyObject *timeout, int modes);

/* accept.c, where the system has the call for it */
#if defined(__linux__) || defined(__FreeBSD__) || defined(__OpenBSD__) || defined(__DragonFly__)
#define EXT_ACCEPT
enum { EXT_ACCEPTS = 1 };
PyObject *ext_accept(FdObject *fd); /* number, which does not block, and address */
#else
enum { EXT_ACCEPTS = 0 };
#endif

int ext_add_fd_type(PyObject *module);
int ext_add_socket_methods(PyObject *module);

#endif
