/* How the calling greenlet waits: wait.c.
 *
 *     WaiterObject *w = ext_begin_wait(hub);
 *     ext_arm(w);
 *     rc = np_..._park(..., &w->wait, (np_token)w, ...);
 *     if (rc == NP_PARKED) {
 *         if (ext_await_token(hub, w) == 0)
 *             rc = np_..._resume(...);
 *         else
 *             ext_cut_wait(w, np_..._cancel(...));      an exception is set
 *     } else {
 *         ext_disarm(w);
 *     }
 *     ext_end_wait(hub, w);
 */
#ifndef NP_WAIT_H
#define NP_WAIT_H

#include "hub.h"

/* The calling greenlet's waiter, a reference.  NULL with an exception set: the hub itself cannot
 * wait. */
WaiterObject *ext_begin_wait(HubObject *h);

/* Takes over the reference. */
void ext_end_wait(HubObject *h, WaiterObject *w);

/* About to park w as a token, which holds a reference. */
static inline void ext_arm(WaiterObject *w)
{
    w->delivered = false;
    Py_INCREF(w);
}

/* It was not parked after all. */
static inline void ext_disarm(WaiterObject *w)
{
    Py_DECREF(w);
}

/* Switch to the next that may run.  What the switch gives, when something has switched back. */
PyObject *ext_switch_next(HubObject *h, WaiterObject *w);

/* Others run, until something switches back.  0, or -1: an exception was thrown into the greenlet.
 */
static inline int ext_let_others_run(HubObject *h, WaiterObject *w)
{
    w->state = GREENLET_PARKED;
    PyObject *back = ext_switch_next(h, w);
    w->state = GREENLET_RUNNING;
    if (!back)
        return -1;
    Py_DECREF(back);
    if (!w->thrown)
        return 0;
    ext_raise_thrown(w);
    return -1;
}

/* ... until the token has come out: something may have switched here for no reason of ours. */
static inline int ext_await_token(HubObject *h, WaiterObject *w)
{
    do
        if (ext_let_others_run(h, w) < 0)
            return -1;
    while (!w->delivered);
    return 0;
}

/* An exception ended the wait; it stays set.  withdrawn: the token will not come out. */
NP_COLD void ext_cut_wait(WaiterObject *w, bool withdrawn);

/* Waiting, as np_wait does: the calling greenlet, or the thread.  Besides the results of the core
 * there is EXT_RAISED: an exception is set, of a signal handler's or thrown into the greenlet. */
enum { EXT_RAISED = 100 };
int ext_wait_in_hub(HubObject *h, DescObject *d, int mode, int flags);
int ext_wait_in_thread(DescObject *d, int mode, int flags);

/* np_sema_acquire, of the calling greenlet or thread: NP_OK, NP_TIMEOUT, NP_CLOSED (it is shut),
 * -errno or EXT_RAISED.  The caller keeps the semaphore. */
int ext_acquire(np_sema *s, int64_t until, const char *what);

/* The same, of an operation that gives others a turn now and then; NP_AGAIN: until is 0, so that
 * it may not wait. */
int ext_acquire_in_turn(np_sema *s, int64_t until, const char *what);

/* True or False, of a result of these or of np_sema_try; what: in the error, if it is one. */
PyObject *ext_acquired(int rc, const char *what);

/* So many nanoseconds from now; NP_NEVER stays so. */
int64_t ext_instant_after(int64_t ns);

/* Before an operation: in a hub, a greenlet yields after many operations that did not wait.
 * Otherwise one whose data come faster than it reads would starve the others, and so would one that
 * tries again and again what may not wait.  Before, so that nothing is lost by it: 0, or -1: an
 * exception was thrown into the greenlet meanwhile.  may_wait false: it does not yield where others
 * are not expected to run, in signal handlers and finalizers. */
int ext_coop_yield(bool may_wait);

int ext_add_wait(PyObject *module);

#endif
