/* The type FD: an np_file, with its limits and its end. */
#include "blocking.h"
#include "fd.h"

#ifdef _WIN32
#include <winsock2.h>
#endif

static np_file *file_of(PyObject *self)
{
    return &((FdObject *)self)->file;
}

static PyObject *raise_result(const np_file *f, int rc, int mode)
{
    return ext_raise_of_fd(rc, (long long)f->fd, mode);
}

bool ext_closed(const FdObject *f)
{
    if (!np_file_closed(&f->file))
        return false;
    raise_result(&f->file, NP_CLOSED, 0);
    return true;
}

/* --- limits ---------------------------------------------------------------------------------- */

PyObject *ext_set_io_deadline(FdObject *f, PyObject *timeout, int modes)
{
    int64_t after;

    if (!ext_timeout(NULL, timeout, NP_NEVER, &after))
        return NULL;
    int64_t now = after == NP_NEVER ? 0 : np_now();
    int64_t when = after < NP_NEVER - now ? now + after : NP_NEVER;
    int rc = np_file_set_deadline(&f->file, when, modes);
    if (rc != NP_OK)
        return raise_result(&f->file, rc, modes);
    Py_RETURN_NONE;
}

static PyObject *fd_set_deadline(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    if (n != 2) {
        PyErr_SetString(PyExc_TypeError, "set_deadline() takes 2 arguments");
        return NULL;
    }
    long modes = PyLong_AsLong(args[1]);
    if (modes == -1 && PyErr_Occurred())
        return NULL;
    return ext_set_io_deadline((FdObject *)self, args[0], (int)modes);
}

/* take_deadlines(other): of an FD that is done with its number. */
static PyObject *fd_take_deadlines(PyObject *self, PyObject *other)
{
    if (Py_TYPE(other) != Py_TYPE(self)) {
        PyErr_SetString(PyExc_TypeError, "take_deadlines() takes an FD");
        return NULL;
    }
    for (int mode = NP_READ; mode <= NP_WRITE; mode++) {
        int rc = np_file_set_deadline(file_of(self), np_file_deadline(file_of(other), mode), mode);
        if (rc != NP_OK)
            return raise_result(file_of(self), rc, mode);
    }
    Py_RETURN_NONE;
}

static PyObject *fd_time_left(PyObject *self, PyObject *arg)
{
    int mode;
    if (!ext_mode_of_fd((long long)file_of(self)->fd, arg, &mode))
        return NULL;
    int64_t when = np_file_deadline(file_of(self), mode);
    if (when == NP_NEVER)
        Py_RETURN_NONE;
    return PyFloat_FromDouble((double)(when - np_now()) / 1e9);
}

static PyObject *fd_timeout(PyObject *self, void *unused)
{
    int64_t timeout = np_file_timeout(file_of(self));
    (void)unused;
    if (timeout < 0)
        Py_RETURN_NONE;
    return PyFloat_FromDouble((double)timeout / 1e9);
}

static int fd_set_timeout(PyObject *self, PyObject *value, void *unused)
{
    int64_t ns;
    (void)unused;
    if (!value) {
        PyErr_SetString(PyExc_AttributeError, "the timeout cannot be deleted");
        return -1;
    }
    if (!ext_timeout(NULL, value, -1, &ns))
        return -1;
    np_file_set_timeout(file_of(self), ns);
    return 0;
}

/* retry(mode): what the operation that waits for the mode has seen is out of date. */
static PyObject *fd_retry(PyObject *self, PyObject *arg)
{
    np_file *f = file_of(self);
    int mode;
    if (!ext_mode_of_fd((long long)f->fd, arg, &mode))
        return NULL;
    np_file_retry(f, mode);
    Py_RETURN_NONE;
}

/* --- the end --------------------------------------------------------------------------------- */

static PyObject *raise_of_closing(int rc)
{
#ifdef _WIN32
    (void)rc;
    return PyErr_SetExcFromWindowsErr(PyExc_OSError, WSAGetLastError());
#else
    errno = -rc;
    return PyErr_SetFromErrno(PyExc_OSError);
#endif
}

/* A hub, and what is called in the midst of a switch, cannot park. */
static bool can_park(HubObject *h)
{
    WaiterObject *w = ext_begin_wait(h);
    if (w)
        ext_end_wait(h, w);
    else
        PyErr_Clear();
    return w != NULL;
}

/* As in Go, until the last operation has left, so that the number and its address are free: where
 * the caller may wait.  At the end of the interpreter, threads that are inside do not leave. */
static int await_end(np_file *f)
{
    HubObject *h = ext_hub();

    if (!np_file_awaited(f, 1))
        return 0;
    bool parks = h && can_park(h);
    np_sema *gone = np_file_awaited(f, parks);
    if (!gone || (h && !parks) || ext_is_finalizing())
        return 0;
    int rc = ext_acquire(gone, NP_NEVER, "close");
    if (rc < 0)
        ext_raise_fd(rc, (long long)f->fd);
    return rc == NP_OK ? 0 : -1;
}

/* Of those that call at once, one is told so, and of detach the number is its own. */
static PyObject *close_by(PyObject *self, int detach)
{
    int rc = np_file_close(file_of(self), detach);
    if (rc == NP_OK && await_end(file_of(self)) < 0)
        return NULL;
    return rc < 0 ? raise_of_closing(rc) : PyBool_FromLong(rc == NP_OK);
}

static PyObject *fd_close(PyObject *self, PyObject *unused)
{
    (void)unused;
    return close_by(self, 0);
}

static PyObject *fd_detach(PyObject *self, PyObject *unused)
{
    (void)unused;
    return close_by(self, 1);
}

static PyObject *fd_closed(PyObject *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(np_file_closed(file_of(self)));
}

/* --- life ------------------------------------------------------------------------------------ */

static PyObject *fd_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"number", "stream", NULL};
    PyObject *number;
    np_fd fd;
    int kind;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "Oi:FD", names, &number, &kind) ||
        !ext_fd(number, &fd))
        return NULL;
    PyObject *self = PyType_GenericAlloc(type, 0);
    if (self && np_file_init(file_of(self), fd, kind) != NP_OK) {
        Py_CLEAR(self);
        PyErr_NoMemory();
    }
    return self;
}

static void fd_dealloc(PyObject *self)
{
    FdObject *f = (FdObject *)self;
    PyTypeObject *type = Py_TYPE(self);

    ext_recheck_remove(&f->recheck); /* of a greenlet that was never switched to again */
    np_file_fini(&f->file);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyObject *fd_number(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromLongLong((long long)np_file_fd(file_of(self)));
}

static PyObject *fd_stream(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromLong(np_file_kind(file_of(self)));
}

static PyMethodDef methods[] = {
    {"call", EXT_FUNCTION(ext_fd_call), METH_FASTCALL, NULL},
    {"connect", EXT_FUNCTION(ext_fd_connect), METH_FASTCALL, NULL},
    {"retry", fd_retry, METH_O, NULL},
    {"set_deadline", EXT_FUNCTION(fd_set_deadline), METH_FASTCALL, NULL},
    {"time_left", fd_time_left, METH_O, NULL},
    {"take_deadlines", fd_take_deadlines, METH_O, NULL},
    {"set_blocking_options", EXT_FUNCTION(ext_fd_set_blocking_options), METH_FASTCALL, NULL},
    {"close", fd_close, METH_NOARGS, NULL},
    {"detach", fd_detach, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"number", fd_number, NULL, NULL, NULL},
    {"stream", fd_stream, NULL, NULL, NULL},
    {"closed", fd_closed, NULL, NULL, NULL},
    {"timeout", fd_timeout, fd_set_timeout, NULL, NULL},
    {"blocking_options", ext_fd_blocking_options, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, (void *)fd_new},
    {Py_tp_dealloc, (void *)fd_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "netpoll._core.FD",
    .basicsize = sizeof(FdObject),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = slots,
};

int ext_add_fd_type(PyObject *module)
{
    PyObject *type = PyType_FromSpec(&spec);
    int rc = type ? PyModule_AddObjectRef(module, "FD", type) : -1;
    Py_XDECREF(type);
    return rc;
}
