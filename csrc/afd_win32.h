/* AFD polls: readiness of sockets, on Windows.
 *
 * \Device\Afd is the driver behind every socket, and a poll is the request that select() is made
 * of: "complete when one of these events is true of this socket".  Put to a handle that belongs to
 * a completion port, it reports through the port, which knows no limit of 64 or 512 sockets.  The
 * interface is not in Microsoft's books, but libuv, mio and wepoll have lived on it for years.
 *
 * What matters here:
 * - A poll is level-triggered and reports once: an event that is true already completes it at once.
 * - The kernel owns an operation's memory from afd_submit until its packet has come out of the
 *   port, also after afd_cancel.
 * - Closing a socket completes the polls on it with AFD_LOCAL_CLOSE.  That is the only trace that
 *   it leaves, and then its number may belong to another.
 */
#ifndef NP_AFD_WIN32_H
#define NP_AFD_WIN32_H

#include <winsock2.h>

#include "ntapi_win32.h"

enum {
    AFD_RECEIVE = 0x0001,
    AFD_SEND = 0x0004,
    AFD_DISCONNECT = 0x0008, /* the peer will send no more */
    AFD_ABORT = 0x0010,      /* the connection was reset */
    AFD_LOCAL_CLOSE = 0x0020,
    AFD_ACCEPT = 0x0080,
    AFD_CONNECT_FAIL = 0x0100
};

typedef struct afd_info {
    LARGE_INTEGER timeout;
    ULONG count;
    ULONG exclusive;
    struct {
        HANDLE socket;
        ULONG events;
        NTSTATUS status;
    } handles[1];
} afd_info;

/* One poll of one socket.  Its address is the packet's lpOverlapped. */
typedef struct afd_poll {
    IO_STATUS_BLOCK status;
    afd_info info; /* the answer takes the question's place */
} afd_poll;

/* A handle of the driver.  To cancel an operation the kernel walks through all those of its handle,
 * so few sockets share one. */
typedef struct afd_device {
    struct afd_device *next;  /* of all */
    struct afd_device *roomy; /* of those that can take one more */
    HANDLE handle;
    uint32_t users;
} afd_device;

typedef struct afd_devices {
    HANDLE port;
    ULONG_PTR key; /* of their packets */
    afd_device *first, *roomy;
} afd_devices;

/* A device with room for one more socket: 0 or a negated errno value. */
int afd_take(afd_devices *all, afd_device **out);
void afd_give(afd_devices *all, afd_device *device);
void afd_close_all(afd_devices *all); /* ends all operations; their packets still come */
bool afd_owns(const afd_devices *all, HANDLE handle);

/* The handle that the driver knows a socket by; -EBADF, or -EPERM for a handle of another kind. */
int afd_base_socket(SOCKET s, SOCKET *base);

/* 0: a packet will come.  Negative: none will. */
int afd_submit(const afd_device *device, afd_poll *poll, SOCKET base, ULONG events);

/* Was it still waiting?  Its packet comes, or is on its way, in any case. */
bool afd_cancel(const afd_device *device, afd_poll *poll);

/* The events of a poll whose packet came. */
ULONG afd_result(const afd_poll *poll);

#endif
