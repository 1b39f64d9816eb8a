/* AFD polls: see afd_win32.h. */
#include "afd_win32.h"

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

static int add_device(afd_devices *all)
{
    afd_device *device = calloc(1, sizeof *device);
    if (!device)
        return -ENOMEM;
    int rc = open_device(&device->handle);
    if (rc < 0)
        goto no_device;
    if (!CreateIoCompletionPort(device->handle, all->port, all->key, 0)) {
        rc = np_errno_of_win32(GetLastError());
        goto no_port;
    }
    device->next = all->first;
    all->first = device;
    device->roomy = all->roomy;
    all->roomy = device;
    return 0;

no_port:
    CloseHandle(device->handle);
no_device:
    free(device);
    return rc;
}

int afd_take(afd_devices *all, afd_device **out)
{
    int rc = all->roomy ? 0 : add_device(all);
    if (rc < 0)
        return rc;
    afd_device *device = all->roomy;
    if (++device->users == SOCKETS_A_DEVICE)
        all->roomy = device->roomy;
    *out = device;
    return 0;
}

void afd_give(afd_devices *all, afd_device *device)
{
    if (device->users-- == SOCKETS_A_DEVICE) {
        device->roomy = all->roomy;
        all->roomy = device;
    }
}

void afd_close_all(afd_devices *all)
{
    while (all->first) {
        afd_device *device = all->first;
        all->first = device->next;
        CloseHandle(device->handle);
        free(device);
    }
    all->roomy = NULL;
}

bool afd_owns(const afd_devices *all, HANDLE handle)
{
    for (const afd_device *device = all->first; device; device = device->next)
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

/* Layered service providers may wrap sockets; the driver knows only what is inside. */
int afd_base_socket(SOCKET s, SOCKET *base)
{
    DWORD bytes;
    int rc = check_socket(s);

    if (rc == 0 &&
        WSAIoctl(s, SIO_BASE_HANDLE, NULL, 0, base, sizeof *base, &bytes, NULL, NULL) != 0)
        rc = np_errno_of_win32((DWORD)WSAGetLastError());
    return rc;
}

int afd_submit(const afd_device *device, afd_poll *poll, SOCKET base, ULONG events)
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

bool afd_cancel(const afd_device *device, afd_poll *poll)
{
    IO_STATUS_BLOCK status;
    return NT_SUCCESS(np_ntapi_get()->cancel_io(device->handle, &poll->status, &status));
}

ULONG afd_result(const afd_poll *poll)
{
    if (!NT_SUCCESS(poll->status.Status))
        return AFD_ABORT; /* the socket is no good: whoever uses it will be told what it is */
    return poll->info.count > 0 ? poll->info.handles[0].events : 0;
}
