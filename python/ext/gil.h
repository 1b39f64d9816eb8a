/* Giving the GIL back: gil.c. */
#ifndef NP_GIL_H
#define NP_GIL_H

#include "ext.h"

/* The core's blocking hooks. */
void *ext_give_gil_back(void);
void ext_take_gil(void *state);

/* Is it worth giving back around a call that does not block but wakes somebody? */
bool ext_gil_is_quick(void);

/* For threads that do not hold it. */
int ext_wait_nogil(np_desc *d, int mode);
int ext_wait_canceled_nogil(np_desc *d, int mode);
int ext_poll_nogil(np_poller *p, int64_t timeout_ns, np_token *tokens, int max, int *n);

#endif
