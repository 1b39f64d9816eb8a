/* Preloaded where a benchmark needs more descriptors than a system lends to a process: epoll
 * accepts every number from IMAGINARY up and never reports an event for it, and to those who ask
 * first (libev, libuv) it is open and non-blocking.  All else is done as for real ones.
 *
 * libuv would register by io_uring, past these functions: it is told that there is none. */
#define _GNU_SOURCE /* RTLD_NEXT */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { IMAGINARY = 1 << 24 }; /* also in idle.py, c/core.c and c/epoll.c */

/* The C library's. */
#define REAL(name)                                                                                 \
    ({                                                                                             \
        static __typeof__(&name) real;                                                             \
        if (!real)                                                                                 \
            real = (__typeof__(&name))dlsym(RTLD_NEXT, #name);                                     \
        real;                                                                                      \
    })

/* The last argument of a call that has one more, or none. */
#define ARGUMENT_AFTER(last)                                                                       \
    ({                                                                                             \
        va_list list;                                                                              \
        va_start(list, last);                                                                      \
        void *argument = va_arg(list, void *);                                                     \
        va_end(list);                                                                              \
        argument;                                                                                  \
    })

int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
    return fd >= IMAGINARY ? 0 : REAL(epoll_ctl)(epfd, op, fd, event);
}

int fcntl(int fd, int command, ...)
{
    void *argument = ARGUMENT_AFTER(command);
    return fd >= IMAGINARY && command == F_GETFD ? 0 : REAL(fcntl)(fd, command, argument);
}

int fcntl64(int fd, int command, ...)
{
    void *argument = ARGUMENT_AFTER(command);
    return fd >= IMAGINARY && command == F_GETFD ? 0 : REAL(fcntl64)(fd, command, argument);
}

int ioctl(int fd, unsigned long request, ...)
{
    void *argument = ARGUMENT_AFTER(request);
    return fd >= IMAGINARY && request == FIONBIO ? 0 : REAL(ioctl)(fd, request, argument);
}

long syscall(long number, ...)
{
    va_list list;
    long a[6];
    va_start(list, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    if (number == SYS_io_uring_setup) {
        errno = ENOSYS;
        return -1;
    }
    return REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
