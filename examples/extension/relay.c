/* relay.pump(source, sink): copy all that comes from one descriptor to another, in C.
 *
 * An extension that waits on netpoll without touching Python: two PollDesc objects come in, and
 * from then on it works on what they are made of.  Their deadlines bind, closing them from another
 * thread ends the copying, and Ctrl-C works.  The GIL is released while it waits, and nowhere
 * else.
 */
#define PY_SSIZE_T_CLEAN
#include <errno.h>
#include <netpoll_api.h>
#include <unistd.h>

static const netpoll_api *np;

/* After an I/O call that failed.  0: try again.  -1: the exception is set. */
static int wait_to_go_on(np_desc *d, int mode)
{
    if (errno == EINTR)
        return PyErr_CheckSignals();
    if (errno != EAGAIN && errno != EWOULDBLOCK) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    int rc;
    while ((rc = np->wait(d, mode)) != NP_OK)
        if (np->raise(d, mode, rc) < 0)
            return -1;
    return 0;
}

static ssize_t receive(np_desc *d, char *buffer, size_t size)
{
    for (;;) {
        if (np->raise(d, NP_READ, np->reset(d, NP_READ)) < 0)
            return -1;
        ssize_t n = read((int)np->desc_fd(d), buffer, size);
        if (n >= 0 || wait_to_go_on(d, NP_READ) < 0)
            return n;
    }
}

static int send_all(np_desc *d, const char *data, size_t left)
{
    while (left > 0) {
        if (np->raise(d, NP_WRITE, np->reset(d, NP_WRITE)) < 0)
            return -1;
        ssize_t n = write((int)np->desc_fd(d), data, left);
        if (n >= 0) {
            data += n;
            left -= (size_t)n;
        } else if (wait_to_go_on(d, NP_WRITE) < 0) {
            return -1;
        }
    }
    return 0;
}

static PyObject *pump(PyObject *module, PyObject *args)
{
    PyObject *source, *sink;
    char buffer[16 * 1024];
    long long copied = 0;
    ssize_t n;
    (void)module;

    if (!PyArg_ParseTuple(args, "OO:pump", &source, &sink))
        return NULL;
    np_desc *from = np->desc_of(source), *to = from ? np->desc_of(sink) : NULL;
    if (!to)
        return NULL;
    while ((n = receive(from, buffer, sizeof buffer)) > 0) {
        if (send_all(to, buffer, (size_t)n) < 0)
            return NULL;
        copied += n;
    }
    return n < 0 ? NULL : PyLong_FromLongLong(copied);
}

static PyMethodDef methods[] = {
    {"pump", pump, METH_VARARGS,
     "pump(source, sink)\n--\n\n"
     "Copy what comes from source, a PollDesc, to sink until its end; the number of bytes."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "relay", .m_size = -1,
                                        .m_methods = methods};

PyMODINIT_FUNC PyInit_relay(void);
PyMODINIT_FUNC PyInit_relay(void)
{
    np = netpoll_import();
    PyObject *module = np ? PyModule_Create(&definition) : NULL;
#ifdef Py_GIL_DISABLED
    if (module)
        PyUnstable_Module_SetGIL(module, Py_MOD_GIL_NOT_USED);
#endif
    return module;
}
