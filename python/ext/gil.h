/* Releasing the GIL: gil.c. */
#ifndef NP_GIL_H
#define NP_GIL_H

#include "ext.h"

/* The core's blocking hooks. */
void *ext_release_gil(void);
void ext_acquire_gil(void *state);

/* Is it worth releasing around a call that does not block but wakes a thread? */
bool ext_gil_uncontended(void);

/* For a loop in C that may go on for long, what the eval loop does between two bytecodes: other
 * threads get the GIL now and then, and signal handlers run.  -1 with an exception set. */
int ext_check_eval_breaker(void);

/* For threads that do not hold it. */
int ext_wait_nogil(np_desc *d, int mode);
int ext_wait_canceled_nogil(np_desc *d, int mode);
int ext_poll_nogil(np_poller *p, int64_t timeout_ns, np_token *tokens, int max, int *n);
int ext_sema_acquire_nogil(np_sema *s, int64_t until, const char *what, uint64_t *place);
int ext_file_close_nogil(np_file *f, int detach);
int ext_op_wait_nogil(np_op *op, np_poller *p);
int ext_op_end_nogil(np_op *op);

#endif
