/* The operations of netpoll.socket that may have to wait, fused with the wait.
 *
 * Each is: lock the mode, try, wait, try again, unlock.  The socket is non-blocking, so the system
 * calls keep the GIL.  Two give it back: large ones, whose copying takes longer than handing it
 * over, and the sends of threads, where that is worth while (gil.c).
 *
 * Drained.  A stream's read or write that is short shows that the next one could only fail, so it
 * waits at once, without that system call.  That holds for TCP and UNIX streams, with exceptions
 * that are looked for where they arise: an end of the file, an error or urgent data among the
 * events (np_short_is_drained), and messages at which a read of a UNIX stream stops (doubt.h).
 *
 * Nothing large is on the stack while somebody waits: a greenlet's stack is copied. */
#include "address.h"
#include "docs_made.h"
#include "fd.h"
#include "gil.h"

#include <errno.h>
#include <string.h>

#ifdef _WIN32
#include <winsock2.h>
typedef int io_size;
typedef char *io_buffer;
typedef const char *io_data;
#else
#include <sys/socket.h>
typedef size_t io_size;
typedef void *io_buffer;
typedef const void *io_data;
#endif

#ifndef MSG_WAITALL
#define MSG_WAITALL 0
#endif
#ifndef MSG_TRUNC
#define MSG_TRUNC 0
#endif

enum {
    LARGE = 256 * 1024, /* copying takes longer than to hand the GIL over, from here on */
    WORTH = 4 * 1024,   /* copying takes longer than to make an object for nothing, from here on */
    MOST = 1 << 30      /* at once: what every system can */
};

#ifndef Py_GIL_DISABLED
/* Reads of up to so many bytes go through one buffer, which is written and read with the GIL held,
 * and no switch in between, unless the last one filled its own.  Without the GIL each thread would
 * need its own, from its first look at any thread-local variable on. */
enum { SHARED = 64 * 1024 };
static char shared[SHARED];
#endif

/* --- the FD of a socket object --------------------------------------------------------------- */

static Py_ssize_t slot; /* where in an object the class's own slot is */
static PyObject *base;  /* the standard class */
static PyObject *audit; /* sys.audit */

static FdObject *fd_of(PyObject *self)
{
    FdObject *f = *(FdObject **)(void *)((char *)self + slot);
    if (!f)
        PyErr_SetString(PyExc_RuntimeError, "socket.__init__ was not called");
    return f;
}

/* --- buffers --------------------------------------------------------------------------------- */

/* The limited API of 3.10 has no Py_buffer.  A memoryview holds the buffer in its place, and these
 * two, of the stable ABI but not in all its headers, tell where that is.  They are deprecated since
 * they hold nothing. */
PyAPI_FUNC(int) PyObject_AsReadBuffer(PyObject *, const void **, Py_ssize_t *);
PyAPI_FUNC(int) PyObject_AsWriteBuffer(PyObject *, void **, Py_ssize_t *);
#ifdef __GNUC__
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
#endif

typedef struct held {
    PyObject *view; /* a reference, or NULL */
    char *start;
    Py_ssize_t size;
} held;

static int hold_for_reading(PyObject *data, held *h)
{
    const void *start;

    *h = (held){.view = NULL};
    if (PyBytes_CheckExact(data)) { /* cannot change, and is the caller's meanwhile */
        Py_INCREF(data);
        h->view = data;
        return PyBytes_AsStringAndSize(data, &h->start, &h->size);
    }
    if (PyUnicode_Check(data)) {
        PyErr_SetString(PyExc_TypeError, "a bytes-like object is required, not 'str'");
        return -1;
    }
    h->view = PyMemoryView_FromObject(data);
    if (!h->view)
        return -1;
    if (PyObject_AsReadBuffer(data, &start, &h->size) < 0) {
        Py_CLEAR(h->view);
        return -1;
    }
    h->start = (char *)(uintptr_t)start;
    return 0;
}

static int hold_for_writing(PyObject *buffer, held *h)
{
    void *start;

    *h = (held){.view = PyMemoryView_FromObject(buffer)};
    if (!h->view)
        return -1;
    if (PyObject_AsWriteBuffer(buffer, &start, &h->size) < 0) {
        Py_CLEAR(h->view);
        return -1;
    }
    h->start = start;
    return 0;
}

static void let_go(held *h)
{
    Py_XDECREF(h->view);
}

/* --- whose addresses are read and written here ------------------------------------------------ */

#ifndef _WIN32
enum { FAMILY_UNKNOWN = AF_UNSPEC, FAMILY_OTHER = UINT8_MAX };

/* What the socket was said to be of, which a subclass may hide. */
static long family_told(PyObject *self)
{
    PyObject *property = PyObject_GetAttrString(base, "family");
    PyObject *family = property ? PyObject_CallMethod(property, "__get__", "O", self) : NULL;
    long number = family ? PyLong_AsLong(family) : -1;
    Py_XDECREF(family);
    Py_XDECREF(property);
    return number;
}

/* AF_INET, AF_INET6, AF_UNIX, or FAMILY_OTHER, which is for the standard class; -1 with an
 * exception set. */
static int family_of(PyObject *self, FdObject *f)
{
    if (f->family == FAMILY_UNKNOWN) {
        long family = family_told(self);
        if (PyErr_Occurred())
            return -1;
        bool ours = family == AF_INET || family == AF_INET6 || family == AF_UNIX;
        f->family = ours ? (uint8_t)family : FAMILY_OTHER;
    }
    return f->family;
}
#endif

/* --- system calls ---------------------------------------------------------------------------- */

/* What a system call is given besides its buffer. */
typedef struct how {
    int flags;
    ext_address *peer; /* recvfrom: where the sender's goes; sendto: the receiver's; or NULL */
} how;

#ifdef _WIN32
static Py_ssize_t receive_once(const FdObject *f, char *to, Py_ssize_t n, const how *h)
{
    return recv((SOCKET)f->number, to, (io_size)n, h->flags);
}

static Py_ssize_t send_once(const FdObject *f, const char *from, Py_ssize_t n, const how *h)
{
    return send((SOCKET)f->number, from, (io_size)n, h->flags);
}
#else
static Py_ssize_t receive_once(const FdObject *f, char *to, Py_ssize_t n, const how *h)
{
    if (!h->peer)
        return recv((int)f->number, to, (io_size)n, h->flags);
    h->peer->size = sizeof h->peer->at;
    Py_ssize_t got =
        recvfrom((int)f->number, to, (io_size)n, h->flags, &h->peer->at.any, &h->peer->size);
    if (got < 0)
        h->peer->size = 0;
    return got;
}

static Py_ssize_t send_once(const FdObject *f, const char *from, Py_ssize_t n, const how *h)
{
    if (!h->peer)
        return send((int)f->number, from, (io_size)n, h->flags);
    return sendto((int)f->number, from, (io_size)n, h->flags, &h->peer->at.any, h->peer->size);
}
#endif

static Py_ssize_t receive(FdObject *f, char *to, Py_ssize_t n, const how *h)
{
    Py_ssize_t got;

    n = n < MOST ? n : MOST;
    ext_forget(f, NP_READ);
    if (n < LARGE) {
        got = receive_once(f, to, n, h);
    } else {
        void *state = ext_give_gil_back();
        got = receive_once(f, to, n, h);
        ext_take_gil(state);
    }
    f->drained[0] = f->stream && got > 0 && got < n && h->flags == 0;
    f->filled = got == n && n >= WORTH;
    return got;
}

static Py_ssize_t transmit(FdObject *f, const char *from, Py_ssize_t n, const how *h)
{
    Py_ssize_t sent;

    n = n < MOST ? n : MOST;
    ext_forget(f, NP_WRITE);
    if (n < LARGE && (ext_turns_here() || !ext_gil_is_quick())) {
        sent = send_once(f, from, n, h);
    } else {
        void *state = ext_give_gil_back();
        sent = send_once(f, from, n, h);
        ext_take_gil(state);
    }
    f->drained[1] = f->stream && sent >= 0 && sent < n;
    return sent;
}

/* --- receiving ------------------------------------------------------------------------------- */

static bool at_end(const ext_operation *op)
{
#ifdef _WIN32
    (void)op;
    return false;
#else
    return errno == EAGAIN && ext_ended(op);
#endif
}

/* Inside an operation: up to n bytes.  -1 with an exception set. */
static Py_ssize_t receive_some(ext_operation *op, char *to, Py_ssize_t n, const how *h)
{
    for (;;) {
        if (ext_until_worth_trying(op) < 0)
            return -1;
        Py_ssize_t got = receive(op->fd, to, n, h);
        if (got >= 0)
            return got;
        if (at_end(op))
            return 0;
        if (ext_failed(op) < 0)
            return -1;
    }
}

/* MSG_WAITALL is the kernel's business where the socket blocks.  Here it is ours, unless to go on
 * would give the same bytes again, or those of another sender. */
static bool waits_for_all(const FdObject *f, const how *h)
{
    return h->flags & MSG_WAITALL && !(h->flags & (MSG_PEEK | MSG_OOB)) && !h->peer &&
           f->timeout < 0 && f->stream;
}

/* Out of time: what was received until then is given, as by the kernel. */
static bool makes_do(Py_ssize_t done)
{
    if (done == 0 || !PyErr_ExceptionMatches(PyExc_TimeoutError))
        return false;
    PyErr_Clear();
    return true;
}

static Py_ssize_t receive_all(ext_operation *op, char *to, Py_ssize_t n, const how *h)
{
    Py_ssize_t done = 0;
    do {
        Py_ssize_t got = receive_some(op, to + done, n - done, h);
        if (got < 0)
            return makes_do(done) ? done : -1;
        if (got == 0)
            break;
        done += got;
    } while (done < n && waits_for_all(op->fd, h));
    return done;
}

#ifndef Py_GIL_DISABLED
/* The wait is over before the shared buffer is written, and nobody else runs before it is read. */
static PyObject *receive_small(ext_operation *op, Py_ssize_t n, const how *h)
{
    Py_ssize_t got = receive_some(op, shared, n, h);
    return got < 0 ? NULL : PyBytes_FromStringAndSize(shared, got);
}
#endif

/* The first bytes of a result that is the caller's; a reference is taken. */
static PyObject *cut(PyObject *whole, Py_ssize_t n, Py_ssize_t got)
{
    if (got == n)
        return whole;
    PyObject *result = PyBytes_FromStringAndSize(PyBytes_AsString(whole), got);
    Py_DECREF(whole);
    return result;
}

/* The error of the try before it outlives it. */
static void drop(PyObject *whole)
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
static PyObject *receive_large(ext_operation *op, Py_ssize_t n, const how *h)
{
    for (;;) {
        if (ext_until_worth_trying(op) < 0)
            return NULL;
        PyObject *whole = PyBytes_FromStringAndSize(NULL, n);
        if (!whole)
            return NULL;
        Py_ssize_t got = receive(op->fd, PyBytes_AsString(whole), n, h);
        if (got >= 0 || at_end(op))
            return cut(whole, n, got > 0 ? got : 0);
        drop(whole);
        if (ext_failed(op) < 0)
            return NULL;
    }
}

/* With MSG_TRUNC the kernel tells how much there was, which may be more than it has written, or has
 * written nothing: the rest is zeros, and not what was in the memory before. */
static PyObject *receive_truncated(ext_operation *op, Py_ssize_t n, const how *h)
{
    char *room = PyMem_Calloc((size_t)n, 1);
    if (!room)
        return PyErr_NoMemory();
    PyObject *result = NULL;
    Py_ssize_t got = receive_some(op, room, n, h);
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

static PyObject *receive_whole(ext_operation *op, Py_ssize_t n, const how *h)
{
    PyObject *whole = PyBytes_FromStringAndSize(NULL, n);
    if (!whole)
        return NULL;
    Py_ssize_t got = receive_all(op, PyBytes_AsString(whole), n, h);
    if (got >= 0)
        return cut(whole, n, got);
    Py_DECREF(whole);
    return NULL;
}

static PyObject *receive_bytes(ext_operation *op, Py_ssize_t n, const how *h)
{
    if (h->flags & MSG_TRUNC)
        return receive_truncated(op, n, h);
    if (h->flags & MSG_WAITALL)
        return receive_whole(op, n, h);
#ifndef Py_GIL_DISABLED
    if (n <= SHARED && !op->fd->filled)
        return receive_small(op, n, h);
#endif
    return receive_large(op, n, h);
}

static bool number_of(PyObject *arg, Py_ssize_t *n)
{
    *n = PyNumber_AsSsize_t(arg, PyExc_OverflowError);
    return !(*n == -1 && PyErr_Occurred());
}

static bool flags_of(PyObject *arg, int *flags)
{
    *flags = 0;
    if (!arg)
        return true;
    long v = PyLong_AsLong(arg);
    if (v == -1 && PyErr_Occurred())
        return false;
    if (v != (int)v) {
        PyErr_SetString(PyExc_OverflowError, "flags do not fit into a C int");
        return false;
    }
    *flags = (int)v;
    return true;
}

static bool count_of(const char *name, Py_ssize_t n, Py_ssize_t min, Py_ssize_t max)
{
    if (n >= min && n <= max)
        return true;
    PyErr_Format(PyExc_TypeError, "%s() takes %zd to %zd arguments (%zd given)", name, min, max, n);
    return false;
}

static PyObject *sock_recv(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    ext_operation op;
    Py_ssize_t size;
    int flags;
    FdObject *f = fd_of(self);

    if (!f || !count_of("recv", n, 1, 2) || !number_of(args[0], &size) ||
        !flags_of(n > 1 ? args[1] : NULL, &flags))
        return NULL;
    if (size < 0) {
        PyErr_SetString(PyExc_ValueError, "negative buffersize in recv");
        return NULL;
    }
    if (size == 0)
        return ext_closed(f) ? NULL : PyBytes_FromStringAndSize(NULL, 0);
    if (ext_begin(&op, f, NP_READ, flags) < 0)
        return NULL;
    PyObject *result = receive_bytes(&op, size, &(how){.flags = flags});
    ext_end(&op);
    return result;
}

static bool into(const char *name, const held *h, Py_ssize_t *size)
{
    if (*size < 0)
        PyErr_Format(PyExc_ValueError, "negative buffersize in %s", name);
    else if (*size > h->size)
        PyErr_SetString(PyExc_ValueError, "buffer too small for requested bytes");
    else
        *size = *size ? *size : h->size;
    return !PyErr_Occurred();
}

static PyObject *sock_recv_into(PyObject *self, PyObject *const *args, Py_ssize_t n,
                                PyObject *names)
{
    static const ext_signature s = {"recv_into", 1, 3, {"buffer", "nbytes", "flags"}};
    PyObject *given[3], *result = NULL;
    ext_operation op;
    Py_ssize_t size = 0;
    held h;
    int flags;
    FdObject *f = fd_of(self);

    if (!f || !ext_arguments(&s, args, n, names, given) ||
        (given[1] && !number_of(given[1], &size)) || !flags_of(given[2], &flags) ||
        hold_for_writing(given[0], &h) < 0)
        return NULL;
    if (into("recv_into", &h, &size) && size == 0) {
        result = ext_closed(f) ? NULL : PyLong_FromLong(0);
    } else if (!PyErr_Occurred() && ext_begin(&op, f, NP_READ, flags) == 0) {
        Py_ssize_t got = receive_all(&op, h.start, size, &(how){.flags = flags});
        if (got >= 0)
            result = PyLong_FromSsize_t(got);
        ext_end(&op);
    }
    let_go(&h);
    return result;
}

/* --- sending --------------------------------------------------------------------------------- */

static Py_ssize_t send_some(ext_operation *op, const char *from, Py_ssize_t n, const how *h)
{
    for (;;) {
        if (ext_until_worth_trying(op) < 0)
            return -1;
        Py_ssize_t sent = transmit(op->fd, from, n, h);
        if (sent >= 0)
            return sent;
        if (ext_failed(op) < 0)
            return -1;
    }
}

static int send_all(ext_operation *op, const char *from, Py_ssize_t n, const how *h)
{
    Py_ssize_t done = 0;
    do {
        Py_ssize_t sent = send_some(op, from + done, n - done, h);
        if (sent < 0)
            return -1;
        done += sent;
        if (done < n && PyErr_CheckSignals() < 0)
            return -1;
    } while (done < n);
    return 0;
}

/* send and sendall: data, flags. */
static PyObject *send_with(PyObject *self, PyObject *const *args, Py_ssize_t n, bool all)
{
    ext_operation op;
    held h;
    int flags;
    PyObject *result = NULL;
    FdObject *f = fd_of(self);

    if (!f || !count_of(all ? "sendall" : "send", n, 1, 2) ||
        !flags_of(n > 1 ? args[1] : NULL, &flags) || hold_for_reading(args[0], &h) < 0)
        return NULL;
    if (ext_begin(&op, f, NP_WRITE, flags) == 0) {
        how plain = {.flags = flags};
        Py_ssize_t rc =
            all ? send_all(&op, h.start, h.size, &plain) : send_some(&op, h.start, h.size, &plain);
        if (rc >= 0 && all) {
            Py_INCREF(Py_None);
            result = Py_None;
        } else if (rc >= 0) {
            result = PyLong_FromSsize_t(rc);
        }
        ext_end(&op);
    }
    let_go(&h);
    return result;
}

static PyObject *sock_send(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    return send_with(self, args, n, false);
}

static PyObject *sock_sendall(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    return send_with(self, args, n, true);
}

/* --- deadlines, which may be moved at every operation ---------------------------------------- */

static PyObject *set_deadline(PyObject *self, PyObject *timeout, int modes)
{
    FdObject *f = fd_of(self);
    return f ? ext_set_io_deadline(f, timeout, modes) : NULL;
}

static PyObject *sock_set_deadline(PyObject *self, PyObject *timeout)
{
    return set_deadline(self, timeout, NP_READ | NP_WRITE);
}

static PyObject *sock_set_read_deadline(PyObject *self, PyObject *timeout)
{
    return set_deadline(self, timeout, NP_READ);
}

static PyObject *sock_set_write_deadline(PyObject *self, PyObject *timeout)
{
    return set_deadline(self, timeout, NP_WRITE);
}

/* --- what the standard class does for us ----------------------------------------------------- */

/* What they give for a direction that has ended. */

static PyObject *no_bytes_from(void)
{
    return Py_BuildValue("(yO)", "", Py_None);
}

static PyObject *no_bytes_into_from(void)
{
    return Py_BuildValue("(iO)", 0, Py_None);
}

#ifndef _WIN32
static PyObject *no_message(void)
{
    return Py_BuildValue("(y[]iO)", "", 0, Py_None);
}

static PyObject *no_message_into(void)
{
    return Py_BuildValue("(i[]iO)", 0, 0, Py_None);
}
#endif

/* The standard method, called until it does not say BlockingIOError.  flags_at: where its flags
 * are among the arguments. */
static PyObject *standard(PyObject *self, const char *name, int mode, PyObject *args,
                          Py_ssize_t flags_at, ext_maker nothing)
{
    ext_operation op;
    int flags = 0;
    FdObject *f = fd_of(self);
    PyObject *given = flags_at < PyTuple_Size(args) ? PyTuple_GetItem(args, flags_at) : NULL;

    if (!f || (given && PyLong_Check(given) && !flags_of(given, &flags)))
        return NULL;
    PyObject *method = PyObject_GetAttrString(base, name);
    PyObject *bound = method ? PyObject_CallMethod(method, "__get__", "O", self) : NULL;
    PyObject *result = NULL;
    if (bound && ext_begin(&op, f, mode, flags) == 0) {
        result = ext_call(&op, true, nothing, bound, args, NULL);
        ext_end(&op);
    }
    Py_XDECREF(bound);
    Py_XDECREF(method);
    return result;
}

static PyObject *sock_accept(PyObject *self, PyObject *args)
{
#ifdef EXT_ACCEPT
    FdObject *f = fd_of(self);
    if (!f || f->stream != NOT_A_STREAM)
        return f ? ext_accept(f) : NULL;
#endif
    return standard(self, "_accept", NP_READ, args, 0, NULL);
}

/* --- with addresses: here, or by the standard class ------------------------------------------- */

/* Takes over the arguments, and any exception of their making. */
static PyObject *by_standard(PyObject *self, const char *name, PyObject *args, Py_ssize_t flags_at,
                             ext_maker nothing)
{
    PyObject *result = args ? standard(self, name, NP_READ, args, flags_at, nothing) : NULL;
    Py_XDECREF(args);
    return result;
}

#ifndef _WIN32
/* What was received, which is taken over, and who sent it. */
static PyObject *with_sender(PyObject *received, const ext_address *sender)
{
    PyObject *address = received ? ext_address_told(sender) : NULL;
    if (address)
        return Py_BuildValue("NN", received, address);
    Py_XDECREF(received);
    return NULL;
}

static PyObject *receive_from(FdObject *f, Py_ssize_t size, int flags)
{
    ext_operation op;
    ext_address sender = {.size = 0};

    if (ext_begin(&op, f, NP_READ, flags) < 0)
        return NULL;
    PyObject *received = receive_bytes(&op, size, &(how){.flags = flags, .peer = &sender});
    ext_end(&op);
    return with_sender(received, &sender);
}

static PyObject *receive_into_from(FdObject *f, const held *h, Py_ssize_t size, int flags)
{
    ext_operation op;
    ext_address sender = {.size = 0};

    if (!into("recvfrom_into", h, &size) || ext_begin(&op, f, NP_READ, flags) < 0)
        return NULL;
    Py_ssize_t got = receive_some(&op, h->start, size, &(how){.flags = flags, .peer = &sender});
    ext_end(&op);
    return got < 0 ? NULL : with_sender(PyLong_FromSsize_t(got), &sender);
}
#endif

static PyObject *sock_recvfrom(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    Py_ssize_t size;
    int flags;
    FdObject *f = fd_of(self);

    if (!f || !count_of("recvfrom", n, 1, 2) || !number_of(args[0], &size) ||
        !flags_of(n > 1 ? args[1] : NULL, &flags))
        return NULL;
    if (size < 0) {
        PyErr_SetString(PyExc_ValueError, "negative buffersize in recvfrom");
        return NULL;
    }
#ifndef _WIN32
    int family = family_of(self, f);
    if (family != FAMILY_OTHER)
        return family < 0 ? NULL : receive_from(f, size, flags);
#endif
    return by_standard(self, "recvfrom", Py_BuildValue("ni", size, flags), 1, no_bytes_from);
}

static PyObject *sock_recvfrom_into(PyObject *self, PyObject *const *args, Py_ssize_t n,
                                    PyObject *names)
{
    static const ext_signature s = {"recvfrom_into", 1, 3, {"buffer", "nbytes", "flags"}};
    PyObject *given[3];
    Py_ssize_t size = 0;
    int flags;
    FdObject *f = fd_of(self);

    if (!f || !ext_arguments(&s, args, n, names, given) ||
        (given[1] && !number_of(given[1], &size)) || !flags_of(given[2], &flags))
        return NULL;
#ifndef _WIN32
    held h;
    int family = family_of(self, f);
    if (family != FAMILY_OTHER) {
        if (family < 0 || hold_for_writing(given[0], &h) < 0)
            return NULL;
        PyObject *result = receive_into_from(f, &h, size, flags);
        let_go(&h);
        return result;
    }
#endif
    return by_standard(self, "recvfrom_into", Py_BuildValue("Oni", given[0], size, flags), 2,
                       no_bytes_into_from);
}

#ifndef _WIN32
/* As the standard class tells.  The limited API has PySys_Audit from 3.13 on only. */
static bool told_of_sending(PyObject *self, PyObject *address)
{
    PyObject *done = PyObject_CallFunction(audit, "sOO", "socket.sendto", self, address);
    Py_XDECREF(done);
    return done;
}

static PyObject *send_to(PyObject *self, FdObject *f, const held *h, PyObject *args, how *to)
{
    ext_operation op;
    Py_ssize_t n = PyTuple_Size(args);

    if (!flags_of(n == 3 ? PyTuple_GetItem(args, 1) : NULL, &to->flags) ||
        !told_of_sending(self, PyTuple_GetItem(args, n - 1)) ||
        ext_begin(&op, f, NP_WRITE, to->flags) < 0)
        return NULL;
    Py_ssize_t sent = send_some(&op, h->start, h->size, to);
    ext_end(&op);
    return sent < 0 ? NULL : PyLong_FromSsize_t(sent);
}

/* The data and the address; or else the call is for the standard class, what is wrong included. */
static bool sending_taken(int family, PyObject *args, held *h, ext_address *to)
{
    Py_ssize_t n = PyTuple_Size(args);

    if ((n != 2 && n != 3) || !ext_address_taken(to, family, PyTuple_GetItem(args, n - 1)))
        return false;
    if (hold_for_reading(PyTuple_GetItem(args, 0), h) == 0)
        return true;
    PyErr_Clear();
    return false;
}
#endif

/* sendto(data, address) or sendto(data, flags, address) */
static PyObject *sock_sendto(PyObject *self, PyObject *args)
{
#ifndef _WIN32
    held h;
    ext_address to;
    FdObject *f = fd_of(self);
    int family = f ? family_of(self, f) : -1;

    if (family < 0)
        return NULL;
    if (sending_taken(family, args, &h, &to)) {
        PyObject *result = send_to(self, f, &h, args, &(how){.peer = &to});
        let_go(&h);
        return result;
    }
#endif
    return standard(self, "sendto", NP_WRITE, args, PyTuple_Size(args) == 3 ? 1 : 3, NULL);
}

#ifndef _WIN32
static PyObject *sock_recvmsg(PyObject *self, PyObject *args)
{
    return standard(self, "recvmsg", NP_READ, args, 2, no_message);
}

static PyObject *sock_recvmsg_into(PyObject *self, PyObject *args)
{
    return standard(self, "recvmsg_into", NP_READ, args, 2, no_message_into);
}

static PyObject *sock_sendmsg(PyObject *self, PyObject *args)
{
    return standard(self, "sendmsg", NP_WRITE, args, 2, NULL);
}
#endif

/* --- putting them on the class --------------------------------------------------------------- */

#define CAST(f) ((PyCFunction)(void (*)(void))(f))

static PyMethodDef methods[] = {
    {"recv", CAST(sock_recv), METH_FASTCALL, NULL},
    {"recv_into", CAST(sock_recv_into), METH_FASTCALL | METH_KEYWORDS, NULL},
    {"send", CAST(sock_send), METH_FASTCALL, NULL},
    {"sendall", CAST(sock_sendall), METH_FASTCALL, NULL},
    {"set_deadline", sock_set_deadline, METH_O, DOC_SocketBase_set_deadline},
    {"set_read_deadline", sock_set_read_deadline, METH_O, DOC_SocketBase_set_read_deadline},
    {"set_write_deadline", sock_set_write_deadline, METH_O, DOC_SocketBase_set_write_deadline},
    {"_accept", sock_accept, METH_VARARGS, NULL},
    {"recvfrom", CAST(sock_recvfrom), METH_FASTCALL, NULL},
    {"recvfrom_into", CAST(sock_recvfrom_into), METH_FASTCALL | METH_KEYWORDS, NULL},
    {"sendto", sock_sendto, METH_VARARGS, NULL},
#ifndef _WIN32
    {"recvmsg", sock_recvmsg, METH_VARARGS, NULL},
    {"recvmsg_into", sock_recvmsg_into, METH_VARARGS, NULL},
    {"sendmsg", sock_sendmsg, METH_VARARGS, NULL},
#endif
    {NULL, NULL, 0, NULL},
};

static bool size_of(PyObject *class, Py_ssize_t *size)
{
    PyObject *number = PyObject_GetAttrString(class, "__basicsize__");
    *size = number ? PyLong_AsSsize_t(number) : -1;
    Py_XDECREF(number);
    return *size >= 0;
}

/* The slot is where the standard class's objects end: put something there, and look. */
static bool slot_is_there(PyObject *class)
{
    PyObject *probe = PyObject_CallMethod(class, "__new__", "O", class);
    if (!probe)
        return false;
    bool found = PyObject_SetAttrString(probe, "_fd", class) == 0 &&
                 *(PyObject **)(void *)((char *)probe + slot) == class;
    if (!found && !PyErr_Occurred())
        PyErr_SetString(PyExc_ImportError, "the layout of socket objects is not as expected");
    Py_DECREF(probe);
    return found;
}

/* What it does for users is what the standard method of the name does; its text is kept for good.
 */
static bool document(PyMethodDef *m)
{
    PyObject *method = PyObject_GetAttrString(base, m->ml_name);
    PyObject *text = method ? PyObject_GetAttrString(method, "__doc__") : NULL;
    Py_XDECREF(method);
    if (text && text != Py_None)
        m->ml_doc = PyUnicode_AsUTF8AndSize(text, NULL);
    return text && !PyErr_Occurred();
}

static bool add_method(PyObject *class, PyMethodDef *m)
{
    if (!m->ml_doc && !document(m))
        return false;
    PyObject *descriptor = PyDescr_NewMethod((PyTypeObject *)class, m);
    if (!descriptor)
        return false;
    int rc = PyObject_SetAttrString(class, m->ml_name, descriptor);
    Py_DECREF(descriptor);
    return rc == 0;
}

/* add_socket_methods(class, standard class) */
static PyObject *add_socket_methods(PyObject *module, PyObject *args)
{
    PyObject *class, *standard_class;
    Py_ssize_t size;

    (void)module;
    if (!PyArg_ParseTuple(args, "OO:add_socket_methods", &class, &standard_class) ||
        !size_of(standard_class, &slot) || !size_of(class, &size))
        return NULL;
    if (size != slot + (Py_ssize_t)sizeof(PyObject *)) {
        PyErr_SetString(PyExc_ImportError, "the size of socket objects is not as expected");
        return NULL;
    }
    if (!slot_is_there(class))
        return NULL;
    audit = PySys_GetObject("audit");
    if (!audit) {
        PyErr_SetString(PyExc_ImportError, "there is no sys.audit");
        return NULL;
    }
    Py_INCREF(audit);
    Py_INCREF(standard_class);
    base = standard_class;
    for (PyMethodDef *m = methods; m->ml_name; m++)
        if (!add_method(class, m))
            return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"add_socket_methods", add_socket_methods, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

int ext_add_socket_methods(PyObject *module)
{
    if (PyModule_AddIntConstant(module, "ACCEPTS", EXT_ACCEPTS) < 0)
        return -1;
    return PyModule_AddFunctions(module, functions);
}
