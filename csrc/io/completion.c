/* The completion way: see netpoll_iocp.h. */
#include "core/internal.h"

#ifdef NP_HAVE_IOCP
#include "backend/iocp_overlapped.h"
#include "win32/ntapi_win32.h"

int np_iocp_begin(np_iocp_op *op, np_desc *desc, int mode)
{
    np_poller *p = desc->poller;
    np_wake_q wake_q;

    if (p->backend != &np_backend_iocp)
        return -ENOSYS;
    int rc = np_reset(desc, mode);
    if (rc != NP_OK)
        return rc;
    *op = (np_iocp_op){.desc = desc, .mode = mode};
    np_lock(p, &wake_q);
    rc = np_ensure_kernel(p, &wake_q);
    if (rc == NP_OK && np_load(&desc->info) & INFO_DEREGISTERED)
        rc = NP_CLOSED;
    if (rc == NP_OK)
        rc = np_iocp_claim(p->kernel, desc->fd, np_tag_of(desc), op);
    np_unlock(p, &wake_q);
    return rc;
}

static bool is_running(np_iocp_op *op)
{
    return InterlockedCompareExchange(&op->running, 0, 0) != 0;
}

/* For a moment, as a thread does: np_poll would take wake-ups that are the host's.
 * NP_CLOSED, or not. */
static int drive(np_poller *p)
{
    enum { SLICE_NS = 1000000 };
    np_driver driver = {.is_poll = false};
    np_wake_q wake_q;

    void *cookie = np_blocking_enter();
    np_lock(p, &wake_q);
    int rc = np_ensure_kernel(p, &wake_q);
    if (rc == NP_OK)
        np_drive(p, &driver, np_now() + SLICE_NS, &wake_q);
    np_hand_over(p, &wake_q);
    np_unlock(p, &wake_q);
    np_blocking_leave(cookie);
    return rc;
}

/* No event reaches a descriptor that is gone, but the operation's packet still comes out of the
 * port.  A closed poller stays closed, and is not driven: that would wake the threads still inside
 * once more. */
static void wait_for_packet(np_iocp_op *op)
{
    bool closed = false;

    while (is_running(op)) {
        closed = closed || drive(op->desc->poller) == NP_CLOSED;
        if (closed)
            np_iocp_pump(op);
        else
            np_yield(); /* a wake that is another's brings it back until the other has come out */
    }
}

/* The kernel may be reading or writing the buffers: there is no way back before it has let go. */
static int cancel(np_iocp_op *op)
{
    CancelIoEx((HANDLE)op->desc->fd, &op->overlapped);
    while (is_running(op)) {
        int rc = np_wait_canceled(op->desc, op->mode);
        if (rc == NP_INTERRUPTED)
            return rc;
        if (rc != NP_OK)
            wait_for_packet(op);
    }
    return NP_OK;
}

static int finish_result(const np_iocp_op *op, int ended, uint32_t *bytes)
{
    int rc = np_errno_of_status((NTSTATUS)op->overlapped.Internal);

    *bytes = rc == 0 ? (uint32_t)op->overlapped.InternalHigh : 0;
    return rc == -ECANCELED && ended != NP_OK ? ended : rc;
}

int np_iocp_finish(np_iocp_op *op, int error, uint32_t *bytes)
{
    int ended = NP_OK;

    *bytes = 0;
    if (error != 0 && error != WSA_IO_PENDING) {
        np_iocp_withdraw(op);
        np_set_ready(op->desc, op->mode); /* a waiter that came meanwhile was not armed */
        np_iocp_release(op);
        return np_errno_of_win32((DWORD)error);
    }
    while (is_running(op)) {
        ended = np_wait(op->desc, op->mode);
        if (ended == NP_INTERRUPTED || (ended != NP_OK && cancel(op) == NP_INTERRUPTED))
            return NP_INTERRUPTED;
    }
    np_iocp_release(op);
    return finish_result(op, ended, bytes);
}
#endif
