/* The core for other extension modules: what module.c needs of it. */
#ifndef NP_CAPI_H
#define NP_CAPI_H

#include "ext.h"

int ext_add_capi(PyObject *module);

/* The core's blocking hooks. */
void *ext_give_gil_back(void);
void ext_take_gil(void *state);

#endif
