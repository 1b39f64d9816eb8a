/* What Windows offers in <windows.h>, as far as the core's files for Windows use it, for the
 * explorer: names and numbers are Windows', types have its sizes.  win32.c and iocp.c are behind
 * it. */
#ifndef EXPLORE_WINDOWS_H
#define EXPLORE_WINDOWS_H

#include <stddef.h>
#include <stdint.h>
#include <wchar.h>

#define WINAPI
#define CALLBACK
#define NTAPI

typedef int BOOL;
typedef unsigned char BOOLEAN;
typedef unsigned short USHORT;
typedef int32_t LONG, NTSTATUS;
typedef uint32_t DWORD, ULONG, ACCESS_MASK;
typedef uintptr_t ULONG_PTR;
typedef wchar_t WCHAR;
typedef void *HANDLE, *HMODULE;
typedef int (*FARPROC)(void);
typedef union {
    int64_t QuadPart;
} LARGE_INTEGER;

enum { FALSE, TRUE };
#define INVALID_HANDLE_VALUE ((HANDLE)(intptr_t)-1)
#define INFINITE UINT32_MAX
#define STATUS_PENDING ((DWORD)0x103)

enum {
    SYNCHRONIZE = 0x100000,
    GENERIC_ALL = 0x10000000,
    TIMER_MODIFY_STATE = 2,
    FILE_SHARE_READ = 1,
    FILE_SHARE_WRITE = 2
};

enum {
    ERROR_SUCCESS = 0,
    ERROR_TOO_MANY_OPEN_FILES = 4,
    ERROR_ACCESS_DENIED = 5,
    ERROR_INVALID_HANDLE = 6,
    ERROR_NOT_ENOUGH_MEMORY = 8,
    ERROR_OUTOFMEMORY = 14,
    ERROR_NETNAME_DELETED = 64,
    ERROR_INVALID_PARAMETER = 87,
    WAIT_TIMEOUT = 258,
    ERROR_OPERATION_ABORTED = 995,
    ERROR_NOT_FOUND = 1168,
    ERROR_CONNECTION_REFUSED = 1225,
    ERROR_CONNECTION_ABORTED = 1236,
    ERROR_NO_SYSTEM_RESOURCES = 1450,
    ERROR_WORKING_SET_QUOTA = 1453,
    ERROR_COMMITMENT_LIMIT = 1455
};
DWORD GetLastError(void);

/* --- completion ports and overlapped operations ----------------------------------------------- */

typedef struct _OVERLAPPED {
    ULONG_PTR Internal, InternalHigh; /* laid out as an IO_STATUS_BLOCK */
    void *Pointer;
    HANDLE hEvent;
} OVERLAPPED;

typedef struct {
    ULONG_PTR lpCompletionKey;
    OVERLAPPED *lpOverlapped;
    ULONG_PTR Internal;
    DWORD dwNumberOfBytesTransferred;
} OVERLAPPED_ENTRY;

HANDLE CreateIoCompletionPort(HANDLE file, HANDLE port, ULONG_PTR key, DWORD threads);
BOOL PostQueuedCompletionStatus(HANDLE port, DWORD bytes, ULONG_PTR key, OVERLAPPED *overlapped);
BOOL GetQueuedCompletionStatusEx(HANDLE port, OVERLAPPED_ENTRY *entries, ULONG room, ULONG *n,
                                 DWORD milliseconds, BOOL alertable);
BOOL CancelIoEx(HANDLE file, OVERLAPPED *overlapped);

/* --- handles, timers -------------------------------------------------------------------------- */

BOOL CloseHandle(HANDLE h);
BOOL GetHandleInformation(HANDLE h, DWORD *flags);
HANDLE CreateWaitableTimerExW(void *attributes, const WCHAR *name, DWORD flags, DWORD access);
BOOL SetWaitableTimer(HANDLE timer, const LARGE_INTEGER *due, LONG period, void *routine,
                      void *argument, BOOL resume);
void Sleep(DWORD milliseconds);

/* --- locks and condition variables ------------------------------------------------------------ */

typedef np_mutex SRWLOCK;
#define SRWLOCK_INIT NP_MUTEX_INIT
#define AcquireSRWLockExclusive(l) ex_lock((l), EX_AT("AcquireSRWLockExclusive(" #l ")"))
#define ReleaseSRWLockExclusive(l) ex_unlock((l), EX_AT("ReleaseSRWLockExclusive(" #l ")"))
typedef struct {
    int nothing;
} CONDITION_VARIABLE;
#define CONDITION_VARIABLE_INIT {0}
BOOL SleepConditionVariableSRW(CONDITION_VARIABLE *c, SRWLOCK *lock, DWORD milliseconds,
                               ULONG flags);
void WakeConditionVariable(CONDITION_VARIABLE *c);

/* --- the rest --------------------------------------------------------------------------------- */

LONG InterlockedExchange(volatile LONG *a, LONG v);
LONG InterlockedCompareExchange(volatile LONG *a, LONG to, LONG from);

typedef struct {
    BOOL done;
} INIT_ONCE;
#define INIT_ONCE_STATIC_INIT {FALSE}
BOOL InitOnceExecuteOnce(INIT_ONCE *once, BOOL (*function)(INIT_ONCE *, void *, void **),
                         void *argument, void **context);

HMODULE GetModuleHandleW(const WCHAR *name);
FARPROC GetProcAddress(HMODULE dll, const char *name);

enum { CTRL_C_EVENT, CTRL_BREAK_EVENT };
BOOL SetConsoleCtrlHandler(BOOL (*handler)(DWORD), BOOL add);

#endif
