/* The run queue of a hub, and the entries of greenlets in it: netpoll/green.py in C where it is
 * hot. */
#ifndef NP_TURNS_H
#define NP_TURNS_H

#include "ext.h"

typedef struct TurnsObject {
    PyObject_HEAD
    EXT_MUTEX               /* guards the ring: other threads append to it */
        PyObject **entries; /* a ring of owned references; capacity is a power of two */
    size_t first, count, capacity;
    EXT_OWNER             /* the hub's thread; everything below is its alone */
        PyObject *poller; /* the hub's own */
    PyObject *look;       /* the entry that stands for a look at it */
    PyObject *running;    /* the waiter that came back from a wait last */
    bool alone;           /* a look is no more than that poller's */
    int64_t alarm;        /* an instant at which the hub must be visited, INT64_MAX if none */
} TurnsObject;

/* Handed from thread to thread, but used by the hub's alone. */
typedef struct WaiterObject {
    PyObject_HEAD
    PyObject *greenlet;
    PyObject *turns;
    PyObject *switcher; /* to be called instead of switching to the greenlet; NULL: none */
} WaiterObject;

int ext_add_turns_types(PyObject *module);

bool ext_is_waiter(PyObject *object);

/* Waiting in a thread with a hub: NULL elsewhere. */
TurnsObject *ext_turns_here(void);
PyObject *ext_wait_here(TurnsObject *turns, DescObject *d, int mode, int flags);

#endif
