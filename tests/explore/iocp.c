/* Completion ports in the kernel in miniature, and what reports through them: AFD polls, overlapped
 * receives, timers' packets.
 *
 * What matters of the real ones: the memory of an operation, and its buffer, is the kernel's from
 * the call that starts it until its packet has come out of the port, however it ends; packets come
 * out in their order, to whichever thread asks, several at once; a poll completes when the event is
 * true, at once if it is already, and once; an operation that is cancelled may complete all the
 * same; closing the driver's handle cancels what was asked through it, and closing the last handle
 * of a socket completes what waits for it.
 */
#include "iocp.h"

#include <string.h>
#include <sys/epoll.h>

#include "sim.h"
#include "win32/afd_win32.h"

/* LINGERING: a receive that is cancelled and has not ended yet.  QUEUED: its packet is in the port.
 */
enum { UNUSED, PENDING, LINGERING, QUEUED };

typedef struct operation {
    int state;
    file *asked; /* the handle's it was started on */
    file *socket;
    file *port; /* NULL: closed */
    ULONG_PTR key;
    IO_STATUS_BLOCK *status;
    void *context;     /* comes out with the packet */
    np_afd_info *poll; /* or a receive: */
    char *buffer;
    ULONG length;
} operation;

typedef struct packet {
    file *port, *of_timer;
    OVERLAPPED_ENTRY entry;
    operation *op;
} packet;

enum { OPERATIONS = 160, PACKETS = 160 };
static operation operations[OPERATIONS];
static packet packets[PACKETS];
static int operation_count, packet_count; /* used so far; in ports, the oldest first */

/* --- memory ----------------------------------------------------------------------------------- */

static bool overlaps(const void *a, size_t n, const void *b, size_t m)
{
    return (uintptr_t)a < (uintptr_t)b + m && (uintptr_t)b < (uintptr_t)a + n;
}

static bool has(const operation *op, const void *p, size_t n)
{
    return op->state != UNUSED && (overlaps(op->status, sizeof *op->status, p, n) ||
                                   (op->poll ? overlaps(op->poll, sizeof *op->poll, p, n)
                                             : overlaps(op->buffer, op->length, p, n)));
}

bool iocp_has(const void *p, size_t n)
{
    for (int i = 0; i < operation_count; i++)
        if (has(&operations[i], p, n))
            return true;
    return false;
}

static void check_memory(const operation *op)
{
    sim_check_address(op->status);
    sim_check_address(op->poll ? (const void *)op->poll : op->buffer);
}

/* --- packets ---------------------------------------------------------------------------------- */

static packet *queue_packet(file *port, ULONG_PTR key, void *context)
{
    if (packet_count == PACKETS)
        ex_fail("the port is too small");
    packet *p = &packets[packet_count++];
    *p = (packet){.port = port};
    p->entry = (OVERLAPPED_ENTRY){.lpCompletionKey = key, .lpOverlapped = context};
    return p;
}

static void unqueue(packet *p)
{
    packet_count--;
    memmove(p, p + 1, (size_t)(&packets[packet_count] - p) * sizeof *p);
}

static bool is_due(const file *f)
{
    return f->kind == WAIT_PACKET && f->port && f->target->when && f->target->when <= ex_clock();
}

bool iocp_has_packets(const file *port)
{
    for (int i = 0; i < packet_count; i++)
        if (packets[i].port == port)
            return true;
    for (int i = 0; i < operation_count; i++)
        if (operations[i].state == LINGERING && operations[i].port == port)
            return true;
    for (int i = 0; i < FILES; i++)
        if (is_due(&files[i]) && files[i].port == port)
            return true;
    return false;
}

/* --- operations ------------------------------------------------------------------------------- */

static operation *new_operation(void)
{
    int i = 0;
    while (i < operation_count && operations[i].state != UNUSED)
        i++;
    if (i == OPERATIONS)
        ex_fail("too many operations at once");
    operation_count += i == operation_count;
    return &operations[i];
}

/* The kernel writes to the operation's memory. */
static void complete(operation *op, NTSTATUS status, ULONG_PTR information)
{
    check_memory(op);
    op->status->Status = status;
    op->status->Information = information;
    op->state = UNUSED;
    ex_trace("   ... %s of %d completes: %#x", op->poll ? "a poll" : "a receive",
             (int)(op->socket - files), (unsigned)status);
    if (!op->port)
        return;
    op->state = QUEUED;
    packet *p = queue_packet(op->port, op->key, op->context);
    p->op = op;
    p->entry.dwNumberOfBytesTransferred = (DWORD)information;
}

static void complete_poll(operation *op, ULONG events)
{
    check_memory(op);
    op->poll->count = 1;
    op->poll->handles[0].events = events & op->poll->handles[0].events;
    complete(op, STATUS_SUCCESS, sizeof *op->poll);
}

static ULONG events_of(const file *f)
{
    uint32_t state = state_of(f);
    return (state & EPOLLIN ? (ULONG)AFD_RECEIVE : 0) | (state & EPOLLOUT ? (ULONG)AFD_SEND : 0) |
           (state & EPOLLERR ? (ULONG)AFD_ABORT : 0) |
           (state & EPOLLHUP ? (ULONG)AFD_DISCONNECT | AFD_ABORT : 0);
}

static void try_receive(operation *op)
{
    file *f = op->socket;
    if (f->bytes) {
        f->bytes--;
        check_memory(op);
        op->buffer[0] = 'x';
        complete(op, STATUS_SUCCESS, 1);
    } else if (f->error) {
        complete(op, STATUS_CONNECTION_RESET, 0);
    } else if (f->hangup) {
        complete(op, STATUS_SUCCESS, 0);
    }
}

static void try_poll(operation *op)
{
    ULONG events = events_of(op->socket) & op->poll->handles[0].events;
    if (events)
        complete_poll(op, events);
}

static bool waits(const operation *op)
{
    return op->state == PENDING || op->state == LINGERING;
}

/* A receive that waits takes what comes before any poll sees it. */
void iocp_changed(const file *f)
{
    for (int i = 0; i < operation_count; i++)
        if (waits(&operations[i]) && operations[i].socket == f && !operations[i].poll)
            try_receive(&operations[i]);
    for (int i = 0; i < operation_count; i++)
        if (waits(&operations[i]) && operations[i].socket == f && operations[i].poll)
            try_poll(&operations[i]);
}

static void close_port(const file *port)
{
    for (int i = packet_count - 1; i >= 0; i--)
        if (packets[i].port == port) {
            if (packets[i].op)
                packets[i].op->state = UNUSED;
            unqueue(&packets[i]);
        }
    for (int i = 0; i < operation_count; i++)
        if (operations[i].port == port)
            operations[i].port = NULL;
    for (int i = 0; i < FILES; i++)
        if (files[i].port == port)
            files[i].port = NULL;
}

void iocp_gone(const file *f)
{
    for (int i = 0; i < operation_count; i++) {
        operation *op = &operations[i];
        if (waits(op) && op->asked == f)
            complete(op, STATUS_CANCELLED, 0);
        else if (waits(op) && op->socket == f)
            complete_poll(op, AFD_LOCAL_CLOSE);
    }
    if (f->kind == PORT)
        close_port(f);
}

/* NT_SUCCESS: a packet will come. */
static NTSTATUS start(operation *op)
{
    if (op->socket->kind != A_SOCKET)
        ex_fail("an operation on what is no socket");
    if (iocp_has(op->status, sizeof *op->status) ||
        (op->poll ? iocp_has(op->poll, sizeof *op->poll) : iocp_has(op->buffer, op->length)))
        ex_fail("an operation's memory is the kernel's already");
    check_memory(op);
    op->state = PENDING;
    op->poll ? try_poll(op) : try_receive(op);
    return op->state == PENDING ? (NTSTATUS)STATUS_PENDING : op->status->Status;
}

NTSTATUS nt_device_io_control(HANDLE h, HANDLE event, void *apc, void *context,
                              IO_STATUS_BLOCK *status, ULONG code, const void *in, ULONG in_length,
                              void *out, ULONG out_length)
{
    (void)event;
    (void)apc;
    (void)code;
    (void)in;
    (void)in_length;
    (void)out_length;
    kernel_point("an AFD poll");
    np_afd_info *info = out;
    file *device = must(fd_of(h), AFD), *socket = file_of(fd_of(info->handles[0].socket));
    ex_trace("an AFD poll of %d for %#x", fd_of(info->handles[0].socket), info->handles[0].events);
    if (!socket)
        return STATUS_INVALID_HANDLE;
    operation *op = new_operation();
    *op = (operation){.asked = device,
                      .socket = socket,
                      .port = device->port,
                      .key = device->key,
                      .status = status,
                      .context = context,
                      .poll = info};
    return start(op);
}

int k_wsa_recv(int fd, char *buffer, ULONG length, OVERLAPPED *overlapped)
{
    kernel_point("WSARecv");
    file *f = must(fd, A_SOCKET);
    operation *op = new_operation();
    *op = (operation){.asked = f,
                      .socket = f,
                      .port = f->port,
                      .key = f->key,
                      .status = (IO_STATUS_BLOCK *)(void *)overlapped,
                      .context = overlapped,
                      .buffer = buffer,
                      .length = length};
    NTSTATUS status = start(op);
    ex_trace("WSARecv(%d): %#x", fd, (unsigned)status);
    return status == (NTSTATUS)STATUS_PENDING ? WSA_IO_PENDING : 0;
}

/* A poll ends there and then.  A receive may go on until somebody looks into the port, and what
 * comes meanwhile is received. */
static void cancel(operation *op)
{
    if (!op->poll && op->state == PENDING && ex_choose(2) == 1)
        op->state = LINGERING;
    else if (op->state == PENDING)
        complete(op, STATUS_CANCELLED, 0);
}

NTSTATUS nt_cancel_io(HANDLE h, IO_STATUS_BLOCK *which, IO_STATUS_BLOCK *status)
{
    (void)status;
    kernel_point("a cancellation");
    const file *f = file_of(fd_of(h));
    if (!f)
        return STATUS_INVALID_HANDLE;
    for (int i = 0; i < operation_count; i++) {
        operation *op = &operations[i];
        if (!waits(op) || op->asked != f || op->status != which)
            continue;
        ex_trace("a cancellation on %d", fd_of(h));
        cancel(op);
        return STATUS_SUCCESS;
    }
    ex_trace("a cancellation on %d: nothing to cancel", fd_of(h));
    return STATUS_NOT_FOUND;
}

BOOL CancelIoEx(HANDLE h, OVERLAPPED *overlapped)
{
    return NT_SUCCESS(nt_cancel_io(h, (IO_STATUS_BLOCK *)(void *)overlapped, NULL));
}

/* --- timers' packets -------------------------------------------------------------------------- */

NTSTATUS nt_create_packet(HANDLE *packet, ACCESS_MASK access, OBJECT_ATTRIBUTES *attributes)
{
    (void)access;
    (void)attributes;
    kernel_point("NtCreateWaitCompletionPacket");
    *packet = handle_of(new_file(WAIT_PACKET));
    return STATUS_SUCCESS;
}

NTSTATUS nt_associate_packet(HANDLE h, HANDLE port, HANDLE target, void *key, void *context,
                             NTSTATUS status, ULONG_PTR information, BOOLEAN *signalled)
{
    (void)context;
    (void)status;
    (void)information;
    (void)signalled;
    kernel_point("NtAssociateWaitCompletionPacket");
    file *f = must(fd_of(h), WAIT_PACKET);
    for (int i = 0; i < packet_count; i++)
        if (packets[i].of_timer == f)
            ex_fail("a timer's packet is associated while it lies in a port");
    if (f->port)
        ex_fail("a timer's packet is associated twice");
    f->port = must(fd_of(port), PORT);
    f->target = must(fd_of(target), WAITABLE_TIMER);
    f->key = (ULONG_PTR)key;
    return STATUS_SUCCESS;
}

/* The timer has gone off: its packet is on its way into the port. */
static void deliver(file *f)
{
    queue_packet(f->port, f->key, NULL)->of_timer = f;
    f->port = NULL;
    f->target->when = 0;
}

/* It cannot be taken back while it is on its way. */
NTSTATUS nt_cancel_packet(HANDLE h, BOOLEAN also_if_queued)
{
    (void)also_if_queued;
    kernel_point("NtCancelWaitCompletionPacket");
    file *f = must(fd_of(h), WAIT_PACKET);
    if (is_due(f)) {
        deliver(f);
        if (ex_choose(2) == 1)
            return (NTSTATUS)STATUS_PENDING;
    }
    f->port = NULL;
    for (int i = 0; i < packet_count; i++)
        if (packets[i].of_timer == f)
            unqueue(&packets[i--]);
    return STATUS_SUCCESS;
}

int64_t iocp_next_timer(void)
{
    int64_t first = INT64_MAX;
    for (int i = 0; i < FILES; i++) {
        const file *f = &files[i];
        if (f->kind == WAIT_PACKET && f->port && f->target->when > ex_clock() &&
            f->target->when < first)
            first = f->target->when;
    }
    return first;
}

/* --- ports ------------------------------------------------------------------------------------ */

static HANDLE associate(int fd, file *port, ULONG_PTR key)
{
    file *f = file_of(fd);
    if (!f || f->port) {
        set_last_error(f ? ERROR_INVALID_PARAMETER : ERROR_INVALID_HANDLE);
        return NULL;
    }
    f->port = port;
    f->key = key;
    return handle_of(fd);
}

HANDLE CreateIoCompletionPort(HANDLE h, HANDLE port, ULONG_PTR key, DWORD threads)
{
    (void)threads;
    kernel_point("CreateIoCompletionPort");
    if (h == INVALID_HANDLE_VALUE)
        return handle_of(new_file(PORT));
    return associate(fd_of(h), must(fd_of(port), PORT), key) ? port : NULL;
}

BOOL PostQueuedCompletionStatus(HANDLE port, DWORD bytes, ULONG_PTR key, OVERLAPPED *overlapped)
{
    kernel_point("PostQueuedCompletionStatus");
    packet *p = queue_packet(must(fd_of(port), PORT), key, overlapped);
    p->entry.dwNumberOfBytesTransferred = bytes;
    ex_trace("PostQueuedCompletionStatus(key %d)", (int)key);
    return TRUE;
}

/* What is under way arrives. */
static void settle(const file *port)
{
    for (int i = 0; i < operation_count; i++)
        if (operations[i].state == LINGERING && operations[i].port == port)
            complete(&operations[i], STATUS_CANCELLED, 0);
    for (int i = 0; i < FILES; i++)
        if (is_due(&files[i]) && files[i].port == port)
            deliver(&files[i]);
}

/* The operation's memory is its owner's again. */
static OVERLAPPED_ENTRY take(packet *p)
{
    OVERLAPPED_ENTRY entry = p->entry;
    if (p->op) {
        check_memory(p->op);
        p->op->state = UNUSED;
    }
    ex_trace("   ... a packet, key %d", (int)entry.lpCompletionKey);
    unqueue(p);
    return entry;
}

BOOL GetQueuedCompletionStatusEx(HANDLE h, OVERLAPPED_ENTRY *entries, ULONG room, ULONG *n,
                                 DWORD milliseconds, BOOL alertable)
{
    (void)alertable;
    int64_t timeout = milliseconds == INFINITE ? -1 : (int64_t)milliseconds * 1000000;
    sleep_call c = {.port = must(fd_of(h), PORT), .due = due_in(timeout)};
    sleep_until(&c, "GetQueuedCompletionStatusEx");
    file *port = must(fd_of(h), PORT);
    settle(port);
    ULONG count = 0;
    ex_trace("GetQueuedCompletionStatusEx(timeout %lld) returns", (long long)timeout);
    for (int i = 0; i < packet_count && count < room;)
        if (packets[i].port == port)
            entries[count++] = take(&packets[i]);
        else
            i++;
    *n = count;
    set_last_error(WAIT_TIMEOUT);
    return count > 0;
}

/* --- life ------------------------------------------------------------------------------------- */

void iocp_reset(void)
{
    operation_count = packet_count = 0;
    win32_reset();
}

/* After everything was given back. */
void iocp_finish(void)
{
    for (int i = 0; i < operation_count; i++)
        if (operations[i].state != UNUSED)
            ex_fail("an operation that nobody waits for is still the kernel's");
    win32_finish();
}
