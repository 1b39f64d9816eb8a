/* netpoll._C_API: the table of netpoll_api.h, in a capsule. */
#include "capi.h"

#include "gil.h"
#include "netpoll_api.h"
#include "turns.h"

/* --- objects --------------------------------------------------------------------------------- */

/* An object of the engine in Python tells where its part of the core is. */
static void *address_of(PyObject *object, const char *kind)
{
    PyObject *number = PyObject_CallMethod(object, "_address", NULL);
    if (!number) {
        if (PyErr_ExceptionMatches(PyExc_AttributeError))
            PyErr_Format(PyExc_TypeError, "not a %s: %R", kind, (PyObject *)Py_TYPE(object));
        return NULL;
    }
    void *address = PyLong_AsVoidPtr(number);
    Py_DECREF(number);
    return address;
}

static np_poller *poller_of(PyObject *object)
{
    if (!ext_is_poller(object))
        return address_of(object, "Poller");
    PollerObject *p = ext_poller(object);
    return p ? p->poller : NULL;
}

static np_desc *desc_of(PyObject *object)
{
    if (!ext_is_desc(object))
        return address_of(object, "PollDesc");
    DescObject *d = (DescObject *)object;
    if (!d->desc)
        PyErr_SetString(PyExc_RuntimeError, "a PollDesc comes from Poller.open");
    return d->desc;
}

static PyObject *adopt(const char *function, PyObject *poller, void *address)
{
    PyObject *api = PyImport_ImportModule("netpoll._api");
    PyObject *number = api ? PyLong_FromVoidPtr(address) : NULL;
    PyObject *object = !number  ? NULL
                       : poller ? PyObject_CallMethod(api, function, "OO", poller, number)
                                : PyObject_CallMethod(api, function, "O", number);
    Py_XDECREF(number);
    Py_XDECREF(api);
    return object;
}

static PyObject *poller_object(np_poller *p)
{
    return adopt("_adopt_poller", NULL, p);
}

static PyObject *desc_object(PyObject *poller, np_desc *d)
{
    np_poller *p = poller_of(poller);
    if (!p)
        return NULL;
    if (p != np_desc_poller(d)) {
        PyErr_Format(PyExc_ValueError, "fd %lld is open on another poller than %R",
                     (long long)np_desc_fd(d), poller);
        return NULL;
    }
    return adopt("_adopt_desc", poller, d);
}

/* --- results --------------------------------------------------------------------------------- */

static int raise_result(np_desc *d, int mode, int rc)
{
    if (rc == NP_OK)
        return 0;
    if (rc == NP_INTERRUPTED)
        return PyErr_CheckSignals();
    ext_raise_of_fd(rc, (long long)np_desc_fd(d), mode);
    return -1;
}

static int raise_poller_result(int rc)
{
    if (rc == NP_OK)
        return 0;
    if (rc == NP_INTERRUPTED)
        return PyErr_CheckSignals();
    ext_raise_poller(rc, "poll");
    return -1;
}

/* --- the table ------------------------------------------------------------------------------- */

#ifdef _WIN32
int np_iocp_begin(struct np_iocp_op *op, np_desc *desc, int mode);
int np_iocp_finish(struct np_iocp_op *op, int error, uint32_t *bytes);
#endif

/* Designated, so that a type that differs from the header's is the compiler's complaint. */
static const netpoll_api table = {
    .abi_major = NETPOLL_ABI_MAJOR,
    .abi_minor = NETPOLL_ABI_MINOR,
    .backend_name = np_backend_name,
    .poller_new = np_poller_new,
    .poller_close = np_poller_close,
    .poller_ref = np_poller_ref,
    .poller_unref = np_poller_unref,
    .poller_backend = np_poller_backend,
    .poller_closed = np_poller_closed,
    .poll = np_poll,
    .take_ready = np_take_ready,
    .wake = np_wake,
    .poller_fileno = np_poller_fileno,
    .next_deadline = np_next_deadline,
    .is_poll_descriptor = np_is_poll_descriptor,
    .poller_stats = np_poller_stats,
    .open = np_open,
    .desc_ref = np_desc_ref,
    .desc_unref = np_desc_unref,
    .desc_fd = np_desc_fd,
    .desc_poller = np_desc_poller,
    .desc_closed = np_desc_closed,
    .reset = np_reset,
    .wait = np_wait,
    .wait_canceled = np_wait_canceled,
    .park = np_park,
    .resume = np_resume,
    .cancel = np_cancel,
    .cancel_token = np_cancel_token,
    .set_deadline = np_set_deadline,
    .set_deadline_at = np_set_deadline_at,
    .deadline = np_deadline,
    .is_ready = np_is_ready,
    .is_parked = np_is_parked,
    .holds_token = np_holds_token,
    .errors_are_ready = np_errors_are_ready,
    .short_is_drained = np_short_is_drained,
    .set_ready = np_set_ready,
    .unblock = np_unblock,
    .close = np_close,
    .fdmutex_lock = np_fdmutex_lock,
    .fdmutex_lock_or_queue = np_fdmutex_lock_or_queue,
    .fdmutex_unlock = np_fdmutex_unlock,
    .fdmutex_dequeued = np_fdmutex_dequeued,
    .fdmutex_close = np_fdmutex_close,
    .fdmutex_closed = np_fdmutex_closed,
    .pollers = np_pollers,
    .poller_snapshot = np_poller_snapshot,
    .waiting_alone = np_waiting_alone,
    .describe_fd = np_describe_fd,
    .report = np_report,
    .report_on_signal = np_report_on_signal,
    .now = np_now,
    .look_for_signals = np_look_for_signals,
    .desc_size = np_desc_size,
    .features = np_features,
#ifdef _WIN32
    .iocp_begin = np_iocp_begin,
    .iocp_finish = np_iocp_finish,
#endif
    .wait_nogil = ext_wait_nogil,
    .wait_canceled_nogil = ext_wait_canceled_nogil,
    .poll_nogil = ext_poll_nogil,
    .poller_of = poller_of,
    .desc_of = desc_of,
    .poller_object = poller_object,
    .desc_object = desc_object,
    .raise = raise_result,
    .raise_poller = raise_poller_result,
};

int ext_add_capi(PyObject *module)
{
    PyObject *capsule = PyCapsule_New((void *)(uintptr_t)&table, NETPOLL_CAPSULE, NULL);
    int rc = capsule ? PyModule_AddObjectRef(module, "_C_API", capsule) : -1;
    Py_XDECREF(capsule);
    return rc;
}
