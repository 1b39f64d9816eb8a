/* The class SocketBase: the slot of its FD, deadlines, and its methods. */
#include "bind.h"
#include "docs_made.h"
#include "socket_ops.h"

Py_ssize_t ext_socket_slot;

void ext_raise_no_fd(void)
{
    PyErr_SetString(PyExc_RuntimeError, "socket.__init__ was not called");
}

/* --- deadlines, which may be moved at every operation ---------------------------------------- */

static PyObject *set_deadline(PyObject *self, PyObject *timeout, int modes)
{
    FdObject *f = ext_fd_of(self);
    return f ? ext_set_io_deadline(f, timeout, modes) : NULL;
}

static PyObject *sock_set_deadline(PyObject *self, PyObject *timeout)
{
    return set_deadline(self, timeout, NP_READ | NP_WRITE);
}

static PyObject *sock_set_read_deadline(PyObject *self, PyObject *timeout)
{
    return set_deadline(self, timeout, NP_READ);
}

static PyObject *sock_set_write_deadline(PyObject *self, PyObject *timeout)
{
    return set_deadline(self, timeout, NP_WRITE);
}

static PyMethodDef deadline_methods[] = {
    {"set_deadline", sock_set_deadline, METH_O, DOC_Deadlines_set_deadline},
    {"set_read_deadline", sock_set_read_deadline, METH_O, DOC_Deadlines_set_read_deadline},
    {"set_write_deadline", sock_set_write_deadline, METH_O, DOC_Deadlines_set_write_deadline},
    {NULL, NULL, 0, NULL},
};

/* --- putting them on the class --------------------------------------------------------------- */

static bool size_of(PyObject *class, Py_ssize_t *size)
{
    PyObject *number = PyObject_GetAttrString(class, "__basicsize__");
    *size = number ? PyLong_AsSsize_t(number) : -1;
    Py_XDECREF(number);
    return *size >= 0;
}

/* The slot is where the standard class's objects end: put something there, and check. */
static bool slot_is_there(PyObject *class)
{
    PyObject *probe = PyObject_CallMethod(class, "__new__", "O", class);
    if (!probe)
        return false;
    bool found = PyObject_SetAttrString(probe, "_fd", class) == 0 &&
                 *(PyObject **)(void *)((char *)probe + ext_socket_slot) == class;
    if (!found && !PyErr_Occurred())
        PyErr_SetString(PyExc_ImportError, "the layout of socket objects is not as expected");
    Py_DECREF(probe);
    return found;
}

/* What it does for users is what the standard method of the name does; its text is kept for good.
 */
static bool document(PyMethodDef *m)
{
    PyObject *method = PyObject_GetAttrString(ext_bound.standard_socket, m->ml_name);
    PyObject *text = method ? PyObject_GetAttrString(method, "__doc__") : NULL;
    Py_XDECREF(method);
    if (text && text != Py_None)
        m->ml_doc = PyUnicode_AsUTF8AndSize(text, NULL);
    return text && !PyErr_Occurred();
}

static bool add_method(PyObject *class, PyMethodDef *m)
{
    if (!m->ml_doc && !document(m))
        return false;
    PyObject *descriptor = PyDescr_NewMethod((PyTypeObject *)class, m);
    if (!descriptor)
        return false;
    int rc = PyObject_SetAttrString(class, m->ml_name, descriptor);
    Py_DECREF(descriptor);
    return rc == 0;
}

static bool add_methods(PyObject *class, PyMethodDef *methods)
{
    for (PyMethodDef *m = methods; m->ml_name; m++)
        if (!add_method(class, m))
            return false;
    return true;
}

/* add_socket_methods(class), a subclass of what is bound as standard_socket */
static PyObject *add_socket_methods(PyObject *module, PyObject *class)
{
    Py_ssize_t size;

    (void)module;
    if (!size_of(ext_bound.standard_socket, &ext_socket_slot) || !size_of(class, &size))
        return NULL;
    if (size != ext_socket_slot + (Py_ssize_t)sizeof(PyObject *)) {
        PyErr_SetString(PyExc_ImportError, "the size of socket objects is not as expected");
        return NULL;
    }
    if (!slot_is_there(class) || !add_methods(class, deadline_methods) ||
        !add_methods(class, ext_recv_methods) || !add_methods(class, ext_send_methods) ||
        !add_methods(class, ext_datagram_methods) || !add_methods(class, ext_stdlib_methods))
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"add_socket_methods", add_socket_methods, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

int ext_add_socket_methods(PyObject *module)
{
    if (PyModule_AddIntConstant(module, "ACCEPTS", EXT_ACCEPTS) < 0)
        return -1;
    return PyModule_AddFunctions(module, functions);
}
