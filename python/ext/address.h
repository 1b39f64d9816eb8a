/* Addresses of the families AF_INET, AF_INET6 and AF_UNIX, between the kernel's form and Python's.
 *
 * Both forms are the standard class's; names, odd types and all that is wrong
 * are left to it.  On Windows everything is. */
#ifndef NP_ADDRESS_H
#define NP_ADDRESS_H

#include "ext.h"

typedef struct ext_address ext_address;

#ifndef _WIN32

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

struct ext_address {
    socklen_t size; /* 0: there is none */
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    } at;
};

/* What the kernel has written, for Python; NULL with an exception set. */
PyObject *ext_address_to_python(const ext_address *a);

/* From Python's form.  False, with no exception set: it is for the standard class. */
bool ext_address_from_python(ext_address *a, int family, PyObject *given);

#endif
#endif
