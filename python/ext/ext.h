/* The hand-written part of netpoll._core on CPython: the types PollerBase, DescBase, HubBase,
 * WaiterBase, Sema, Waiter, Timer and FD, and the methods of sockets.
 *
 * They do what netpoll/_cffi/engine.py does over cffi, call by call; the classes that users see are
 * subclasses of either (netpoll/_api.py).  Everything keeps to the limited API of Python 3.10.
 *
 * The GIL is held throughout.  What may block releases it inside the core (module.c sets the
 * hooks), around the blocking part alone.  Builds without a GIL: freethreaded.h.
 */
#ifndef NP_EXT_H
#define NP_EXT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>

#include "budgets.h"
#include "freethreaded.h"
#include "netpoll.h"
#include "sys/layout.h"

#ifdef _MSC_VER
#define EXT_NOINLINE __declspec(noinline)
#else
#define EXT_NOINLINE __attribute__((noinline))
#endif

typedef struct DescObject DescObject;
typedef struct WaitObject WaitObject; /* sema.h */

/* A poller owns the tokens that are parked on it.  For the garbage collector they are found through
 * the descriptors, which note their last token, and the waits; during a poll, which may have taken
 * some out already, they are not shown to it. */
typedef struct PollerObject {
    PyObject_HEAD
    EXT_MUTEX                       /* guards the lists, and the beginning of poller */
    EXT_SHARED(np_poller *) poller; /* a reference; NULL before __init__ */
    DescObject *descs;              /* all its DescObjects, borrowed */
    WaitObject *waits;              /* the same for Waiters and Timers that have not ended */
    PyObject **held;                /* tokens of users that a hub polled out: references */
    int held_count, held_room;      /* all three under the mutex */
    EXT_SHARED(int) polling;        /* threads inside np_poll */
    EXT_SHARED(bool) internal;      /* users need not close it */
} PollerObject;

struct DescObject {
    PyObject_HEAD
    EXT_MUTEX                   /* guards parked together with what np_park made of it */
    DescObject *next, **link;   /* in poller->descs, whose mutex guards them */
    EXT_SHARED(np_desc *) desc; /* a reference; NULL in an object that open() did not make */
    PyObject *poller;           /* the PollerObject */
    PyObject *parked[2];        /* by mode: the token parked last and not resumed yet */
    EXT_SHARED(bool) closed;    /* close() was called; else collecting it is worth a warning */
};

/* For the table of a type: METH_FASTCALL and METH_KEYWORDS have other signatures. */
#define EXT_FUNCTION(f) ((PyCFunction)(void (*)(void))(f))

/* module.c: methods of the type that are not for users, as functions of the module: `f(object,
 * ...)`, which checks that it is one. */
int ext_add_internals(PyObject *module, PyTypeObject *type, PyMethodDef *methods);

/* errors.c: raise what a result of the core means, and return NULL. */
NP_COLD PyObject *ext_raise(const DescObject *d, int mode, int rc);
NP_COLD PyObject *ext_raise_of_fd(int rc, long long fd, int mode);
NP_COLD PyObject *ext_raise_poller(int rc, const char *what);
NP_COLD PyObject *ext_raise_fd(int rc, long long fd);

void ext_set_exception(PyObject *exception); /* an instance, or a class */
PyObject *ext_take_exception(void); /* the one that is set, as an instance; a new reference */

/* convert.c: arguments.  False with an exception set; a message names the descriptor, if any. */
bool ext_mode(const DescObject *d, PyObject *arg, int *mode); /* READ or WRITE */
bool ext_mode_of_fd(long long fd, PyObject *arg, int *mode);
bool ext_modes(const DescObject *d, PyObject *arg, int *modes);                  /* or both */
bool ext_timeout(const DescObject *d, PyObject *arg, int64_t none, int64_t *ns); /* or None */
bool ext_fd(PyObject *arg, np_fd *fd); /* an int; -1 for what cannot be one */

bool ext_size(PyObject *arg, Py_ssize_t *n);
bool ext_flags(PyObject *arg, int *flags); /* NULL: 0 */

/* How many positional arguments a function got. */
NP_COLD void ext_raise_arg_count(const char *function, Py_ssize_t n, Py_ssize_t min,
                                 Py_ssize_t max);
static inline bool ext_arg_count(const char *function, Py_ssize_t n, Py_ssize_t min, Py_ssize_t max)
{
    if (n >= min && n <= max)
        return true;
    ext_raise_arg_count(function, n, min, max);
    return false;
}

/* The arguments of a METH_FASTCALL | METH_KEYWORDS function, each by position or by name; those not
 * given are NULL in out, which has room for max. */
typedef struct ext_signature {
    const char *function;
    int min, max;
    const char *names[3];
} ext_signature;
bool ext_arguments(const ext_signature *s, PyObject *const *args, Py_ssize_t n, PyObject *names,
                   PyObject **out);

/* desc_type.c, desc_open.c, desc_wait.c */
int ext_add_desc_type(PyObject *module);
bool ext_is_desc(PyObject *object);
PyObject *ext_open(PyObject *poller, PyObject *file); /* a new PollDesc */
int ext_park(DescObject *d, int mode, PyObject *token, int flags, np_poller *home);
bool ext_forget_parked(DescObject *d, int mode, PyObject *token, bool cancel);
/* poller_type.c */
int ext_add_poller_type(PyObject *module);
bool ext_is_poller(PyObject *object);
PollerObject *ext_poller(PyObject *object); /* checked: NULL with a TypeError set */
int ext_poll(PollerObject *p, int64_t timeout, np_token *tokens, int max, int *n); /* np_poll */
NP_COLD void ext_hold_token(PollerObject *p, PyObject *token); /* for the next poll() of a user */

/* wait_type.c: the tokens of a poller's waits. */
int ext_waits_traverse(const PollerObject *p, visitproc visit, void *arg);
PyObject *ext_filed_token(PollerObject *p, const void *key); /* the token, or None */
#endif
