/* netpoll._C_API: the table of netpoll_api.h, in a capsule. */
#include "capi.h"

#include "bind.h"
#include "gil.h"
#include "netpoll_api.h"

/* --- objects --------------------------------------------------------------------------------- */

/* An object of the engine in Python tells where its part of the core is.  locate: NULL if the
 * engine is that in C. */
static void *address_of(PyObject *locate, PyObject *object, const char *kind)
{
    PyObject *number = locate ? PyObject_CallFunctionObjArgs(locate, object, NULL) : NULL;
    if (!number) {
        if (!PyErr_Occurred() || PyErr_ExceptionMatches(PyExc_AttributeError))
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
        return address_of(ext_bound.poller_address, object, "Poller");
    PollerObject *p = ext_poller(object);
    return p ? p->poller : NULL;
}

static np_desc *desc_of(PyObject *object)
{
    if (!ext_is_desc(object))
        return address_of(ext_bound.desc_address, object, "PollDesc");
    DescObject *d = (DescObject *)object;
    if (!d->desc)
        PyErr_SetString(PyExc_RuntimeError, "a PollDesc comes from Poller.open");
    return d->desc;
}

static PyObject *poller_object(np_poller *p)
{
    PyObject *address = PyLong_FromVoidPtr(p);
    PyObject *object =
        address ? PyObject_CallFunctionObjArgs(ext_bound.adopt_poller, address, NULL) : NULL;
    Py_XDECREF(address);
    return object;
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
    PyObject *address = PyLong_FromVoidPtr(d);
    PyObject *object =
        address ? PyObject_CallFunctionObjArgs(ext_bound.adopt_desc, poller, address, NULL) : NULL;
    Py_XDECREF(address);
    return object;
}

/* --- results --------------------------------------------------------------------------------- */

/* What a handler raises ends the wait. */
static int check_signals(void)
{
    int rc = PyErr_CheckSignals();
    if (rc < 0)
        np_begin_wait();
    return rc;
}

static int raise_result(np_desc *d, int mode, int rc)
{
    if (rc == NP_OK)
        return 0;
    if (rc == NP_INTERRUPTED)
        return check_signals();
    ext_raise_of_fd(rc, (long long)np_desc_fd(d), mode);
    return -1;
}

static int raise_poller_result(int rc)
{
    if (rc == NP_OK)
        return 0;
    if (rc == NP_INTERRUPTED)
        return check_signals();
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
    .park_at = np_park_at,
    .cancel = np_cancel,
    .cancel_token = np_cancel_token,
    .set_deadline = np_set_deadline,
    .set_deadline_at = np_set_deadline_at,
    .deadline = np_deadline,
    .is_ready = np_is_ready,
    .is_parked = np_is_parked,
    .holds_token = np_holds_token,
    .treat_errors_as_ready = np_treat_errors_as_ready,
    .short_io_means_drained = np_short_io_means_drained,
    .set_ready = np_set_ready,
    .unblock = np_unblock,
    .close = np_close,
    .sema_init = np_sema_init,
    .sema_try = np_sema_try,
    .sema_acquire = np_sema_acquire,
    .sema_release = np_sema_release,
    .sema_release_within = np_sema_release_within,
    .sema_open = np_sema_open,
    .sema_reset = np_sema_reset,
    .sema_is_open = np_sema_is_open,
    .sema_shut = np_sema_shut,
    .sema_is_shut = np_sema_is_shut,
    .sema_take = np_sema_take,
    .sema_count = np_sema_count,
    .sema_park = np_sema_park,
    .timer_start = np_timer_start,
    .timer_move = np_timer_move,
    .waiter_resume = np_waiter_resume,
    .waiter_cancel = np_waiter_cancel,
    .waiter_parked = np_waiter_parked,
    .file_new = np_file_new,
    .file_free = np_file_free,
    .file_fd = np_file_fd,
    .file_kind = np_file_kind,
    .file_closed = np_file_closed,
    .file_timeout = np_file_timeout,
    .file_set_timeout = np_file_set_timeout,
    .file_option_timeout = np_file_option_timeout,
    .file_set_option_timeout = np_file_set_option_timeout,
    .file_set_deadline = np_file_set_deadline,
    .file_deadline = np_file_deadline,
    .file_retry = np_file_retry,
    .file_close = np_file_close,
    .file_awaited = np_file_awaited,
    .op_begin = np_op_begin,
    .op_try = np_op_try,
    .op_moved = np_op_moved,
    .op_wait = np_op_wait,
    .op_park = np_op_park,
    .op_resume = np_op_resume,
    .op_cancel = np_op_cancel,
    .op_end = np_op_end,
    .pollers = np_pollers,
    .poller_snapshot = np_poller_snapshot,
    .fd_waiters = np_fd_waiters,
    .poller_waits = np_poller_waits,
    .thread_waits = np_thread_waits,
    .describe_fd = np_describe_fd,
    .report = np_report,
    .report_on_signal = np_report_on_signal,
    .now = np_now,
    .enable_signal_checks = np_enable_signal_checks,
    .begin_wait = np_begin_wait,
    .desc_size = np_desc_size,
    .features = np_features,
#ifdef _WIN32
    .iocp_begin = np_iocp_begin,
    .iocp_finish = np_iocp_finish,
#endif
    .wait_nogil = ext_wait_nogil,
    .wait_canceled_nogil = ext_wait_canceled_nogil,
    .poll_nogil = ext_poll_nogil,
    .sema_acquire_nogil = ext_sema_acquire_nogil,
    .file_close_nogil = ext_file_close_nogil,
    .op_wait_nogil = ext_op_wait_nogil,
    .op_end_nogil = ext_op_end_nogil,
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
