/* netpoll.sync in C: locks, ConditionBase, SemaphoreBase, SimpleQueue, local.  Each is an np_sema
 * and the few words that belong to it, so threads and greenlets of all hubs wait at it alike, first
 * come, first served. */
#ifndef NP_EXT_SYNC_H
#define NP_EXT_SYNC_H

#include "sema.h"
#include "wait.h"

#include <structmember.h>

/* A Lock or an RLock. */
typedef struct LockObject {
    PyObject_HEAD
    np_sema free; /* one unit: it is not locked */
    EXT_SHARED(uintptr_t)
    owner;                           /* as ext_current_id has it; 0: none, or a Lock's, elsewhere
                                        than in a block of `with` */
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

/* So often it is its owner's from now on: fewer times than before. */
void ext_lock_restore(LockObject *lock, unsigned long depth);

int ext_add_lock_types(PyObject *module);

/* --- leaving.c ------------------------------------------------------------------------------- */

/* A block of `with` on an object of that type is left as it was entered, also where a signal
 * handler raises between `__enter__` and the block. */
int ext_guard_with(PyObject *type);

/* condition.c: the lock of ours that it locks, which may be itself; borrowed, or NULL. */
LockObject *ext_lock_of(PyObject *object);

/* --- condition.c, semaphore.c, queue.c, local.c
 * ------------------------------------------------------------ */

int ext_add_condition_type(PyObject *module);
int ext_add_semaphore_type(PyObject *module);
int ext_add_queue_type(PyObject *module);
int ext_add_local_type(PyObject *module);

#endif
