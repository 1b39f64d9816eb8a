/* What the extension needs of Python: bind.c. */
#ifndef NP_BIND_H
#define NP_BIND_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* The one table.  Each module gives its own entries, by name, when it is imported. */
#define EXT_BOUND(ENTRY)                                                                           \
    /* _errors.py: they make the exceptions */                                                     \
    ENTRY(closed)                                                                                  \
    ENTRY(poller_closed)                                                                           \
    ENTRY(deadline_exceeded)                                                                       \
    ENTRY(not_pollable)                                                                            \
    ENTRY(busy)                                                                                    \
    ENTRY(system_error)                                                                            \
    /* _api.py */                                                                                  \
    ENTRY(desc_class)        /* PollDesc: what Poller.open makes */                                \
    ENTRY(descriptor_number) /* of anything that has one */                                        \
    ENTRY(internal_poller)   /* (): a Poller that users need not close */                          \
    ENTRY(adopt_poller)      /* (address): a Poller around an np_poller */                         \
    ENTRY(adopt_desc)        /* (poller, address): a PollDesc around an np_desc */                 \
    ENTRY(default_poller)    /* () */                                                              \
    /* _engine.py, if the classes are those in Python: where an object's part of the core is */    \
    ENTRY(poller_address)                                                                          \
    ENTRY(desc_address)                                                                            \
    /* _interruptions.py */                                                                        \
    ENTRY(is_interruption) /* (): is the caller in a signal handler or a finalizer? */             \
    /* green.py */                                                                                 \
    ENTRY(make_hub)      /* (): a Hub for the calling thread */                                    \
    ENTRY(report_error)  /* (greenlet, exception): which ended it, and no get() collects */        \
    ENTRY(copy_context)  /* contextvars.copy_context */                                            \
    ENTRY(outer_timeout) /* a class: a timeout that other blocks let pass */                       \
    /* sync.py */                                                                                  \
    ENTRY(queue_empty) /* queue.Empty */                                                           \
    /* _socket_c.py */                                                                             \
    ENTRY(standard_socket) /* socket.socket */                                                     \
    ENTRY(repeatable)      /* _parts.py */                                                         \
    ENTRY(sent_to)                                                                                 \
    ENTRY(sent_message)                                                                            \
    ENTRY(received)                                                                                \
    ENTRY(received_into)                                                                           \
    ENTRY(audit) /* sys.audit: the limited API has PySys_Audit from 3.13 on only */

#define EXT_BOUND_FIELD(name) PyObject *name;

/* References for good; NULL until they are given. */
typedef struct ext_bound_table {
    EXT_BOUND(EXT_BOUND_FIELD)
} ext_bound_table;

extern ext_bound_table ext_bound;

int ext_add_bind(PyObject *module);

#endif
