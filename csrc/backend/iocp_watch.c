/* Registered sockets of the iocp backend: a table of watches by number, and the polls of each.
 * iocp.h has their states. */
#include "backend/backend.h"

#ifdef NP_HAVE_IOCP
#include <errno.h>
#include <stdlib.h>

#include "backend/iocp.h"

/* Orphans' packets come as soon as they are cancelled, but only a thread that polls takes them out.
 * If none does, they must not pile up. */
enum { MAX_ORPHANS = 64 };

/* --- polls ------------------------------------------------------------------------------------ */

static np_iocp_poll_op *alloc_poll(np_iocp_kernel *k)
{
    np_iocp_poll_op *op = k->free;
    if (op)
        k->free = op->next;
    else
        op = malloc(sizeof *op);
    return op;
}

static void free_poll(np_iocp_kernel *k, np_iocp_poll_op *op)
{
    op->next = k->free;
    k->free = op;
}

static ULONG events_of(int role)
{
    switch (role) {
    case NP_READ:
        return AFD_RECEIVE | AFD_DISCONNECT | AFD_ACCEPT | AFD_ABORT | AFD_CONNECT_FAIL |
               AFD_LOCAL_CLOSE;
    case NP_WRITE:
        return AFD_SEND | AFD_ABORT | AFD_CONNECT_FAIL | AFD_LOCAL_CLOSE;
    default:
        return AFD_LOCAL_CLOSE;
    }
}

static int start_poll(np_iocp_kernel *k, np_iocp_watch *w, int role)
{
    np_iocp_poll_op *op = alloc_poll(k);
    if (!op)
        return -ENOMEM;
    op->owner = w;
    op->role = role;
    int rc = np_afd_submit(w->device, &op->poll, w->base, events_of(role));
    if (rc < 0) {
        free_poll(k, op);
        return rc;
    }
    w->polls[role] = op;
    k->polls_in_kernel++;
    return 0;
}

/* Cancel and leave behind.  True if it was still waiting for its events. */
static bool orphan_poll(np_iocp_kernel *k, np_iocp_watch *w, int role)
{
    np_iocp_poll_op *op = w->polls[role];
    if (!op)
        return false;
    w->polls[role] = NULL;
    op->owner = NULL;
    k->orphans++;
    return np_afd_cancel(w->device, &op->poll);
}

bool np_iocp_complete_poll(np_iocp_kernel *k, np_iocp_poll_op *op, np_event *out)
{
    np_iocp_watch *w = op->owner;
    bool is_event = false;

    k->polls_in_kernel--;
    if (!w) {
        k->orphans--;
    } else {
        w->polls[op->role] = NULL;
        is_event = op->role != NP_IOCP_PROBE && np_afd_result(&op->poll) != 0;
        *out = (np_event){.tag = w->tag, .modes = (uint8_t)op->role};
    }
    free_poll(k, op);
    return is_event;
}

static np_iocp_poll_op *poll_of(const OVERLAPPED_ENTRY *packet)
{
    return (np_iocp_poll_op *)(void *)packet->lpOverlapped;
}

static bool is_orphan(const OVERLAPPED_ENTRY *packet)
{
    return packet->lpCompletionKey == NP_IOCP_KEY_AFD && !poll_of(packet)->owner;
}

static void reap_orphans(np_iocp_kernel *k)
{
    OVERLAPPED_ENTRY batch[MAX_ORPHANS];
    ULONG n = 0;
    np_event none;

    if (k->orphans < MAX_ORPHANS ||
        !GetQueuedCompletionStatusEx(k->port, batch, MAX_ORPHANS, &n, 0, FALSE))
        return;
    for (ULONG i = 0; i < n; i++)
        if (is_orphan(&batch[i]))
            np_iocp_complete_poll(k, poll_of(&batch[i]), &none);
        else
            np_iocp_repost(k, &batch[i]);
}

/* --- the table -------------------------------------------------------------------------------- */

static np_iocp_watch **bucket_of(const np_iocp_kernel *k, np_fd fd)
{
    return &k->buckets[((uint64_t)fd * UINT64_C(0x9E3779B97F4A7C15) >> 32) & (k->capacity - 1)];
}

/* Where the watch of fd is linked, or NULL would be. */
static np_iocp_watch **find_link(const np_iocp_kernel *k, np_fd fd)
{
    np_iocp_watch **at = bucket_of(k, fd);
    while (*at && (*at)->fd != fd)
        at = &(*at)->next;
    return at;
}

np_iocp_watch *np_iocp_find_watch(const np_iocp_kernel *k, np_fd fd, uint64_t tag)
{
    np_iocp_watch *w = *find_link(k, fd);
    return w && w->tag == tag ? w : NULL;
}

static int grow(np_iocp_kernel *k)
{
    if (k->count < k->capacity)
        return 0;
    np_iocp_kernel bigger = {.capacity = k->capacity * 2};
    bigger.buckets = calloc(bigger.capacity, sizeof *bigger.buckets);
    if (!bigger.buckets)
        return -ENOMEM;
    for (uint32_t i = 0; i < k->capacity; i++)
        while (k->buckets[i]) {
            np_iocp_watch *w = k->buckets[i];
            k->buckets[i] = w->next;
            w->next = *bucket_of(&bigger, w->fd);
            *bucket_of(&bigger, w->fd) = w;
        }
    free(k->buckets);
    k->buckets = bigger.buckets;
    k->capacity = bigger.capacity;
    return 0;
}

static void remove_watch(np_iocp_kernel *k, np_iocp_watch **at)
{
    np_iocp_watch *w = *at;

    *at = w->next;
    k->count--;
    for (int role = 0; role < NP_IOCP_POLLS; role++)
        orphan_poll(k, w, role);
    np_afd_release(&k->devices, w->device);
    free(w);
}

int np_iocp_init_watches(np_iocp_kernel *k)
{
    k->capacity = 64;
    k->buckets = calloc(k->capacity, sizeof *k->buckets);
    return k->buckets ? 0 : -ENOMEM;
}

void np_iocp_close_watches(np_iocp_kernel *k)
{
    for (uint32_t i = 0; i < k->capacity; i++)
        while (k->buckets[i])
            remove_watch(k, &k->buckets[i]);
}

void np_iocp_free_watches(np_iocp_kernel *k)
{
    for (np_iocp_poll_op *op = k->free, *next; op; op = next) {
        next = op->next;
        free(op);
    }
    free(k->buckets);
}

/* --- registering ------------------------------------------------------------------------------ */

/* Is the number still the socket that was opened?  Asking uses up the probe: a new one follows. */
static bool still_open(np_iocp_kernel *k, np_iocp_watch *w)
{
    return orphan_poll(k, w, NP_IOCP_PROBE) && start_poll(k, w, NP_IOCP_PROBE) == 0;
}

static int open_watch(np_iocp_kernel *k, np_fd fd, SOCKET base, uint64_t tag)
{
    np_iocp_watch **old = find_link(k, fd);
    if (*old && still_open(k, *old))
        return -EEXIST;
    if (*old)
        remove_watch(k, old);
    int rc = grow(k);
    if (rc < 0)
        return rc;
    np_iocp_watch *w = calloc(1, sizeof *w);
    if (!w)
        return -ENOMEM;
    *w = (np_iocp_watch){.tag = tag, .fd = fd, .base = base};
    rc = np_afd_acquire(&k->devices, &w->device);
    if (rc < 0)
        goto no_device;
    rc = start_poll(k, w, NP_IOCP_PROBE);
    if (rc < 0)
        goto no_probe;
    w->next = *bucket_of(k, fd);
    *bucket_of(k, fd) = w;
    k->count++;
    return 0;

no_probe:
    np_afd_release(&k->devices, w->device);
no_device:
    free(w);
    return rc;
}

int np_iocp_watch_open(void *kernel, np_fd fd, uint64_t tag)
{
    np_iocp_kernel *k = kernel;
    SOCKET base;

    int rc = np_afd_base_socket((SOCKET)fd, &base);
    if (rc < 0)
        return rc;
    np_mutex_lock(&k->lock);
    rc = open_watch(k, fd, base, tag);
    reap_orphans(k);
    np_mutex_unlock(&k->lock);
    return rc;
}

int np_iocp_watch_close(void *kernel, np_fd fd, uint64_t tag)
{
    np_iocp_kernel *k = kernel;

    np_mutex_lock(&k->lock);
    if (np_iocp_find_watch(k, fd, tag))
        remove_watch(k, find_link(k, fd));
    reap_orphans(k);
    np_mutex_unlock(&k->lock);
    return 0;
}

int np_iocp_watch_arm(void *kernel, np_fd fd, uint64_t tag, int mode)
{
    np_iocp_kernel *k = kernel;
    int rc = 0;

    np_mutex_lock(&k->lock);
    np_iocp_watch *w = np_iocp_find_watch(k, fd, tag);
    if (w && !w->polls[NP_IOCP_PROBE])
        rc = -EBADF; /* closed under its descriptor; the number may be another socket's by now */
    else if (w && !w->polls[mode] && !(w->overlapped & mode))
        rc = start_poll(k, w, mode);
    np_mutex_unlock(&k->lock);
    return rc;
}
#endif
