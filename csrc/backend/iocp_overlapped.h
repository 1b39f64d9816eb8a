/* Between iocp_overlapped.c, which knows the port, and io/completion.c, which knows descriptors. */
#ifndef NP_IOCP_OVERLAPPED_H
#define NP_IOCP_OVERLAPPED_H

#include "netpoll_iocp.h"

/* From begin to finish the mode's readiness is op's completion, and the port stays open, even if
 * the poller closes.  -EBADF: the registration is gone; NP_BUSY: op is not the first of its mode.
 */
int np_iocp_claim(void *kernel, np_fd fd, uint64_t tag, np_iocp_op *op);

/* op was not started after all: no packet will come. */
void np_iocp_withdraw(np_iocp_op *op);

/* On a closed poller: take packets of operations out of the port, for a moment. */
void np_iocp_pump(np_iocp_op *op);

/* op runs no more. */
void np_iocp_release(np_iocp_op *op);

#endif
