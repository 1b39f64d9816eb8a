/* greenlet's C API: a table of functions in a capsule, the same since greenlet 2.0. */
#ifndef NP_GREENLETS_H
#define NP_GREENLETS_H

#include "ext.h"

typedef struct ext_greenlet_api {
    PyObject *exit; /* GreenletExit */
    PyObject *(*make)(PyObject *run, PyObject *parent);
    PyObject *(*current)(void); /* a new reference */
    PyObject *(*throw_into)(PyObject *greenlet, PyObject *type, PyObject *value, PyObject *tb);
    PyObject *(*switch_to)(PyObject *greenlet, PyObject *args, PyObject *kwargs);
    int (*set_parent)(PyObject *greenlet, PyObject *parent);
    int (*is_active)(PyObject *greenlet); /* it has started, and has not ended */
} ext_greenlet_api;

/* Written once, by the first hub, before any other function of a hub is called. */
extern ext_greenlet_api ext_greenlet;

bool ext_import_greenlet(void); /* false with an exception set */

#endif
