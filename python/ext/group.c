/* GroupBase: the end of a green.Group's block.
 *
 * In C, so that an exception of a signal handler, wherever it strikes, leaves no greenlet of the
 * group running: while there are any, `_finish` is called again, with that exception.
 */
#include "timeout.h"

#include "docs_made.h"

/* Nothing of Python's runs here. */
static bool have_ended(PyObject *members)
{
    return PySet_Size(members) <= 0;
}

static PyObject *group_exit(PyObject *self, PyObject *args)
{
    PyObject *members = PyObject_GetAttrString(self, "_members");
    PyObject *finish = members ? PyObject_GetAttrString(self, "_finish") : NULL;
    PyObject *result = finish ? PyObject_CallObject(finish, args) : NULL;

    while (finish && !result) {
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        PyErr_NormalizeException(&type, &value, &traceback);
        bool ended = have_ended(members);
        if (!ended)
            result = PyObject_CallFunctionObjArgs(finish, type, value,
                                                  traceback ? traceback : Py_None, NULL);
        if (ended || result) { /* it is for the caller */
            Py_CLEAR(result);
            PyErr_Restore(type, value, traceback);
            break;
        }
        Py_DECREF(type);
        Py_XDECREF(value);
        Py_XDECREF(traceback);
    }
    Py_XDECREF(finish);
    Py_XDECREF(members);
    return result;
}

static PyMethodDef methods[] = {
    {"__exit__", group_exit, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)DOC_GroupBase},
    {Py_tp_methods, methods},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "netpoll._core.GroupBase",
    .basicsize = sizeof(PyObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = slots,
};

int ext_add_group_type(PyObject *module)
{
    PyObject *type = PyType_FromSpec(&spec);
    int rc = type ? PyModule_AddObjectRef(module, "GroupBase", type) : -1;
    Py_XDECREF(type);
    return rc;
}
