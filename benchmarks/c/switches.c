/* The bare switch from C: an extension that does nothing else. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <greenlet/greenlet.h>

/* take(turns, following): give way to the greenlet that follows, so many times. */
static PyObject *take(PyObject *module, PyObject *args)
{
    PyObject *following;
    long turns;
    (void)module;
    if (!PyArg_ParseTuple(args, "lO!", &turns, &PyGreenlet_Type, &following))
        return NULL;
    for (long i = 0; i < turns; i++) {
        PyObject *result = PyGreenlet_Switch((PyGreenlet *)following, NULL, NULL);
        if (result == NULL)
            return NULL;
        Py_DECREF(result);
    }
    Py_RETURN_NONE;
}

PyMODINIT_FUNC PyInit_switches(void)
{
    static PyMethodDef methods[] = {{"take", take, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};
    static PyModuleDef module = {
        PyModuleDef_HEAD_INIT, "switches", NULL, -1, methods, NULL, NULL, NULL, NULL};
    PyGreenlet_Import();
    if (_PyGreenlet_API == NULL)
        return NULL;
    return PyModule_Create(&module);
}
