/* The hub of a thread, from its first use to the end of the thread. */
#include "bind.h"
#include "greenlets.h"
#include "hub.h"
#include "sys/sync.h"

/* In glibc's spare room for the variables of libraries that are loaded late, where it takes one
 * instruction to reach it instead of a call. */
#ifdef __GLIBC__
__attribute__((tls_model("initial-exec")))
#endif
static _Thread_local HubObject *here;

NP_HOT HubObject *ext_hub(void)
{
    return here;
}

PyObject *ext_running_greenlet(HubObject *h)
{
    PyObject *greenlet = ext_greenlet.current();

    if (greenlet == h->main || greenlet == h->greenlet)
        Py_CLEAR(greenlet);
    return greenlet;
}

uintptr_t ext_current_id(void)
{
    PyObject *greenlet = here ? ext_running_greenlet(here) : NULL;

    if (!greenlet)
        return (uintptr_t)PyThread_get_thread_ident();
    Py_DECREF(greenlet); /* it runs, so it stays */
    return (uintptr_t)greenlet;
}

/* --- the beginning --------------------------------------------------------------------------- */

/* The greenlet that the calling thread began with; a reference. */
static PyObject *main_greenlet(void)
{
    PyObject *greenlet = ext_greenlet.current();

    while (greenlet) {
        PyObject *parent = PyObject_GetAttrString(greenlet, "parent");
        if (parent == Py_None) {
            Py_DECREF(parent);
            break;
        }
        Py_DECREF(greenlet);
        greenlet = parent;
    }
    return greenlet;
}

static bool make_parts(HubObject *h)
{
    return (h->main = main_greenlet()) != NULL &&
           (h->greenlet = ext_greenlet.make((PyObject *)h, h->main)) != NULL &&
           (h->alive = PySet_New(NULL)) != NULL &&
           (h->poller = PyObject_CallFunctionObjArgs(ext_bound.internal_poller, NULL)) != NULL &&
           (h->main_waiter = ext_new_waiter(h)) != NULL &&
           ext_bind_waiter(h->main_waiter, h->main) == 0;
}

int ext_hub_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    HubObject *h = (HubObject *)self;

    (void)args;
    (void)kwargs;
    if (h->main) {
        PyErr_SetString(PyExc_RuntimeError, "a Hub is initialised once");
        return -1;
    }
    if (!ext_import_greenlet() || !make_parts(h))
        return -1;
    h->np = ((PollerObject *)h->poller)->poller;
    h->forks = np_load(&np_fork_generation);
    return 0;
}

/* --- the end --------------------------------------------------------------------------------- */

/* What is thrown to end it: GreenletExit. */
static void set_exit(void)
{
    PyErr_SetNone(ext_greenlet.exit);
}

/* Where it waits.  If it waits again it switches to the main greenlet. */
static void throw_exit(HubObject *h, PyObject *greenlet)
{
    if (ext_greenlet.set_parent(greenlet, h->main) == 0)
        Py_XDECREF(ext_greenlet.throw_into(greenlet, ext_greenlet.exit, NULL, NULL));
    if (PyErr_Occurred())
        PyErr_WriteUnraisable(greenlet);
}

/* It has not started, or is left behind. */
static void end_unrun(HubObject *h, PyObject *greenlet)
{
    WaiterObject *w = ext_find_waiter(h, greenlet);

    if (!w) {
        PyErr_WriteUnraisable(greenlet);
    } else if (w->state != GREENLET_ENDED) {
        set_exit();
        ext_end_by_exception(w);
    }
    Py_XDECREF(w);
}

/* Once each. */
static void unwind_all(HubObject *h)
{
    PyObject *all = PySequence_List(h->alive);
    Py_ssize_t n = all ? PyList_Size(all) : 0;

    if (!all)
        PyErr_WriteUnraisable((PyObject *)h);
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *greenlet = PyList_GetItem(all, i); /* borrowed */
        if (ext_greenlet.is_active(greenlet))
            throw_exit(h, greenlet);
        else
            end_unrun(h, greenlet);
    }
    Py_XDECREF(all);
}

/* Round by round, as what one waits for in a `finally` may be what another holds.  One whose wait
 * is over goes on; those that are spawned meanwhile end without having started.
 * own: this is its thread, and the greenlet that ends is the main one. */
static void end_greenlets(HubObject *h, bool own)
{
    PyObject *greenlet;
    int turns = EXT_LAST_TURNS;

    for (int i = 0; own && i < EXT_MAX_EXITS && PySet_Size(h->alive) > 0; i++) {
        while (i > 0 && turns-- > 0 && ext_run_ready(h))
            ;
        unwind_all(h);
    }
    while (PySet_Size(h->alive) > 0 && (greenlet = PySet_Pop(h->alive)) != NULL) {
        end_unrun(h, greenlet);
        Py_DECREF(greenlet);
    }
}

static void end_hub_greenlet(HubObject *h)
{
    if (ext_greenlet.is_active(h->greenlet))
        Py_XDECREF(ext_greenlet.throw_into(h->greenlet, ext_greenlet.exit, NULL, NULL));
    PyErr_Clear();
}

void ext_clear_queue(HubObject *h)
{
    while (h->queued > 0) {
        WaiterObject *w = NP_CONTAINER(h->queue.next, WaiterObject, link);
        np_list_remove(&w->link);
        w->link.next = NULL;
        h->queued--;
        Py_DECREF(w);
    }
}

static void close_poller(HubObject *h)
{
    PyObject *closed = PyObject_CallMethod(h->poller, "close", NULL);
    if (!closed)
        PyErr_WriteUnraisable(h->poller);
    Py_XDECREF(closed);
}

/* The thread ends: so do its greenlets, the hub and its poller.  In a forked child the thread may
 * be gone, and its greenlets cannot run. */
static void finish(HubObject *h)
{
    PyObject *greenlet = ext_greenlet.current();
    bool own = here == h && greenlet == h->main;

    Py_XDECREF(greenlet);
    h->finished = true;
    h->turns = 0;
    end_greenlets(h, own);
    if (own)
        end_hub_greenlet(h);
    ext_unbind_waiter(h->main_waiter);
    ext_forget_waiter(h->main); /* or it, the waiter and the hub would hold each other */
    close_poller(h);
    ext_clear_queue(h);
    Py_CLEAR(h->greenlet); /* if it never ran it holds the hub */
    Py_CLEAR(h->main_waiter);
    if (here == h)
        here = NULL;
}

PyObject *ext_end_hub(PyObject *module, PyObject *unused)
{
    PyObject *thread = PyThreadState_GetDict(); /* borrowed */
    PyObject *greenlet = here ? ext_greenlet.current() : NULL;

    (void)module;
    (void)unused;
    if (thread && greenlet && greenlet == here->main &&
        PyDict_DelItemString(thread, "netpoll.hub") < 0)
        PyErr_Clear();
    Py_XDECREF(greenlet);
    Py_RETURN_NONE;
}

/* --- the thread's hold on its hub ------------------------------------------------------------ */

typedef struct ThreadExitObject {
    PyObject_HEAD
    HubObject *hub;
} ThreadExitObject;

static PyTypeObject *thread_exit_type;

bool ext_is_finalizing(void)
{
    PyObject *ask = PySys_GetObject("is_finalizing"); /* borrowed */
    PyObject *answer = ask ? PyObject_CallFunctionObjArgs(ask, NULL) : NULL;
    bool finalizing = answer != Py_False;
    Py_XDECREF(answer);
    PyErr_Clear();
    return finalizing;
}

static void thread_exit_dealloc(PyObject *self)
{
    ThreadExitObject *e = (ThreadExitObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject *error_type, *value, *traceback;

    PyErr_Fetch(&error_type, &value, &traceback);
    if (e->hub && !ext_is_finalizing())
        finish(e->hub);
    Py_CLEAR(e->hub);
    PyErr_Restore(error_type, value, traceback);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyType_Slot thread_exit_slots[] = {
    {Py_tp_dealloc, (void *)thread_exit_dealloc},
    {0, NULL},
};

static PyType_Spec thread_exit_spec = {
    .name = "netpoll._core.ThreadExit",
    .basicsize = sizeof(ThreadExitObject),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = thread_exit_slots,
};

int ext_add_thread_exit_type(void)
{
    thread_exit_type = (PyTypeObject *)PyType_FromSpec(&thread_exit_spec);
    return thread_exit_type ? 0 : -1;
}

/* With the dictionary of the thread's state, which goes when the thread ends. */
static bool install(HubObject *h)
{
    PyObject *thread = PyThreadState_GetDict(); /* borrowed */
    ThreadExitObject *e =
        thread ? (ThreadExitObject *)PyType_GenericAlloc(thread_exit_type, 0) : NULL;
    bool installed = e && PyDict_SetItemString(thread, "netpoll.hub", (PyObject *)e) == 0;
    if (installed) {
        Py_INCREF(h);
        e->hub = h;
        here = h;
    } else if (!PyErr_Occurred()) {
        PyErr_NoMemory();
    }
    Py_XDECREF(e);
    return installed;
}

HubObject *ext_make_hub(void)
{
    if (here)
        return here;
    PyObject *made = PyObject_CallFunctionObjArgs(ext_bound.make_hub, NULL);
    if (!made || here) { /* a signal handler made one meanwhile */
        Py_XDECREF(made);
        return made ? here : NULL;
    }
    bool installed = install((HubObject *)made);
    Py_DECREF(made);
    return installed ? here : NULL;
}
