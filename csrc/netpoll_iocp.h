/* netpoll's completion way, for Windows: overlapped operations waited for with np_wait.
 *
 * This is how Go's net does its I/O there.  The operation is bound to a descriptor and a mode:
 * while it runs, the mode's readiness is its completion, so deadlines, np_unblock and np_close end
 * the wait for it; and before np_iocp_finish returns, whatever has ended the wait, the kernel has
 * let go of the operation and of its buffers.
 *
 *     np_iocp_op op;
 *     int rc = np_iocp_begin(&op, desc, NP_READ);
 *     if (rc != NP_OK)
 *         return rc;                            closed, timed out, busy, or an error
 *     rc = WSARecv(s, &buf, 1, NULL, &flags, &op.overlapped, NULL);
 *     rc = np_iocp_finish(&op, rc == 0 ? 0 : WSAGetLastError(), &bytes);
 *
 * So with WSASend, AcceptEx (READ of the listener), ConnectEx (WRITE), TransmitFile, ReadFile on a
 * socket, ...: readers are one queue, writers another, one operation at a time in each.
 *
 * The first np_iocp_begin associates the socket with its poller's completion port, which lasts as
 * long as the socket: from then on every overlapped operation on it must be an np_iocp_op.  The
 * readiness of a mode that has no operation can be waited for as before.
 *
 * np_open must have got the socket itself; np_desc_fd is what operations and their cancelling use.
 */
#ifndef NETPOLL_IOCP_H
#define NETPOLL_IOCP_H

#include <winsock2.h>

#include <windows.h>

#include "netpoll.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct np_iocp_op {
    OVERLAPPED overlapped; /* the first member: pass its address */

    /* The library's own. */
    np_desc *desc;
    void *kernel;
    np_fd fd;
    uint64_t tag;
    volatile LONG running; /* the kernel may touch the operation and its buffers */
    int mode;
} np_iocp_op;

/* Go's prepare: np_reset, then tie op to desc and mode.  NP_OK, what np_wait would return without
 * blocking, NP_BUSY (another operation runs), or a negated errno: -EINVAL if the socket belongs to
 * another completion port, -ENOSYS if the poller's backend is not iocp.
 *
 * op, and the caller's reference to desc, must stay until np_iocp_finish has returned anything but
 * NP_INTERRUPTED. */
int np_iocp_begin(np_iocp_op *op, np_desc *desc, int mode);

/* Wait for the operation.  error: 0, or what WSAGetLastError() said when it was started.  NP_OK:
 * done, *bytes transferred (it may be done in spite of a deadline or close that came meanwhile).
 * NP_TIMEOUT, NP_CLOSED: cancelled.  NP_INTERRUPTED: it still runs, call again with error 0.
 * Negative: it failed, with that errno. */
int np_iocp_finish(np_iocp_op *op, int error, uint32_t *bytes);

#ifdef __cplusplus
}
#endif
#endif
