/* ntdll.dll, and what Windows' errors are called in C: see ntapi_win32.h. */
#include <errno.h>
#include <string.h>

#include <winsock2.h>

#include "win32/ntapi_win32.h"

#ifndef CREATE_WAITABLE_TIMER_HIGH_RESOLUTION
#define CREATE_WAITABLE_TIMER_HIGH_RESOLUTION 0x00000002
#endif

static np_ntapi table;
static bool complete;

/* A pointer to a function is not to be cast to another kind of pointer: hence the copy. */
static bool find(HMODULE dll, const char *name, void *slot)
{
    FARPROC function = GetProcAddress(dll, name);
    memcpy(slot, &function, sizeof function);
    return function != NULL;
}

static BOOL CALLBACK load(INIT_ONCE *once, void *argument, void **context)
{
    HMODULE ntdll = GetModuleHandleW(L"ntdll.dll");
    (void)once;
    (void)argument;
    (void)context;
    if (!ntdll)
        return TRUE;
    complete = find(ntdll, "NtCreateFile", &table.create_file) &&
               find(ntdll, "NtDeviceIoControlFile", &table.device_io_control) &&
               find(ntdll, "NtCancelIoFileEx", &table.cancel_io) &&
               find(ntdll, "RtlNtStatusToDosError", &table.status_to_win32);
    if (!find(ntdll, "NtCreateWaitCompletionPacket", &table.create_packet) ||
        !find(ntdll, "NtAssociateWaitCompletionPacket", &table.associate_packet) ||
        !find(ntdll, "NtCancelWaitCompletionPacket", &table.cancel_packet))
        table.create_packet = NULL;
    return TRUE;
}

const np_ntapi *np_ntapi_get(void)
{
    static INIT_ONCE once = INIT_ONCE_STATIC_INIT;
    InitOnceExecuteOnce(&once, load, NULL, NULL);
    return complete ? &table : NULL;
}

bool np_open_highres_timer(HANDLE *timer, HANDLE *packet)
{
    if (!table.create_packet)
        return false;
    *timer = CreateWaitableTimerExW(NULL, NULL, CREATE_WAITABLE_TIMER_HIGH_RESOLUTION,
                                    TIMER_MODIFY_STATE | SYNCHRONIZE);
    if (!*timer)
        return false;
    if (NT_SUCCESS(table.create_packet(packet, GENERIC_ALL, NULL)))
        return true;
    CloseHandle(*timer);
    return false;
}

/* Only errors that callers distinguish have a name of their own. */
int np_errno_of_win32(DWORD error)
{
    switch (error) {
    case ERROR_SUCCESS:
        return 0;
    case ERROR_INVALID_HANDLE: /* = WSA_INVALID_HANDLE */
    case WSAENOTSOCK:
    case WSAEBADF:
        return -EBADF;
    case ERROR_NOT_ENOUGH_MEMORY:
    case ERROR_OUTOFMEMORY:
    case ERROR_NO_SYSTEM_RESOURCES:
    case ERROR_WORKING_SET_QUOTA:
    case ERROR_COMMITMENT_LIMIT:
    case WSAENOBUFS:
        return -ENOMEM;
    case ERROR_TOO_MANY_OPEN_FILES:
    case WSAEMFILE:
        return -EMFILE;
    case ERROR_ACCESS_DENIED:
    case WSAEACCES:
        return -EACCES;
    case ERROR_INVALID_PARAMETER:
    case WSAEINVAL:
        return -EINVAL;
    case ERROR_OPERATION_ABORTED: /* = WSA_OPERATION_ABORTED */
        return -ECANCELED;
    case ERROR_NETNAME_DELETED: /* what a completion calls a reset connection */
    case WSAECONNRESET:
        return -ECONNRESET;
    case ERROR_CONNECTION_ABORTED:
    case WSAECONNABORTED:
        return -ECONNABORTED;
    case ERROR_CONNECTION_REFUSED:
    case WSAECONNREFUSED:
        return -ECONNREFUSED;
    case WSAENOTCONN:
        return -ENOTCONN;
    case WSAESHUTDOWN:
        return -EPIPE;
    default:
        return -EIO;
    }
}

int np_errno_of_status(NTSTATUS status)
{
    return NT_SUCCESS(status) ? 0 : np_errno_of_win32(np_ntapi_get()->status_to_win32(status));
}
