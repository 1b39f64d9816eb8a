/* The core for other extension modules, and the GIL: what module.c and others need of them. */
#ifndef NP_CAPI_H
#define NP_CAPI_H

#include "ext.h"

/* capi.c */
int ext_add_capi(PyObject *module);

/* gil.c: the core's blocking hooks. */
void *ext_give_gil_back(void);
void ext_take_gil(void *state);
/* Is it worth giving back around a call that does not block but wakes somebody? */
bool ext_gil_is_quick(void);
/* For threads that do not hold it. */
int ext_wait_nogil(np_desc *d, int mode);
int ext_wait_canceled_nogil(np_desc *d, int mode);
int ext_poll_nogil(np_poller *p, int64_t timeout_ns, np_token *tokens, int max, int *n);

#endif
