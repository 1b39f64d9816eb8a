/* The hand-written part of netpoll._core on CPython: DescBase, PollerBase and HubBase in C.
 *
 * They do what netpoll/_pure.py does over cffi, call by call; the classes that users see are
 * subclasses of either (netpoll/_api.py).  Everything keeps to the limited API of Python 3.10.
 *
 * The GIL is held throughout.  What may block gives it back inside the core (module.c sets the
 * hooks), around the blocking part alone.  Builds without a GIL: freethreaded.h.
 */
#ifndef NP_EXT_H
#define NP_EXT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>

#include "freethreaded.h"
#include "netpoll.h"

#ifdef _MSC_VER
#define EXT_NOINLINE __declspec(noinline)
#else
#define EXT_NOINLINE __attribute__((noinline))
#endif

typedef struct DescObject DescObject;

/* A poller owns the tokens that are parked on it.  For the garbage collector they are found through
 * the descriptors, which note their last token; while somebody polls, and may have taken some out
 * already, they are not shown to it. */
typedef struct PollerObject {
    PyObject_HEAD
    EXT_MUTEX                       /* guards descs, and the beginning of poller */
    EXT_SHARED(np_poller *) poller; /* a reference; NULL before __init__ */
    DescObject *descs;              /* all its DescObjects, borrowed */
    EXT_SHARED(int) polling;        /* threads inside np_poll */
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

/* errors.c: raise what a result of the core means, and return NULL. */
int ext_errors_init(void);
PyObject *ext_raise(const DescObject *d, int mode, int rc);
PyObject *ext_raise_of_fd(int rc, long long fd, int mode);
PyObject *ext_raise_poller(int rc, const char *what);
PyObject *ext_raise_fd(int rc, long long fd);

/* convert.c: arguments.  False with an exception set; a message names the descriptor, if any. */
bool ext_mode(const DescObject *d, PyObject *arg, int *mode);                    /* READ or WRITE */
bool ext_modes(const DescObject *d, PyObject *arg, int *modes);                  /* or both */
bool ext_timeout(const DescObject *d, PyObject *arg, int64_t none, int64_t *ns); /* or None */
bool ext_fd(PyObject *arg, np_fd *fd); /* an int; -1 for what cannot be one */

/* The arguments of a METH_FASTCALL | METH_KEYWORDS function, each by position or by name; those not
 * given are NULL in out, which has room for max. */
typedef struct ext_signature {
    const char *function;
    int min, max;
    const char *names[3];
} ext_signature;
bool ext_arguments(const ext_signature *s, PyObject *const *args, Py_ssize_t n, PyObject *names,
                   PyObject **out);

/* desc_type.c */
int ext_add_desc_type(PyObject *module);
bool ext_is_desc(PyObject *object);
PyObject *ext_open(PyObject *poller, PyObject *file); /* a new PollDesc */
int ext_park(DescObject *d, int mode, PyObject *token, int flags);
bool ext_still_parked(DescObject *d, int mode, PyObject *token);
void ext_forget_parked(DescObject *d, int mode, PyObject *token, bool cancel);
/* poller_type.c */
int ext_add_poller_type(PyObject *module);
bool ext_is_poller(PyObject *object);
PollerObject *ext_poller(PyObject *object); /* checked: NULL with a TypeError set */
#endif
