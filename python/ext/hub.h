/* A hub: the run queue of a thread's greenlets, and the poller at which they wait.
 *
 *   hub.c       the run queue, and the hub's greenlet, which polls
 *   hub_life.c  a hub begins with its first use in a thread, and ends with the thread
 *   hub_type.c  the type of Python
 *   wait.c      how the calling greenlet waits
 *   waiter.c    the hub's record of a greenlet, and what other threads may do to it
 *   spawn.c     the greenlets of netpoll.green: a function that is called, and its outcome
 *
 * A greenlet that waits switches directly to the first in the run queue.  After each pass through
 * the queue the hub polls without blocking, and appends the greenlets that became ready.  The hub's
 * greenlet runs only when the queue is empty, to block in the poller, and to start greenlets, so
 * that none inherits the depth of another's stack.
 *
 * Torn state.  State that belongs together changes in one call into C.  Signal handlers run in the
 * hub's greenlet only while nothing is half done; their exceptions go to the main greenlet.
 *
 * References.  A greenlet in a wait holds its waiter, on its own C stack, and the waiter holds the
 * greenlet.  So the greenlet that switches to it needs no reference, and no frame that would be
 * copied at a switch.  Only a greenlet that has not begun to wait is held by others.
 */
#ifndef NP_HUB_H
#define NP_HUB_H

#include "ext.h"
#include "recheck.h"
#include "sys/list.h"

typedef struct HubObject HubObject;

/* What the greenlet of a waiter is doing. */
enum {
    GREENLET_FRESH,   /* spawned, and not started */
    GREENLET_RUNNING, /* it runs, or has switched away by itself */
    GREENLET_PARKED,  /* in a wait of wait.c, switched away */
    GREENLET_ENDED
};

/* What a hub knows of a greenlet of its thread, and the token that this parks.  It is the
 * greenlet's attribute _netpoll. */
typedef struct WaiterObject {
    PyObject_HEAD
    /* What every wait uses comes first. */
    HubObject *hub;            /* a reference; constant */
    PyObject *greenlet;        /* a reference, until it ends; the hub's mutex guards it */
    EXT_SHARED(uint8_t) state; /* written by the hub's thread alone */

    /* Under the hub's mutex. */
    EXT_SHARED(bool) delivered;    /* the token of the present wait has come out of the poller */
    unsigned strays;               /* tokens of waits that were cut short, about to come out */
    EXT_SHARED(PyObject *) thrown; /* to be raised in the greenlet where it waits, or NULL */
    np_link link;                  /* in the hub's queue; next is NULL: it is not in it */

    np_waiter wait; /* at a semaphore or for an instant; the core's while it is parked */

    PyObject *locals;  /* what owns its values of locals, or NULL: local.c */
    PyObject *timeout; /* the innermost that it is inside, or NULL: timeout.c */

    /* Of a spawned one: spawn.c. */
    PyObject *function, *args, *kwargs; /* until it has been called */
    PyObject *name;                     /* of the function, or what it was set to */
    PyObject *value, *error;    /* the outcome: one of the two; written before done is open */
    EXT_SHARED(int) collectors; /* that are in get() */
    PyObject *on_end;           /* called with the greenlet and its error, or None; or NULL */
    np_sema done;               /* open: it has ended */
} WaiterObject;

struct HubObject {
    PyObject_HEAD
    EXT_MUTEX      /* guards what other threads change or use, and their waiters: */
    np_link queue; /* WaiterObject.link, each with a reference */
    size_t queued;
    PyObject *poller; /* of greenlets that wait; replaced by the hub's thread if it is closed */
    np_poller *np;    /* what it is made of */

    /* Constant. */
    unsigned long thread;
    PyObject *main;     /* the greenlet that was there first */
    PyObject *greenlet; /* the hub's own */
    PyObject *alive;    /* a set: those that were spawned and have not ended */
    WaiterObject *main_waiter;

    /* The hub's thread's alone. */
    size_t turns;              /* until the next poll */
    int coop_ops;              /* operations since the last switch: none of them had to wait */
    uint32_t forks;            /* before it, or since, when it was last noticed */
    EXT_SHARED(bool) finished; /* the thread ends: nobody waits any more */
    WaiterObject *current;     /* a reference: of the greenlet that came back from a wait last */
    WaiterObject *handed;      /* a reference: what the hub's greenlet is visited for */
    ext_rechecks rechecks;     /* of those that wait */
};

/* --- hub.c ----------------------------------------------------------------------------------- */

/* As the hub ends, in its main greenlet: those whose wait is over run until they wait again.
 * False: there are none. */
bool ext_run_ready(HubObject *h);

/* The next waiter to run, a reference; NULL: switch to the hub's greenlet. */
WaiterObject *ext_next(HubObject *h);

/* A greenlet that waits is to run; into the queue with it, from any thread. */
void ext_make_ready(WaiterObject *w);

/* The same for a token that came out of a poller, whose reference it takes over. */
void ext_deliver(WaiterObject *token);

/* Out of the queue, unless there is something to be thrown. */
void ext_unqueue(WaiterObject *w);

/* Raise the exception in the main greenlet, before any other runs.  Takes over the reference. */
void ext_interrupt(HubObject *h, PyObject *exception);

/* Take a poller in place of one that was closed.  NULL with an exception set. */
NP_COLD np_poller *ext_replace_poller(HubObject *h);

/* Where greenlets park now; in the hub's thread.  NULL with an exception set. */
static inline np_poller *ext_hub_poller(HubObject *h)
{
    return np_poller_closed(h->np) ? ext_replace_poller(h) : h->np;
}

/* The loop of its greenlet. */
PyObject *ext_hub_call(PyObject *self, PyObject *args, PyObject *kwargs);

/* --- hub_life.c, hub_type.c ------------------------------------------------------------------- */

/* The hub of the calling thread, borrowed: NULL if it has none; or made then: NULL with an
 * exception set. */
HubObject *ext_hub(void);
HubObject *ext_make_hub(void);

bool ext_is_finalizing(void); /* the interpreter; other threads do not run any more */

/* The running greenlet, a reference; NULL: what runs is the thread, in its main greenlet, or in the
 * hub's, which runs signal handlers. */
PyObject *ext_running_greenlet(HubObject *h);

/* That greenlet's, else the thread's: what get_ident() gives. */
uintptr_t ext_current_id(void);

int ext_hub_init(PyObject *self, PyObject *args, PyObject *kwargs);
void ext_clear_queue(HubObject *h); /* no other thread uses it any more */

/* end_hub(): that of the calling thread, which ends; not in one of its greenlets. */
PyObject *ext_end_hub(PyObject *module, PyObject *unused);

int ext_add_hub_type(PyObject *module);
int ext_add_thread_exit_type(void);

/* --- waiter.c -------------------------------------------------------------------------------- */

extern PyTypeObject *ext_waiter_type; /* has no subclasses */

static inline bool ext_is_waiter(PyObject *object)
{
    return Py_IS_TYPE(object, ext_waiter_type);
}

WaiterObject *ext_new_waiter(HubObject *h);

/* From here on the greenlet finds its waiter, which keeps it. */
int ext_bind_waiter(WaiterObject *w, PyObject *greenlet);

/* The greenlet has ended, or its hub has. */
void ext_unbind_waiter(WaiterObject *w);

/* The greenlet refers to its waiter no more. */
void ext_forget_waiter(PyObject *greenlet);

/* The waiter of a greenlet, a reference; one that is not netpoll's gets it when it waits for the
 * first time.  NULL with an exception set. */
WaiterObject *ext_find_waiter(HubObject *h, PyObject *greenlet);

/* An exception, an instance or a class: raised in the greenlet when it is next scheduled. */
void ext_schedule_throw(WaiterObject *w, PyObject *exception);

/* False: it is not to be raised any more. */
bool ext_withdraw_throw(WaiterObject *w, PyObject *exception);

/* Raise what is to be raised in it. */
NP_COLD void ext_raise_thrown(WaiterObject *w);

int ext_add_waiter_type(PyObject *module);

/* --- spawn.c --------------------------------------------------------------------------------- */

/* Call the function, and end. */
PyObject *ext_waiter_call(PyObject *self, PyObject *args, PyObject *kwargs);

/* End without having started, or having been left behind: by the exception that is set. */
void ext_end_by_exception(WaiterObject *w);

PyObject *ext_waiter_join(PyObject *self, PyObject *timeout);
PyObject *ext_waiter_get(PyObject *self, PyObject *timeout);
PyObject *ext_waiter_kill(PyObject *self, PyObject *exception);

int ext_add_spawn(PyObject *module);
#endif
