/* A signal in the gap: it comes when all looks are done, and the n-th sleep has not begun.  For
 * LD_PRELOAD.
 *
 *   gap_arm(n, signum)  count the sleeps of the calling thread, and raise signum just before its
 *                       n-th; 0: count only
 *   gap_sleeps()        how many there were since
 *
 * Only calls that may block count, and only those that the core makes: the interpreter sleeps in
 * others.
 */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>

#include "real.h"

static _Thread_local long sleeps, wanted;
static _Thread_local int signal_number;

void gap_arm(long n, int signum);
long gap_sleeps(void);

void gap_arm(long n, int signum)
{
    sleeps = 0;
    wanted = n;
    signal_number = signum;
}

long gap_sleeps(void)
{
    return sleeps;
}

static void before_a_sleep(void)
{
    if (++sleeps == wanted)
        raise(signal_number);
}

int epoll_wait(int epfd, struct epoll_event *events, int max, int ms)
{
    REAL(int, "epoll_wait", int, struct epoll_event *, int, int);
    if (ms != 0)
        before_a_sleep();
    return real(epfd, events, max, ms);
}

int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *ts, const __sigset_t *mask)
{
    REAL(int, "ppoll", struct pollfd *, nfds_t, const struct timespec *, const __sigset_t *);
    if (!ts || ts->tv_sec || ts->tv_nsec)
        before_a_sleep();
    return real(fds, n, ts, mask);
}

long syscall(long number, ...)
{
    va_list args;
    long a[SYSCALL_ARGUMENTS];
    REAL(long, "syscall", long, ...);
    va_start(args, number);
    syscall_arguments(args, a);
    va_end(args);
    if (number == EPOLL_PWAIT2 || (number == SYS_futex && a[1] == FUTEX_WAIT_PRIVATE))
        before_a_sleep();
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
