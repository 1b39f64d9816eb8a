/* I/O completion ports, with AFD polls for readiness.
 *
 * Everything comes out of one port, as packets told apart by their key: polls (afd_win32.h),
 * overlapped operations of the host (netpoll_iocp.h), wake-ups, the timer, Ctrl-C.
 *
 * A poll reports once, so the core arms before it waits; an armed mode is one poll of its own.  One
 * more poll, the probe, lasts from open to close and asks for nothing but the socket's closing.
 * It answers the question that Windows has no call for: is this number still the socket that was
 * opened?  Cancelling tells: what can be cancelled was still waiting.
 *
 * A poll's memory is the kernel's until its packet comes.  A watch (a registered socket) and its
 * polls therefore live apart: a watch that closes cancels its polls and leaves them behind, as
 * orphans, for whoever gets their packets.
 */
#include "backend.h"

#include <errno.h>
#include <stdlib.h>

#include "afd_win32.h"
#include "interrupt_win32.h"
#include "iocp_win32.h"

enum { KEY_AFD, KEY_OVERLAPPED, KEY_WAKE, KEY_TIMER, KEY_INTERRUPT };

/* READ and WRITE have their modes' numbers. */
enum { PROBE = 0, POLLS = 3 };

enum { MAX_ORPHANS = 64, SLICE_MS = 10 };

typedef struct watch watch;

typedef struct operation {
    afd_poll poll;          /* the first member: a packet brings its address */
    watch *owner;           /* NULL: an orphan */
    int role;               /* PROBE, NP_READ, NP_WRITE */
    struct operation *next; /* of the free ones */
} operation;

/* A registered socket. */
struct watch {
    watch *next; /* in its bucket */
    uint64_t tag;
    np_fd fd;
    SOCKET base;
    afd_device *device;
    operation *polls[POLLS]; /* those that the kernel has */
    int overlapped;          /* modes whose readiness is the completion of an np_iocp_op */
    bool associated;         /* with the port, for those */
};

typedef struct iocp_kernel {
    HANDLE port;
    HANDLE timer, timer_packet; /* NULL without high-resolution timers */
    np_atomic32 timer_taken;

    np_mutex lock; /* everything below */
    watch **buckets;
    uint32_t count, capacity; /* capacity: a power of two */
    afd_devices devices;
    operation *free;
    uint32_t in_kernel; /* polls */
    uint32_t orphans;   /* ... that belong to no watch any more */
    uint32_t inside;    /* threads in poll */
    uint32_t ctrl_cs;   /* how many there were */
    uint32_t owed;      /* threads in poll that do not know of the last one */
    uint32_t users;     /* the poller, and overlapped operations from begin to finish */
    bool given_back;    /* by the poller */

    struct iocp_kernel *next, **link; /* of all, under all_lock */
} iocp_kernel;

static np_mutex all_lock = NP_MUTEX_INIT;
static iocp_kernel *all;

static bool post(iocp_kernel *k, ULONG_PTR key)
{
    return PostQueuedCompletionStatus(k->port, 0, key, NULL);
}

/* --- the timer -------------------------------------------------------------------------------- */

/* A port's own timeouts count in ticks of 15.6 ms.  Since Windows 10 1803 there is a better timer,
 * and a packet that it puts into the port when it goes off.  There is one a port; of several
 * threads in poll the first has it. */
static void open_timer(iocp_kernel *k)
{
    if (!np_open_fine_timer(&k->timer, &k->timer_packet))
        k->timer = NULL;
}

static void close_timer(iocp_kernel *k)
{
    if (!k->timer)
        return;
    CloseHandle(k->timer_packet);
    CloseHandle(k->timer);
}

static bool start_timer(iocp_kernel *k, int64_t timeout)
{
    const np_ntapi *nt = np_ntapi_get();
    LARGE_INTEGER due = {.QuadPart = -((timeout + 99) / 100)}; /* negative: from now */
    void *key = (void *)(uintptr_t)KEY_TIMER;

    /* From the last time it may still wait, or its packet lie in the port: away with it.  That
     * fails if it is going off this very moment; then it is somebody's early return, no more. */
    if (nt->cancel_packet(k->timer_packet, TRUE) == STATUS_PENDING)
        return false;
    return SetWaitableTimer(k->timer, &due, 0, NULL, NULL, FALSE) &&
           NT_SUCCESS(
               nt->associate_packet(k->timer_packet, k->port, k->timer, key, NULL, 0, 0, NULL));
}

enum { COARSE_MS = 32 }; /* two ticks */

/* How long to block, in milliseconds, rounded up.  With the timer running that is only the net
 * below it.  A timeout that is far away is approached by the coarse clock first: the caller comes
 * back for the rest. */
static DWORD blocking_time(iocp_kernel *k, int64_t timeout, bool *timer)
{
    const int64_t ms = 1000000, day = 86400 * INT64_C(1000);

    if (np_interrupt_recent() && (timeout < 0 || timeout > NP_INTERRUPT_SLICE_MS * ms))
        return NP_INTERRUPT_SLICE_MS;
    if (timeout < 0)
        return INFINITE;
    if (timeout > 0 && k->timer) {
        if (timeout > 2 * COARSE_MS * ms)
            timeout -= COARSE_MS * ms;
        else if (np_cas(&k->timer_taken, 0, 1))
            *timer = start_timer(k, timeout) || (np_store(&k->timer_taken, 0), false);
    }
    return (DWORD)(timeout / ms >= day ? day : (timeout + ms - 1) / ms);
}

/* --- operations ------------------------------------------------------------------------------- */

static operation *new_operation(iocp_kernel *k)
{
    operation *op = k->free;
    if (op)
        k->free = op->next;
    else
        op = malloc(sizeof *op);
    return op;
}

static void free_operation(iocp_kernel *k, operation *op)
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

static int start(iocp_kernel *k, watch *w, int role)
{
    operation *op = new_operation(k);
    if (!op)
        return -ENOMEM;
    op->owner = w;
    op->role = role;
    int rc = afd_submit(w->device, &op->poll, w->base, events_of(role));
    if (rc < 0) {
        free_operation(k, op);
        return rc;
    }
    w->polls[role] = op;
    k->in_kernel++;
    return 0;
}

/* Cancel and leave behind.  True if it was still waiting for its events. */
static bool abandon(iocp_kernel *k, watch *w, int role)
{
    operation *op = w->polls[role];
    if (!op)
        return false;
    w->polls[role] = NULL;
    op->owner = NULL;
    k->orphans++;
    return afd_cancel(w->device, &op->poll);
}

/* A poll's packet: true if it is an event. */
static bool poll_done(iocp_kernel *k, operation *op, np_event *out)
{
    watch *w = op->owner;
    bool news = false;

    k->in_kernel--;
    if (!w) {
        k->orphans--;
    } else {
        w->polls[op->role] = NULL;
        news = op->role != PROBE && afd_result(&op->poll) != 0;
        *out = (np_event){.tag = w->tag, .modes = (uint8_t)op->role};
    }
    free_operation(k, op);
    return news;
}

/* --- the table of watches --------------------------------------------------------------------- */

static watch **bucket_of(const iocp_kernel *k, np_fd fd)
{
    return &k->buckets[((uint64_t)fd * UINT64_C(0x9E3779B97F4A7C15) >> 32) & (k->capacity - 1)];
}

/* Where the watch of fd is linked, or NULL would be. */
static watch **find(const iocp_kernel *k, np_fd fd)
{
    watch **at = bucket_of(k, fd);
    while (*at && (*at)->fd != fd)
        at = &(*at)->next;
    return at;
}

static watch *lookup(const iocp_kernel *k, np_fd fd, uint64_t tag)
{
    watch *w = *find(k, fd);
    return w && w->tag == tag ? w : NULL;
}

static int grow(iocp_kernel *k)
{
    if (k->count < k->capacity)
        return 0;
    iocp_kernel bigger = {.capacity = k->capacity * 2};
    bigger.buckets = calloc(bigger.capacity, sizeof *bigger.buckets);
    if (!bigger.buckets)
        return -ENOMEM;
    for (uint32_t i = 0; i < k->capacity; i++)
        while (k->buckets[i]) {
            watch *w = k->buckets[i];
            k->buckets[i] = w->next;
            w->next = *bucket_of(&bigger, w->fd);
            *bucket_of(&bigger, w->fd) = w;
        }
    free(k->buckets);
    k->buckets = bigger.buckets;
    k->capacity = bigger.capacity;
    return 0;
}

static void forget(iocp_kernel *k, watch **at)
{
    watch *w = *at;

    *at = w->next;
    k->count--;
    for (int role = 0; role < POLLS; role++)
        abandon(k, w, role);
    afd_give(&k->devices, w->device);
    free(w);
}

/* Is the number still the socket that was opened?  The probe is used up by the question. */
static bool still_open(iocp_kernel *k, watch *w)
{
    return abandon(k, w, PROBE) && start(k, w, PROBE) == 0;
}

static bool is_orphan(const OVERLAPPED_ENTRY *packet)
{
    return packet->lpCompletionKey == KEY_AFD &&
           !((operation *)(void *)packet->lpOverlapped)->owner;
}

static void put_back(iocp_kernel *k, const OVERLAPPED_ENTRY *packet)
{
    while (!PostQueuedCompletionStatus(k->port, packet->dwNumberOfBytesTransferred,
                                       packet->lpCompletionKey, packet->lpOverlapped))
        Sleep(1); /* out of the kernel's memory: somebody will give some back */
}

/* Orphans' packets come as soon as they are cancelled, but only who polls takes them out.  If
 * nobody does, they must not pile up. */
static void bury_orphans(iocp_kernel *k)
{
    OVERLAPPED_ENTRY batch[MAX_ORPHANS];
    ULONG n = 0;
    np_event none;

    if (k->orphans < MAX_ORPHANS ||
        !GetQueuedCompletionStatusEx(k->port, batch, MAX_ORPHANS, &n, 0, FALSE))
        return;
    for (ULONG i = 0; i < n; i++)
        if (is_orphan(&batch[i]))
            poll_done(k, (operation *)(void *)batch[i].lpOverlapped, &none);
        else
            put_back(k, &batch[i]);
}

static int open_watch(iocp_kernel *k, np_fd fd, SOCKET base, uint64_t tag)
{
    watch **old = find(k, fd);
    if (*old && still_open(k, *old))
        return -EEXIST;
    if (*old)
        forget(k, old);
    int rc = grow(k);
    if (rc < 0)
        return rc;
    watch *w = calloc(1, sizeof *w);
    if (!w)
        return -ENOMEM;
    *w = (watch){.tag = tag, .fd = fd, .base = base};
    rc = afd_take(&k->devices, &w->device);
    if (rc < 0)
        goto no_device;
    rc = start(k, w, PROBE);
    if (rc < 0)
        goto no_probe;
    w->next = *bucket_of(k, fd);
    *bucket_of(k, fd) = w;
    k->count++;
    return 0;

no_probe:
    afd_give(&k->devices, w->device);
no_device:
    free(w);
    return rc;
}

static int iocp_open(void *kernel, np_fd fd, uint64_t tag)
{
    iocp_kernel *k = kernel;
    SOCKET base;

    int rc = afd_base_socket((SOCKET)fd, &base);
    if (rc < 0)
        return rc;
    np_mutex_lock(&k->lock);
    rc = open_watch(k, fd, base, tag);
    bury_orphans(k);
    np_mutex_unlock(&k->lock);
    return rc;
}

static int iocp_close(void *kernel, np_fd fd, uint64_t tag)
{
    iocp_kernel *k = kernel;

    np_mutex_lock(&k->lock);
    if (lookup(k, fd, tag))
        forget(k, find(k, fd));
    bury_orphans(k);
    np_mutex_unlock(&k->lock);
    return 0;
}

static int iocp_arm(void *kernel, np_fd fd, uint64_t tag, int mode)
{
    iocp_kernel *k = kernel;
    int rc = 0;

    np_mutex_lock(&k->lock);
    watch *w = lookup(k, fd, tag);
    if (w && !w->polls[PROBE])
        rc = -EBADF; /* closed under its descriptor; the number may be another's by now */
    else if (w && !w->polls[mode] && !(w->overlapped & mode))
        rc = start(k, w, mode);
    np_mutex_unlock(&k->lock);
    return rc;
}

/* --- overlapped operations ---------------------------------------------------------------------
 */

static int associate(iocp_kernel *k, watch *w)
{
    if (!w->associated && !CreateIoCompletionPort((HANDLE)w->fd, k->port, KEY_OVERLAPPED, 0))
        return np_errno_of_win32(GetLastError());
    w->associated = true;
    return 0;
}

int np_iocp_claim(void *kernel, np_fd fd, uint64_t tag, np_iocp_op *op)
{
    iocp_kernel *k = kernel;

    np_mutex_lock(&k->lock);
    watch *w = lookup(k, fd, tag);
    int rc = !w ? -EBADF : w->overlapped & op->mode ? NP_BUSY : associate(k, w);
    if (rc == 0) {
        w->overlapped |= op->mode;
        op->kernel = k;
        op->fd = fd;
        op->tag = tag;
        op->running = 1;
        k->users++;
    }
    np_mutex_unlock(&k->lock);
    return rc;
}

/* The kernel has let go of op, or never had it.  After the last line op may be gone. */
static void retire(iocp_kernel *k, np_iocp_op *op)
{
    watch *w = lookup(k, op->fd, op->tag);

    if (w)
        w->overlapped &= ~op->mode;
    InterlockedExchange(&op->running, 0);
}

void np_iocp_withdraw(np_iocp_op *op)
{
    iocp_kernel *k = op->kernel;

    np_mutex_lock(&k->lock);
    retire(k, op);
    np_mutex_unlock(&k->lock);
}

/* For SLICE_MS take out what comes to a poller that is closed: nobody wants its events any more,
 * but who waits for the end of an operation and who drains the port may each get the other's
 * packet.  Wake-ups are for those in poll, as long as there can be any.  False: nothing came. */
static bool take_out(iocp_kernel *k)
{
    OVERLAPPED_ENTRY batch[MAX_ORPHANS];
    bool others = false;
    ULONG n = 0;
    np_event none;

    if (!GetQueuedCompletionStatusEx(k->port, batch, MAX_ORPHANS, &n, SLICE_MS, FALSE))
        return false;
    np_mutex_lock(&k->lock);
    for (ULONG i = 0; i < n; i++)
        if (batch[i].lpCompletionKey == KEY_OVERLAPPED) {
            retire(k, (np_iocp_op *)(void *)batch[i].lpOverlapped);
        } else if (batch[i].lpCompletionKey == KEY_AFD) {
            poll_done(k, (operation *)(void *)batch[i].lpOverlapped, &none);
        } else if (!k->given_back) {
            put_back(k, &batch[i]);
            others = true;
        }
    np_mutex_unlock(&k->lock);
    if (others)
        np_yield(); /* to them */
    return true;
}

void np_iocp_pump(np_iocp_op *op)
{
    take_out(op->kernel);
}

/* --- life ------------------------------------------------------------------------------------- */

static bool iocp_usable(void)
{
    return np_ntapi_get() != NULL;
}

static void enlist(iocp_kernel *k)
{
    np_mutex_lock(&all_lock);
    k->next = all;
    k->link = &all;
    if (all)
        all->link = &k->next;
    all = k;
    np_mutex_unlock(&all_lock);
}

static void delist(iocp_kernel *k)
{
    np_mutex_lock(&all_lock);
    *k->link = k->next;
    if (k->next)
        k->next->link = k->link;
    np_mutex_unlock(&all_lock);
}

static int iocp_init(void **kernel)
{
    enum { BUCKETS = 64 };
    WSADATA unused;
    int error = WSAStartup(MAKEWORD(2, 2), &unused);
    if (error)
        return np_errno_of_win32((DWORD)error);
    int rc = -ENOMEM;
    iocp_kernel *k = calloc(1, sizeof *k);
    if (!k)
        goto no_memory;
    k->capacity = BUCKETS;
    k->buckets = calloc(k->capacity, sizeof(watch *));
    if (!k->buckets)
        goto no_port;
    k->port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 0);
    if (!k->port) {
        rc = np_errno_of_win32(GetLastError());
        goto no_port;
    }
    k->devices = (afd_devices){.port = k->port, .key = KEY_AFD};
    k->users = 1;
    np_mutex_init(&k->lock);
    open_timer(k);
    np_interrupt_install();
    enlist(k);
    *kernel = k;
    return 0;

no_port:
    free(k->buckets);
    free(k);
no_memory:
    WSACleanup();
    return rc;
}

/* The watches are closed and the polls cancelled; the kernel writes to their memory until their
 * packets have come.  Should it keep one for seconds, the memory is left to it. */
static bool drain(iocp_kernel *k)
{
    enum { PATIENCE_MS = 5000 };

    for (int waited = 0; waited < PATIENCE_MS;) {
        np_mutex_lock(&k->lock);
        bool done = k->in_kernel == 0;
        np_mutex_unlock(&k->lock);
        if (done)
            return true;
        if (!take_out(k))
            waited += SLICE_MS;
    }
    return false;
}

/* The port stays until the last overlapped operation is finished: its packet must come out. */
static void release(iocp_kernel *k)
{
    np_mutex_lock(&k->lock);
    bool last = --k->users == 0;
    np_mutex_unlock(&k->lock);
    if (!last)
        return;
    CloseHandle(k->port);
    for (operation *op = k->free, *next; op; op = next) {
        next = op->next;
        free(op);
    }
    free(k->buckets);
    free(k);
    WSACleanup();
}

void np_iocp_release(np_iocp_op *op)
{
    release(op->kernel);
}

static void iocp_fini(void *kernel)
{
    iocp_kernel *k = kernel;

    delist(k);
    close_timer(k);
    np_mutex_lock(&k->lock);
    for (uint32_t i = 0; i < k->capacity; i++)
        while (k->buckets[i])
            forget(k, &k->buckets[i]);
    afd_close_all(&k->devices);
    k->given_back = true;
    np_mutex_unlock(&k->lock);
    if (drain(k))
        release(k);
}

static int iocp_renew(void *kernel)
{
    (void)kernel;
    return -ENOSYS; /* there is no fork */
}

/* --- polling ---------------------------------------------------------------------------------- */

typedef struct harvest {
    np_event *events;
    int count;
    uint32_t interrupts;
    bool woken;
} harvest;

static void take_packet(iocp_kernel *k, const OVERLAPPED_ENTRY *packet, harvest *h)
{
    void *address = packet->lpOverlapped;
    np_iocp_op *op;

    switch (packet->lpCompletionKey) {
    case KEY_AFD:
        h->count += poll_done(k, address, &h->events[h->count]);
        break;
    case KEY_OVERLAPPED:
        op = address;
        h->events[h->count++] = (np_event){.tag = op->tag, .modes = (uint8_t)op->mode};
        retire(k, op);
        break;
    case KEY_WAKE:
        h->woken = true;
        break;
    case KEY_INTERRUPT:
        h->interrupts++;
        break;
    default:
        break; /* the timer: coming back is all that it is for */
    }
}

/* Ctrl-C puts a packet into the port for each who is inside, but anybody may take them, all at
 * once: those of others who are still inside go back.  True if the caller is interrupted: it was
 * inside itself (meant), or one is left over. */
static bool take_interrupts(iocp_kernel *k, uint32_t taken, bool meant)
{
    k->owed -= meant;
    uint32_t others = taken < k->owed ? taken : k->owed;
    for (uint32_t i = 0; i < others; i++)
        post(k, KEY_INTERRUPT);
    return meant || taken > others;
}

static int iocp_poll(void *kernel, np_event *events, int max, int64_t timeout, bool *woken)
{
    iocp_kernel *k = kernel;
    OVERLAPPED_ENTRY batch[NP_EVENT_BATCH];
    harvest h = {.events = events};
    ULONG n = 0, room = (ULONG)(max < NP_EVENT_BATCH ? max : NP_EVENT_BATCH);
    bool timer = false;

    np_mutex_lock(&k->lock);
    k->inside++;
    uint32_t ctrl_cs = k->ctrl_cs;
    np_mutex_unlock(&k->lock);
    DWORD ms = blocking_time(k, timeout, &timer);
    BOOL any = GetQueuedCompletionStatusEx(k->port, batch, room, &n, ms, FALSE);
    DWORD error = any ? 0 : GetLastError();
    if (timer)
        np_store(&k->timer_taken, 0);

    np_mutex_lock(&k->lock);
    k->inside--;
    for (ULONG i = 0; any && i < n; i++)
        take_packet(k, &batch[i], &h);
    bool interrupted = take_interrupts(k, h.interrupts, ctrl_cs != k->ctrl_cs);
    np_mutex_unlock(&k->lock);

    *woken = *woken || h.woken;
    if (!any && error != WAIT_TIMEOUT)
        return np_errno_of_win32(error);
    if (h.count > 0 && interrupted)
        post(k, KEY_INTERRUPT); /* these first */
    else if (interrupted || (!any && timeout != 0 && np_interrupt_recent()))
        return -EINTR;
    return h.count;
}

static int iocp_wake(void *kernel)
{
    while (!post(kernel, KEY_WAKE))
        Sleep(1); /* as in put_back */
    return 0;
}

void np_iocp_interrupt(void)
{
    np_mutex_lock(&all_lock);
    for (iocp_kernel *k = all; k; k = k->next) {
        np_mutex_lock(&k->lock);
        k->ctrl_cs++;
        k->owed = k->inside;
        for (uint32_t i = 0; i < k->inside; i++)
            post(k, KEY_INTERRUPT);
        np_mutex_unlock(&k->lock);
    }
    np_mutex_unlock(&all_lock);
}

static bool iocp_is_poll_descriptor(void *kernel, np_fd fd)
{
    iocp_kernel *k = kernel;
    HANDLE h = (HANDLE)fd;

    np_mutex_lock(&k->lock);
    bool own =
        h && (h == k->port || h == k->timer || h == k->timer_packet || afd_owns(&k->devices, h));
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

static int iocp_nest_timer(void *kernel, int64_t when)
{
    (void)kernel;
    (void)when;
    return -ENOSYS;
}

const np_backend np_backend_iocp = {
    .name = "iocp",
    .usable = iocp_usable,
    .init = iocp_init,
    .fini = iocp_fini,
    .renew = iocp_renew,
    .open = iocp_open,
    .close = iocp_close,
    .arm = iocp_arm,
    .poll = iocp_poll,
    .wake = iocp_wake,
    .is_poll_descriptor = iocp_is_poll_descriptor,
    .fileno = iocp_fileno,
    .nest_timer = iocp_nest_timer,
};
