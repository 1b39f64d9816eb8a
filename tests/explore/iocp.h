/* The kernel in miniature, where it is Windows': between iocp.c and win32.c, and what scenarios do
 * to it. */
#ifndef IOCP_H
#define IOCP_H

#include <winsock2.h>

#include <winternl.h>

#include "files.h"

enum {
    STATUS_SUCCESS = 0,
    STATUS_INVALID_HANDLE = (NTSTATUS)0xC0000008,
    STATUS_CANCELLED = (NTSTATUS)0xC0000120,
    STATUS_CONNECTION_RESET = (NTSTATUS)0xC000020D,
    STATUS_NOT_FOUND = (NTSTATUS)0xC0000225
};

static inline int fd_of(HANDLE h)
{
    return (int)(intptr_t)h;
}
static inline HANDLE handle_of(int fd)
{
    return (HANDLE)(intptr_t)fd;
}
void set_last_error(DWORD error);

/* ntdll's: iocp.c. */
NTSTATUS nt_device_io_control(HANDLE h, HANDLE event, void *apc, void *context,
                              IO_STATUS_BLOCK *status, ULONG code, const void *in, ULONG in_length,
                              void *out, ULONG out_length);
NTSTATUS nt_cancel_io(HANDLE h, IO_STATUS_BLOCK *which, IO_STATUS_BLOCK *status);
NTSTATUS nt_create_packet(HANDLE *packet, ACCESS_MASK access, OBJECT_ATTRIBUTES *attributes);
NTSTATUS nt_associate_packet(HANDLE packet, HANDLE port, HANDLE target, void *key, void *context,
                             NTSTATUS status, ULONG_PTR information, BOOLEAN *signalled);
NTSTATUS nt_cancel_packet(HANDLE packet, BOOLEAN also_if_queued);

/* For scenarios: WSARecv, and Ctrl-C. */
int k_wsa_recv(int fd, char *buffer, ULONG length, OVERLAPPED *overlapped);
void k_ctrl_c(void);

void win32_reset(void);
void win32_finish(void);

#endif
