/* ConditionBase: what waits for a notification, with a lock that is released meanwhile.
 *
 * What waits has a semaphore of its own, in line before the lock is released; to notify it is to
 * take it out of the line and release a unit.  A wait that a timeout or an exception ends finds out
 * in `leave_line` whether it was notified all the same, and passes that on.
 */
#include "sync.h"

#include "docs_made.h"

/* One wait.  Not on the C stack, which is another greenlet's while it waits. */
typedef struct waiting {
    np_link link;
    np_sema notified;
    unsigned long thread;
    bool in_line; /* no notification has been for it */
} waiting;

typedef struct ConditionObject {
    PyObject_HEAD
    EXT_MUTEX       /* guards the line */
    np_link line;   /* waiting.link */
    PyObject *lock; /* NULL before __init__ */
} ConditionObject;

static PyTypeObject *condition_type;

/* --- the lock -------------------------------------------------------------------------------- */

/* One that is not ours offers what those of `threading` do: some have `_release_save` and so on. */
typedef struct saved_lock {
    unsigned long depth; /* of an RLock of ours */
    PyObject *state;     /* of others, if they have one */
} saved_lock;

static bool is_ours(PyObject *lock)
{
    return ext_is_lock(lock) || ext_is_rlock(lock);
}

static int call(PyObject *object, const char *method, PyObject *arg)
{
    PyObject *result = arg ? PyObject_CallMethod(object, method, "(O)", arg)
                           : PyObject_CallMethod(object, method, NULL);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

static int is_true(PyObject *answer)
{
    int truth = answer ? PyObject_IsTrue(answer) : -1;
    Py_XDECREF(answer);
    return truth;
}

/* 1 or 0; -1 with an exception. */
static int is_owned(PyObject *lock)
{
    if (ext_is_rlock(lock))
        return ((LockObject *)lock)->owner == ext_current_id();
    if (ext_is_lock(lock))
        return np_sema_count(&((LockObject *)lock)->free) == 0;
    if (PyObject_HasAttrString(lock, "_is_owned"))
        return is_true(PyObject_CallMethod(lock, "_is_owned", NULL));
    int was_free = is_true(PyObject_CallMethod(lock, "acquire", "(O)", Py_False));
    if (was_free > 0 && call(lock, "release", NULL) < 0)
        return -1;
    return was_free < 0 ? -1 : !was_free;
}

static bool check_begun(const ConditionObject *c)
{
    if (!c->lock)
        PyErr_SetString(PyExc_RuntimeError, "Condition.__init__ was not called");
    return c->lock;
}

static bool check_owned(const ConditionObject *c, const char *verb)
{
    if (!check_begun(c))
        return false;
    int owned = is_owned(c->lock);
    if (owned == 0)
        PyErr_Format(PyExc_RuntimeError, "cannot %s on un-acquired lock", verb);
    return owned > 0;
}

static int release_lock(PyObject *lock, saved_lock *saved)
{
    LockObject *ours = (LockObject *)lock;

    *saved = (saved_lock){.state = NULL};
    if (is_ours(lock)) {
        saved->depth = ours->depth;
        ours->owner = 0;
        ours->depth = 0;
        np_sema_release(&ours->free, 1);
        return 0;
    }
    if (!PyObject_HasAttrString(lock, "_release_save"))
        return call(lock, "release", NULL);
    saved->state = PyObject_CallMethod(lock, "_release_save", NULL);
    return saved->state ? 0 : -1;
}

/* 0, or -1 with an exception, which may have come while it waited for the lock. */
static int acquire_lock(PyObject *lock, saved_lock *saved)
{
    LockObject *ours = (LockObject *)lock;
    bool acquired = false;

    if (is_ours(lock)) {
        int rc = ext_acquire_anyway(&ours->free, "lock", &acquired);
        if (acquired && saved->depth > 0)
            ours->owner = ext_current_id();
        if (acquired)
            ours->depth = saved->depth;
        return rc;
    }
    int rc =
        saved->state ? call(lock, "_acquire_restore", saved->state) : call(lock, "acquire", NULL);
    Py_CLEAR(saved->state);
    return rc;
}

/* --- waiting --------------------------------------------------------------------------------- */

static waiting *enter_line(ConditionObject *c)
{
    waiting *w = PyMem_Calloc(1, sizeof *w);

    if (!w) {
        PyErr_NoMemory();
        return NULL;
    }
    w->thread = PyThread_get_thread_ident();
    w->in_line = true;
    EXT_LOCK(c);
    np_list_append(&c->line, &w->link);
    EXT_UNLOCK(c);
    return w;
}

static void take_out_locked(waiting *w)
{
    np_list_remove(&w->link);
    w->in_line = false;
}

static void notify(ConditionObject *c, Py_ssize_t n)
{
    EXT_LOCK(c);
    for (; n > 0 && !np_list_empty(&c->line); n--) {
        waiting *first = NP_CONTAINER(c->line.next, waiting, link);
        take_out_locked(first);
        np_sema_release(&first->notified, 1);
    }
    EXT_UNLOCK(c);
}

/* The wait is over.  True: it was notified; if an exception ended it, that is for the next. */
static bool leave_line(ConditionObject *c, waiting *w, bool raised)
{
    EXT_LOCK(c);
    bool notified = !w->in_line;
    if (!notified)
        take_out_locked(w);
    EXT_UNLOCK(c);
    PyMem_Free(w);
    if (notified && raised)
        notify(c, 1);
    return notified;
}

/* Not in the hub's greenlet, where the lock could not be acquired again. */
static bool can_wait(void)
{
    HubObject *h = ext_hub();
    WaiterObject *w = h ? ext_begin_wait(h) : NULL;

    if (w)
        ext_end_wait(h, w);
    return !h || w;
}

/* 1: notified; 0: not; -1 with an exception. */
static int await_notification(ConditionObject *c, waiting *w, int64_t until)
{
    int rc = ext_acquire(&w->notified, until, "condition");
    bool raised = rc == EXT_RAISED || rc < 0;

    if (rc < 0)
        ext_raise_poller(rc, "condition");
    bool notified = leave_line(c, w, raised);
    return raised ? -1 : notified;
}

static int wait_without_lock(ConditionObject *c, int64_t until)
{
    PyObject *type, *value, *traceback, *lock = c->lock;
    saved_lock saved;

    waiting *w = enter_line(c);
    if (!w)
        return -1;
    if (release_lock(lock, &saved) < 0) {
        leave_line(c, w, true);
        return -1;
    }
    int notified = await_notification(c, w, until);
    PyErr_Fetch(&type, &value, &traceback);
    if (acquire_lock(lock, &saved) < 0) {
        Py_XDECREF(type);
        Py_XDECREF(value);
        Py_XDECREF(traceback);
        return -1;
    }
    PyErr_Restore(type, value, traceback);
    return notified;
}

static PyObject *condition_wait(PyObject *self, PyObject *const *args, Py_ssize_t n,
                                PyObject *names)
{
    static const ext_signature s = {"wait", 0, 1, {"timeout"}};
    ConditionObject *c = (ConditionObject *)self;
    PyObject *timeout;
    int64_t until;

    if (!ext_arguments(&s, args, n, names, &timeout) || !ext_instant(timeout, &until) ||
        !check_owned(c, "wait") || !can_wait() || ext_coop_yield(until != 0) < 0)
        return NULL;
    int notified = wait_without_lock(c, until);
    return notified < 0 ? NULL : PyBool_FromLong(notified);
}

/* --- notifying ------------------------------------------------------------------------------- */

static PyObject *condition_notify(PyObject *self, PyObject *const *args, Py_ssize_t n,
                                  PyObject *names)
{
    static const ext_signature s = {"notify", 0, 1, {"n"}};
    ConditionObject *c = (ConditionObject *)self;
    PyObject *given;

    if (!ext_arguments(&s, args, n, names, &given))
        return NULL;
    Py_ssize_t count = given ? PyNumber_AsSsize_t(given, NULL) : 1; /* clipped */
    if ((count == -1 && PyErr_Occurred()) || !check_owned(c, "notify"))
        return NULL;
    notify(c, count);
    Py_RETURN_NONE;
}

/* Each of the functions is called; true if none raises.  *result: the first's. */
static bool call_all(PyObject *const *functions, Py_ssize_t n, PyObject **result)
{
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *given = PyObject_CallObject(functions[i], NULL);
        if (!given)
            return false;
        if (i == 0)
            *result = given;
        else
            Py_DECREF(given);
    }
    return true;
}

static PyObject *condition_notify_after(PyObject *self, PyObject *const *functions, Py_ssize_t n)
{
    ConditionObject *c = (ConditionObject *)self;
    PyObject *result = NULL;

    if (!ext_arg_count("notify_after", n, 1, PY_SSIZE_T_MAX) || !check_owned(c, "notify"))
        return NULL;
    if (!call_all(functions, n, &result)) {
        Py_XDECREF(result);
        return NULL;
    }
    notify(c, 1);
    return result;
}

static PyObject *condition_notify_all(PyObject *self, PyObject *unused)
{
    ConditionObject *c = (ConditionObject *)self;

    (void)unused;
    if (!check_owned(c, "notify"))
        return NULL;
    notify(c, PY_SSIZE_T_MAX);
    Py_RETURN_NONE;
}

/* --- a block --------------------------------------------------------------------------------- */

static PyObject *condition_enter(PyObject *self, PyObject *unused)
{
    ConditionObject *c = (ConditionObject *)self;

    (void)unused;
    if (!check_begun(c))
        return NULL;
    return is_ours(c->lock) ? ext_lock_enter(c->lock)
                            : PyObject_CallMethod(c->lock, "__enter__", NULL);
}

static PyObject *condition_exit(PyObject *self, PyObject *args)
{
    ConditionObject *c = (ConditionObject *)self;

    if (!check_begun(c))
        return NULL;
    if (is_ours(c->lock))
        return ext_lock_exit(c->lock);
    PyObject *exit = PyObject_GetAttrString(c->lock, "__exit__");
    PyObject *result = exit ? PyObject_CallObject(exit, args) : NULL;
    Py_XDECREF(exit);
    return result;
}

LockObject *ext_lock_of(PyObject *object)
{
    PyObject *lock =
        PyObject_TypeCheck(object, condition_type) ? ((ConditionObject *)object)->lock : object;
    return lock && is_ours(lock) ? (LockObject *)lock : NULL;
}

static PyObject *condition_is_owned(PyObject *self, PyObject *unused)
{
    ConditionObject *c = (ConditionObject *)self;
    int owned = c->lock ? is_owned(c->lock) : 0;
    (void)unused;
    return owned < 0 ? NULL : PyBool_FromLong(owned);
}

/* In a forked child: those of threads that are gone will never leave. */
static PyObject *condition_at_fork_reinit(PyObject *self, PyObject *unused)
{
    ConditionObject *c = (ConditionObject *)self;
    unsigned long here = PyThread_get_thread_ident();

    (void)unused;
    for (np_link *l = c->line.next, *next; l != &c->line; l = next) {
        waiting *w = NP_CONTAINER(l, waiting, link);
        next = l->next;
        if (w->thread != here) {
            np_list_remove(l);
            PyMem_Free(w);
        }
    }
    if (c->lock && call(c->lock, "_at_fork_reinit", NULL) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* --- the type -------------------------------------------------------------------------------- */

static PyObject *condition_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *self = PyType_GenericNew(type, args, kwargs);
    if (self)
        np_list_init(&((ConditionObject *)self)->line);
    return self;
}

static int condition_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"lock", NULL};
    ConditionObject *c = (ConditionObject *)self;
    PyObject *lock;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:Condition", names, &lock))
        return -1;
    if (c->lock) {
        PyErr_SetString(PyExc_RuntimeError, "a Condition is initialised once");
        return -1;
    }
    Py_INCREF(lock);
    c->lock = lock;
    return 0;
}

static int condition_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(((ConditionObject *)self)->lock);
    Py_VISIT(Py_TYPE(self));
    return 0;
}

/* It has no tp_clear: the lock refers to nothing of ours, and what a subclass of it refers to goes
 * with the subclass's dictionary. */
static void condition_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    Py_CLEAR(((ConditionObject *)self)->lock);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"wait", EXT_FUNCTION(condition_wait), METH_FASTCALL | METH_KEYWORDS, DOC_ConditionBase_wait},
    {"notify", EXT_FUNCTION(condition_notify), METH_FASTCALL | METH_KEYWORDS,
     DOC_ConditionBase_notify},
    {"notify_after", EXT_FUNCTION(condition_notify_after), METH_FASTCALL,
     DOC_ConditionBase_notify_after},
    {"notify_all", condition_notify_all, METH_NOARGS, DOC_ConditionBase_notify_all},
    {"__enter__", condition_enter, METH_NOARGS, NULL},
    {"__exit__", condition_exit, METH_VARARGS, NULL},
    {"_is_owned", condition_is_owned, METH_NOARGS, NULL},
    {"_at_fork_reinit", condition_at_fork_reinit, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"_lock", T_OBJECT_EX, offsetof(ConditionObject, lock), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, (void *)condition_new},
    {Py_tp_init, (void *)condition_init},
    {Py_tp_traverse, (void *)condition_traverse},
    {Py_tp_dealloc, (void *)condition_dealloc},
    {Py_tp_doc, (void *)DOC_ConditionBase},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "netpoll._core.ConditionBase",
    .basicsize = sizeof(ConditionObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = slots,
};

int ext_add_condition_type(PyObject *module)
{
    condition_type = (PyTypeObject *)PyType_FromSpec(&spec);
    PyObject *type = (PyObject *)condition_type;
    return !type || PyModule_AddObjectRef(module, "ConditionBase", type) < 0 ? -1
                                                                             : ext_guard_with(type);
}
