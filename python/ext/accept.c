/* Accepting connections of TCP and UNIX streams: one system call for one that is there, and no
 * exception when there is none.  For other families, and where there is no accept4, the standard
 * class does it. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* accept4 */
#endif
#include "fd.h"

#ifdef EXT_ACCEPT

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

typedef struct peer {
    int number;
    socklen_t size;
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    } at;
} peer;

/* Addresses are told as the standard class does. */

static PyObject *in_address(const struct sockaddr_in *at)
{
    char text[INET_ADDRSTRLEN];
    if (!inet_ntop(AF_INET, &at->sin_addr, text, sizeof text))
        return PyErr_SetFromErrno(PyExc_OSError);
    return Py_BuildValue("si", text, (int)ntohs(at->sin_port));
}

static PyObject *in6_address(const struct sockaddr_in6 *at)
{
    char text[INET6_ADDRSTRLEN];
    if (!inet_ntop(AF_INET6, &at->sin6_addr, text, sizeof text))
        return PyErr_SetFromErrno(PyExc_OSError);
    return Py_BuildValue("siII", text, (int)ntohs(at->sin6_port),
                         (unsigned)ntohl(at->sin6_flowinfo), (unsigned)at->sin6_scope_id);
}

/* Mostly there is none.  An abstract name begins with a NUL; a path need not end with one. */
static PyObject *un_address(const peer *p)
{
    const char *path = p->at.un.sun_path;
    size_t before = offsetof(struct sockaddr_un, sun_path), most = sizeof p->at.un.sun_path;
    size_t length = p->size > before ? p->size - before : 0;

    length = length < most ? length : most;
#ifdef __linux__
    if (length > 0 && path[0] == 0)
        return PyBytes_FromStringAndSize(path, (Py_ssize_t)length);
#endif
    return PyUnicode_DecodeFSDefaultAndSize(path, (Py_ssize_t)strnlen(path, length));
}

static PyObject *address_of(const peer *p)
{
    switch (p->at.any.sa_family) {
    case AF_INET:
        return in_address(&p->at.in);
    case AF_INET6:
        return in6_address(&p->at.in6);
    default:
        return un_address(p);
    }
}

static int accept_one(ext_operation *op, peer *p)
{
    for (;;) {
        if (ext_until_worth_trying(op) < 0)
            return -1;
        ext_forget(op->fd, NP_READ);
        p->size = sizeof p->at;
        p->number = accept4((int)op->fd->number, &p->at.any, &p->size, SOCK_CLOEXEC);
        if (p->number >= 0)
            return 0;
        if (ext_failed(op) < 0)
            return -1;
    }
}

PyObject *ext_accept(FdObject *f)
{
    ext_operation op;
    peer p = {.number = -1};

    if (ext_begin(&op, f, NP_READ, 0) < 0)
        return NULL;
    int rc = accept_one(&op, &p);
    ext_end(&op);
    if (rc < 0)
        return NULL;
    PyObject *address = address_of(&p);
    PyObject *both = address ? Py_BuildValue("iN", p.number, address) : NULL;
    if (!both)
        close(p.number);
    return both;
}

#endif
