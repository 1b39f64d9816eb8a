/* I/O completion ports, with AFD polls for readiness: the port, and its packets.  The data, and how
 * it works: iocp.h. */
#include "backend/backend.h"

#ifdef NP_HAVE_IOCP
#include <errno.h>
#include <stdlib.h>

#include "backend/iocp.h"
#include "win32/interrupt_win32.h"

static bool iocp_usable(void)
{
    return np_ntapi_get() != NULL;
}

/* --- packets ---------------------------------------------------------------------------------- */

bool np_iocp_post(np_iocp_kernel *k, ULONG_PTR key)
{
    return PostQueuedCompletionStatus(k->port, 0, key, NULL);
}

void np_iocp_repost(np_iocp_kernel *k, const OVERLAPPED_ENTRY *packet)
{
    while (!PostQueuedCompletionStatus(k->port, packet->dwNumberOfBytesTransferred,
                                       packet->lpCompletionKey, packet->lpOverlapped))
        Sleep(1); /* until the kernel has memory for it */
}

/* What a poll makes of the packets that it took. */
typedef struct poll_result {
    np_event *events;
    int count;
    uint32_t interrupts;
    bool woken;
} poll_result;

static void handle_packet(np_iocp_kernel *k, const OVERLAPPED_ENTRY *packet, poll_result *result)
{
    void *address = packet->lpOverlapped;
    np_iocp_op *op;

    switch (packet->lpCompletionKey) {
    case NP_IOCP_KEY_AFD:
        result->count += np_iocp_complete_poll(k, address, &result->events[result->count]);
        break;
    case NP_IOCP_KEY_OVERLAPPED:
        op = address;
        result->events[result->count++] = (np_event){.tag = op->tag, .modes = (uint8_t)op->mode};
        np_iocp_retire(k, op);
        break;
    case NP_IOCP_KEY_WAKE:
        result->woken = true;
        break;
    case NP_IOCP_KEY_INTERRUPT:
        result->interrupts++;
        break;
    default:
        break; /* the timer: to come back is all that it is for */
    }
}

enum { DRAIN_BATCH = 64, DRAIN_SLICE_MS = 10 };

/* On a closed poller no event is wanted any more, but a thread that waits for the end of its
 * operation and the one that drains the port may each get the other's packet.  Wake-ups are for
 * threads in poll, as long as there can be any. */
bool np_iocp_drain_packets(np_iocp_kernel *k)
{
    OVERLAPPED_ENTRY batch[DRAIN_BATCH];
    bool reposted = false;
    ULONG n = 0;
    np_event none;

    if (!GetQueuedCompletionStatusEx(k->port, batch, DRAIN_BATCH, &n, DRAIN_SLICE_MS, FALSE))
        return false;
    np_mutex_lock(&k->lock);
    for (ULONG i = 0; i < n; i++)
        if (batch[i].lpCompletionKey == NP_IOCP_KEY_OVERLAPPED) {
            np_iocp_retire(k, (np_iocp_op *)(void *)batch[i].lpOverlapped);
        } else if (batch[i].lpCompletionKey == NP_IOCP_KEY_AFD) {
            np_iocp_complete_poll(k, (np_iocp_poll_op *)(void *)batch[i].lpOverlapped, &none);
        } else if (!k->released) {
            np_iocp_repost(k, &batch[i]);
            reposted = true;
        }
    np_mutex_unlock(&k->lock);
    if (reposted)
        np_yield(); /* to those that they are for */
    return true;
}

/* --- life ------------------------------------------------------------------------------------- */

static int iocp_init(void **kernel)
{
    WSADATA unused;
    int error = WSAStartup(MAKEWORD(2, 2), &unused);
    if (error)
        return np_errno_of_win32((DWORD)error);
    int rc = -ENOMEM;
    np_iocp_kernel *k = calloc(1, sizeof *k);
    if (!k)
        goto no_memory;
    rc = np_iocp_init_watches(k);
    if (rc < 0)
        goto no_watches;
    k->port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 0);
    if (!k->port) {
        rc = np_errno_of_win32(GetLastError());
        goto no_port;
    }
    k->devices = (np_afd_devices){.port = k->port, .key = NP_IOCP_KEY_AFD};
    k->refs = 1;
    np_mutex_init(&k->lock);
    np_iocp_open_timer(k);
    np_interrupt_install(np_iocp_interrupt);
    np_iocp_register(k);
    *kernel = k;
    return 0;

no_port:
    np_iocp_free_watches(k);
no_watches:
    free(k);
no_memory:
    WSACleanup();
    return rc;
}

/* The watches are closed and the polls cancelled; the kernel writes to their memory until their
 * packets have come.  If it keeps one for seconds, the memory is left to it. */
static bool drain_port(np_iocp_kernel *k)
{
    enum { TIMEOUT_MS = 5000 };

    for (int waited = 0; waited < TIMEOUT_MS;) {
        np_mutex_lock(&k->lock);
        bool done = k->polls_in_kernel == 0;
        np_mutex_unlock(&k->lock);
        if (done)
            return true;
        if (!np_iocp_drain_packets(k))
            waited += DRAIN_SLICE_MS;
    }
    return false;
}

/* The port stays until the last overlapped operation is finished: its packet must come out. */
void np_iocp_unref(np_iocp_kernel *k)
{
    np_mutex_lock(&k->lock);
    bool last = --k->refs == 0;
    np_mutex_unlock(&k->lock);
    if (!last)
        return;
    CloseHandle(k->port);
    np_iocp_free_watches(k);
    free(k);
    WSACleanup();
}

static void iocp_fini(void *kernel)
{
    np_iocp_kernel *k = kernel;

    np_iocp_unregister(k);
    np_iocp_close_timer(k);
    np_mutex_lock(&k->lock);
    np_iocp_close_watches(k);
    np_afd_close_all(&k->devices);
    k->released = true;
    np_mutex_unlock(&k->lock);
    if (drain_port(k))
        np_iocp_unref(k);
}

static int iocp_renew(void *kernel)
{
    (void)kernel;
    return -ENOSYS; /* there is no fork */
}

/* --- polling ---------------------------------------------------------------------------------- */

static int iocp_poll(void *kernel, np_event *events, int max, int64_t timeout, bool *woken)
{
    np_iocp_kernel *k = kernel;
    OVERLAPPED_ENTRY batch[NP_EVENT_BATCH];
    poll_result result = {.events = events};
    ULONG n = 0, room = (ULONG)(max < NP_EVENT_BATCH ? max : NP_EVENT_BATCH);
    bool timer = false;

    np_mutex_lock(&k->lock);
    k->inside++;
    uint32_t ctrl_c_count = k->ctrl_c_count;
    np_mutex_unlock(&k->lock);
    DWORD ms = np_iocp_blocking_ms(k, timeout, &timer);
    BOOL any = GetQueuedCompletionStatusEx(k->port, batch, room, &n, ms, FALSE);
    DWORD error = any ? 0 : GetLastError();
    if (timer)
        np_store(&k->timer_in_use, 0);

    np_mutex_lock(&k->lock);
    k->inside--;
    for (ULONG i = 0; any && i < n; i++)
        handle_packet(k, &batch[i], &result);
    bool interrupted =
        np_iocp_take_interrupts(k, result.interrupts, ctrl_c_count != k->ctrl_c_count);
    np_mutex_unlock(&k->lock);

    *woken = *woken || result.woken;
    if (!any && error != WAIT_TIMEOUT)
        return np_errno_of_win32(error);
    if (result.count > 0 && interrupted)
        np_iocp_post(k, NP_IOCP_KEY_INTERRUPT); /* the events first */
    else if (interrupted || (!any && timeout != 0 && np_interrupt_recent()))
        return -EINTR;
    return result.count;
}

static int iocp_wake(void *kernel)
{
    while (!np_iocp_post(kernel, NP_IOCP_KEY_WAKE))
        Sleep(1); /* as in np_iocp_repost */
    return 0;
}

static bool iocp_is_poll_descriptor(void *kernel, np_fd fd)
{
    np_iocp_kernel *k = kernel;
    HANDLE h = (HANDLE)fd;

    np_mutex_lock(&k->lock);
    bool own =
        h && (h == k->port || h == k->timer || h == k->timer_packet || np_afd_owns(&k->devices, h));
    np_mutex_unlock(&k->lock);
    return own;
}

/* Nothing here can be waited for with select. */
static int iocp_fileno(void *kernel, np_fd *out)
{
    (void)kernel;
    (void)out;
    return -ENOSYS;
}

const np_backend np_backend_iocp = {
    .name = "iocp",
    .usable = iocp_usable,
    .init = iocp_init,
    .fini = iocp_fini,
    .renew = iocp_renew,
    .open = np_iocp_watch_open,
    .reclaim = NULL,
    .close = np_iocp_watch_close,
    .arm = np_iocp_watch_arm,
    .poll = iocp_poll,
    .wake = iocp_wake,
    .is_poll_descriptor = iocp_is_poll_descriptor,
    .fileno = iocp_fileno,
};
#endif
