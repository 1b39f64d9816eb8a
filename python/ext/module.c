/* The init function of netpoll._core on CPython.
 *
 * cffi generates a complete module whose init function netpoll_build.py renames to
 * np_cffi_init_core.  Around it this file does what cffi cannot: it hands the GIL to the core's
 * blocking hooks, and adds the types that are written in C by hand and the table for other
 * extensions. */
#include "capi.h"
#include "fd.h"
#include "gil.h"

PyObject *np_cffi_init_core(void);
PyMODINIT_FUNC PyInit__core(void);

PyMODINIT_FUNC PyInit__core(void)
{
    np_set_blocking_hooks(ext_give_gil_back, ext_take_gil);
    PyObject *module = np_cffi_init_core();
    if (module && (ext_errors_init() < 0 || ext_add_poller_type(module) < 0 ||
                   ext_add_desc_type(module) < 0 || ext_add_turns_types(module) < 0 ||
                   ext_add_fd_type(module) < 0 || ext_add_socket_methods(module) < 0 ||
                   ext_add_capi(module) < 0))
        Py_CLEAR(module);
#ifdef Py_GIL_DISABLED
    if (module)
        PyUnstable_Module_SetGIL(module, Py_MOD_GIL_NOT_USED);
#endif
    return module;
}
