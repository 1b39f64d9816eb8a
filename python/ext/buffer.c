#include "buffer.h"

/* The limited API of 3.10 has no Py_buffer.  A memoryview keeps the buffer in its place, and these
 * two, of the stable ABI but not in all its headers, tell where that is.  They are deprecated since
 * they keep nothing. */
PyAPI_FUNC(int) PyObject_AsReadBuffer(PyObject *, const void **, Py_ssize_t *);
PyAPI_FUNC(int) PyObject_AsWriteBuffer(PyObject *, void **, Py_ssize_t *);
#ifdef __GNUC__
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
#endif

NP_HOT int ext_get_buffer_readable(PyObject *data, ext_buffer *b)
{
    const void *start;

    *b = (ext_buffer){.view = NULL};
    if (PyBytes_CheckExact(data)) { /* cannot change, and is the caller's meanwhile */
        Py_INCREF(data);
        b->view = data;
        return PyBytes_AsStringAndSize(data, &b->start, &b->size);
    }
    if (PyUnicode_Check(data)) {
        PyErr_SetString(PyExc_TypeError, "a bytes-like object is required, not 'str'");
        return -1;
    }
    b->view = PyMemoryView_FromObject(data);
    if (!b->view)
        return -1;
    if (PyObject_AsReadBuffer(data, &start, &b->size) < 0) {
        Py_CLEAR(b->view);
        return -1;
    }
    b->start = (char *)(uintptr_t)start;
    return 0;
}

int ext_get_buffer_writable(PyObject *data, ext_buffer *b)
{
    void *start;

    *b = (ext_buffer){.view = PyMemoryView_FromObject(data)};
    if (!b->view)
        return -1;
    if (PyObject_AsWriteBuffer(data, &start, &b->size) < 0) {
        Py_CLEAR(b->view);
        return -1;
    }
    b->start = start;
    return 0;
}

NP_HOT void ext_release_buffer(ext_buffer *b)
{
    Py_XDECREF(b->view);
}
