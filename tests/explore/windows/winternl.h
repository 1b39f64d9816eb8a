/* The same of <winternl.h>: see windows.h. */
#ifndef EXPLORE_WINTERNL_H
#define EXPLORE_WINTERNL_H

#include <windows.h>

#define NT_SUCCESS(status) ((NTSTATUS)(status) >= 0)

typedef struct {
    USHORT Length, MaximumLength;
    WCHAR *Buffer;
} UNICODE_STRING;

typedef struct {
    ULONG Length;
    HANDLE RootDirectory;
    UNICODE_STRING *ObjectName;
    ULONG Attributes;
    void *SecurityDescriptor, *SecurityQualityOfService;
} OBJECT_ATTRIBUTES;

typedef struct {
    union {
        NTSTATUS Status;
        void *Pointer;
    };
    ULONG_PTR Information;
} IO_STATUS_BLOCK;

#endif
