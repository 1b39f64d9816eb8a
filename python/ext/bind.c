/* bind(name=object, ...): Python's modules give the extension what it needs of them.
 *
 * It is the only way from C to Python's modules: nothing is imported by its name, so a module that
 * moves, or a name that changes, is an error when the package is imported and not at a later call.
 */
#include "bind.h"

#include <stdbool.h>
#include <stddef.h>

ext_bound_table ext_bound;

#define ENTRY(name) {#name, &ext_bound.name},

static const struct entry {
    const char *name;
    PyObject **object;
} entries[] = {EXT_BOUND(ENTRY)};

static const struct entry *find(PyObject *name)
{
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++)
        if (PyUnicode_CompareWithASCIIString(name, entries[i].name) == 0)
            return &entries[i];
    PyErr_Format(PyExc_TypeError, "bind() has no entry %R", name);
    return NULL;
}

static PyObject *bind_objects(PyObject *module, PyObject *const *args, Py_ssize_t n,
                              PyObject *names)
{
    Py_ssize_t named = names ? PyTuple_Size(names) : 0;

    (void)module;
    if (n != 0) {
        PyErr_SetString(PyExc_TypeError, "bind() takes named arguments");
        return NULL;
    }
    for (Py_ssize_t i = 0; i < named; i++) {
        const struct entry *entry = find(PyTuple_GetItem(names, i));
        if (!entry)
            return NULL;
        PyObject *before = *entry->object;
        Py_INCREF(args[i]);
        *entry->object = args[i];
        Py_XDECREF(before);
    }
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"bind", (PyCFunction)(void (*)(void))bind_objects, METH_FASTCALL | METH_KEYWORDS, NULL},
    {NULL, NULL, 0, NULL},
};

int ext_add_bind(PyObject *module)
{
    return PyModule_AddFunctions(module, functions);
}
