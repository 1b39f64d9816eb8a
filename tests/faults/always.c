/* Every call of one function fails: for LD_PRELOAD.
 *
 *   always_fail(name, number)  from here on, in every thread, with this errno; NULL: none does;
 *                              0: it is done at once, with one byte
 *   always_failed()            how many calls have failed
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "real.h"

static const char *_Atomic failing;
static atomic_int with;
static atomic_long failed;

void always_fail(const char *name, int number);
long always_failed(void);

void always_fail(const char *name, int number)
{
    with = number;
    failing = name;
}

long always_failed(void)
{
    return failed;
}

static bool fails(const char *name)
{
    const char *wanted = failing;
    if (!wanted || strcmp(wanted, name) != 0)
        return false;
    failed++;
    errno = with;
    return true;
}

#define FAILING(type, name, arguments, parameters)                                                 \
    type name parameters                                                                           \
    {                                                                                              \
        static type(*real) parameters;                                                             \
        if (!real)                                                                                 \
            real = (type(*) parameters)dlsym(RTLD_NEXT, #name);                                    \
        return fails(#name) ? (with ? -1 : 1) : real arguments;                                    \
    }

FAILING(ssize_t, recv, (fd, to, n, flags), (int fd, void *to, size_t n, int flags))
FAILING(ssize_t, send, (fd, from, n, flags), (int fd, const void *from, size_t n, int flags))
FAILING(int, accept4, (fd, address, size, flags),
        (int fd, struct sockaddr *address, socklen_t *size, int flags))
FAILING(int, ppoll, (fds, n, ts, mask),
        (struct pollfd * fds, nfds_t n, const struct timespec *ts, const __sigset_t *mask))
FAILING(int, epoll_wait, (epfd, events, max, ms),
        (int epfd, struct epoll_event *events, int max, int ms))

long syscall(long number, ...)
{
    va_list args;
    long a[SYSCALL_ARGUMENTS];
    REAL(long, "syscall", long, ...);
    va_start(args, number);
    syscall_arguments(args, a);
    va_end(args);
    if (number == EPOLL_PWAIT2 && fails("epoll_wait"))
        return -1;
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
