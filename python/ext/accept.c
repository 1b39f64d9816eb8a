/* Accepting connections of TCP and UNIX streams: one system call for one that is there, and no
 * exception when there is none.  For other families, and where there is no accept4, the standard
 * class does it. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* accept4 */
#endif
#include "fd.h"

#ifdef EXT_ACCEPT

#include "address.h"

#include <unistd.h>

typedef struct peer {
    int number;
    ext_address from;
} peer;

static int accept_one(np_op *op, peer *p)
{
    for (;;) {
        if (ext_try(op) < 0)
            return -1;
        p->from.size = sizeof p->from.at;
        p->number = accept4((int)op->file->fd, &p->from.at.any, &p->from.size,
                            SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (p->number >= 0)
            return 0;
        if (ext_failed(op) < 0)
            return -1;
    }
}

PyObject *ext_accept(FdObject *f)
{
    np_op op;
    peer p = {.number = -1};

    if (ext_begin(&op, f, NP_READ, 0) < 0)
        return NULL;
    int rc = accept_one(&op, &p);
    ext_end(&op);
    if (rc < 0)
        return NULL;
    PyObject *address = ext_address_to_python(&p.from);
    PyObject *both = address ? Py_BuildValue("iN", p.number, address) : NULL;
    if (!both)
        close(p.number);
    return both;
}

#endif
