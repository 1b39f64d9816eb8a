/* The init function of netpoll._core on CPython.
 *
 * cffi generates a complete module whose init function netpoll_build.py renames to
 * np_cffi_init_core.  Around it this file does what cffi cannot: it hands the GIL to the core's
 * blocking hooks, and adds the types that are written in C by hand and the table for other
 * extensions. */
#include "bind.h"
#include "capi.h"
#include "fd.h"
#include "gil.h"
#include "sema.h"
#include "sync.h"
#include "timeout.h"

PyObject *np_cffi_init_core(void);
PyMODINIT_FUNC PyInit__core(void);

int ext_add_internals(PyObject *module, PyTypeObject *type, PyMethodDef *methods)
{
    int rc = 0;
    for (PyMethodDef *m = methods; m->ml_name && rc == 0; m++) {
        PyObject *function = PyDescr_NewMethod(type, m);
        rc = function ? PyModule_AddObjectRef(module, m->ml_name, function) : -1;
        Py_XDECREF(function);
    }
    return rc;
}

static int add_hub(PyObject *module)
{
    return ext_add_thread_exit_type() < 0 || ext_add_waiter_type(module) < 0 ||
                   ext_add_hub_type(module) < 0 || ext_add_spawn(module) < 0 ||
                   ext_add_wait(module) < 0 || ext_add_timeout_type(module) < 0 ||
                   ext_add_group_type(module) < 0
               ? -1
               : 0;
}

static int add_sync(PyObject *module)
{
    return ext_add_lock_types(module) < 0 || ext_add_condition_type(module) < 0 ||
                   ext_add_semaphore_type(module) < 0 || ext_add_queue_type(module) < 0 ||
                   ext_add_local_type(module) < 0
               ? -1
               : 0;
}

/* The types are of one interpreter, and so is what the core calls back: the main one.  A
 * sub-interpreter that shares its GIL and comes later does not call the init function, but gets a
 * copy of the module: so _engine.py asks again. */
static bool is_main_interpreter(void)
{
    return PyInterpreterState_GetID(PyInterpreterState_Get()) == 0;
}

static PyObject *in_main_interpreter(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return PyBool_FromLong(is_main_interpreter());
}

static PyMethodDef functions[] = {
    {"in_main_interpreter", in_main_interpreter, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

PyMODINIT_FUNC PyInit__core(void)
{
    if (!is_main_interpreter()) {
        PyErr_SetString(PyExc_ImportError, "netpoll works in the main interpreter only");
        return NULL;
    }
    np_set_blocking_hooks(ext_release_gil, ext_acquire_gil);
    PyObject *module = np_cffi_init_core();
    if (module &&
        (PyModule_AddFunctions(module, functions) < 0 || ext_add_bind(module) < 0 ||
         ext_add_poller_type(module) < 0 || ext_add_desc_type(module) < 0 || add_hub(module) < 0 ||
         ext_add_wait_types(module) < 0 || ext_add_sema_type(module) < 0 || add_sync(module) < 0 ||
         ext_add_fd_type(module) < 0 || ext_add_socket_methods(module) < 0 ||
         ext_add_capi(module) < 0))
        Py_CLEAR(module);
#ifdef Py_GIL_DISABLED
    if (module)
        PyUnstable_Module_SetGIL(module, Py_MOD_GIL_NOT_USED);
#endif
    return module;
}
