/* What of the kernel is in use, for `python -m netpoll`. */
#define _GNU_SOURCE /* syscall */
#include "netpoll.h"
#include "sys/system.h"

#if defined(__linux__)
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

const char *np_features(void)
{
    /* A descriptor that cannot be: a kernel that knows the call says EBADF. */
    if (syscall(SYS_epoll_pwait2, -1, NULL, 1, NULL, NULL, (size_t)0) < 0 && errno == EBADF)
        return "epoll_pwait2, eventfd, timerfd, futex";
    return "epoll_wait, eventfd, timerfd, futex";
}
#elif defined(_WIN32)
#include "win32/ntapi_win32.h"

const char *np_features(void)
{
    HANDLE timer, packet;
    if (np_ntapi_get() && np_open_highres_timer(&timer, &packet)) {
        CloseHandle(packet);
        CloseHandle(timer);
        return "I/O completion ports, AFD polls, high-resolution timers, SRW locks";
    }
    return "I/O completion ports, AFD polls, millisecond timeouts, SRW locks";
}
#elif !defined(NP_HAVE_THREADS)

const char *np_features(void)
{
    return "poll, one thread";
}
#else
#if defined(__APPLE__) || defined(__FreeBSD__) || defined(__DragonFly__)
#define WAKE "user events"
#else
#define WAKE "pipes"
#endif
#if defined(__FreeBSD__)
#define PARK "_umtx_op"
#elif defined(__OpenBSD__)
#define PARK "futex"
#else
#define PARK "condition variables"
#endif

const char *np_features(void)
{
    return "kqueue, " WAKE ", " PARK;
}
#endif
