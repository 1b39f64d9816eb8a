/* The types Waiter and Timer: one wait of a scheduler's token each. */
#include "docs_made.h"
#include "sema.h"

static PyTypeObject *waiter_type, *timer_type;

static PollerObject *poller_of(const WaitObject *w)
{
    return (PollerObject *)w->poller;
}

static np_sema *sema_of(const WaitObject *w)
{
    return w->sema && !w->late ? &((SemaObject *)w->sema)->sema : NULL;
}

/* --- the poller's list ----------------------------------------------------------------------- */

static void link_wait(WaitObject *w, PyObject *token)
{
    PollerObject *p = poller_of(w);

    Py_INCREF(token);
    EXT_LOCK(p);
    w->token = token;
    w->next = p->waits;
    w->link = &p->waits;
    if (w->next)
        w->next->link = &w->next;
    p->waits = w;
    EXT_UNLOCK(p);
}

/* The reference to the token; NULL: it is unlinked already. */
static PyObject *unlink_wait(WaitObject *w)
{
    EXT_LOCK(poller_of(w));
    PyObject *token = w->token;
    w->token = NULL;
    if (token) {
        *w->link = w->next;
        if (w->next)
            w->next->link = w->link;
    }
    EXT_UNLOCK(poller_of(w));
    return token;
}

int ext_waits_traverse(const PollerObject *p, visitproc visit, void *arg)
{
    for (const WaitObject *w = p->waits; w; w = w->next)
        if (np_waiter_parked(&w->wait))
            Py_VISIT(w->token);
    return 0;
}

PyObject *ext_filed_token(PollerObject *p, const void *key)
{
    PyObject *token = Py_None;

    EXT_LOCK(p);
    for (const WaitObject *w = p->waits; w; w = w->next)
        if (w->token == key)
            token = w->token;
    Py_INCREF(token);
    EXT_UNLOCK(p);
    return token;
}

/* --- the beginning --------------------------------------------------------------------------- */

/* With a reference for the core, which `parked` takes back if it has not parked the token. */
static WaitObject *new_wait(PyTypeObject *type, PyObject *poller, PyObject *token)
{
    if (!ext_poller(poller))
        return NULL;
    WaitObject *w = (WaitObject *)PyType_GenericAlloc(type, 0);
    if (w) {
        Py_INCREF(poller);
        w->poller = poller;
        link_wait(w, token);
        Py_INCREF(token);
    }
    return w;
}

/* The object, or None for a unit that was there, or NULL with an exception. */
static PyObject *parked(WaitObject *w, int rc)
{
    if (rc == NP_PARKED) {
        w->pending = true;
        return (PyObject *)w;
    }
    Py_DECREF(w->token);
    Py_DECREF(w);
    if (rc == NP_OK)
        Py_RETURN_NONE;
    return ext_raise_poller(rc, "park");
}

PyObject *ext_park_at_sema(SemaObject *s, PyObject *poller, PyObject *token, int64_t until)
{
    WaitObject *w = new_wait(waiter_type, poller, token);
    if (!w)
        return NULL;
    np_poller *p = poller_of(w)->poller;
    const char *what = ext_what(s->what);

    Py_INCREF(s);
    w->sema = (PyObject *)s;
    int rc = np_sema_park(&s->sema, &w->wait, p, (np_token)token, until, what);
    if (rc == NP_TIMEOUT) {
        w->late = true;
        rc = np_timer_start(&w->wait, p, (np_token)token, 0, what);
    }
    return parked(w, rc);
}

static PyObject *start_timer(PyTypeObject *type, PyObject *poller, PyObject *token, int64_t when,
                             const char *name)
{
    WaitObject *w = new_wait(type, poller, token);
    if (!w)
        return NULL;
    ext_set_what(w->what, name);
    np_poller *p = poller_of(w)->poller;
    return parked(w, np_timer_start(&w->wait, p, (np_token)token, when, ext_what(w->what)));
}

PyObject *ext_start_timer(PyObject *poller, PyObject *token, int64_t when, const char *name)
{
    return start_timer(timer_type, poller, token, when, name);
}

static PyObject *timer_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"poller", "token", "seconds", "name", NULL};
    PyObject *poller, *token, *seconds;
    const char *name = NULL;
    int64_t when;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOO|$z:Timer", names, &poller, &token, &seconds,
                                     &name) ||
        !ext_instant(seconds, &when))
        return NULL;
    return start_timer(type, poller, token, when, name);
}

/* --- the end --------------------------------------------------------------------------------- */

/* What the core says, once; NP_AGAIN: there is nothing to say. */
int ext_timer_result(WaitObject *w)
{
    int rc = NP_AGAIN;

    EXT_LOCK(w);
    if (w->pending)
        rc = np_waiter_resume(&w->wait);
    w->pending = w->pending && rc == NP_AGAIN;
    EXT_UNLOCK(w);
    if (rc != NP_AGAIN)
        Py_XDECREF(unlink_wait(w));
    return rc;
}

/* The same; NP_AGAIN with an exception. */
static int resume(WaitObject *w)
{
    bool pending = w->pending;
    int rc = ext_timer_result(w);

    if (rc == NP_AGAIN)
        PyErr_Format(PyExc_RuntimeError,
                     pending ? "%R: its token has not come out" : "%R: resumed or cancelled before",
                     w);
    return rc;
}

static PyObject *waiter_resume(PyObject *self, PyObject *unused)
{
    WaitObject *w = (WaitObject *)self;
    (void)unused;
    int rc = resume(w);
    if (rc == NP_AGAIN)
        return NULL;
    return rc == NP_CLOSED ? ext_raise_poller(rc, "resume")
                           : PyBool_FromLong(rc == NP_OK && !w->late);
}

static PyObject *timer_resume(PyObject *self, PyObject *unused)
{
    (void)unused;
    int rc = resume((WaitObject *)self);
    if (rc == NP_CLOSED)
        return ext_raise_poller(rc, "resume");
    if (rc == NP_AGAIN)
        return NULL;
    Py_RETURN_NONE;
}

/* True: the token does not come out.  A unit that has been granted is passed on. */
static bool withdraw(WaitObject *w)
{
    int result = NP_AGAIN;
    bool withdrawn = false;

    EXT_LOCK(w);
    bool ended = w->pending; /* by this call: it alone unlinks */
    if (ended)
        withdrawn = np_waiter_cancel(&w->wait, &result);
    w->pending = false;
    EXT_UNLOCK(w);
    if (result == NP_OK && sema_of(w))
        np_sema_release(sema_of(w), 1);
    PyObject *token = ended ? unlink_wait(w) : NULL;
    if (withdrawn)
        Py_DECREF(token); /* the core's */
    Py_XDECREF(token);
    return withdrawn;
}

void ext_stop_timer(WaitObject *w)
{
    withdraw(w);
}

static PyObject *wait_cancel(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(withdraw((WaitObject *)self));
}

static PyObject *timer_move(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    static const ext_signature s = {"move", 1, 1, {"seconds"}};
    WaitObject *w = (WaitObject *)self;
    PyObject *seconds;
    int64_t when;

    if (!ext_arguments(&s, args, n, names, &seconds) || !ext_instant(seconds, &when))
        return NULL;
    EXT_LOCK(w);
    int rc = w->pending ? np_timer_move(&w->wait, when) : 0;
    EXT_UNLOCK(w);
    return rc < 0 ? PyErr_NoMemory() : PyBool_FromLong(rc);
}

/* --- life ------------------------------------------------------------------------------------ */

static int wait_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(((WaitObject *)self)->token);
    Py_VISIT(((WaitObject *)self)->poller);
    Py_VISIT(((WaitObject *)self)->sema);
    Py_VISIT(Py_TYPE(self));
    return 0;
}

static int wait_clear(PyObject *self)
{
    withdraw((WaitObject *)self);
    return 0;
}

static void wait_dealloc(PyObject *self)
{
    WaitObject *w = (WaitObject *)self;
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    withdraw(w);
    Py_XDECREF(unlink_wait(w)); /* it was not parked */
    Py_DECREF(w->poller);
    Py_XDECREF(w->sema);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyObject *wait_repr(PyObject *self)
{
    WaitObject *w = (WaitObject *)self;
    const char *kind = w->sema ? "Waiter" : "Timer";
    const char *what = w->sema ? ((SemaObject *)w->sema)->what : w->what;
    const char *state = !w->pending                  ? "ended"
                        : np_waiter_parked(&w->wait) ? "parked"
                                                     : "given out by poll";
    return PyUnicode_FromFormat("<netpoll.%s%s%s, %s>", kind, what[0] ? " " : "", what, state);
}

/* --- the types ------------------------------------------------------------------------------- */

static PyMethodDef waiter_methods[] = {
    {"resume", waiter_resume, METH_NOARGS, DOC_Waiter_resume},
    {"cancel", wait_cancel, METH_NOARGS, DOC_Waiter_cancel},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef timer_methods[] = {
    {"move", EXT_FUNCTION(timer_move), METH_FASTCALL | METH_KEYWORDS, DOC_Timer_move},
    {"resume", timer_resume, METH_NOARGS, DOC_Timer_resume},
    {"cancel", wait_cancel, METH_NOARGS, DOC_Timer_cancel},
    {NULL, NULL, 0, NULL},
};

#define LIFE                                                                                       \
    {Py_tp_traverse, (void *)wait_traverse}, {Py_tp_clear, (void *)wait_clear},                    \
        {Py_tp_dealloc, (void *)wait_dealloc},                                                     \
    {                                                                                              \
        Py_tp_repr, (void *)wait_repr                                                              \
    }

static PyType_Slot waiter_slots[] = {
    LIFE,
    {Py_tp_doc, (void *)DOC_Waiter},
    {Py_tp_methods, waiter_methods},
    {0, NULL},
};

static PyType_Slot timer_slots[] = {
    LIFE,
    {Py_tp_new, (void *)timer_new},
    {Py_tp_doc, (void *)DOC_Timer},
    {Py_tp_methods, timer_methods},
    {0, NULL},
};

static PyType_Spec waiter_spec = {
    .name = "netpoll._core.Waiter",
    .basicsize = sizeof(WaitObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = waiter_slots,
};

static PyType_Spec timer_spec = {
    .name = "netpoll._core.Timer",
    .basicsize = sizeof(WaitObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = timer_slots,
};

int ext_add_wait_types(PyObject *module)
{
    waiter_type = (PyTypeObject *)PyType_FromSpec(&waiter_spec);
    if (!waiter_type || PyModule_AddObjectRef(module, "Waiter", (PyObject *)waiter_type) < 0)
        return -1;
    timer_type = (PyTypeObject *)PyType_FromSpec(&timer_spec);
    return timer_type ? PyModule_AddObjectRef(module, "Timer", (PyObject *)timer_type) : -1;
}
