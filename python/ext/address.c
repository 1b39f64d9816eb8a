#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* strnlen, inet_pton */
#endif
#include "address.h"

#ifndef _WIN32

#include <arpa/inet.h>
#include <stddef.h>
#include <string.h>

/* --- to Python
 * ------------------------------------------------------------------------------------ */

static PyObject *in_to_python(const struct sockaddr_in *at)
{
    char text[INET_ADDRSTRLEN];
    if (!inet_ntop(AF_INET, &at->sin_addr, text, sizeof text))
        return PyErr_SetFromErrno(PyExc_OSError);
    return Py_BuildValue("si", text, (int)ntohs(at->sin_port));
}

static PyObject *in6_to_python(const struct sockaddr_in6 *at)
{
    char text[INET6_ADDRSTRLEN];
    if (!inet_ntop(AF_INET6, &at->sin6_addr, text, sizeof text))
        return PyErr_SetFromErrno(PyExc_OSError);
    return Py_BuildValue("siII", text, (int)ntohs(at->sin6_port),
                         (unsigned)ntohl(at->sin6_flowinfo), (unsigned)at->sin6_scope_id);
}

/* Mostly there is none.  An abstract name begins with a NUL; a path need not end with one. */
static PyObject *un_to_python(const ext_address *a)
{
    const char *path = a->at.un.sun_path;
    size_t before = offsetof(struct sockaddr_un, sun_path), room = sizeof a->at.un.sun_path;
    size_t length = a->size > before ? a->size - before : 0;

    length = length < room ? length : room;
#ifdef __linux__
    if (length > 0 && path[0] == 0)
        return PyBytes_FromStringAndSize(path, (Py_ssize_t)length);
#endif
    return PyUnicode_DecodeFSDefaultAndSize(path, (Py_ssize_t)strnlen(path, length));
}

PyObject *ext_address_to_python(const ext_address *a)
{
    const struct sockaddr *any = &a->at.any;

    if (a->size == 0) {
        Py_INCREF(Py_None);
        return Py_None;
    }
    switch (any->sa_family) {
    case AF_INET:
        return in_to_python(&a->at.in);
    case AF_INET6:
        return in6_to_python(&a->at.in6);
    case AF_UNIX:
        return un_to_python(a);
    default: /* the family that the socket was said to be of is not its own */
        return Py_BuildValue("iy#", (int)any->sa_family, any->sa_data,
                             (Py_ssize_t)sizeof any->sa_data);
    }
}

/* --- from Python
 * ----------------------------------------------------------------------------------- */

/* An item of an address: an int from 0 to max; 0 if it is not there. */
static bool number_from_python(PyObject *tuple, Py_ssize_t i, unsigned long max,
                               unsigned long *number)
{
    *number = 0;
    if (i >= PyTuple_Size(tuple))
        return true;
    PyObject *item = PyTuple_GetItem(tuple, i);
    if (!PyLong_CheckExact(item))
        return false;
    *number = PyLong_AsUnsignedLong(item);
    if (*number != (unsigned long)-1 || !PyErr_Occurred())
        return *number <= max;
    PyErr_Clear();
    return false;
}

/* The host, if it is a number. */
static bool host_from_python(PyObject *tuple, int family, void *to)
{
    PyObject *host = PyTuple_GetItem(tuple, 0);
    Py_ssize_t size;

    if (!PyUnicode_CheckExact(host))
        return false;
    const char *text = PyUnicode_AsUTF8AndSize(host, &size);
    if (!text)
        PyErr_Clear();
    return text && strlen(text) == (size_t)size && inet_pton(family, text, to) == 1;
}

static bool in_from_python(ext_address *a, PyObject *given)
{
    struct sockaddr_in *at = &a->at.in;
    unsigned long port;

    if (!PyTuple_Check(given) || PyTuple_Size(given) != 2 ||
        !number_from_python(given, 1, UINT16_MAX, &port) ||
        !host_from_python(given, AF_INET, &at->sin_addr))
        return false;
    at->sin_port = htons((uint16_t)port);
    a->size = sizeof *at;
    return true;
}

static bool in6_from_python(ext_address *a, PyObject *given)
{
    enum { MAX_FLOW = 0xfffff };
    struct sockaddr_in6 *at = &a->at.in6;
    unsigned long port, flow, scope;

    if (!PyTuple_Check(given) || PyTuple_Size(given) < 2 || PyTuple_Size(given) > 4 ||
        !number_from_python(given, 1, UINT16_MAX, &port) ||
        !number_from_python(given, 2, MAX_FLOW, &flow) ||
        !number_from_python(given, 3, UINT32_MAX, &scope) ||
        !host_from_python(given, AF_INET6, &at->sin6_addr))
        return false;
    at->sin6_port = htons((uint16_t)port);
    at->sin6_flowinfo = htonl((uint32_t)flow);
    at->sin6_scope_id = (uint32_t)scope;
    a->size = sizeof *at;
    return true;
}

/* A path is sent with its NUL; an abstract name, which begins with one, as it is. */
static bool path_from_python(ext_address *a, PyObject *path)
{
    size_t before = offsetof(struct sockaddr_un, sun_path), room = sizeof a->at.un.sun_path;
    size_t nul = 1;
    Py_ssize_t size;
    char *text;

    if (PyBytes_AsStringAndSize(path, &text, &size) < 0) {
        PyErr_Clear();
        return false;
    }
#ifdef __linux__
    if (size == 0 || text[0] == 0)
        nul = 0;
#endif
    if ((size_t)size + nul > room)
        return false;
    memcpy(a->at.un.sun_path, text, (size_t)size);
    a->size = (socklen_t)(before + (size_t)size + nul);
    return true;
}

static bool un_from_python(ext_address *a, PyObject *given)
{
    if (PyBytes_CheckExact(given))
        return path_from_python(a, given);
    if (!PyUnicode_CheckExact(given))
        return false;
    PyObject *path = PyUnicode_EncodeFSDefault(given);
    if (!path)
        PyErr_Clear();
    bool converted = path && path_from_python(a, path);
    Py_XDECREF(path);
    return converted;
}

bool ext_address_from_python(ext_address *a, int family, PyObject *given)
{
    *a = (ext_address){.size = 0};
    a->at.any.sa_family = (sa_family_t)family;
    switch (family) {
    case AF_INET:
        return in_from_python(a, given);
    case AF_INET6:
        return in6_from_python(a, given);
    case AF_UNIX:
        return un_from_python(a, given);
    default:
        return false;
    }
}

#endif
