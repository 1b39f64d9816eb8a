/* Overlapped operations of the host, in the iocp backend: see iocp_overlapped.h. */
#include "backend/backend.h"

#ifdef NP_HAVE_IOCP
#include <errno.h>

#include "backend/iocp.h"
#include "backend/iocp_overlapped.h"

static int associate(np_iocp_kernel *k, np_iocp_watch *w)
{
    if (!w->associated &&
        !CreateIoCompletionPort((HANDLE)w->fd, k->port, NP_IOCP_KEY_OVERLAPPED, 0))
        return np_errno_of_win32(GetLastError());
    w->associated = true;
    return 0;
}

int np_iocp_claim(void *kernel, np_fd fd, uint64_t tag, np_iocp_op *op)
{
    np_iocp_kernel *k = kernel;

    np_mutex_lock(&k->lock);
    np_iocp_watch *w = np_iocp_find_watch(k, fd, tag);
    int rc = !w ? -EBADF : w->overlapped & op->mode ? NP_BUSY : associate(k, w);
    if (rc == 0) {
        w->overlapped |= op->mode;
        op->kernel = k;
        op->fd = fd;
        op->tag = tag;
        op->running = 1;
        k->refs++;
    }
    np_mutex_unlock(&k->lock);
    return rc;
}

void np_iocp_retire(np_iocp_kernel *k, np_iocp_op *op)
{
    np_iocp_watch *w = np_iocp_find_watch(k, op->fd, op->tag);

    if (w)
        w->overlapped &= ~op->mode;
    InterlockedExchange(&op->running, 0);
}

void np_iocp_withdraw(np_iocp_op *op)
{
    np_iocp_kernel *k = op->kernel;

    np_mutex_lock(&k->lock);
    np_iocp_retire(k, op);
    np_mutex_unlock(&k->lock);
}

void np_iocp_pump(np_iocp_op *op)
{
    np_iocp_drain_packets(op->kernel);
}

void np_iocp_release(np_iocp_op *op)
{
    np_iocp_unref(op->kernel);
}
#endif
