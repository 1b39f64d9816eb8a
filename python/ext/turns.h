/* The run queue of a hub, and the entries of greenlets in it: netpoll/green.py in C where it is
 * hot. */
#ifndef NP_TURNS_H
#define NP_TURNS_H

#include "doubt.h"
#include "ext.h"

typedef struct TurnsObject {
    PyObject_HEAD
    EXT_MUTEX           /* guards the ring: other threads append to it */
    PyObject **entries; /* a ring of owned references; capacity is a power of two */
    size_t first, count, capacity;
    EXT_OWNER          /* the hub's thread; everything below is its alone */
    PyObject *poller;  /* the hub's own */
    PyObject *look;    /* the entry that stands for a look at it */
    PyObject *running; /* the waiter that came back from a wait last */
    bool alone;        /* a look is no more than that poller's */
    int straight;      /* operations since the last turn: none of them had to wait */
    ext_doubts doubts; /* of those who wait */
    int64_t alarm;     /* an instant at which the hub must be visited, INT64_MAX if none */
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

/* The calling thread's hub; NULL if it has none. */
TurnsObject *ext_turns_here(void);

/* Before an operation that may wait: in a hub, who did many that did not lets the others have a
 * turn each.  Somebody to whom data comes faster than it is read would have the thread for himself.
 * 0, or -1: an exception was thrown into the greenlet meanwhile. */
int ext_give_way(void);

/* Waiting, as np_wait does: the calling greenlet, or the thread.  Besides the results of the core
 * there is EXT_RAISED: an exception is set, of a signal handler's or thrown into the greenlet. */
enum { EXT_RAISED = 100 };
int ext_wait_in_hub(TurnsObject *turns, DescObject *d, int mode, int flags);
int ext_wait_in_thread(DescObject *d, int mode, int flags);

#endif
