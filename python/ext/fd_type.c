/* The type FD: its life, its lock, and how its users wait.
 *
 * Deadlines.  A wait is bound by `limit`, which belongs to the operation, and by `deadline`, which
 * anybody may move.  In a hub the descriptor's own deadline is the earlier of the two; a thread by
 * itself computes it whenever its bell has rung.  Who moves a deadline stores it first and then
 * tells the waiter, who has made himself known before he looks. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* POLLRDHUP */
#endif
#include "fd.h"

#include <errno.h>
#include <string.h>

#ifdef _WIN32
#include <winsock2.h>
#else
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>
#endif

static PyObject *new_queues, *open_for_io, *pause_for;

/* --- closing the number ---------------------------------------------------------------------- */

/* As the standard class does: a reset by the peer is no error of ours. */
static int close_number(np_fd number)
{
#ifdef _WIN32
    int rc = closesocket((SOCKET)number);
    return rc == 0 || WSAGetLastError() == WSAECONNRESET ? 0 : -1;
#else
    int rc;
    Py_BEGIN_ALLOW_THREADS /* a lingering socket takes its time */
        rc = close((int)number);
    Py_END_ALLOW_THREADS return rc == 0 || errno == ECONNRESET || errno == EINTR ? 0 : -1;
#endif
}

static PyObject *raise_errno(void)
{
#ifdef _WIN32
    return PyErr_SetExcFromWindowsErr(PyExc_OSError, WSAGetLastError());
#else
    return PyErr_SetFromErrno(PyExc_OSError);
#endif
}

/* --- the lock -------------------------------------------------------------------------------- */

/* In a forked child: how many forks there were, and the thread that is left. */
static unsigned forks;
static unsigned long survivor;

/* Borrowed; once there are any they stay. */
static PyObject *queues_of(FdObject *f)
{
    if (f->queues)
        return f->queues;
    PyObject *made = PyObject_CallFunction(new_queues, NULL);
    EXT_LOCK(f);
    bool first = !f->queues;
    if (first)
        f->queues = made;
    EXT_UNLOCK(f);
    if (!first)
        Py_XDECREF(made);
    return f->queues;
}

/* 1: hands the mode over to the first in the queue; 0: there is none any more. */
static int pass_on(FdObject *f, int mode)
{
    PyObject *type, *value, *traceback;

    PyErr_Fetch(&type, &value, &traceback);
    PyObject *done = PyObject_CallMethod(f->queues, "pass_on", "Oi", f, mode);
    if (!done)
        PyErr_WriteUnraisable((PyObject *)f);
    int passed = done == Py_True;
    Py_XDECREF(done);
    PyErr_Restore(type, value, traceback);
    return passed;
}

/* An error of closing is for nobody but the one who closes. */
static int leave(FdObject *f, int mode)
{
    if (mode)
        f->owner[mode - 1] = 0;
    for (;;) {
        int rc = np_fdmutex_unlock(&f->users, mode);
        if (rc == NP_CLOSED && !f->kept)
            return close_number(f->number);
        if (rc != NP_BUSY || pass_on(f, mode))
            return 0;
    }
}

/* In a forked child the other threads are gone, and nobody else will unlock what they had locked.
 */
static int leave_for_the_gone(FdObject *f)
{
    f->forks = forks;
    if (f->queues) {
        PyObject *done = PyObject_CallMethod(f->queues, "forget_the_gone", "k", survivor);
        if (!done)
            return -1;
        Py_DECREF(done);
    }
    for (int mode = NP_READ; mode <= NP_WRITE; mode++) {
        int rc = np_fdmutex_lock(&f->users, mode);
        if (rc == NP_BUSY && f->owner[mode - 1] != survivor) {
            f->limit[mode - 1] = 0;
            f->bell[mode - 1] = NULL;
            rc = NP_OK;
        }
        if (rc == NP_OK)
            leave(f, mode);
    }
    return 0;
}

static int see_forks(FdObject *f)
{
    return f->forks == forks ? 0 : leave_for_the_gone(f);
}

static int raise_closed(const FdObject *f)
{
    ext_raise_of_fd(NP_CLOSED, (long long)f->number, 0);
    return -1;
}

bool ext_closed(const FdObject *f)
{
    return np_fdmutex_closed(&f->users) && raise_closed(f);
}

static int64_t limit_of(const FdObject *f)
{
    if (f->timeout < 0)
        return NP_NEVER;
    int64_t now = np_now();
    return f->timeout < NP_NEVER - now ? now + f->timeout : NP_NEVER;
}

static int raise_would_block(void)
{
#ifdef _WIN32
    WSASetLastError(WSAEWOULDBLOCK);
#else
    errno = EAGAIN;
#endif
    raise_errno();
    return -1;
}

/* Somebody else has the mode. */
static int enter_queue(ext_operation *op)
{
    FdObject *f = op->fd;
    PyObject *queues = queues_of(f);
    if (!queues)
        return -1;
    op->limit = limit_of(f);
    PyObject *entered =
        PyObject_CallMethod(queues, "enter", "OiL", f, op->mode, (long long)op->limit);
    if (!entered)
        return -1;
    int granted = entered == Py_True;
    Py_DECREF(entered);
    return granted ? 0 : raise_closed(f);
}

enum {
    NEVER_WAITS = 0
#ifdef MSG_DONTWAIT
    | MSG_DONTWAIT
#endif
#ifdef MSG_ERRQUEUE
    | MSG_ERRQUEUE
#endif
};

int ext_begin(ext_operation *op, FdObject *f, int mode, int flags)
{
    *op = (ext_operation){.fd = f, .mode = mode};
    op->waits = f->timeout != 0 && !(flags & NEVER_WAITS);
    if (see_forks(f) < 0 || (op->waits && ext_give_way() < 0))
        return -1;
    int rc = np_fdmutex_lock(&f->users, mode);
    if (rc == NP_CLOSED)
        return raise_closed(f);
    if (rc == NP_BUSY && !op->waits)
        return raise_would_block();
    Py_INCREF(f);
    if (rc == NP_BUSY && enter_queue(op) < 0) {
        Py_DECREF(f);
        return -1;
    }
    f->owner[mode - 1] = PyThread_get_thread_ident();
    return 0;
}

void ext_end(ext_operation *op)
{
    leave(op->fd, op->mode);
    Py_DECREF(op->fd);
}

/* --- waiting --------------------------------------------------------------------------------- */

static bool passed(int64_t instant)
{
    return instant != NP_NEVER && np_now() >= instant;
}

static int raise_deadline(const FdObject *f, int mode)
{
    ext_raise_of_fd(NP_TIMEOUT, (long long)f->number, mode);
    return -1;
}

int ext_refuse(const ext_operation *op)
{
    const FdObject *f = op->fd;
    if (np_fdmutex_closed(&f->users))
        return raise_closed(f);
    if (passed(f->deadline[op->mode - 1]))
        return raise_deadline(f, op->mode);
    return 0;
}

/* Before a try: what was remembered is forgotten, since the try will tell. */
void ext_forget(FdObject *f, int mode)
{
    EXT_LOCK(f);
    if (f->desc)
        np_reset(f->desc->desc, mode);
    EXT_UNLOCK(f);
}

/* Unless somebody was faster.  Takes over the reference. */
static void replace_desc(FdObject *f, const DescObject *old, DescObject *desc)
{
    PyObject *unused = (PyObject *)desc;

    EXT_LOCK(f);
    if (f->desc == old) {
        unused = (PyObject *)f->desc;
        f->desc = desc;
        f->bound[0] = f->bound[1] = NP_NEVER;
    }
    EXT_UNLOCK(f);
    Py_XDECREF(unused);
}

/* Others run meanwhile. */
static int rest(double seconds)
{
    PyObject *done = PyObject_CallFunction(pause_for, "d", seconds);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

/* The wait is over, ready or not: why?  0: go on and try. */
static int outcome(ext_operation *op, const DescObject *d, int rc)
{
    FdObject *f = op->fd;

    f->drained[op->mode - 1] = false;
    if (np_fdmutex_closed(&f->users) && rc != EXT_RAISED)
        return raise_closed(f);
    switch (rc) {
    case EXT_RAISED:
        return -1;
    case NP_TIMEOUT:
        if (passed(f->deadline[op->mode - 1]))
            return raise_deadline(f, op->mode);
        if (passed(op->limit)) {
            PyErr_SetString(PyExc_TimeoutError, "timed out");
            return -1;
        }
        return 0;   /* it was moved meanwhile */
    case NP_CLOSED: /* the poller, not we: the next wait is on another */
        replace_desc(f, d, NULL);
        return 0;
    case NP_BUSY: /* the token of one who was killed has not come out yet, of another hub's poller
                   */
        return rest(0.001);
    case NP_OK:
        return 0;
    default:
        ext_raise_of_fd(rc, (long long)f->number, op->mode);
        return -1;
    }
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* The descriptor's deadline, for the one who waits.  The mutex is held. */
static int limit_waits(FdObject *f, int mode)
{
    int64_t when = earlier(f->limit[mode - 1], f->deadline[mode - 1]);
    if (when == f->bound[mode - 1])
        return NP_OK;
    int rc = np_set_deadline_at(f->desc->desc, when, mode);
    if (rc == NP_OK)
        f->bound[mode - 1] = when;
    return rc;
}

/* A new reference to the descriptor, if there is one, whether its poller is closed or not. */
static DescObject *desc_of(FdObject *f)
{
    EXT_LOCK(f);
    DescObject *d = f->desc;
    Py_XINCREF(d);
    EXT_UNLOCK(f);
    return d;
}

/* A new reference, or NULL with an exception set.  Reader and writer may come here at once. */
static DescObject *registered(FdObject *f)
{
    DescObject *d;

    while ((d = desc_of(f)) == NULL || np_poller_closed(np_desc_poller(d->desc))) {
        PyObject *fresh = PyObject_CallFunction(open_for_io, "L", (long long)f->number);
        if (fresh)
            replace_desc(f, d, (DescObject *)fresh);
        Py_XDECREF(d);
        if (!fresh)
            return NULL;
    }
    return d;
}

/* drained: this wait was begun without a failed try. */
static int wait_in_hub(ext_operation *op, TurnsObject *turns, DescObject *d)
{
    FdObject *f = op->fd;

    if (op->mode != NP_READ || !f->drained[0] || f->stream != UNIX_STREAM)
        return ext_wait_in_hub(turns, d, op->mode, 0);
    f->doubt.desc = d->desc;
    ext_doubt_add(&turns->doubts, &f->doubt);
    int rc = ext_wait_in_hub(turns, d, op->mode, 0);
    ext_doubt_remove(&f->doubt);
    return rc;
}

/* Whoever says `again` does so when what the last try has seen is out of date; so nobody may begin
 * to wait after that. */
static bool take_again(FdObject *f, int at)
{
    EXT_LOCK(f);
    bool again = f->again[at];
    f->again[at] = false;
    EXT_UNLOCK(f);
    return again;
}

static int wait_registered(ext_operation *op, TurnsObject *turns)
{
    FdObject *f = op->fd;
    DescObject *d = registered(f);

    if (!d)
        return -1;
    if (np_fdmutex_closed(&f->users)) /* before it could see the descriptor */
        np_close(d->desc);
    if (take_again(f, op->mode - 1)) {
        Py_DECREF(d);
        return 0;
    }
    EXT_LOCK(f);
    f->limit[op->mode - 1] = op->limit;
    int rc = f->desc == d ? limit_waits(f, op->mode) : NP_CLOSED;
    EXT_UNLOCK(f);
    if (rc == NP_OK)
        rc = turns ? wait_in_hub(op, turns, d) : ext_wait_in_thread(d, op->mode, 0);
    EXT_LOCK(f);
    f->limit[op->mode - 1] = 0;
    EXT_UNLOCK(f);
    rc = outcome(op, d, rc);
    Py_DECREF(d);
    return rc;
}

#ifdef _WIN32

static int wait_in_thread(ext_operation *op)
{
    return wait_registered(op, NULL);
}

#else

static pthread_key_t bells; /* each thread's own */

static void free_bell(void *bell)
{
    np_bell_free(bell);
}

static np_bell *my_bell(void)
{
    np_bell *bell = pthread_getspecific(bells);
    if (bell)
        return bell;
    int rc = np_bell_new(&bell);
    if (rc == 0 && pthread_setspecific(bells, bell) != 0) {
        np_bell_free(bell);
        rc = -ENOMEM;
    }
    if (rc == 0)
        return bell;
    ext_raise_poller(rc, "no wake-up for this thread");
    return NULL;
}

/* Under the mutex, as a bell goes with its thread and must not be rung afterwards. */
static void set_bell(FdObject *f, int at, np_bell *bell)
{
    EXT_LOCK(f);
    f->bell[at] = bell;
    EXT_UNLOCK(f);
}

/* Rung, it looks again at what there is to look at. */
static int wait_in_thread(ext_operation *op)
{
    FdObject *f = op->fd;
    int at = op->mode - 1, rc;
    np_bell *bell = my_bell();

    if (!bell)
        return -1;
    set_bell(f, at, bell);
    do {
        rc = NP_OK;
        if (np_fdmutex_closed(&f->users) || take_again(f, at))
            break;
        rc = np_wait_alone(bell, f->number, op->mode, earlier(op->limit, f->deadline[at]));
        if (rc == NP_INTERRUPTED)
            rc = PyErr_CheckSignals() < 0 ? EXT_RAISED : NP_AGAIN;
    } while (rc == NP_AGAIN);
    set_bell(f, at, NULL);
    return outcome(op, NULL, rc);
}

#endif

/* Where the kernel says ready and the try fails all the same, again and again, as for a datagram to
 * a UNIX socket that is full: a pause now and then, or it would take the whole processor.  Not for
 * streams: there a wait in vain is an accident, and many waits are a long way that is being gone.
 */
static int calm_down(ext_operation *op)
{
    enum { WAITS = 16, QUICK = WAITS * 100 * 1000 /* ns */ };

    if (op->fd->stream != NOT_A_STREAM || ++op->waited % WAITS != 0)
        return 0;
    int64_t now = np_now(), since = op->since;
    op->since = now;
    if (since == 0 || now - since > QUICK)
        return 0;
    int rc = rest(0.002);
    op->since = np_now();
    return rc;
}

int ext_block(ext_operation *op)
{
    TurnsObject *turns = ext_turns_here();

    if (op->limit == 0)
        op->limit = limit_of(op->fd);
    if (calm_down(op) < 0)
        return -1;
    return turns ? wait_registered(op, turns) : wait_in_thread(op);
}

int ext_failed(ext_operation *op)
{
#ifdef _WIN32
    int number = WSAGetLastError();
    bool again = number == WSAEWOULDBLOCK;
    bool interrupted = number == WSAEINTR;
#else
    bool again = errno == EAGAIN || errno == EWOULDBLOCK;
    bool interrupted = errno == EINTR;
#endif
    if (interrupted)
        return PyErr_CheckSignals();
    if (again && op->waits)
        return ext_block(op);
    raise_errno();
    return -1;
}

static bool mode_of(PyObject *arg, int *mode)
{
    long v = PyLong_AsLong(arg);
    *mode = (int)v;
    if (v == NP_READ || v == NP_WRITE)
        return true;
    if (!PyErr_Occurred())
        PyErr_Format(PyExc_ValueError, "mode is READ or WRITE, not %ld", v);
    return false;
}

/* --- telling the one who waits --------------------------------------------------------------- */

static int rebind(FdObject *f, int mode)
{
    int rc = NP_OK;

    EXT_LOCK(f);
#ifndef _WIN32
    if (f->bell[mode - 1])
        np_bell_ring(f->bell[mode - 1]);
#endif
    if (f->limit[mode - 1] && f->desc)
        rc = limit_waits(f, mode);
    EXT_UNLOCK(f);
    if (rc == NP_OK || rc == NP_CLOSED)
        return 0;
    ext_raise_of_fd(rc, (long long)f->number, mode);
    return -1;
}

/* again(mode): what the waiter of the mode has seen is out of date: he is to try once more. */
static PyObject *fd_again(PyObject *self, PyObject *arg)
{
    FdObject *f = (FdObject *)self;
    int mode;
    if (!mode_of(arg, &mode) || see_forks(f) < 0)
        return NULL;
    EXT_LOCK(f);
    f->again[mode - 1] = true;
    if (f->desc)
        np_set_ready(f->desc->desc, mode);
#ifndef _WIN32
    if (f->bell[mode - 1])
        np_bell_ring(f->bell[mode - 1]);
#endif
    EXT_UNLOCK(f);
    Py_RETURN_NONE;
}

PyObject *ext_set_io_deadline(FdObject *f, PyObject *timeout, int modes)
{
    int64_t after;

    if (!ext_timeout(NULL, timeout, NP_NEVER, &after) || see_forks(f) < 0)
        return NULL;
    if (np_fdmutex_closed(&f->users)) {
        raise_closed(f);
        return NULL;
    }
    int64_t now = after == NP_NEVER ? 0 : np_now();
    int64_t when = after < NP_NEVER - now ? now + after : NP_NEVER;
    for (int mode = NP_READ; mode <= NP_WRITE; mode++)
        if (modes & mode) {
            f->deadline[mode - 1] = when;
            if (rebind(f, mode) < 0)
                return NULL;
        }
    Py_RETURN_NONE;
}

static PyObject *fd_set_deadline(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    if (n != 2) {
        PyErr_SetString(PyExc_TypeError, "set_deadline() takes 2 arguments");
        return NULL;
    }
    long modes = PyLong_AsLong(args[1]);
    if (modes == -1 && PyErr_Occurred())
        return NULL;
    return ext_set_io_deadline((FdObject *)self, args[0], (int)modes);
}

static int dismiss_queues(FdObject *f)
{
    if (!f->queues)
        return 0;
    PyObject *done = PyObject_CallMethod(f->queues, "dismiss", "O", f);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

/* Nobody gets in any more, and whoever waits is ended. */
static PyObject *end_all(FdObject *f)
{
    EXT_LOCK(f);
    if (f->desc)
        np_close(f->desc->desc);
#ifndef _WIN32
    for (int i = 0; i < 2; i++)
        if (f->bell[i])
            np_bell_ring(f->bell[i]);
#endif
    EXT_UNLOCK(f);
    int rc = dismiss_queues(f);
    if (leave(f, 0) < 0 && rc == 0)
        return raise_errno();
    if (rc < 0)
        return NULL;
    Py_RETURN_TRUE;
}

/* close, detach: is it by this call that it is closed?  Of those who call at once, one is told so,
 * and the number is his. */
static PyObject *close_by(FdObject *f, bool keep)
{
    if (see_forks(f) < 0)
        return NULL;
    if (np_fdmutex_close(&f->users) == NP_CLOSED)
        Py_RETURN_FALSE;
    if (keep) /* before we leave, and so before anybody can be the last to leave */
        f->kept = true;
    return end_all(f);
}

static PyObject *fd_close(PyObject *self, PyObject *unused)
{
    (void)unused;
    return close_by((FdObject *)self, false);
}

static PyObject *fd_detach(PyObject *self, PyObject *unused)
{
    (void)unused;
    return close_by((FdObject *)self, true);
}

/* --- operations in Python -------------------------------------------------------------------- */

/* Would a read have to wait?  To ask is cheaper than an exception. */
static bool would_wait(const ext_operation *op)
{
#ifdef _WIN32
    (void)op;
    return false;
#else
    struct pollfd pfd = {.fd = (int)op->fd->number, .events = POLLIN};
    return op->mode == NP_READ && poll(&pfd, 1, 0) == 0;
#endif
}

bool ext_ended(const ext_operation *op)
{
#ifdef __linux__
    struct pollfd pfd = {.fd = (int)op->fd->number, .events = POLLRDHUP};
    int error = errno;
    bool ended = op->mode == NP_READ && op->waits && op->fd->stream == NOT_A_STREAM &&
                 poll(&pfd, 1, 0) > 0 && pfd.revents & POLLRDHUP;
    errno = error;
    return ended;
#else
    (void)op;
    return false;
#endif
}

PyObject *ext_call(ext_operation *op, bool ask, ext_maker nothing, PyObject *function,
                   PyObject *args, PyObject *kwargs)
{
    ask = ask && op->waits;
    op->fd->drained[op->mode - 1] = false; /* whatever it does, we do not know */
    for (;;) {
        if (ext_check(op) < 0)
            return NULL;
        if (!ask || !would_wait(op)) {
            PyObject *result = PyObject_Call(function, args, kwargs);
            if (result || !PyErr_ExceptionMatches(PyExc_OSError))
                return result;
            if (np_fdmutex_closed(&op->fd->users)) { /* since we looked */
                PyErr_Clear();
                continue;
            }
            if (!op->waits || !PyErr_ExceptionMatches(PyExc_BlockingIOError))
                return NULL;
            PyErr_Clear();
            if (nothing && ext_ended(op))
                return nothing();
        }
        if (ext_block(op) < 0)
            return NULL;
        ask = false;
    }
}

static PyObject *tuple_of(PyObject *const *items, Py_ssize_t n)
{
    PyObject *tuple = PyTuple_New(n);
    for (Py_ssize_t i = 0; tuple && i < n; i++) {
        Py_INCREF(items[i]);
        PyTuple_SetItem(tuple, i, items[i]);
    }
    return tuple;
}

/* call(mode, flags, function, *args) */
static PyObject *fd_call(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    ext_operation op;
    if (n < 3) {
        PyErr_SetString(PyExc_TypeError, "call() takes at least 3 arguments");
        return NULL;
    }
    long mode = PyLong_AsLong(args[0]), flags = PyLong_AsLong(args[1]);
    if (PyErr_Occurred())
        return NULL;
    if (mode != NP_READ && mode != NP_WRITE) {
        PyErr_Format(PyExc_ValueError, "mode is READ or WRITE, not %ld", mode);
        return NULL;
    }
    PyObject *rest = tuple_of(args + 3, n - 3);
    if (!rest)
        return NULL;
    PyObject *result = NULL;
    if (ext_begin(&op, (FdObject *)self, (int)mode, (int)flags) == 0) {
        result = ext_call(&op, false, NULL, args[2], rest, NULL);
        ext_end(&op);
    }
    Py_DECREF(rest);
    return result;
}

/* --- connecting ------------------------------------------------------------------------------ */

#ifdef _WIN32
typedef int address_length;
enum { IN_PROGRESS = WSAEWOULDBLOCK, NOT_CONNECTED = WSAENOTCONN };
static int last_error(void)
{
    return WSAGetLastError();
}
#else
typedef socklen_t address_length;
enum { IN_PROGRESS = EINPROGRESS, NOT_CONNECTED = ENOTCONN };
static int last_error(void)
{
    return errno;
}
#endif

/* 0, or the errno of what went wrong; IN_PROGRESS: we were woken for another reason. */
static int connected(FdObject *f)
{
    struct sockaddr_storage peer;
    address_length size = sizeof peer;
    int number = 0;
    address_length number_size = sizeof number;
#ifdef _WIN32
    SOCKET fd = (SOCKET)f->number;
#else
    int fd = (int)f->number;
#endif

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, (void *)&number, &number_size) < 0)
        return last_error();
    if (number != 0)
        return number;
    if (getpeername(fd, (struct sockaddr *)&peer, &size) == 0)
        return 0;
    number = last_error();
    EXT_LOCK(f);
    bool drained = f->desc && np_short_is_drained(f->desc->desc);
    EXT_UNLOCK(f);
    return number == NOT_CONNECTED && drained ? IN_PROGRESS : number;
}

static long connect_and_wait(ext_operation *op, PyObject *begin, PyObject *address)
{
    FdObject *f = op->fd;

    if (ext_check(op) < 0)
        return -1;
    ext_forget(f, NP_WRITE);
    PyObject *begun = PyObject_CallFunctionObjArgs(begin, address, NULL);
    long number = begun ? PyLong_AsLong(begun) : -1;
    Py_XDECREF(begun);
    while (number == IN_PROGRESS && op->waits) {
        if (ext_block(op) < 0 || ext_check(op) < 0)
            return -1;
        number = connected(f);
    }
    return number;
}

/* connect(begin, address) */
static PyObject *fd_connect(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    ext_operation op;
    if (n != 2) {
        PyErr_SetString(PyExc_TypeError, "connect() takes 2 arguments");
        return NULL;
    }
    if (ext_begin(&op, (FdObject *)self, NP_WRITE, 0) < 0)
        return NULL;
    long number = connect_and_wait(&op, args[0], args[1]);
    ext_end(&op);
    return PyErr_Occurred() ? NULL : PyLong_FromLong(number);
}

static PyObject *fd_check(PyObject *self, PyObject *arg)
{
    ext_operation op = {.fd = (FdObject *)self};
    if (!mode_of(arg, &op.mode) || ext_check(&op) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* --- for the queues -------------------------------------------------------------------------- */

static PyObject *fd_lock_or_queue(PyObject *self, PyObject *arg)
{
    int mode;
    if (!mode_of(arg, &mode))
        return NULL;
    return PyLong_FromLong(np_fdmutex_lock_or_queue(&((FdObject *)self)->users, mode));
}

static PyObject *fd_dequeued(PyObject *self, PyObject *arg)
{
    int mode;
    if (!mode_of(arg, &mode))
        return NULL;
    np_fdmutex_dequeued(&((FdObject *)self)->users, mode);
    Py_RETURN_NONE;
}

/* _owned_by(mode, thread): to whom it was handed over. */
static PyObject *fd_owned_by(PyObject *self, PyObject *args)
{
    int mode;
    unsigned long thread;
    if (!PyArg_ParseTuple(args, "ik:_owned_by", &mode, &thread))
        return NULL;
    ((FdObject *)self)->owner[mode - 1] = thread;
    Py_RETURN_NONE;
}

static PyObject *fd_leave(PyObject *self, PyObject *arg)
{
    int mode;
    if (!mode_of(arg, &mode))
        return NULL;
    leave((FdObject *)self, mode);
    Py_RETURN_NONE;
}

/* --- life ------------------------------------------------------------------------------------ */

static int fd_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"number", "stream", NULL};
    FdObject *f = (FdObject *)self;
    PyObject *number;
    int stream;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "Oi:FD", names, &number, &stream) ||
        !ext_fd(number, &f->number))
        return -1;
    f->stream = (uint8_t)stream;
    f->timeout = -1;
    f->forks = forks;
    for (int i = 0; i < 2; i++)
        f->deadline[i] = f->bound[i] = NP_NEVER;
    return 0;
}

static PyObject *fd_number(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromLongLong((long long)((FdObject *)self)->number);
}

static PyObject *fd_stream(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromLong(((FdObject *)self)->stream);
}

static PyObject *fd_closed(PyObject *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(np_fdmutex_closed(&((FdObject *)self)->users));
}

static PyObject *fd_timeout(PyObject *self, void *unused)
{
    int64_t timeout = ((FdObject *)self)->timeout;
    (void)unused;
    if (timeout < 0)
        Py_RETURN_NONE;
    return PyFloat_FromDouble((double)timeout / 1e9);
}

static int fd_set_timeout(PyObject *self, PyObject *value, void *unused)
{
    int64_t ns;
    (void)unused;
    if (!value) {
        PyErr_SetString(PyExc_AttributeError, "the timeout cannot be deleted");
        return -1;
    }
    if (!ext_timeout(NULL, value, -1, &ns))
        return -1;
    ((FdObject *)self)->timeout = ns;
    return 0;
}

static int fd_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT((PyObject *)((FdObject *)self)->desc);
    Py_VISIT(((FdObject *)self)->queues);
    Py_VISIT(Py_TYPE(self));
    return 0;
}

static int fd_clear(PyObject *self)
{
    Py_CLEAR(((FdObject *)self)->queues);
    return 0;
}

static void fd_dealloc(PyObject *self)
{
    FdObject *f = (FdObject *)self;
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    ext_doubt_remove(&f->doubt); /* of a greenlet that was never switched to again */
    Py_CLEAR(f->desc);
    Py_CLEAR(f->queues);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

#define FAST(f) ((PyCFunction)(void (*)(void))(f))

/* take_deadlines(other): of an FD that is done with its number, before anybody has an operation. */
static PyObject *fd_take_deadlines(PyObject *self, PyObject *other)
{
    if (Py_TYPE(other) != Py_TYPE(self)) {
        PyErr_SetString(PyExc_TypeError, "take_deadlines() takes an FD");
        return NULL;
    }
    memcpy(((FdObject *)self)->deadline, ((FdObject *)other)->deadline,
           sizeof((FdObject *)self)->deadline);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"call", FAST(fd_call), METH_FASTCALL, NULL},
    {"connect", FAST(fd_connect), METH_FASTCALL, NULL},
    {"again", fd_again, METH_O, NULL},
    {"check", fd_check, METH_O, NULL},
    {"set_deadline", FAST(fd_set_deadline), METH_FASTCALL, NULL},
    {"take_deadlines", fd_take_deadlines, METH_O, NULL},
    {"close", fd_close, METH_NOARGS, NULL},
    {"detach", fd_detach, METH_NOARGS, NULL},
    {"_lock_or_queue", fd_lock_or_queue, METH_O, NULL},
    {"_dequeued", fd_dequeued, METH_O, NULL},
    {"_leave", fd_leave, METH_O, NULL},
    {"_owned_by", fd_owned_by, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"number", fd_number, NULL, NULL, NULL}, {"stream", fd_stream, NULL, NULL, NULL},
    {"closed", fd_closed, NULL, NULL, NULL}, {"timeout", fd_timeout, fd_set_timeout, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, (void *)PyType_GenericNew},
    {Py_tp_init, (void *)fd_init},
    {Py_tp_traverse, (void *)fd_traverse},
    {Py_tp_clear, (void *)fd_clear},
    {Py_tp_dealloc, (void *)fd_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "netpoll._core.FD",
    .basicsize = sizeof(FdObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = slots,
};

/* connect_fd(new_queues, open_for_io, pause): what it needs of Python, given by _fused.py when all
 * is imported. */
static PyObject *connect_fd(PyObject *module, PyObject *args)
{
    (void)module;
    Py_CLEAR(new_queues);
    Py_CLEAR(open_for_io);
    Py_CLEAR(pause_for);
    if (!PyArg_ParseTuple(args, "OOO:connect_fd", &new_queues, &open_for_io, &pause_for))
        return NULL;
    Py_INCREF(new_queues);
    Py_INCREF(open_for_io);
    Py_INCREF(pause_for);
    Py_RETURN_NONE;
}

/* forked(): in the child. */
static PyObject *forked(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    forks++;
    survivor = PyThread_get_thread_ident();
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"forked", forked, METH_NOARGS, NULL},
    {"connect_fd", connect_fd, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

int ext_add_fd_type(PyObject *module)
{
#ifndef _WIN32
    if (pthread_key_create(&bells, free_bell) != 0) {
        PyErr_NoMemory();
        return -1;
    }
#endif
    PyObject *type = PyType_FromSpec(&spec);
    int rc = type ? PyModule_AddObjectRef(module, "FD", type) : -1;
    Py_XDECREF(type);
    return rc < 0 ? rc : PyModule_AddFunctions(module, functions);
}
