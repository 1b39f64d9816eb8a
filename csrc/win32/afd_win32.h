/* AFD polls: readiness of sockets, on Windows.
 *
 * \Device\Afd is the driver behind every socket, and a poll is the request that select() is made
 * of: "complete when one of these events is true of this socket".  Put to a handle that belongs to
 * a completion port, it reports through the port, which has no limit of 64 or 512 sockets.
 * Microsoft does not document the interface, but libuv, mio and wepoll have used it for years.
 *
 * What matters here:
 * - A poll is level-triggered and reports once: an event that is true already completes it at once.
 * - The kernel owns a poll's memory from np_afd_submit until its packet has come out of the port,
 *   also after np_afd_cancel.
 * - Closing a socket completes the polls on it with AFD_LOCAL_CLOSE.  That is the only trace that
 *   it leaves; from then on its number may be another socket's.
 */
#ifndef NP_AFD_WIN32_H
#define NP_AFD_WIN32_H

#include <winsock2.h>

#include "win32/ntapi_win32.h"

enum {
    AFD_RECEIVE = 0x0001,
    AFD_SEND = 0x0004,
    AFD_DISCONNECT = 0x0008, /* the peer will send no more */
    AFD_ABORT = 0x0010,      /* the connection was reset */
    AFD_LOCAL_CLOSE = 0x0020,
    AFD_ACCEPT = 0x0080,
    AFD_CONNECT_FAIL = 0x0100
};

typedef struct np_afd_info {
    LARGE_INTEGER timeout;
    ULONG count;
    ULONG exclusive;
    struct {
        HANDLE socket;
        ULONG events;
        NTSTATUS status;
    } handles[1];
} np_afd_info;

/* One poll of one socket.  Its address is the packet's lpOverlapped. */
typedef struct np_afd_poll {
    IO_STATUS_BLOCK status;
    np_afd_info info; /* the answer takes the question's place */
} np_afd_poll;

/* A handle of the driver.  To cancel a poll the kernel walks through all those of its handle, so
 * few sockets share one. */
typedef struct np_afd_device {
    struct np_afd_device *next;           /* of all */
    struct np_afd_device *next_with_room; /* of those with room for one more socket */
    HANDLE handle;
    uint32_t sockets;
} np_afd_device;

typedef struct np_afd_devices {
    HANDLE port;
    ULONG_PTR key; /* of their packets */
    np_afd_device *first, *with_room;
} np_afd_devices;

/* A place for one socket on a device: 0 or a negated errno value. */
int np_afd_acquire(np_afd_devices *devices, np_afd_device **out);
void np_afd_release(np_afd_devices *devices, np_afd_device *device);
void np_afd_close_all(np_afd_devices *devices); /* ends all polls; their packets still come */
bool np_afd_owns(const np_afd_devices *devices, HANDLE handle);

/* The handle that the driver knows a socket by; -EBADF, or -EPERM for a handle of another kind. */
int np_afd_base_socket(SOCKET s, SOCKET *base);

/* 0: a packet will come.  Negative: none will. */
int np_afd_submit(const np_afd_device *device, np_afd_poll *poll, SOCKET base, ULONG events);

/* True if it was still waiting.  Its packet comes, or is on its way, in either case. */
bool np_afd_cancel(const np_afd_device *device, np_afd_poll *poll);

/* The events of a poll whose packet came. */
ULONG np_afd_result(const np_afd_poll *poll);

#endif
