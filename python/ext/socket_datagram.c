/* recvfrom, recvfrom_into, sendto: here for the families of address.c, for others by the standard
 * class. */
#include "bind.h"
#include "socket_ops.h"

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
enum { FAMILY_UNKNOWN = AF_UNSPEC, FAMILY_OTHER = UINT8_MAX };

/* What the socket was said to be of, which a subclass may hide. */
static long declared_family(PyObject *self)
{
    PyObject *property = PyObject_GetAttrString(ext_bound.standard_socket, "family");
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
        long family = declared_family(self);
        if (PyErr_Occurred())
            return -1;
        bool ours = family == AF_INET || family == AF_INET6 || family == AF_UNIX;
        f->family = ours ? (uint8_t)family : FAMILY_OTHER;
    }
    return f->family;
}
#endif

/* Takes over the arguments, and any exception of their making. */
static PyObject *call_stdlib_with(PyObject *self, const char *name, PyObject *args,
                                  Py_ssize_t flags_at, ext_maker eof)
{
    PyObject *result = args ? ext_call_stdlib(self, name, NP_READ, args, flags_at, eof) : NULL;
    Py_XDECREF(args);
    return result;
}

#ifndef _WIN32
/* What was received, which is taken over, and its sender. */
static PyObject *with_sender(PyObject *received, const ext_address *sender)
{
    PyObject *address = received ? ext_address_to_python(sender) : NULL;
    if (address)
        return Py_BuildValue("NN", received, address);
    Py_XDECREF(received);
    return NULL;
}

static PyObject *recv_from(FdObject *f, Py_ssize_t size, int flags)
{
    np_op op;
    ext_address sender = {.size = 0};

    if (ext_begin(&op, f, NP_READ, flags) < 0)
        return NULL;
    PyObject *received = ext_recv_bytes(&op, size, &(ext_io_args){.flags = flags, .peer = &sender});
    ext_end(&op);
    return with_sender(received, &sender);
}

static PyObject *recv_into_from(FdObject *f, const ext_buffer *b, Py_ssize_t size, int flags)
{
    np_op op;
    ext_address sender = {.size = 0};

    if (!ext_recv_size("recvfrom_into", b, &size) || ext_begin(&op, f, NP_READ, flags) < 0)
        return NULL;
    Py_ssize_t got =
        ext_recv_enough(&op, b->start, size, &(ext_io_args){.flags = flags, .peer = &sender});
    ext_end(&op);
    return got < 0 ? NULL : with_sender(PyLong_FromSsize_t(got), &sender);
}
#endif

static PyObject *sock_recvfrom(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    Py_ssize_t size;
    int flags;
    FdObject *f = ext_fd_of(self);

    if (!f || !ext_arg_count("recvfrom", n, 1, 2) || !ext_size(args[0], &size) ||
        !ext_flags(n > 1 ? args[1] : NULL, &flags))
        return NULL;
    if (size < 0) {
        PyErr_SetString(PyExc_ValueError, "negative buffersize in recvfrom");
        return NULL;
    }
#ifndef _WIN32
    int family = family_of(self, f);
    if (family != FAMILY_OTHER)
        return family < 0 ? NULL : recv_from(f, size, flags);
#endif
    return call_stdlib_with(self, "recvfrom", Py_BuildValue("ni", size, flags), 1, no_bytes_from);
}

static PyObject *sock_recvfrom_into(PyObject *self, PyObject *const *args, Py_ssize_t n,
                                    PyObject *names)
{
    static const ext_signature s = {"recvfrom_into", 1, 3, {"buffer", "nbytes", "flags"}};
    PyObject *given[3];
    Py_ssize_t size = 0;
    int flags;
    FdObject *f = ext_fd_of(self);

    if (!f || !ext_arguments(&s, args, n, names, given) ||
        (given[1] && !ext_size(given[1], &size)) || !ext_flags(given[2], &flags))
        return NULL;
#ifndef _WIN32
    ext_buffer b;
    int family = family_of(self, f);
    if (family != FAMILY_OTHER) {
        if (family < 0 || ext_get_buffer_writable(given[0], &b) < 0)
            return NULL;
        PyObject *result = recv_into_from(f, &b, size, flags);
        ext_release_buffer(&b);
        return result;
    }
#endif
    return call_stdlib_with(self, "recvfrom_into", Py_BuildValue("Oni", given[0], size, flags), 2,
                            no_bytes_into_from);
}

#ifndef _WIN32
/* As the standard class does. */
static bool audit_sendto(PyObject *self, PyObject *address)
{
    PyObject *done = PyObject_CallFunction(ext_bound.audit, "sOO", "socket.sendto", self, address);
    Py_XDECREF(done);
    return done;
}

static PyObject *send_to(PyObject *self, FdObject *f, const ext_buffer *b, PyObject *args,
                         ext_io_args *to)
{
    np_op op;
    Py_ssize_t n = PyTuple_Size(args);

    if (!ext_flags(n == 3 ? PyTuple_GetItem(args, 1) : NULL, &to->flags) ||
        !audit_sendto(self, PyTuple_GetItem(args, n - 1)) ||
        ext_begin(&op, f, NP_WRITE, to->flags) < 0)
        return NULL;
    Py_ssize_t sent = ext_send_enough(&op, b->start, b->size, to);
    ext_end(&op);
    return sent < 0 ? NULL : PyLong_FromSsize_t(sent);
}

/* The data and the address; or else the call is for the standard class, what is wrong included. */
static bool sendto_from_python(int family, PyObject *args, ext_buffer *b, ext_address *to)
{
    Py_ssize_t n = PyTuple_Size(args);

    if ((n != 2 && n != 3) || !ext_address_from_python(to, family, PyTuple_GetItem(args, n - 1)))
        return false;
    if (ext_get_buffer_readable(PyTuple_GetItem(args, 0), b) == 0)
        return true;
    PyErr_Clear();
    return false;
}
#endif

/* sendto(data, address) or sendto(data, flags, address) */
static PyObject *sock_sendto(PyObject *self, PyObject *args)
{
#ifndef _WIN32
    ext_buffer b;
    ext_address to;
    FdObject *f = ext_fd_of(self);
    int family = f ? family_of(self, f) : -1;

    if (family < 0)
        return NULL;
    if (sendto_from_python(family, args, &b, &to)) {
        PyObject *result = send_to(self, f, &b, args, &(ext_io_args){.peer = &to});
        ext_release_buffer(&b);
        return result;
    }
#endif
    return ext_sendto_stdlib(self, args);
}

PyMethodDef ext_datagram_methods[] = {
    {"recvfrom", EXT_FUNCTION(sock_recvfrom), METH_FASTCALL, NULL},
    {"recvfrom_into", EXT_FUNCTION(sock_recvfrom_into), METH_FASTCALL | METH_KEYWORDS, NULL},
    {"sendto", sock_sendto, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};
