/* An extension for the tests of the C interface: each function does one thing through the table. */
#define PY_SSIZE_T_CLEAN
#include <netpoll_api.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

static const netpoll_api *np;

static PyObject *desc_fd(PyObject *module, PyObject *desc)
{
    np_desc *d = np->desc_of(desc);
    (void)module;
    return d ? PyLong_FromLongLong((long long)np->desc_fd(d)) : NULL;
}

static PyObject *poller_backend(PyObject *module, PyObject *poller)
{
    np_poller *p = np->poller_of(poller);
    (void)module;
    return p ? PyUnicode_FromString(np->poller_backend(p)) : NULL;
}

/* A poller and a descriptor of C's become Python's. */
static PyObject *new_poller(PyObject *module, PyObject *unused)
{
    np_poller *p;
    (void)module, (void)unused;
    int rc = np->poller_new(NULL, &p);
    if (np->raise_poller(rc) < 0)
        return NULL;
    PyObject *object = np->poller_object(p);
    np->poller_unref(p);
    return object;
}

static PyObject *open_desc(PyObject *module, PyObject *args)
{
    PyObject *poller;
    np_desc *d;
    int fd;
    (void)module;
    if (!PyArg_ParseTuple(args, "Oi", &poller, &fd))
        return NULL;
    np_poller *p = np->poller_of(poller);
    if (!p || np->raise_poller(np->open(p, fd, &d)) < 0)
        return NULL;
    PyObject *object = np->desc_object(poller, d);
    np->desc_unref(d);
    return object;
}

/* A PollDesc around the np_desc of another one, on a poller that need not be its own. */
static PyObject *wrap_on(PyObject *module, PyObject *args)
{
    PyObject *poller, *desc;
    (void)module;
    if (!PyArg_ParseTuple(args, "OO", &poller, &desc))
        return NULL;
    np_desc *d = np->desc_of(desc);
    return d ? np->desc_object(poller, d) : NULL;
}

/* --- waiting, with the GIL, without it, and in a thread that Python does not know --------------
 */

static np_desc *arguments(PyObject *args, int *mode)
{
    PyObject *desc;
    return PyArg_ParseTuple(args, "Oi", &desc, mode) ? np->desc_of(desc) : NULL;
}

static PyObject *wait_with_gil(PyObject *module, PyObject *args)
{
    int mode, rc;
    np_desc *d = arguments(args, &mode);
    (void)module;
    if (!d)
        return NULL;
    while ((rc = np->wait(d, mode)) != NP_OK)
        if (np->raise(d, mode, rc) < 0)
            return NULL;
    Py_RETURN_NONE;
}

static PyObject *wait_without_gil(PyObject *module, PyObject *args)
{
    int mode, rc;
    np_desc *d = arguments(args, &mode);
    (void)module;
    if (!d)
        return NULL;
    do {
        Py_BEGIN_ALLOW_THREADS rc = np->wait_nogil(d, mode);
        Py_END_ALLOW_THREADS if (np->raise(d, mode, rc) < 0) return NULL;
    } while (rc != NP_OK);
    Py_RETURN_NONE;
}

static PyObject *wait_canceled(PyObject *module, PyObject *args)
{
    int mode, rc = NP_CLOSED;
    np_desc *d = arguments(args, &mode);
    (void)module;
    if (!d)
        return NULL;
    do
        rc = np->wait_canceled(d, mode);
    while (rc == NP_INTERRUPTED && PyErr_CheckSignals() == 0);
    return PyLong_FromLong(rc);
}

typedef struct stranger {
    np_desc *desc;
    int mode, rc;
} stranger;

static void *wait_as_stranger(void *argument)
{
    stranger *s = argument;
    s->rc = np->wait_nogil(s->desc, s->mode);
    return NULL;
}

static PyObject *wait_in_stranger(PyObject *module, PyObject *args)
{
    pthread_t thread;
    stranger s;
    (void)module;
    s.desc = arguments(args, &s.mode);
    if (!s.desc)
        return NULL;
    Py_BEGIN_ALLOW_THREADS int rc = pthread_create(&thread, NULL, wait_as_stranger, &s);
    if (rc == 0)
        pthread_join(thread, NULL);
    else
        s.rc = -rc;
    Py_END_ALLOW_THREADS return PyLong_FromLong(s.rc);
}

/* --- a scheduler of C's own --------------------------------------------------------------------
 */

/* Park a token that is no object of Python's, let the peer's byte (or nothing) come, poll it out:
 * (token, what np->resume says). */
static PyObject *park_and_poll(PyObject *module, PyObject *args)
{
    enum { TOKEN = 12345 };
    np_poller *p;
    np_desc *d;
    np_token token = 0;
    int fd, n = 0, timeout_ms;
    (void)module;

    if (!PyArg_ParseTuple(args, "ii", &fd, &timeout_ms) ||
        np->raise_poller(np->poller_new(NULL, &p)) < 0)
        return NULL;
    int rc = np->open(p, fd, &d);
    if (rc != NP_OK) {
        np->poller_unref(p);
        np->raise_poller(rc);
        return NULL;
    }
    np->set_deadline(d, (int64_t)timeout_ms * 1000000, NP_READ);
    rc = np->park(d, NP_READ, TOKEN, 0);
    while (rc == NP_PARKED && n == 0) {
        Py_BEGIN_ALLOW_THREADS np->poll_nogil(p, -1, &token, 1, &n);
        Py_END_ALLOW_THREADS
    }
    if (n > 0)
        rc = np->resume(d, NP_READ, 0);
    np->close(d);
    np->desc_unref(d);
    np->poller_unref(p);
    return Py_BuildValue("(Ki)", (unsigned long long)token, rc);
}

/* --- a file of C's own -------------------------------------------------------------------------
 */

typedef struct reader {
    int fd, rc, end;
    char byte;
    np_sema done;
} reader;

/* In a thread that Python does not know: one byte, or what ended the wait; and the number is
 * closed. */
static void *read_and_close(void *argument)
{
    reader *r = argument;
    np_file *f;
    np_op op;

    r->rc = np->file_new(r->fd, NP_FILE_MESSAGES, &f);
    if (r->rc < 0)
        return NULL;
    np->file_set_timeout(f, 50 * 1000000);
    r->rc = np->op_begin(&op, f, NP_READ, 1);
    while (r->rc == NP_OK && (r->rc = np->op_try(&op)) == NP_OK && read(r->fd, &r->byte, 1) != 1)
        r->rc = np->op_wait_nogil(&op, NULL);
    np->file_close_nogil(f, 0);
    r->end = np->op_end_nogil(&op);
    np->file_free(f);
    np->sema_release(&r->done, 1);
    return NULL;
}

/* (result, byte, what np->op_end said, is the number closed) */
static PyObject *read_in_stranger(PyObject *module, PyObject *arg)
{
    pthread_t thread;
    reader r = {.fd = (int)PyLong_AsLong(arg)};
    (void)module;

    np->sema_init(&r.done, 0);
    int rc = pthread_create(&thread, NULL, read_and_close, &r);
    if (rc != 0) {
        errno = rc;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    while ((rc = np->sema_acquire(&r.done, NP_NEVER, "the reader", NULL)) == NP_INTERRUPTED)
        continue;
    pthread_join(thread, NULL);
    return Py_BuildValue("(iCiO)", r.rc, r.byte, r.end,
                         fcntl(r.fd, F_GETFD) < 0 ? Py_True : Py_False);
}

static PyMethodDef methods[] = {
    {"desc_fd", desc_fd, METH_O, NULL},
    {"poller_backend", poller_backend, METH_O, NULL},
    {"new_poller", new_poller, METH_NOARGS, NULL},
    {"open_desc", open_desc, METH_VARARGS, NULL},
    {"wrap_on", wrap_on, METH_VARARGS, NULL},
    {"wait_with_gil", wait_with_gil, METH_VARARGS, NULL},
    {"wait_without_gil", wait_without_gil, METH_VARARGS, NULL},
    {"wait_in_stranger", wait_in_stranger, METH_VARARGS, NULL},
    {"wait_canceled", wait_canceled, METH_VARARGS, NULL},
    {"park_and_poll", park_and_poll, METH_VARARGS, NULL},
    {"read_in_stranger", read_in_stranger, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "probe", .m_size = -1,
                                        .m_methods = methods};

PyMODINIT_FUNC PyInit_probe(void);
PyMODINIT_FUNC PyInit_probe(void)
{
    np = netpoll_import();
    PyObject *module = np ? PyModule_Create(&definition) : NULL;
#ifdef Py_GIL_DISABLED
    if (module)
        PyUnstable_Module_SetGIL(module, Py_MOD_GIL_NOT_USED);
#endif
    return module;
}
