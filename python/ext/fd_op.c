/* An operation on an FD: how a thread or a greenlet begins, waits and ends. */
#include "bind.h"
#include "blocking.h"
#include "gil.h"

#include <errno.h>

#ifdef _WIN32
#include <winsock2.h>
#else
#include <sys/socket.h>
#endif

/* --- results --------------------------------------------------------------------------------- */

static void set_would_block(void)
{
#ifdef _WIN32
    WSASetLastError(WSAEWOULDBLOCK);
#else
    errno = EAGAIN;
#endif
}

NP_COLD static int raise_errno(void)
{
#ifdef _WIN32
    PyErr_SetExcFromWindowsErr(PyExc_OSError, WSAGetLastError());
#else
    PyErr_SetFromErrno(PyExc_OSError);
#endif
    return EXT_ENDED;
}

NP_COLD static int raise_result(const np_op *op, int rc)
{
    switch (rc) {
    case EXT_RAISED:
        return -1;
    case NP_TIMED_OUT:
        if (np_file_timeout(op->file) >= 0) {
            PyErr_SetString(PyExc_TimeoutError, "timed out");
            return EXT_ENDED;
        } /* by an option, and so it says what the system call would */
        /* fall through */
    case NP_AGAIN:
        set_would_block();
        return raise_errno();
    default:
        ext_raise_of_fd(rc, (long long)op->file->fd, op->mode);
        return EXT_ENDED;
    }
}

/* --- waiting --------------------------------------------------------------------------------- */

#ifdef _WIN32

/* Where threads wait is the default poller, or a new one if that was closed. */
static int wait_at_poller(np_op *op)
{
    PyObject *poller = PyObject_CallFunction(ext_bound.default_poller, NULL);
    if (!poller)
        return EXT_RAISED;
    int rc = np_op_wait(op, ((PollerObject *)poller)->poller);
    Py_DECREF(poller);
    return rc == NP_NO_POLLER ? NP_BUSY : rc;
}

#else

static int wait_at_poller(np_op *op)
{
    return np_op_wait(op, NULL);
}

#endif

/* Signal handlers run between two waits. */
static int wait_in_thread(np_op *op)
{
    int rc;

    np_begin_wait();
    while ((rc = wait_at_poller(op)) == NP_BUSY || rc == NP_INTERRUPTED)
        if (PyErr_CheckSignals() < 0)
            return EXT_RAISED;
    return rc;
}

/* A wait that began since the last read was short: see recheck.h. */
NP_HOT static void add_recheck(np_op *op, HubObject *h)
{
    FdObject *f = ext_fd_of_op(op);

    if (op->state != OP_PARKED_READY || op->mode != NP_READ || f->file.kind != NP_FILE_UNIX ||
        !np_half_of(&f->file, NP_READ)->drained)
        return;
    f->recheck.desc = op->desc;
    ext_recheck_add(&h->rechecks, &f->recheck);
}

NP_HOT static int park(np_op *op, HubObject *h, WaiterObject *w)
{
    FdObject *f = ext_fd_of_op(op);
    np_poller *p = ext_hub_poller(h);

    if (!p)
        return EXT_RAISED;
    ext_arm(w);
    int rc = np_op_park(op, p, &w->wait, (np_token)w);
    if (rc != NP_PARKED) {
        ext_disarm(w);
        return rc;
    }
    add_recheck(op, h);
    if (ext_await_token(h, w) == 0) {
        rc = np_op_resume(op, &w->wait);
    } else {
        ext_cut_wait(w, np_op_cancel(op, &w->wait));
        rc = EXT_RAISED;
    }
    ext_recheck_remove(&f->recheck);
    return rc;
}

NP_HOT static int wait_in_hub(np_op *op, HubObject *h)
{
    WaiterObject *w = ext_begin_wait(h);
    int rc;

    if (!w)
        return EXT_RAISED;
    do {
        rc = park(op, h, w);
        if (rc == NP_INTERRUPTED && ext_check_eval_breaker() < 0)
            ext_interrupt(h, ext_take_exception()); /* as where the hub blocks */
    } while (rc == NP_BUSY || rc == NP_NO_POLLER || rc == NP_INTERRUPTED);
    ext_end_wait(h, w);
    return rc;
}

NP_HOT int ext_wait(np_op *op)
{
    HubObject *h = ext_hub();
    int rc = h ? wait_in_hub(op, h) : wait_in_thread(op);
    return rc == NP_OK ? 0 : raise_result(op, rc);
}

/* --- an operation ---------------------------------------------------------------------------- */

enum {
    NEVER_WAITS = 0
#ifdef MSG_DONTWAIT
    | MSG_DONTWAIT
#endif
#ifdef MSG_ERRQUEUE
    | MSG_ERRQUEUE
#endif
};

/* What begin or try said: go on, wait, or it is over. */
NP_HOT static int proceed(np_op *op, int rc)
{
    if (rc == NP_OK)
        return 0;
    return rc == NP_BUSY ? ext_wait(op) : raise_result(op, rc);
}

/* Urgent data that are on their way are never waited for, but by a timeout.  Datagrams have none.
 */
static bool never_waits(const FdObject *f, int mode, int flags)
{
    return flags & NEVER_WAITS ||
           (flags & MSG_OOB && mode == NP_READ && f->file.kind != NP_FILE_MESSAGES &&
            np_file_timeout(&f->file) < 0);
}

static inline bool is_to_wait(const FdObject *f, int mode, int flags)
{
    return np_load64(&f->file.timeout) != 0 && !(flags && never_waits(f, mode, flags));
}

int ext_begin_nothing(const FdObject *f, int flags)
{
    return ext_coop_yield(is_to_wait(f, NP_READ, flags)) < 0 || ext_closed(f) ? -1 : 0;
}

NP_HOT int ext_begin(np_op *op, FdObject *f, int mode, int flags)
{
    bool may_wait = is_to_wait(f, mode, flags);

    if (ext_coop_yield(may_wait) < 0)
        return -1;
    Py_INCREF(f);
    int rc = proceed(op, np_op_begin(op, &f->file, mode, may_wait));
    if (rc < 0)
        ext_end(op);
    return rc;
}

/* If the number is closed by it, an error of that is for none but the one that closed. */
NP_HOT void ext_end(np_op *op)
{
    np_op_end(op);
    Py_DECREF(ext_fd_of_op(op));
}

NP_HOT int ext_try(np_op *op)
{
    int rc;

    while ((rc = np_op_try(op)) != NP_OK)
        if ((rc = proceed(op, rc)) < 0)
            return rc;
    return 0;
}

int ext_between_parts(void)
{
    return ext_check_eval_breaker() < 0 ? -1 : ext_coop_yield(true);
}

int ext_failed(np_op *op)
{
#ifdef _WIN32
    int number = WSAGetLastError();
    bool again = number == WSAEWOULDBLOCK;
    bool interrupted = number == WSAEINTR;
#else
    bool again = errno == EAGAIN || errno == EWOULDBLOCK ||
                 (errno == EINPROGRESS && ext_blocks(op)); /* MSG_FASTOPEN, which connects first */
    bool interrupted = errno == EINTR;
#endif
    if (interrupted) {
        if (ext_check_eval_breaker() < 0)
            return -1;
        if (!op->may_wait)
            return 0;
        np_file_retry(op->file, op->mode); /* the wait is for nothing, but counts as one in vain */
    } else if (!again || !op->may_wait) {
        return raise_errno();
    }
    return ext_wait(op);
}
