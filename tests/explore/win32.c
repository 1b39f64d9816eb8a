/* What else of Windows the core's files for it call: handles, sockets, errors, ntdll's table, the
 * console. */
#include "iocp.h"

#include <string.h>

#include "sim.h"

/* --- errors ----------------------------------------------------------------------------------- */

/* One for all actors: nobody else runs between a call and the look at its error. */
static DWORD last_error;

void set_last_error(DWORD error)
{
    last_error = error;
}

DWORD GetLastError(void)
{
    return last_error;
}

int WSAGetLastError(void)
{
    return (int)last_error;
}

static ULONG status_to_win32(NTSTATUS status)
{
    switch (status) {
    case STATUS_INVALID_HANDLE:
        return ERROR_INVALID_HANDLE;
    case STATUS_CANCELLED:
        return ERROR_OPERATION_ABORTED;
    case STATUS_CONNECTION_RESET:
        return ERROR_NETNAME_DELETED;
    case STATUS_NOT_FOUND:
        return ERROR_NOT_FOUND;
    default:
        ex_fail("status %#x is not one of the kernel in miniature", (unsigned)status);
    }
}

/* --- handles ---------------------------------------------------------------------------------- */

int k_close(int fd);

BOOL CloseHandle(HANDLE h)
{
    k_close(fd_of(h));
    return TRUE;
}

BOOL GetHandleInformation(HANDLE h, DWORD *flags)
{
    kernel_point("GetHandleInformation");
    *flags = 0;
    return file_of(fd_of(h)) != NULL;
}

HANDLE CreateWaitableTimerExW(void *attributes, const WCHAR *name, DWORD flags, DWORD access)
{
    (void)attributes;
    (void)name;
    (void)flags;
    (void)access;
    kernel_point("CreateWaitableTimerEx");
    return handle_of(new_file(WAITABLE_TIMER));
}

BOOL SetWaitableTimer(HANDLE timer, const LARGE_INTEGER *due, LONG period, void *routine,
                      void *argument, BOOL resume)
{
    (void)period;
    (void)routine;
    (void)argument;
    (void)resume;
    kernel_point("SetWaitableTimer");
    file *f = must(fd_of(timer), WAITABLE_TIMER);
    f->when = ex_clock() - due->QuadPart * 100;
    ex_trace("SetWaitableTimer(until %lld)", (long long)f->when);
    return TRUE;
}

/* Only who is out of the kernel's memory sleeps. */
void Sleep(DWORD milliseconds)
{
    ex_fail("Sleep(%u)", milliseconds);
}

/* --- sockets ---------------------------------------------------------------------------------- */

static int startups;

int WSAStartup(USHORT version, WSADATA *data)
{
    (void)version;
    (void)data;
    startups++;
    return 0;
}

int WSACleanup(void)
{
    if (startups-- == 0)
        ex_fail("WSACleanup without a WSAStartup");
    return 0;
}

static int socket_call(SOCKET s)
{
    const file *f = file_of((int)s);
    set_last_error(WSAENOTSOCK);
    return f && f->kind == A_SOCKET ? 0 : -1;
}

int k_getsockopt(SOCKET s, int level, int option, char *value, int *length)
{
    (void)level;
    (void)option;
    kernel_point("getsockopt");
    memset(value, 0, (size_t)*length);
    return socket_call(s);
}

/* SIO_BASE_HANDLE: no provider is layered here. */
int WSAIoctl(SOCKET s, DWORD code, void *in, DWORD in_length, void *out, DWORD out_length,
             DWORD *bytes, OVERLAPPED *overlapped, void *routine)
{
    (void)code;
    (void)in;
    (void)in_length;
    (void)overlapped;
    (void)routine;
    kernel_point("WSAIoctl");
    memcpy(out, &s, out_length);
    *bytes = out_length;
    return socket_call(s);
}

/* --- ntdll ------------------------------------------------------------------------------------ */

static NTSTATUS create_file(HANDLE *out, ACCESS_MASK access, OBJECT_ATTRIBUTES *attributes,
                            IO_STATUS_BLOCK *status, LARGE_INTEGER *size, ULONG file_attributes,
                            ULONG share, ULONG disposition, ULONG options, void *ea,
                            ULONG ea_length)
{
    (void)access;
    (void)attributes;
    (void)status;
    (void)size;
    (void)file_attributes;
    (void)share;
    (void)disposition;
    (void)options;
    (void)ea;
    (void)ea_length;
    kernel_point("NtCreateFile of AFD");
    *out = handle_of(new_file(AFD));
    return STATUS_SUCCESS;
}

HMODULE GetModuleHandleW(const WCHAR *name)
{
    return (HMODULE)(uintptr_t)name;
}

FARPROC GetProcAddress(HMODULE dll, const char *name)
{
    static const struct {
        const char *name;
        FARPROC function;
    } table[] = {
        {"NtCreateFile", (FARPROC)create_file},
        {"NtDeviceIoControlFile", (FARPROC)nt_device_io_control},
        {"NtCancelIoFileEx", (FARPROC)nt_cancel_io},
        {"RtlNtStatusToDosError", (FARPROC)status_to_win32},
        {"NtCreateWaitCompletionPacket", (FARPROC)nt_create_packet},
        {"NtAssociateWaitCompletionPacket", (FARPROC)nt_associate_packet},
        {"NtCancelWaitCompletionPacket", (FARPROC)nt_cancel_packet},
    };
    (void)dll;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].name, name) == 0)
            return table[i].function;
    return NULL;
}

/* What is done once is done before the first execution's actors run. */
BOOL InitOnceExecuteOnce(INIT_ONCE *once, BOOL (*function)(INIT_ONCE *, void *, void **),
                         void *argument, void **context)
{
    if (!once->done)
        once->done = function(once, argument, context);
    return TRUE;
}

/* --- atomics of the host's ---------------------------------------------------------------------
 */

static void interlocked(volatile LONG *a, bool write)
{
    static const ex_site site = {"interlocked", 0, "an Interlocked call"};
    op next = {.object = (const void *)(uintptr_t)a, .write = write, .site = &site};
    ex_point(&next);
    sim_check_address((const void *)(uintptr_t)a);
    sim_fence();
}

LONG InterlockedExchange(volatile LONG *a, LONG v)
{
    interlocked(a, true);
    LONG old = *a;
    *a = v;
    ex_trace("InterlockedExchange: %d -> %d", old, v);
    return old;
}

LONG InterlockedCompareExchange(volatile LONG *a, LONG to, LONG from)
{
    interlocked(a, to != from);
    LONG old = *a;
    if (old == from)
        *a = to;
    ex_trace("InterlockedCompareExchange = %d", old);
    return old;
}

/* --- the console ------------------------------------------------------------------------------ */

static BOOL (*ctrl_handler)(DWORD);

BOOL SetConsoleCtrlHandler(BOOL (*handler)(DWORD), BOOL add)
{
    (void)add;
    ctrl_handler = handler;
    return TRUE;
}

/* Windows starts a thread for it: the calling actor. */
void k_ctrl_c(void)
{
    ctrl_handler(CTRL_C_EVENT);
}

void win32_reset(void)
{
    startups = 0;
}

void win32_finish(void)
{
    if (startups)
        ex_fail("%d WSAStartup without a WSACleanup", startups);
}
