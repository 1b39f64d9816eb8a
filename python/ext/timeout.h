/* What green.timeout and green.Group are made of. */
#ifndef NP_EXT_TIMEOUT_H
#define NP_EXT_TIMEOUT_H

#include "hub.h"

bool ext_is_timeout(PyObject *object);

/* It came out of a poller as a token, whose reference this takes over. */
void ext_timeout_due(PyObject *token);

int ext_add_timeout_type(PyObject *module);

int ext_add_group_type(PyObject *module); /* group.c */

#endif
