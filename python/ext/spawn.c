/* The greenlets of netpoll.green: each calls a function, and ends with its value or exception. */
#include "bind.h"
#include "docs_made.h"
#include "greenlets.h"
#include "wait.h"

/* --- the end --------------------------------------------------------------------------------- */

/* An exception that ends the program goes to the main greenlet; another that no get() collects is
 * reported. */
static PyObject *report(WaiterObject *w)
{
    if (PyErr_GivenExceptionMatches(w->error, PyExc_KeyboardInterrupt) ||
        PyErr_GivenExceptionMatches(w->error, PyExc_SystemExit)) {
        Py_INCREF(w->error);
        ext_interrupt(w->hub, w->error);
        Py_RETURN_NONE;
    }
    return PyObject_CallFunctionObjArgs(ext_bound.report_error, w->greenlet, w->error, NULL);
}

/* What this raises goes to the main greenlet. */
static void tell_collector(WaiterObject *w, bool unseen)
{
    PyObject *on_end = w->on_end, *done = NULL;

    if (!on_end && !unseen)
        return;
    w->on_end = NULL;
    if (on_end)
        done =
            PyObject_CallFunctionObjArgs(on_end, w->greenlet, w->error ? w->error : Py_None, NULL);
    else
        done = report(w);
    Py_XDECREF(on_end);
    Py_XDECREF(done);
    if (!done)
        ext_interrupt(w->hub, ext_take_exception());
}

/* Its value or error is set.  To report the error it may have to wait once more. */
NP_COLD static void end(WaiterObject *w)
{
    Py_CLEAR(w->locals);
    bool unseen = w->error && w->collectors == 0;

    np_sema_open(&w->done);
    tell_collector(w, unseen);
    PySet_Discard(w->hub->alive, w->greenlet);
    ext_unbind_waiter(w);
}

static void drop_call(WaiterObject *w)
{
    Py_CLEAR(w->function);
    Py_CLEAR(w->args);
    Py_CLEAR(w->kwargs);
}

void ext_end_by_exception(WaiterObject *w)
{
    PyObject *exception = ext_take_exception();

    drop_call(w);
    if (PyErr_GivenExceptionMatches(exception, ext_greenlet.exit))
        w->value = exception;
    else
        w->error = exception;
    end(w);
}

/* Its greenlet runs it once: the greenlet's `run`. */
PyObject *ext_waiter_call(PyObject *self, PyObject *unused_args, PyObject *unused_kwargs)
{
    WaiterObject *w = (WaiterObject *)self;

    (void)unused_args;
    (void)unused_kwargs;
    if (w->state != GREENLET_FRESH)
        return PyErr_Format(PyExc_RuntimeError, "the function of a greenlet is called once");
    w->state = GREENLET_RUNNING;
    PyObject *value = PyObject_Call(w->function, w->args, w->kwargs);
    if (np_sema_is_open(&w->done)) { /* it was left behind by its thread */
        Py_XDECREF(value);
        PyErr_Clear();
    } else if (value) {
        w->value = value;
        drop_call(w);
        end(w);
    } else {
        ext_end_by_exception(w);
    }
    Py_RETURN_NONE;
}

/* --- spawn ----------------------------------------------------------------------------------- */

static PyObject *qualname, *gr_context; /* "__qualname__", "gr_context" */

/* Its qualified name, or what repr says; a new reference. */
static PyObject *name_of(PyObject *function)
{
    PyObject *name = PyObject_GetAttr(function, qualname);
    if (name && PyUnicode_Check(name))
        return name;
    Py_XDECREF(name);
    PyErr_Clear();
    return PyObject_Repr(function);
}

static WaiterObject *fresh_waiter(HubObject *h, PyObject *function, PyObject *args,
                                  PyObject *kwargs)
{
    PyObject *name = name_of(function);
    WaiterObject *w = name ? ext_new_waiter(h) : NULL;
    if (!w) {
        Py_XDECREF(name);
        return NULL;
    }
    w->state = GREENLET_FRESH;
    w->name = name;
    Py_INCREF(function);
    Py_INCREF(args);
    Py_XINCREF(kwargs);
    w->function = function;
    w->args = args;
    w->kwargs = kwargs;
    return w;
}

/* What (class, function, args, kwargs, context, members, on_end) asks for; the last two or three
 * may be missing. */
typedef struct spawn_call {
    PyObject *class, *function, *args, *kwargs;
    PyObject *context; /* it runs in; None: a copy of the caller's */
    PyObject *members; /* a set that it belongs to until it ends, or NULL */
    PyObject *on_end;
} spawn_call;

static bool parse(spawn_call *call, PyObject *const *args, Py_ssize_t n)
{
    if (n < 5 || n == 6 || n > 7 || !PyTuple_Check(args[2]) || !PyDict_Check(args[3])) {
        PyErr_SetString(PyExc_TypeError, "spawn: other arguments are wanted");
        return false;
    }
    *call = (spawn_call){.class = args[0],
                         .function = args[1],
                         .args = args[2],
                         .kwargs = PyDict_Size(args[3]) > 0 ? args[3] : NULL,
                         .context = args[4],
                         .members = n == 7 ? args[5] : NULL,
                         .on_end = n == 7 ? args[6] : NULL};
    if (PyCallable_Check(call->function))
        return true;
    PyErr_Format(PyExc_TypeError, "%R is not callable", call->function);
    return false;
}

static int set_context(PyObject *greenlet, PyObject *context)
{
    PyObject *copy = NULL;

    if (context == Py_None &&
        !(context = copy = PyObject_CallFunctionObjArgs(ext_bound.copy_context, NULL)))
        return -1;
    int rc = PyObject_SetAttr(greenlet, gr_context, context);
    Py_XDECREF(copy);
    return rc;
}

/* In the queue to be started, and known to all that have to know it. */
static int enlist(WaiterObject *w, PyObject *greenlet, const spawn_call *call)
{
    if (ext_bind_waiter(w, greenlet) < 0 || set_context(greenlet, call->context) < 0 ||
        PySet_Add(w->hub->alive, greenlet) < 0)
        return -1;
    if (call->members && PySet_Add(call->members, greenlet) < 0) {
        PySet_Discard(w->hub->alive, greenlet);
        return -1;
    }
    Py_XINCREF(call->on_end);
    w->on_end = call->on_end;
    ext_make_ready(w);
    return 0;
}

/* A new reference to the waiter of a new greenlet. */
static WaiterObject *spawn(PyObject *const *args, Py_ssize_t n)
{
    spawn_call call;
    HubObject *h = parse(&call, args, n) ? ext_make_hub() : NULL;
    WaiterObject *w = h ? fresh_waiter(h, call.function, call.args, call.kwargs) : NULL;
    if (!w)
        return NULL;
    PyObject *greenlet = PyObject_CallFunctionObjArgs(call.class, w, h->greenlet, NULL);
    if (!greenlet || enlist(w, greenlet, &call) < 0) {
        ext_unbind_waiter(w);
        Py_CLEAR(w);
    }
    Py_XDECREF(greenlet);
    return w;
}

/* spawn(class, function, args, kwargs, context, members, on_end): the greenlet */
static PyObject *green_spawn(PyObject *module, PyObject *const *args, Py_ssize_t n)
{
    (void)module;
    WaiterObject *w = spawn(args, n);
    if (!w)
        return NULL;
    PyObject *greenlet = w->greenlet; /* it has not run yet */
    Py_INCREF(greenlet);
    Py_DECREF(w);
    return greenlet;
}

/* --- join, get, kill ------------------------------------------------------------------------- */

/* For so long, or not at all.  NP_OK: it has ended; NP_TIMEOUT; else an exception is set. */
static int join(WaiterObject *w, int64_t ns)
{
    int64_t until = ns > 0 ? ext_instant_after(ns) : 0;
    int rc = ext_acquire_in_turn(&w->done, until, "join");

    if (rc < 0)
        ext_raise_poller(rc, "join");
    return rc == NP_AGAIN ? NP_TIMEOUT : rc;
}

static bool has_joined(int rc)
{
    return rc == NP_OK || rc == NP_TIMEOUT;
}

static bool is_calling(const WaiterObject *w)
{
    if (ext_hub() != w->hub)
        return false;
    PyObject *greenlet = ext_greenlet.current();
    Py_XDECREF(greenlet);
    return greenlet && greenlet == w->greenlet;
}

static bool refuse_itself(const WaiterObject *w)
{
    if (!is_calling(w))
        return false;
    PyErr_SetString(PyExc_RuntimeError, "a greenlet cannot join itself");
    return true;
}

PyObject *ext_waiter_join(PyObject *self, PyObject *timeout)
{
    WaiterObject *w = (WaiterObject *)self;
    int64_t ns;

    if (!ext_timeout(NULL, timeout, NP_NEVER, &ns))
        return NULL;
    if ((ns > 0 && refuse_itself(w)) || !has_joined(join(w, ns)))
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *outcome(const WaiterObject *w)
{
    if (w->error) {
        ext_set_exception(w->error);
        return NULL;
    }
    Py_INCREF(w->value);
    return w->value;
}

PyObject *ext_waiter_get(PyObject *self, PyObject *timeout)
{
    WaiterObject *w = (WaiterObject *)self;
    int64_t ns;

    if (!ext_timeout(NULL, timeout, NP_NEVER, &ns) || refuse_itself(w))
        return NULL;
    w->collectors++;
    int rc = join(w, ns);
    w->collectors--;
    if (rc == NP_TIMEOUT)
        PyErr_Format(PyExc_TimeoutError, "%S has not ended", w->name);
    return rc == NP_OK ? outcome(w) : NULL;
}

static bool is_exception(PyObject *object)
{
    if (PyExceptionInstance_Check(object) || PyExceptionClass_Check(object))
        return true;
    PyErr_Format(PyExc_TypeError, "exceptions derive from BaseException, not %R", object);
    return false;
}

PyObject *ext_waiter_kill(PyObject *self, PyObject *exception)
{
    WaiterObject *w = (WaiterObject *)self;

    if (!is_exception(exception))
        return NULL;
    if (is_calling(w)) {
        ext_set_exception(exception);
        return NULL;
    }
    if (np_sema_is_open(&w->done))
        Py_RETURN_NONE;
    if (ext_hub() == w->hub && w->state == GREENLET_FRESH) {
        ext_set_exception(exception);
        ext_end_by_exception(w);
    } else {
        ext_schedule_throw(w, exception);
    }
    Py_RETURN_NONE;
}

/* --- run ------------------------------------------------------------------------------------- */

/* What interrupts the caller is raised in the function, as if it had been called directly. */
static PyObject *get_or_kill(WaiterObject *w)
{
    PyObject *value;

    while ((value = ext_waiter_get((PyObject *)w, Py_None)) == NULL && !np_sema_is_open(&w->done)) {
        PyObject *exception = ext_take_exception();
        PyObject *killed = ext_waiter_kill((PyObject *)w, exception);
        Py_DECREF(exception);
        if (!killed)
            return NULL;
        Py_DECREF(killed);
    }
    return value;
}

/* run(class, function, args, kwargs, context): what the function returns or raises */
static PyObject *green_run(PyObject *module, PyObject *const *args, Py_ssize_t n)
{
    (void)module;
    WaiterObject *w = spawn(args, n);
    if (!w)
        return NULL;
    PyObject *value = get_or_kill(w);
    Py_DECREF(w);
    if (value && PyErr_GivenExceptionMatches(value, ext_greenlet.exit) &&
        PyExceptionInstance_Check(value)) {
        ext_set_exception(value);
        Py_CLEAR(value);
    }
    return value;
}

static PyMethodDef functions[] = {
    {"spawn", EXT_FUNCTION(green_spawn), METH_FASTCALL, NULL},
    {"run", EXT_FUNCTION(green_run), METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

int ext_add_spawn(PyObject *module)
{
    qualname = PyUnicode_InternFromString("__qualname__");
    gr_context = PyUnicode_InternFromString("gr_context");
    return qualname && gr_context ? PyModule_AddFunctions(module, functions) : -1;
}
