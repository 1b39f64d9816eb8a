/* local: `threading.local` of the greenlet, in a hub, and of the thread elsewhere.
 *
 * An owner is what a thread or a greenlet has of all locals, and ends with it.  A local has a
 * dictionary for each owner that has used it.  The two know each other by address: whichever goes
 * first takes itself out of the other.
 *
 * The generic functions for attributes find the owner's dictionary where objects have theirs: it is
 * put there for the time of the call.  They read it before any Python code runs.
 */
#include "greenlets.h"
#include "sync.h"

#include "docs_made.h"

typedef struct OwnerObject {
    PyObject_HEAD
    PyObject *address; /* of this, as an int */
    PyObject *locals;  /* a set: the addresses of those that have a dictionary for it */
} OwnerObject;

typedef struct LocalObject {
    PyObject_HEAD
    PyObject *address;
    PyObject *dicts;         /* by the owner's address */
    PyObject *args, *kwargs; /* for __init__, once for each owner */
    PyObject *present;       /* the dictionary of the call in progress, or NULL */
    PyObject *weakrefs;
} LocalObject;

static PyTypeObject *owner_type;

/* Held while an address is in use. */
static struct {
    EXT_MUTEX
    int unused;
} addresses;

/* --- owners ---------------------------------------------------------------------------------- */

static OwnerObject *new_owner(void)
{
    OwnerObject *owner = (OwnerObject *)PyType_GenericAlloc(owner_type, 0);

    if (owner &&
        (!(owner->address = PyLong_FromVoidPtr(owner)) || !(owner->locals = PySet_New(NULL))))
        Py_CLEAR(owner);
    return owner;
}

/* The dictionary of one of its locals, which that does not have any more; NULL: it has none. */
static PyObject *withdraw_dict(OwnerObject *owner)
{
    EXT_LOCK(&addresses);
    PyObject *address = PySet_Pop(owner->locals);
    LocalObject *local = address ? PyLong_AsVoidPtr(address) : NULL;
    PyObject *dict = local ? PyDict_GetItemWithError(local->dicts, owner->address) : NULL;
    Py_XINCREF(dict);
    if (dict && PyDict_DelItem(local->dicts, owner->address) < 0)
        Py_CLEAR(dict);
    EXT_UNLOCK(&addresses);
    Py_XDECREF(address);
    PyErr_Clear();
    return dict;
}

static _Thread_local OwnerObject *thread_owner; /* in the dictionary of the thread's state */

static void owner_dealloc(PyObject *self)
{
    OwnerObject *owner = (OwnerObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject *error_type, *value, *traceback;

    if (thread_owner == owner)
        thread_owner = NULL;
    PyErr_Fetch(&error_type, &value, &traceback);
    while (owner->locals && PySet_Size(owner->locals) > 0)
        Py_XDECREF(withdraw_dict(owner));
    PyErr_Restore(error_type, value, traceback);
    Py_CLEAR(owner->locals);
    Py_CLEAR(owner->address);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyType_Slot owner_slots[] = {
    {Py_tp_dealloc, (void *)owner_dealloc},
    {0, NULL},
};

static PyType_Spec owner_spec = {
    .name = "netpoll._core.LocalOwner",
    .basicsize = sizeof(OwnerObject),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = owner_slots,
};

static OwnerObject *owner_of_thread(void)
{
    if (thread_owner)
        return thread_owner;
    PyObject *thread = PyThreadState_GetDict(); /* borrowed */
    OwnerObject *owner = thread ? new_owner() : NULL;
    if (owner && PyDict_SetItemString(thread, "netpoll.locals", (PyObject *)owner) == 0)
        thread_owner = owner;
    Py_XDECREF(owner);
    return thread_owner;
}

static OwnerObject *owner_of_greenlet(HubObject *h, PyObject *greenlet)
{
    WaiterObject *w = ext_find_waiter(h, greenlet);

    if (!w)
        return NULL;
    if (!w->locals)
        w->locals = (PyObject *)new_owner();
    OwnerObject *owner = (OwnerObject *)w->locals;
    Py_DECREF(w); /* the greenlet keeps it */
    return owner;
}

/* Borrowed: it lasts as long as what runs.  NULL with an exception set. */
static OwnerObject *present_owner(void)
{
    HubObject *h = ext_hub();
    PyObject *greenlet = h ? ext_running_greenlet(h) : NULL;
    OwnerObject *owner = greenlet ? owner_of_greenlet(h, greenlet) : owner_of_thread();

    Py_XDECREF(greenlet);
    if (!owner && !PyErr_Occurred())
        PyErr_NoMemory();
    return owner;
}

/* --- the dictionary of an owner --------------------------------------------------------------- */

/* A new reference, or NULL with an exception set. */
static PyObject *add_dict(LocalObject *local, OwnerObject *owner)
{
    PyObject *dict = PyDict_New();

    EXT_LOCK(&addresses);
    bool added = dict && PySet_Add(owner->locals, local->address) == 0 &&
                 PyDict_SetItem(local->dicts, owner->address, dict) == 0;
    EXT_UNLOCK(&addresses);
    if (!added)
        Py_CLEAR(dict);
    return dict;
}

static initproc init_of(PyTypeObject *type)
{
    initproc init = (initproc)PyType_GetSlot(type, Py_tp_init);
    return init == (initproc)PyType_GetSlot(&PyBaseObject_Type, Py_tp_init) ? NULL : init;
}

/* As if it had been made here. */
static PyObject *begin_here(LocalObject *local, OwnerObject *owner)
{
    initproc init = init_of(Py_TYPE(local));
    PyObject *dict = add_dict(local, owner);

    if (dict && init && init((PyObject *)local, local->args, local->kwargs) < 0) {
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        if (PyDict_DelItem(local->dicts, owner->address) < 0)
            PyErr_Clear();
        PyErr_Restore(type, value, traceback);
        Py_CLEAR(dict);
    }
    return dict;
}

static PyObject *present_dict(LocalObject *local)
{
    OwnerObject *owner = present_owner();
    PyObject *dict = owner ? PyDict_GetItemWithError(local->dicts, owner->address) : NULL;

    if (dict || PyErr_Occurred()) {
        Py_XINCREF(dict);
        return dict;
    }
    Py_INCREF(owner);
    dict = begin_here(local, owner);
    Py_DECREF(owner);
    return dict;
}

/* --- attributes ------------------------------------------------------------------------------ */

static bool is_dict(PyObject *name)
{
    return PyUnicode_Check(name) && PyUnicode_CompareWithASCIIString(name, "__dict__") == 0;
}

/* Takes over the reference. */
static void put(LocalObject *local, PyObject *dict)
{
    PyObject *before = local->present;
    local->present = dict;
    Py_XDECREF(before);
}

static PyObject *local_getattro(PyObject *self, PyObject *name)
{
    PyObject *result, *dict = present_dict((LocalObject *)self);

    if (!dict || is_dict(name))
        return dict;
    EXT_CRITICAL_BEGIN(self);
    put((LocalObject *)self, dict);
    result = PyObject_GenericGetAttr(self, name);
    put((LocalObject *)self, NULL);
    EXT_CRITICAL_END();
    return result;
}

static int local_setattro(PyObject *self, PyObject *name, PyObject *value)
{
    int rc;

    if (is_dict(name)) {
        PyErr_Format(PyExc_AttributeError, "%R: its __dict__ is read-only", Py_TYPE(self));
        return -1;
    }
    PyObject *dict = present_dict((LocalObject *)self);
    if (!dict)
        return -1;
    EXT_CRITICAL_BEGIN(self);
    put((LocalObject *)self, dict);
    rc = PyObject_GenericSetAttr(self, name, value);
    put((LocalObject *)self, NULL);
    EXT_CRITICAL_END();
    return rc;
}

/* --- the type -------------------------------------------------------------------------------- */

static bool begin(LocalObject *local, PyObject *args, PyObject *kwargs)
{
    Py_INCREF(args);
    Py_XINCREF(kwargs);
    local->args = args;
    local->kwargs = kwargs;
    if (!(local->address = PyLong_FromVoidPtr(local)) || !(local->dicts = PyDict_New()))
        return false;
    OwnerObject *owner = present_owner(); /* its __init__ is about to be called */
    PyObject *dict = owner ? add_dict(local, owner) : NULL;
    Py_XDECREF(dict);
    return dict;
}

static PyObject *local_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    bool given = PyTuple_Size(args) > 0 || (kwargs && PyDict_Size(kwargs) > 0);

    if (given && !init_of(type)) {
        PyErr_SetString(PyExc_TypeError, "Initialization arguments are not supported");
        return NULL;
    }
    PyObject *self = PyType_GenericAlloc(type, 0);
    if (self && !begin((LocalObject *)self, args, kwargs))
        Py_CLEAR(self);
    return self;
}

static int local_traverse(PyObject *self, visitproc visit, void *arg)
{
    const LocalObject *local = (const LocalObject *)self;

    Py_VISIT(local->dicts);
    Py_VISIT(local->args);
    Py_VISIT(local->kwargs);
    Py_VISIT(local->present);
    Py_VISIT(Py_TYPE(self));
    return 0;
}

/* No owner finds it from now on. */
static void leave_owners(LocalObject *local)
{
    PyObject *address, *dict;
    Py_ssize_t at = 0;

    EXT_LOCK(&addresses);
    while (local->dicts && PyDict_Next(local->dicts, &at, &address, &dict))
        PySet_Discard(((OwnerObject *)PyLong_AsVoidPtr(address))->locals, local->address);
    EXT_UNLOCK(&addresses);
}

static int local_clear(PyObject *self)
{
    LocalObject *local = (LocalObject *)self;

    leave_owners(local);
    if (local->dicts)
        PyDict_Clear(local->dicts);
    Py_CLEAR(local->args);
    Py_CLEAR(local->kwargs);
    Py_CLEAR(local->present);
    return 0;
}

static void local_dealloc(PyObject *self)
{
    LocalObject *local = (LocalObject *)self;
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    leave_owners(local);
    if (local->weakrefs)
        PyObject_ClearWeakRefs(self);
    local_clear(self);
    Py_CLEAR(local->dicts);
    Py_CLEAR(local->address);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyMemberDef members[] = {
    {"__dictoffset__", T_PYSSIZET, offsetof(LocalObject, present), READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(LocalObject, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, (void *)local_new},
    {Py_tp_traverse, (void *)local_traverse},
    {Py_tp_clear, (void *)local_clear},
    {Py_tp_dealloc, (void *)local_dealloc},
    {Py_tp_getattro, (void *)local_getattro},
    {Py_tp_setattro, (void *)local_setattro},
    {Py_tp_doc, (void *)DOC_local},
    {Py_tp_members, members},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "netpoll.sync.local",
    .basicsize = sizeof(LocalObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = slots,
};

int ext_add_local_type(PyObject *module)
{
    owner_type = (PyTypeObject *)PyType_FromSpec(&owner_spec);
    PyObject *type = owner_type ? PyType_FromSpec(&spec) : NULL;
    int rc = type ? PyModule_AddObjectRef(module, "local", type) : -1;
    Py_XDECREF(type);
    return rc;
}
