#include "posix/epollfd.h"

#include <errno.h>
#include <stdbool.h>

#ifdef __linux__
#include <sys/epoll.h>

int np_epoll_create(void)
{
    int fd = epoll_create1(EPOLL_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int control(int epfd, int what, int fd, uint32_t events, uint64_t tag)
{
    struct epoll_event ev = {.events = events, .data = {.u64 = tag}};
    return epoll_ctl(epfd, what, fd, &ev) < 0 ? -errno : 0;
}

int np_epoll_add(int epfd, int fd, uint32_t events, uint64_t tag)
{
    return control(epfd, EPOLL_CTL_ADD, fd, events, tag);
}

int np_epoll_remove(int epfd, int fd)
{
    return control(epfd, EPOLL_CTL_DEL, fd, 0, 0);
}

int np_epoll_has(int epfd, int fd)
{
    int rc = np_epoll_add(epfd, fd, 0, 0);
    if (rc == 0)
        np_epoll_remove(epfd, fd);
    if (rc == -ENOMEM || rc == -ENOSPC)
        return rc;
    return rc == -EEXIST;
}

int np_epoll_watch(int epfd, int fd, int before, int after)
{
    int rc = before ? -EEXIST : np_epoll_add(epfd, fd, (uint32_t)after, 0);
    if (rc == -EEXIST)
        rc = control(epfd, after ? EPOLL_CTL_MOD : EPOLL_CTL_DEL, fd, (uint32_t)after, 0);
    return rc;
}

/* Which registration is in the way, only its removal tells. */
int np_epoll_reclaim(int epfd, int fd, uint32_t events, uint64_t tag)
{
    int rc = tag ? np_epoll_lists(epfd, fd, tag) : 0;
    if (rc < 0)
        return rc;
    bool known = rc > 0;
    rc = np_epoll_remove(epfd, fd);
    if (rc < 0)
        return rc;
    if (!known || np_epoll_lists(epfd, fd, tag) > 0)
        return 1;
    return np_epoll_add(epfd, fd, events, tag);
}

#else

int np_epoll_create(void)
{
    return -ENOSYS;
}

int np_epoll_add(int epfd, int fd, uint32_t events, uint64_t tag)
{
    (void)epfd, (void)fd, (void)events, (void)tag;
    return -ENOSYS;
}

int np_epoll_has(int epfd, int fd)
{
    (void)epfd, (void)fd;
    return 0;
}

int np_epoll_remove(int epfd, int fd)
{
    (void)epfd, (void)fd;
    return -ENOSYS;
}

int np_epoll_watch(int epfd, int fd, int before, int after)
{
    (void)epfd, (void)fd, (void)before, (void)after;
    return -ENOSYS;
}

int np_epoll_reclaim(int epfd, int fd, uint32_t events, uint64_t tag)
{
    (void)epfd, (void)fd, (void)events, (void)tag;
    return -ENOSYS;
}

#endif
