/* What the types need in a build of CPython without the GIL.  With the GIL all of it is nothing.
 *
 * Two kinds of state:
 *
 *   EXT_LOCK(o) .. EXT_UNLOCK(o)   fields that several threads change: each object has a mutex.  No
 *                                  Python code runs and nothing blocks between the two, so what
 *                                  stops the world (the garbage collector, fork) finds the mutex
 *                                  free and the fields whole.  One object at a time.
 *   EXT_SHARED(type)               a single word that several threads read and write: an atomic.
 *   EXT_CRITICAL_BEGIN(o) .. END   fields that Python's own functions read: it is let go while
 *                                  Python code waits.
 *   EXT_TRY_INCREF(o)              a borrowed reference becomes one's own, unless the last one has
 *                                  just gone; under a mutex that the deallocator takes.  From 3.14
 *                                  on, as what needs it.
 *
 * Everything else is written once, before a second thread can see it; or it is a hub's, which only
 * its own thread can find. */
#ifndef NP_FREETHREADED_H
#define NP_FREETHREADED_H

#ifdef Py_GIL_DISABLED

#define EXT_MUTEX PyMutex mutex;
#define EXT_LOCK(o) PyMutex_Lock(&(o)->mutex)
#define EXT_UNLOCK(o) PyMutex_Unlock(&(o)->mutex)
#define EXT_SHARED(type) _Atomic(type)
#define EXT_CRITICAL_BEGIN(o) Py_BEGIN_CRITICAL_SECTION(o)
#define EXT_CRITICAL_END() Py_END_CRITICAL_SECTION()
#if PY_VERSION_HEX >= 0x030e0000
#define EXT_MAY_TRY_INCREF(o) PyUnstable_EnableTryIncRef((PyObject *)(o))
#define EXT_TRY_INCREF(o) PyUnstable_TryIncRef((PyObject *)(o))
#endif

#else

#define EXT_MUTEX
#define EXT_LOCK(o) ((void)(o))
#define EXT_UNLOCK(o) ((void)(o))
#define EXT_SHARED(type) type
#define EXT_CRITICAL_BEGIN(o) {
#define EXT_CRITICAL_END() }

#endif

#ifndef EXT_TRY_INCREF
#define EXT_MAY_TRY_INCREF(o) ((void)(o))
#define EXT_TRY_INCREF(o) (Py_INCREF((PyObject *)(o)), true)
#endif
#endif
