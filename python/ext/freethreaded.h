/* What the types need in a build of CPython without the GIL.  With the GIL all of it is nothing.
 *
 * Three kinds of state:
 *
 *   EXT_LOCK(o) .. EXT_UNLOCK(o)   fields that several threads change: each object has a mutex.  No
 *                                  Python code runs and nothing blocks between the two, so whoever
 *                                  stops the world (the garbage collector, fork) finds the mutex
 *                                  free and the fields whole.  One object at a time.
 *   EXT_SHARED(type)               a single word that several threads read and write: an atomic.
 *   EXT_CONFINED(o)                fields that only one thread ever touches, the one that made the
 *                                  object: here that is checked.
 *
 * Everything else is written once, before a second thread can see it. */
#ifndef NP_FREETHREADED_H
#define NP_FREETHREADED_H

#ifdef Py_GIL_DISABLED

#define EXT_MUTEX PyMutex mutex;
#define EXT_LOCK(o) PyMutex_Lock(&(o)->mutex)
#define EXT_UNLOCK(o) PyMutex_Unlock(&(o)->mutex)
#define EXT_SHARED(type) _Atomic(type)
#define EXT_OWNER unsigned long owner;
#define EXT_OWN(o) ((o)->owner = PyThread_get_thread_ident())
#define EXT_CONFINED(o) ((o)->owner == PyThread_get_thread_ident() || ext_wrong_thread())

static inline bool ext_wrong_thread(void)
{
    PyErr_SetString(PyExc_RuntimeError, "this belongs to another thread");
    return false;
}

#else

#define EXT_MUTEX
#define EXT_LOCK(o) ((void)0)
#define EXT_UNLOCK(o) ((void)0)
#define EXT_SHARED(type) type
#define EXT_OWNER
#define EXT_OWN(o) ((void)0)
#define EXT_CONFINED(o) true

#endif
#endif
