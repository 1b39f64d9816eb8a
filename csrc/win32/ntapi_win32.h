/* What the core takes from ntdll.dll: the functions below Win32 that AFD polls are made of.
 *
 * Found by name when the program runs: so they need no import library, and those that an older
 * Windows does not have are NULL.
 */
#ifndef NP_NTAPI_WIN32_H
#define NP_NTAPI_WIN32_H

#include "sys/sync.h"

#include <winternl.h>

typedef NTSTATUS NTAPI np_nt_create_file(HANDLE *file, ACCESS_MASK access,
                                         OBJECT_ATTRIBUTES *attributes, IO_STATUS_BLOCK *status,
                                         LARGE_INTEGER *size, ULONG file_attributes, ULONG share,
                                         ULONG disposition, ULONG options, void *ea,
                                         ULONG ea_length);
typedef NTSTATUS NTAPI np_nt_device_io_control(HANDLE file, HANDLE event, void *apc,
                                               void *apc_context, IO_STATUS_BLOCK *status,
                                               ULONG code, const void *in, ULONG in_length,
                                               void *out, ULONG out_length);
typedef NTSTATUS NTAPI np_nt_cancel_io(HANDLE file, IO_STATUS_BLOCK *which,
                                       IO_STATUS_BLOCK *status);
typedef ULONG NTAPI np_nt_status_to_win32(NTSTATUS status);
typedef NTSTATUS NTAPI np_nt_create_packet(HANDLE *packet, ACCESS_MASK access,
                                           OBJECT_ATTRIBUTES *attributes);
typedef NTSTATUS NTAPI np_nt_associate_packet(HANDLE packet, HANDLE port, HANDLE target, void *key,
                                              void *context, NTSTATUS status, ULONG_PTR information,
                                              BOOLEAN *signalled);
typedef NTSTATUS NTAPI np_nt_cancel_packet(HANDLE packet, BOOLEAN also_if_queued);

typedef struct np_ntapi {
    np_nt_create_file *create_file;
    np_nt_device_io_control *device_io_control;
    np_nt_cancel_io *cancel_io;
    np_nt_status_to_win32 *status_to_win32;

    /* Since Windows 8; Wine 8 lacks them.  All three or none. */
    np_nt_create_packet *create_packet;
    np_nt_associate_packet *associate_packet;
    np_nt_cancel_packet *cancel_packet;
} np_ntapi;

/* NULL if this is no Windows that has what is needed. */
const np_ntapi *np_ntapi_get(void);

/* A high-resolution timer with the packet that brings it into a port: since Windows 10 1803. False:
 * there is none, here or now. */
bool np_open_highres_timer(HANDLE *timer, HANDLE *packet);

/* Errors as negated errno values of the C library. */
int np_errno_of_win32(DWORD error);
int np_errno_of_status(NTSTATUS status);

#endif
