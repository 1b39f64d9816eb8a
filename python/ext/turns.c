/* Turns, the run queue of a hub, and WaiterBase, the entry of a greenlet.
 *
 * turn() takes the first entry and switches to it.  When that is the hub's look at the poller, the
 * look is done here and now, and the switch to the hub and back is saved: unless the hub has more
 * to do (sleepers that are due, other pollers), or nobody may run and somebody has to block.
 *
 * References.  Whoever switches holds the entry, and so the greenlet, until he is switched back to;
 * and he drops nothing before he switches, as a destructor might switch too.
 *
 * Threads.  A queue is its hub's, and only the hub's thread takes entries out; others append.
 */
#include "turns.h"

/* greenlet's table of functions, unchanged since 0.4.17. */
enum { GREENLET_GET_CURRENT = 4, GREENLET_SWITCH = 6 };
typedef PyObject *(*get_current_function)(void);
typedef PyObject *(*switch_function)(PyObject *greenlet, PyObject *args, PyObject *kwargs);

static get_current_function get_current;
static EXT_SHARED(switch_function) switch_to; /* set last */
static PyTypeObject *waiter_base;

static _Thread_local TurnsObject *here;

static bool import_greenlet(void)
{
    if (switch_to)
        return true;
    void **table = PyCapsule_Import("greenlet._C_API", 0);
    if (!table)
        return false;
    get_current = (get_current_function)table[GREENLET_GET_CURRENT];
    switch_to = (switch_function)table[GREENLET_SWITCH];
    return true;
}

/* Waiters are all of one class of green.py's, so the test against it mostly is one comparison. */
bool ext_is_waiter(PyObject *object)
{
    static EXT_SHARED(PyTypeObject *) usual;
    if (Py_IS_TYPE(object, usual))
        return true;
    if (!PyObject_TypeCheck(object, waiter_base))
        return false;
    usual = Py_TYPE(object);
    return true;
}

/* --- the ring -------------------------------------------------------------------------------- */

static PyObject **slot(const TurnsObject *t, size_t i)
{
    return &t->entries[(t->first + i) & (t->capacity - 1)];
}

/* One slot more than is asked for: for the look, which is out of the queue while it is done.  With
 * the mutex held; false: out of memory. */
static bool reserve(TurnsObject *t)
{
    if (t->count + 1 < t->capacity)
        return true;
    size_t capacity = t->capacity ? t->capacity * 2 : 64;
    PyObject **entries = PyMem_Malloc(capacity * sizeof *entries);
    if (!entries)
        return false;
    for (size_t i = 0; i < t->count; i++)
        entries[i] = *slot(t, i);
    PyMem_Free(t->entries);
    t->entries = entries;
    t->capacity = capacity;
    t->first = 0;
    return true;
}

/* Takes over the reference, whatever comes. */
static int append_owned(TurnsObject *t, PyObject *entry)
{
    EXT_LOCK(t);
    bool room = reserve(t);
    if (room) {
        *slot(t, t->count) = entry;
        t->count++;
    }
    EXT_UNLOCK(t);
    if (room)
        return 0;
    Py_DECREF(entry);
    PyErr_NoMemory();
    return -1;
}

/* A new reference, or NULL. */
static PyObject *take_first(TurnsObject *t)
{
    PyObject *entry = NULL;

    EXT_LOCK(t);
    if (t->count > 0) {
        entry = *slot(t, 0);
        t->first = (t->first + 1) & (t->capacity - 1);
        t->count--;
    }
    EXT_UNLOCK(t);
    return entry;
}

/* A new reference, or NULL with IndexError. */
static PyObject *pop_first(TurnsObject *t)
{
    PyObject *entry = take_first(t);
    if (!entry)
        PyErr_SetString(PyExc_IndexError, "nobody is in the queue");
    return entry;
}

static size_t entries_in(TurnsObject *t)
{
    EXT_LOCK(t);
    size_t count = t->count;
    EXT_UNLOCK(t);
    return count;
}

static PyObject *turns_append(PyObject *self, PyObject *entry)
{
    Py_INCREF(entry);
    if (append_owned((TurnsObject *)self, entry) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *turns_appendleft(PyObject *self, PyObject *entry)
{
    TurnsObject *t = (TurnsObject *)self;

    EXT_LOCK(t);
    bool room = reserve(t);
    if (room) {
        t->first = (t->first + t->capacity - 1) & (t->capacity - 1);
        t->count++;
        Py_INCREF(entry);
        *slot(t, 0) = entry;
    }
    EXT_UNLOCK(t);
    if (!room)
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyObject *turns_extend(PyObject *self, PyObject *entries)
{
    PyObject *iterator = PyObject_GetIter(entries), *entry;
    if (!iterator)
        return NULL;
    while ((entry = PyIter_Next(iterator)) != NULL)
        if (append_owned((TurnsObject *)self, entry) < 0)
            break;
    Py_DECREF(iterator);
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *turns_popleft(PyObject *self, PyObject *unused)
{
    (void)unused;
    return pop_first((TurnsObject *)self);
}

static PyObject *turns_clear(PyObject *self, PyObject *unused)
{
    TurnsObject *t = (TurnsObject *)self;
    PyObject *entry;
    (void)unused;
    while ((entry = take_first(t)) != NULL)
        Py_DECREF(entry);
    Py_RETURN_NONE;
}

/* How many times this very entry stands in the queue. */
static Py_ssize_t times_in(TurnsObject *t, const PyObject *entry)
{
    Py_ssize_t n = 0;

    EXT_LOCK(t);
    for (size_t i = 0; i < t->count; i++)
        n += *slot(t, i) == entry;
    EXT_UNLOCK(t);
    return n;
}

static PyObject *turns_count(PyObject *self, PyObject *entry)
{
    return PyLong_FromSsize_t(times_in((TurnsObject *)self, entry));
}

static int turns_contains(PyObject *self, PyObject *entry)
{
    return times_in((TurnsObject *)self, entry) > 0;
}

static Py_ssize_t turns_length(PyObject *self)
{
    return (Py_ssize_t)entries_in((TurnsObject *)self);
}

/* --- taking turns ---------------------------------------------------------------------------- */

/* A token that came out of the hub's poller.  What is not for us, but for another hub or for a
 * user's scheduler, the poller keeps for it.  Takes over the reference. */
enum { BATCH = 128 };

static int collect_owned(TurnsObject *t, PyObject *token)
{
    if (ext_is_waiter(token) && ((WaiterObject *)token)->turns == (PyObject *)t)
        return append_owned(t, token);
    PyObject *kept = PyObject_CallMethod(t->poller, "_keep", "O", token);
    Py_DECREF(token);
    Py_XDECREF(kept);
    return kept ? 0 : -1;
}

static int collect_all(TurnsObject *t, const np_token *tokens, int n)
{
    int rc = 0;
    for (int i = 0; i < n; i++)
        if (collect_owned(t, (PyObject *)tokens[i]) < 0)
            rc = -1;
    return rc;
}

/* A look at the poller that does not block.  1: done, and there is somebody to run; 0: the hub has
 * to be visited.  Not inlined: what is on the stack at a switch is copied. */
EXT_NOINLINE static int look(TurnsObject *t)
{
    np_poller *poller = ((PollerObject *)t->poller)->poller;
    np_token tokens[BATCH];
    int n = 0;

    if (!t->alone || (t->alarm != INT64_MAX && np_now() >= t->alarm))
        return 0;
    if (np_poll(poller, 0, tokens, BATCH, &n) != NP_OK)
        return 0; /* whatever it is, the hub will meet it */
    if (collect_all(t, tokens, n) < 0)
        return -1;
    if (t->doubts.first &&
        (entries_in(t) ? ext_doubts_look(&t->doubts, n) : ext_doubts_look_at_all(&t->doubts)) &&
        collect_all(t, tokens, np_take_ready(poller, tokens, BATCH)) < 0)
        return -1;
    return entries_in(t) > 0;
}

/* Switch to the greenlet of the entry, and come back. */
static PyObject *go_to(PyObject *entry)
{
    if (!ext_is_waiter(entry))
        return PyObject_CallMethod(entry, "switch", NULL);
    WaiterObject *w = (WaiterObject *)entry;
    if (!w->switcher)
        return switch_to(w->greenlet, NULL, NULL);
    PyObject *switcher = w->switcher;
    Py_INCREF(switcher);
    PyObject *result = PyObject_CallObject(switcher, NULL);
    Py_DECREF(switcher);
    return result;
}

static void set_running(TurnsObject *t, WaiterObject *w)
{
    PyObject *before = t->running;
    Py_XINCREF(w);
    t->running = (PyObject *)w;
    Py_XDECREF(before);
}

/* The look goes to the end of the queue: reserve keeps a slot free for it. */
static void append_look(TurnsObject *t, PyObject *entry)
{
    EXT_LOCK(t);
    *slot(t, t->count) = entry;
    t->count++;
    EXT_UNLOCK(t);
}

static PyObject *take_turn(TurnsObject *t)
{
    if (!EXT_CONFINED(t))
        return NULL;
    set_running(t, NULL); /* it must not outlive its greenlet here */
    t->straight = 0;
    PyObject *entry = pop_first(t);

    if (entry && entry == t->look) {
        int looked = look(t);
        if (looked != 0) {
            append_look(t, entry);
            entry = looked > 0 ? pop_first(t) : NULL;
        }
    }
    if (!entry)
        return NULL;
    PyObject *result = go_to(entry);
    Py_DECREF(entry);
    return result;
}

static PyObject *turns_turn(PyObject *self, PyObject *unused)
{
    (void)unused;
    return take_turn((TurnsObject *)self);
}

/* --- the hub's side -------------------------------------------------------------------------- */

/* collect(tokens): take all from a deque of what the hub itself polled out. */
static PyObject *turns_collect(PyObject *self, PyObject *tokens)
{
    while (PyObject_Size(tokens) > 0) {
        PyObject *token = PyObject_CallMethod(tokens, "popleft", NULL);
        if (!token || collect_owned((TurnsObject *)self, token) < 0)
            return NULL;
    }
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}

/* look_at(poller, entry, alone): the hub's own poller, the entry that stands for a look at it, and
 * whether that is all there is to look at: if not, the hub is visited for every look. */
static PyObject *turns_look_at(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    TurnsObject *t = (TurnsObject *)self;
    if (n != 3) {
        PyErr_SetString(PyExc_TypeError, "look_at() takes 3 arguments");
        return NULL;
    }
    int alone = PyObject_IsTrue(args[2]);
    if (alone < 0 || !ext_poller(args[0]) || !EXT_CONFINED(t))
        return NULL;
    PyObject *poller = t->poller, *entry = t->look;
    Py_INCREF(args[0]);
    Py_INCREF(args[1]);
    t->poller = args[0];
    t->look = args[1];
    t->alone = alone;
    Py_XDECREF(poller);
    Py_XDECREF(entry);
    Py_RETURN_NONE;
}

/* doubts(): before the hub goes to sleep. */
static PyObject *turns_doubts(PyObject *self, PyObject *unused)
{
    (void)unused;
    ext_doubts_look_at_all(&((TurnsObject *)self)->doubts);
    Py_RETURN_NONE;
}

/* alarm(seconds): visit the hub after so many seconds; None: no need to. */
static PyObject *turns_alarm(PyObject *self, PyObject *arg)
{
    TurnsObject *t = (TurnsObject *)self;
    int64_t left;
    if (!ext_timeout(NULL, arg, INT64_MAX, &left) || !EXT_CONFINED(t))
        return NULL;
    int64_t now = np_now();
    t->alarm = left > INT64_MAX - now ? INT64_MAX : now + left;
    Py_RETURN_NONE;
}

/* The calling thread's hub is this queue's: its greenlets wait here.  settle(False): no more. */
static PyObject *turns_settle(PyObject *self, PyObject *arg)
{
    int settle = PyObject_IsTrue(arg);
    if (settle < 0 || !import_greenlet())
        return NULL;
    if (settle)
        here = (TurnsObject *)self;
    else if (here == (TurnsObject *)self)
        here = NULL;
    Py_RETURN_NONE;
}

/* --- waiting --------------------------------------------------------------------------------- */

TurnsObject *ext_turns_here(void)
{
    return here;
}

/* A greenlet's waiter is its attribute _netpoll; one that is not ours gets one when it waits for
 * the first time. */
static WaiterObject *find_waiter(PyObject *greenlet)
{
    PyObject *waiter = PyObject_GetAttrString(greenlet, "_netpoll");
    if (!waiter && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        PyObject *green = PyImport_ImportModule("netpoll.green");
        waiter = green ? PyObject_CallMethod(green, "_current", NULL) : NULL;
        Py_XDECREF(green);
    }
    if (waiter && !ext_is_waiter(waiter)) {
        PyErr_Format(PyExc_TypeError, "not a waiter: %R", waiter);
        Py_CLEAR(waiter);
    }
    return (WaiterObject *)waiter;
}

/* A new reference.  Mostly it is the waiter of the greenlet that came back from a wait last; a
 * waiter that was retired has a switcher, and its greenlet another waiter. */
static WaiterObject *current_waiter(const TurnsObject *t)
{
    PyObject *greenlet = get_current();
    WaiterObject *w = (WaiterObject *)t->running;
    if (greenlet && w && w->greenlet == greenlet && !w->switcher)
        Py_INCREF(w);
    else
        w = greenlet ? find_waiter(greenlet) : NULL;
    Py_XDECREF(greenlet);
    return w;
}

/* An exception was thrown into a wait.  The token is withdrawn if it is still parked (d: NULL if
 * there is none), and the waiter retired for the case that it is on its way. */
static void give_up(DescObject *d, int mode, WaiterObject *w)
{
    PyObject *type, *value, *traceback;

    PyErr_Fetch(&type, &value, &traceback);
    if (d)
        ext_forget_parked(d, mode, (PyObject *)w, true);
    PyObject *done = PyObject_CallMethod((PyObject *)w, "replace", NULL);
    if (!done)
        PyErr_WriteUnraisable((PyObject *)w);
    Py_XDECREF(done);
    PyErr_Restore(type, value, traceback);
}

/* Park, let others run, resume, until ready. */
static int wait_at(TurnsObject *t, DescObject *d, int mode, int flags, WaiterObject *w)
{
    for (;;) {
        int rc = ext_park(d, mode, (PyObject *)w, flags);
        if (rc != NP_PARKED)
            return rc;
        do {
            PyObject *back = take_turn(t);
            if (!back) {
                give_up(d, mode, w);
                return EXT_RAISED;
            }
            Py_DECREF(back);
            /* Somebody may have switched here for no reason of ours.  What the core holds is ours
             * only while it is the last that was parked. */
        } while (ext_still_parked(d, mode, (PyObject *)w));
        set_running(t, w);
        ext_forget_parked(d, mode, (PyObject *)w, false);
        rc = np_resume(d->desc, mode, flags);
        if (rc != NP_AGAIN)
            return rc;
    }
}

/* A descriptor of another poller than the hub's own: see _wait_abroad in green.py. */
static int wait_abroad(DescObject *d, int mode, int flags, WaiterObject *w)
{
    PyObject *green = PyImport_ImportModule("netpoll.green");
    PyObject *result =
        green ? PyObject_CallMethod(green, "_wait_abroad", "OiiO", d, mode, flags, w) : NULL;
    long rc = result ? PyLong_AsLong(result) : -1;
    Py_XDECREF(green);
    Py_XDECREF(result);
    return PyErr_Occurred() ? EXT_RAISED : (int)rc;
}

int ext_wait_in_hub(TurnsObject *t, DescObject *d, int mode, int flags)
{
    WaiterObject *w = current_waiter(t);
    if (!w)
        return EXT_RAISED;
    Py_INCREF(t);
    int rc =
        t->poller == d->poller ? wait_at(t, d, mode, flags, w) : wait_abroad(d, mode, flags, w);
    Py_DECREF(t);
    Py_DECREF(w);
    return rc;
}

/* wait_at(desc, mode, flags, waiter), for green.py: the result of the core. */
static PyObject *turns_wait_at(PyObject *self, PyObject *args)
{
    PyObject *desc, *waiter;
    int mode, flags;
    if (!PyArg_ParseTuple(args, "OiiO!:wait_at", &desc, &mode, &flags, waiter_base, &waiter))
        return NULL;
    int rc = wait_at((TurnsObject *)self, (DescObject *)desc, mode, flags, (WaiterObject *)waiter);
    return rc == EXT_RAISED ? NULL : PyLong_FromLong(rc);
}

/* The others have a turn each, and then w. */
static int let_others_run(TurnsObject *t, WaiterObject *w)
{
    Py_INCREF(t);
    Py_INCREF(w);
    PyObject *back = append_owned(t, (PyObject *)w) < 0 ? NULL : take_turn(t);
    if (back)
        set_running(t, w);
    else
        give_up(NULL, 0, w);
    Py_XDECREF(back);
    Py_DECREF(t);
    return back ? 0 : -1;
}

/* rest(): the others of the calling thread's hub have a turn each.  False: it has none. */
static PyObject *rest(PyObject *module, PyObject *unused)
{
    TurnsObject *t = here;
    (void)module;
    (void)unused;
    if (!t)
        Py_RETURN_FALSE;
    WaiterObject *w = current_waiter(t);
    int rc = w ? let_others_run(t, w) : -1;
    Py_XDECREF(w);
    return rc < 0 ? NULL : PyBool_FromLong(1);
}

/* The hub itself has no waiter: a signal handler may call from there, and must not be refused. */
EXT_NOINLINE static int give_way(TurnsObject *t)
{
    PyObject *greenlet = get_current();
    PyObject *w = greenlet ? PyObject_GetAttrString(greenlet, "_netpoll") : NULL;
    int rc = 0;

    t->straight = 0;
    Py_XDECREF(greenlet);
    if (w && ext_is_waiter(w))
        rc = let_others_run(t, (WaiterObject *)w);
    else if (!w && !PyErr_ExceptionMatches(PyExc_AttributeError))
        rc = -1;
    else
        PyErr_Clear();
    Py_XDECREF(w);
    return rc;
}

int ext_give_way(void)
{
    enum { MOST = 128 };
    return here && ++here->straight > MOST ? give_way(here) : 0;
}

/* --- the waiter ------------------------------------------------------------------------------ */

static int waiter_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"turns", "greenlet", NULL};
    WaiterObject *w = (WaiterObject *)self;
    PyObject *turns, *greenlet;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO:Waiter", names, &turns, &greenlet) ||
        !import_greenlet())
        return -1;
    if (w->greenlet) {
        PyErr_SetString(PyExc_RuntimeError, "a Waiter is initialised once");
        return -1;
    }
    Py_INCREF(turns);
    Py_INCREF(greenlet);
    w->turns = turns;
    w->greenlet = greenlet;
    return 0;
}

static PyObject *waiter_get_greenlet(PyObject *self, void *unused)
{
    WaiterObject *w = (WaiterObject *)self;
    (void)unused;
    Py_INCREF(w->greenlet);
    return w->greenlet;
}

static PyObject *waiter_get_switch(PyObject *self, void *unused)
{
    WaiterObject *w = (WaiterObject *)self;
    (void)unused;
    if (!w->switcher)
        return PyObject_GetAttrString(w->greenlet, "switch");
    Py_INCREF(w->switcher);
    return w->switcher;
}

static int waiter_set_switch(PyObject *self, PyObject *value, void *unused)
{
    WaiterObject *w = (WaiterObject *)self;
    PyObject *before = w->switcher;
    (void)unused;
    Py_XINCREF(value);
    w->switcher = value;
    Py_XDECREF(before);
    return 0;
}

static int waiter_traverse(PyObject *self, visitproc visit, void *arg)
{
    WaiterObject *w = (WaiterObject *)self;
    Py_VISIT(w->greenlet);
    Py_VISIT(w->turns);
    Py_VISIT(w->switcher);
    Py_VISIT(Py_TYPE(self));
    return 0;
}

static int waiter_clear(PyObject *self)
{
    WaiterObject *w = (WaiterObject *)self;
    Py_CLEAR(w->switcher);
    return 0;
}

static void waiter_dealloc(PyObject *self)
{
    WaiterObject *w = (WaiterObject *)self;
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    Py_CLEAR(w->switcher);
    Py_CLEAR(w->greenlet);
    Py_CLEAR(w->turns);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyGetSetDef waiter_properties[] = {
    {"greenlet", waiter_get_greenlet, NULL, NULL, NULL},
    {"switch", waiter_get_switch, waiter_set_switch, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot waiter_slots[] = {
    {Py_tp_new, (void *)PyType_GenericNew},
    {Py_tp_init, (void *)waiter_init},
    {Py_tp_traverse, (void *)waiter_traverse},
    {Py_tp_clear, (void *)waiter_clear},
    {Py_tp_dealloc, (void *)waiter_dealloc},
    {Py_tp_getset, waiter_properties},
    {0, NULL},
};

static PyType_Spec waiter_spec = {
    .name = "netpoll._core.WaiterBase",
    .basicsize = sizeof(WaiterObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = waiter_slots,
};

/* --- the queue's type ------------------------------------------------------------------------ */

static PyObject *turns_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *self = PyType_GenericNew(type, args, kwargs);
    TurnsObject *t = (TurnsObject *)self;
    if (t) {
        t->alarm = INT64_MAX;
        ext_doubts_init(&t->doubts);
        EXT_OWN(t);
    }
    return self;
}

static int turns_traverse(PyObject *self, visitproc visit, void *arg)
{
    const TurnsObject *t = (const TurnsObject *)self;
    for (size_t i = 0; i < t->count; i++)
        Py_VISIT(*slot(t, i));
    Py_VISIT(t->poller);
    Py_VISIT(t->look);
    Py_VISIT(t->running);
    Py_VISIT(Py_TYPE(self));
    return 0;
}

static int turns_gc_clear(PyObject *self)
{
    TurnsObject *t = (TurnsObject *)self;
    PyObject *entry;
    while ((entry = take_first(t)) != NULL)
        Py_DECREF(entry);
    Py_CLEAR(t->poller);
    Py_CLEAR(t->look);
    Py_CLEAR(t->running);
    return 0;
}

static void turns_dealloc(PyObject *self)
{
    TurnsObject *t = (TurnsObject *)self;
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    if (here == t)
        here = NULL;
    ext_doubts_clear(&t->doubts);
    turns_gc_clear(self);
    PyMem_Free(t->entries);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyMethodDef turns_methods[] = {
    {"append", turns_append, METH_O, NULL},
    {"appendleft", turns_appendleft, METH_O, NULL},
    {"extend", turns_extend, METH_O, NULL},
    {"collect", turns_collect, METH_O, NULL},
    {"popleft", turns_popleft, METH_NOARGS, NULL},
    {"clear", turns_clear, METH_NOARGS, NULL},
    {"count", turns_count, METH_O, NULL},
    {"turn", turns_turn, METH_NOARGS, NULL},
    {"look_at", (PyCFunction)(void (*)(void))turns_look_at, METH_FASTCALL, NULL},
    {"alarm", turns_alarm, METH_O, NULL},
    {"doubts", turns_doubts, METH_NOARGS, NULL},
    {"settle", turns_settle, METH_O, NULL},
    {"wait_at", turns_wait_at, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot turns_slots[] = {
    {Py_tp_new, (void *)turns_new},           {Py_tp_traverse, (void *)turns_traverse},
    {Py_tp_clear, (void *)turns_gc_clear},    {Py_tp_dealloc, (void *)turns_dealloc},
    {Py_tp_methods, turns_methods},           {Py_sq_length, (void *)turns_length},
    {Py_sq_contains, (void *)turns_contains}, {0, NULL},
};

static PyType_Spec turns_spec = {
    .name = "netpoll._core.Turns",
    .basicsize = sizeof(TurnsObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = turns_slots,
};

static PyMethodDef functions[] = {
    {"rest", rest, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

int ext_add_turns_types(PyObject *module)
{
    waiter_base = (PyTypeObject *)PyType_FromSpec(&waiter_spec);
    if (!waiter_base || PyModule_AddObjectRef(module, "WaiterBase", (PyObject *)waiter_base) < 0)
        return -1;
    PyObject *turns = PyType_FromSpec(&turns_spec);
    int rc = turns ? PyModule_AddObjectRef(module, "Turns", turns) : -1;
    Py_XDECREF(turns);
    return rc < 0 ? rc : PyModule_AddFunctions(module, functions);
}
