/* The same of <winsock2.h>: see windows.h. */
#ifndef EXPLORE_WINSOCK2_H
#define EXPLORE_WINSOCK2_H

#include <windows.h>

typedef uintptr_t SOCKET;
typedef struct {
    int unused;
} WSADATA;

enum { SOL_SOCKET = 0xffff, SO_TYPE = 0x1008 };
#define MAKEWORD(low, high) ((USHORT)((low) | (high) << 8))

enum {
    WSA_IO_PENDING = 997,
    WSAEBADF = 10009,
    WSAEACCES = 10013,
    WSAEINVAL = 10022,
    WSAEMFILE = 10024,
    WSAENOTSOCK = 10038,
    WSAECONNABORTED = 10053,
    WSAECONNRESET = 10054,
    WSAENOBUFS = 10055,
    WSAENOTCONN = 10057,
    WSAESHUTDOWN = 10058,
    WSAECONNREFUSED = 10061
};

int WSAStartup(USHORT version, WSADATA *data);
int WSACleanup(void);
int WSAGetLastError(void);
int WSAIoctl(SOCKET s, DWORD code, void *in, DWORD in_length, void *out, DWORD out_length,
             DWORD *bytes, OVERLAPPED *overlapped, void *routine);

/* Of the names here the only one that the C library has as well. */
#define getsockopt k_getsockopt
int k_getsockopt(SOCKET s, int level, int option, char *value, int *length);

#endif
