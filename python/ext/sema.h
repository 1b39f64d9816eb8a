/* Semaphores, and the waits of schedulers' tokens: the types Sema, Waiter and Timer. */
#ifndef NP_EXT_SEMA_H
#define NP_EXT_SEMA_H

#include "ext.h"

typedef struct SemaObject {
    PyObject_HEAD
    np_sema sema;
    uint32_t limit;          /* so many units are free at most */
    char what[NP_WHAT_SIZE]; /* its name, in reports; empty: it has none */
} SemaObject;

/* A Waiter or a Timer: one wait of a token.
 *
 * While the token is parked the core owns a reference to it, on behalf of the poller.  The object
 * has another one, for a dump, from the park until the wait is over, and is linked to its poller as
 * long.  Collecting it ends the wait. */
struct WaitObject {
    PyObject_HEAD
    EXT_MUTEX                 /* is held while the wait is ended */
    EXT_SHARED(bool) pending; /* parked, and neither resumed nor cancelled */
    bool late; /* of a Waiter: its time was over before, so it waits as a timer that is due */
    np_waiter wait;
    PyObject *poller;         /* the PollerObject, whose mutex guards the next line */
    WaitObject *next, **link; /* in poller->waits, while there is a token */
    PyObject *token;
    PyObject *sema;          /* the SemaObject; NULL: a timer */
    char what[NP_WHAT_SIZE]; /* of a timer */
};

/* wait_type.c */
int ext_add_wait_types(PyObject *module);
/* Park: a Waiter, or None if a unit was there. */
PyObject *ext_park_at_sema(SemaObject *s, PyObject *poller, PyObject *token, int64_t until);

/* A Timer of our own: its token may come out of poll, also after ext_stop_timer.  Then the result
 * is NP_OK, or NP_CLOSED with its poller; NP_AGAIN: it is of another wait. */
PyObject *ext_start_timer(PyObject *poller, PyObject *token, int64_t when, const char *name);
int ext_timer_result(WaitObject *w);
void ext_stop_timer(WaitObject *w);

/* sema_type.c */
int ext_add_sema_type(PyObject *module);
/* An instant of np_now, so many seconds from now; 0: at once.  NULL, None: NP_NEVER. */
bool ext_instant(PyObject *arg, int64_t *when);
/* The core's name of a wait, of a name from Python, which may be NULL. */
void ext_set_what(char what[NP_WHAT_SIZE], const char *name);
const char *ext_what(const char what[NP_WHAT_SIZE]);

#endif
