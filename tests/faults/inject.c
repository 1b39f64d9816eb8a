/* The n-th call of one function of the C library fails, once: for LD_PRELOAD.
 *
 *   FAULT_CALL   its name; FAULT_ERRNO the errno that it fails with
 *   fault_arm(n)   from the program under test: from here on count, and let the n-th call fail;
 *                  0: stop
 *   fault_hit()    has it failed?
 *   fault_blocks() how many blocks of memory are allocated, by all threads
 *
 * Only calls of the thread that armed it are counted, so that a run can be repeated exactly.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "real.h"

static _Thread_local long left; /* calls until it fails; 0: not armed */
static _Thread_local bool hit;
static atomic_long blocks;

void fault_arm(long n);
int fault_hit(void);
long fault_blocks(void);

void fault_arm(long n)
{
    left = n;
    if (n > 0)
        hit = false;
}

int fault_hit(void)
{
    return hit;
}

long fault_blocks(void)
{
    return blocks;
}

static bool fails(const char *name)
{
    if (left == 0)
        return false; /* first: getenv may not be called while the program starts */
    const char *wanted = getenv("FAULT_CALL");
    if (!wanted || strcmp(wanted, name) != 0 || --left > 0)
        return false;
    hit = true;
    errno = atoi(getenv("FAULT_ERRNO"));
    return true;
}

#define FAILING(name, arguments, parameters)                                                       \
    int name parameters;                                                                           \
    int name parameters                                                                            \
    {                                                                                              \
        static int(*real) parameters;                                                              \
        if (!real)                                                                                 \
            real = (int(*) parameters)dlsym(RTLD_NEXT, #name);                                     \
        return fails(#name) ? -1 : real arguments;                                                 \
    }

FAILING(epoll_create1, (flags), (int flags))
FAILING(epoll_wait, (epfd, events, max, ms),
        (int epfd, struct epoll_event *events, int max, int ms))
FAILING(eventfd, (count, flags), (unsigned count, int flags))
FAILING(timerfd_create, (clock, flags), (int clock, int flags))
FAILING(timerfd_settime, (fd, flags, its, old),
        (int fd, int flags, const struct itimerspec *its, struct itimerspec *old))
FAILING(ppoll, (fds, n, ts, mask),
        (struct pollfd * fds, nfds_t n, const struct timespec *ts, const __sigset_t *mask))
FAILING(dup3, (from, to, flags), (int from, int to, int flags))

/* Taking back a registration that is there never fails. */
int epoll_ctl(int epfd, int what, int fd, struct epoll_event *event)
{
    REAL(int, "epoll_ctl", int, int, int, struct epoll_event *);
    return what != EPOLL_CTL_DEL && fails("epoll_ctl") ? -1 : real(epfd, what, fd, event);
}

ssize_t read(int fd, void *buffer, size_t n)
{
    REAL(ssize_t, "read", int, void *, size_t);
    return fails("read") ? -1 : real(fd, buffer, n);
}

ssize_t write(int fd, const void *buffer, size_t n)
{
    REAL(ssize_t, "write", int, const void *, size_t);
    return fails("write") ? -1 : real(fd, buffer, n);
}

long syscall(long number, ...)
{
    va_list args;
    long a[SYSCALL_ARGUMENTS];
    REAL(long, "syscall", long, ...);
    va_start(args, number);
    syscall_arguments(args, a);
    va_end(args);
    if ((number == SYS_futex && fails("futex")) ||
        (number == EPOLL_PWAIT2 && fails("epoll_pwait2")))
        return -1;
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* The allocator, by glibc's own names: dlsym allocates. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *p);

static void *counted(void *p)
{
    blocks += p != NULL;
    return p;
}

void *malloc(size_t size)
{
    return fails("malloc") ? NULL : counted(__libc_malloc(size));
}

void *calloc(size_t n, size_t size)
{
    return fails("calloc") ? NULL : counted(__libc_calloc(n, size));
}

void *realloc(void *p, size_t size)
{
    if (fails("realloc"))
        return NULL;
    void *moved = __libc_realloc(p, size);
    blocks += (moved != NULL) - (p != NULL && (moved != NULL || size == 0));
    return moved;
}

void free(void *p)
{
    blocks -= p != NULL;
    __libc_free(p);
}

/* These three never fail here: only who frees what they gave is counted. */
void *memalign(size_t alignment, size_t size)
{
    return counted(__libc_memalign(alignment, size));
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return counted(__libc_memalign(alignment, size));
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    *out = counted(__libc_memalign(alignment, size));
    return *out ? 0 : ENOMEM;
}
