/* AFD polls: see afd_win32.h. */
#include "win32/afd_win32.h"

#include <errno.h>
#include <stdlib.h>

enum { IOCTL_AFD_POLL = 0x00012024, SOCKETS_A_DEVICE = 32 };

#ifndef SIO_BASE_HANDLE
#define SIO_BASE_HANDLE 0x48000022
#endif
#ifndef STATUS_PENDING
#define STATUS_PENDING ((NTSTATUS)0x103)
#endif

/* --- devices ---------------------------------------------------------------------------------- */

static int open_device(HANDLE *out)
{
    static WCHAR name[] = L"\\Device\\Afd\\netpoll"; /* anything below \Device\Afd */
    UNICODE_STRING path = {
        .Length = sizeof name - sizeof *name, .MaximumLength = sizeof name, .Buffer = name};
    OBJECT_ATTRIBUTES attributes = {.Length = sizeof attributes, .ObjectName = &path};
    IO_STATUS_BLOCK status;

    return np_errno_of_status(np_ntapi_get()->create_file(
        out, SYNCHRONIZE, &attributes, &status, NULL, 0, FILE_SHARE_READ | FILE_SHARE_WRITE,
        1 /* FILE_OPEN */, 0, NULL, 0));
}

static int add_device(np_afd_devices *devices)
{
    np_afd_device *device = calloc(1, sizeof *device);
    if (!device)
        return -ENOMEM;
    int rc = open_device(&device->handle);
    if (rc < 0)
        goto no_device;
    if (!CreateIoCompletionPort(device->handle, devices->port, devices->key, 0)) {
        rc = np_errno_of_win32(GetLastError());
        goto no_port;
    }
    device->next = devices->first;
    devices->first = device;
    device->next_with_room = devices->with_room;
    devices->with_room = device;
    return 0;

no_port:
    CloseHandle(device->handle);
no_device:
    free(device);
    return rc;
}

int np_afd_acquire(np_afd_devices *devices, np_afd_device **out)
{
    int rc = devices->with_room ? 0 : add_device(devices);
    if (rc < 0)
        return rc;
    np_afd_device *device = devices->with_room;
    if (++device->sockets == SOCKETS_A_DEVICE)
        devices->with_room = device->next_with_room;
    *out = device;
    return 0;
}

void np_afd_release(np_afd_devices *devices, np_afd_device *device)
{
    if (device->sockets-- == SOCKETS_A_DEVICE) {
        device->next_with_room = devices->with_room;
        devices->with_room = device;
    }
}

void np_afd_close_all(np_afd_devices *devices)
{
    while (devices->first) {
        np_afd_device *device = devices->first;
        devices->first = device->next;
        CloseHandle(device->handle);
        free(device);
    }
    devices->with_room = NULL;
}

bool np_afd_owns(const np_afd_devices *devices, HANDLE handle)
{
    for (const np_afd_device *device = devices->first; device; device = device->next)
        if (device->handle == handle)
            return true;
    return false;
}

/* --- polls ------------------------------------------------------------------------------------ */

static int check_socket(SOCKET s)
{
    int type, length = sizeof type;
    DWORD flags;

    if (getsockopt(s, SOL_SOCKET, SO_TYPE, (char *)&type, &length) == 0)
        return 0;
    int error = WSAGetLastError();
    /* Handles are multiples of 4, and negative ones mean things like "this process". */
    bool handle = s % 4 == 0 && (intptr_t)s > 0;
    if (error == WSAENOTSOCK && handle && GetHandleInformation((HANDLE)s, &flags))
        return -EPERM; /* a file, a pipe, an event */
    return np_errno_of_win32((DWORD)error);
}

/* Layered service providers may wrap sockets; the driver knows only the innermost one. */
int np_afd_base_socket(SOCKET s, SOCKET *base)
{
    DWORD bytes;
    int rc = check_socket(s);

    if (rc == 0 &&
        WSAIoctl(s, SIO_BASE_HANDLE, NULL, 0, base, sizeof *base, &bytes, NULL, NULL) != 0)
        rc = np_errno_of_win32((DWORD)WSAGetLastError());
    return rc;
}

int np_afd_submit(const np_afd_device *device, np_afd_poll *poll, SOCKET base, ULONG events)
{
    poll->info.timeout.QuadPart = INT64_MAX;
    poll->info.count = 1;
    poll->info.exclusive = FALSE;
    poll->info.handles[0].socket = (HANDLE)base;
    poll->info.handles[0].events = events;
    poll->info.handles[0].status = 0;
    poll->status.Status = STATUS_PENDING;
    return np_errno_of_status(np_ntapi_get()->device_io_control(
        device->handle, NULL, NULL, poll, &poll->status, IOCTL_AFD_POLL, &poll->info,
        sizeof poll->info, &poll->info, sizeof poll->info));
}

bool np_afd_cancel(const np_afd_device *device, np_afd_poll *poll)
{
    IO_STATUS_BLOCK status;
    return NT_SUCCESS(np_ntapi_get()->cancel_io(device->handle, &poll->status, &status));
}

ULONG np_afd_result(const np_afd_poll *poll)
{
    if (!NT_SUCCESS(poll->status.Status))
        return AFD_ABORT; /* the next call on the socket reports the error */
    return poll->info.count > 0 ? poll->info.handles[0].events : 0;
}
