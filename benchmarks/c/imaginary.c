/* Preloaded where a benchmark needs a million descriptors, which few systems lend to a process:
 * epoll accepts every number from IMAGINARY up and never reports an event for it.  The core and
 * its callers do all that they do for real ones. */
#define _GNU_SOURCE /* syscall */
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { IMAGINARY = 1 << 24 }; /* also in idle.py and c/core.c */

int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
    if (fd >= IMAGINARY)
        return 0;
    return (int)syscall(SYS_epoll_ctl, epfd, op, fd, event);
}
