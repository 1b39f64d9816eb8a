#define _GNU_SOURCE /* CLOCK_MONOTONIC */
#include "posix/nest.h"

#include <errno.h>
#include <unistd.h>

#include "posix/epollfd.h"
#include "posix/posixfd.h"
#include "posix/timespec.h"

#ifdef __linux__
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
static int watch_all(int epfd, int child, const np_nest *n)
{
    int rc = np_epoll_add(epfd, child, EPOLLIN, 0);
    if (rc == 0)
        rc = np_epoll_add(epfd, n->timer, EPOLLIN, 0);
    return rc == 0 ? np_epoll_add(epfd, n->work, EPOLLIN, 0) : rc;
}

int np_nest_open(np_nest *n, int child)
{
    np_nest fresh = NP_NEST_INIT;
    int rc = 0;

    if ((fresh.timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)) < 0 ||
        (fresh.work = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0 ||
        (fresh.fd = epoll_create1(EPOLL_CLOEXEC)) < 0)
        rc = -errno;
    if (rc == 0)
        rc = watch_all(fresh.fd, child, &fresh);
    if (rc < 0)
        np_nest_close(&fresh);
    else
        *n = fresh;
    return rc;
}

int np_nest_timer(const np_nest *n, int64_t when)
{
    struct itimerspec its = {.it_value = np_timespec(when)};
    return timerfd_settime(n->timer, TFD_TIMER_ABSTIME, &its, NULL) < 0 ? -errno : 0;
}

int np_nest_work(np_nest *n, bool work)
{
    uint64_t count = 1;
    ssize_t done;
    n->has_work = work;
    do
        done = work ? write(n->work, &count, sizeof count) : read(n->work, &count, sizeof count);
    while (done < 0 && errno == EINTR);
    return done < 0 && errno != EAGAIN ? -errno : 0;
}

#else

int np_nest_open(np_nest *n, int child)
{
    (void)n;
    (void)child;
    return -ENOSYS;
}

int np_nest_timer(const np_nest *n, int64_t when)
{
    (void)n;
    (void)when;
    return -ENOSYS;
}

int np_nest_work(np_nest *n, bool work)
{
    (void)n;
    (void)work;
    return -ENOSYS;
}

#endif

/* The number stays, as the loop outside knows it, if all of them are still ours. */
int np_nest_renew(np_nest *n, int child)
{
    if (n->fd < 0)
        return 0;
    int ours = np_epoll_has(n->fd, n->timer);
    if (ours > 0)
        ours = np_epoll_has(n->fd, n->work);
    if (ours < 0)
        return ours;
    np_nest fresh = NP_NEST_INIT;
    int rc = np_nest_open(&fresh, child);
    if (rc < 0)
        return rc;
    if (ours == 0)
        n->fd = -1;
    rc = np_replace_fd(fresh.fd, &n->fd);
    if (rc < 0) { /* and the next try finds what there was */
        fresh.fd = -1;
        np_nest_close(&fresh);
        return rc;
    }
    fresh.fd = n->fd;
    n->fd = -1;
    if (ours)
        np_nest_close(n);
    *n = fresh;
    return rc;
}

void np_nest_close(np_nest *n)
{
    const int fds[] = {n->fd, n->timer, n->work};
    for (int i = 0; i < 3; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    *n = (np_nest)NP_NEST_INIT;
}

bool np_nest_has(const np_nest *n, intptr_t fd)
{
    return fd >= 0 && (fd == n->fd || fd == n->timer || fd == n->work);
}
