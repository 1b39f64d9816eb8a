/* netpoll.sync in C: locks, ConditionBase, SemaphoreBase, SimpleQueue, local.  Each is an np_sema
 * and the few words that belong to it, so threads and greenlets of all hubs wait at it alike, first
 * come, first served. */
#ifndef NP_EXT_SYNC_H
#define NP_EXT_SYNC_H

#include "sema.h"
#include "wait.h"

#include <structmember.h>

typedef struct LeavingObject LeavingObject;

/* What locks and semaphores begin with. */
typedef struct BlockObject {
    PyObject_HEAD
    EXT_MUTEX             /* guards begun */
    LeavingObject *begun; /* blocks of `with` that are about to be entered; borrowed */
} BlockObject;

/* A Lock or an RLock. */
typedef struct LockObject {
    BlockObject block;
    np_sema free;                    /* one unit: it is not locked */
    EXT_SHARED(uintptr_t) owner;     /* of an RLock, as ext_current_id has it; 0: none */
    EXT_SHARED(unsigned long) depth; /* so often it is to be released by its owner */
    PyObject *weakrefs;
} LockObject;

/* --- lock.c ---------------------------------------------------------------------------------- */

bool ext_is_lock(PyObject *object);  /* a Lock: it has no subclasses */
bool ext_is_rlock(PyObject *object); /* an RLock, of whatever class */

/* acquire(blocking=True, timeout=-1), both borrowed or NULL: until when to wait; 0: not at all. */
bool ext_lock_limit(PyObject *blocking, PyObject *timeout, int64_t *until);

/* Lock.acquire() and release(), of one of ours; the same of RLock. */
PyObject *ext_lock_enter(PyObject *lock);
PyObject *ext_lock_exit(PyObject *lock);

/* A unit that has to be had: exceptions that come meanwhile are raised once it is there.  0, or -1
 * with an exception; false in *acquired: without it, for the hub has ended. */
int ext_acquire_anyway(np_sema *s, const char *what, bool *acquired);

int ext_add_lock_types(PyObject *module);

/* --- leaving.c ------------------------------------------------------------------------------- */

bool ext_python_is(unsigned long least); /* as sys.hexversion, or later */

/* `__exit__` of a type releases what `__enter__` has acquired, also where a signal handler raises
 * between that and the block. */
int ext_guard_with(PyObject *type);

/* `__enter__` begins and ends with these: what the same `with` has looked up, or NULL; and then,
 * with what acquiring gave, that again. */
LeavingObject *ext_entering(BlockObject *o);
PyObject *ext_entered(LeavingObject *l, PyObject *acquired);

/* condition.c: the lock of ours that it locks, which may be itself; borrowed, or NULL. */
LockObject *ext_lock_of(PyObject *object);

/* semaphore.c */
bool ext_is_semaphore(PyObject *object); /* a SemaphoreBase */
PyObject *ext_semaphore_exit(PyObject *semaphore);

/* --- condition.c, semaphore.c, queue.c, local.c ---------------------------------------------- */

int ext_add_condition_type(PyObject *module);
int ext_add_semaphore_type(PyObject *module);
int ext_add_queue_type(PyObject *module);
int ext_add_local_type(PyObject *module);

#endif
