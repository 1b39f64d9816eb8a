#include "greenlets.h"

enum { EXIT = 2, NEW = 3, GET_CURRENT = 4, THROW = 5, SWITCH = 6, SET_PARENT = 7, ACTIVE = 10 };

ext_greenlet_api ext_greenlet;

static EXT_SHARED(bool) imported; /* set last */

/* Several threads may do so at once: they all write the same. */
bool ext_import_greenlet(void)
{
    if (imported)
        return true;
    void **table = PyCapsule_Import("greenlet._C_API", 0);
    if (!table)
        return false;
    ext_greenlet = (ext_greenlet_api){
        .exit = table[EXIT],
        .make = (PyObject * (*)(PyObject *, PyObject *)) table[NEW],
        .current = (PyObject * (*)(void)) table[GET_CURRENT],
        .throw_into = (PyObject * (*)(PyObject *, PyObject *, PyObject *, PyObject *)) table[THROW],
        .switch_to = (PyObject * (*)(PyObject *, PyObject *, PyObject *)) table[SWITCH],
        .set_parent = (int (*)(PyObject *, PyObject *))table[SET_PARENT],
        .is_active = (int (*)(PyObject *))table[ACTIVE],
    };
    imported = true;
    return true;
}
