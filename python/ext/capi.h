/* The core for other extension modules: what module.c needs of it. */
#ifndef NP_CAPI_H
#define NP_CAPI_H

#include "ext.h"

int ext_add_capi(PyObject *module);

#endif
