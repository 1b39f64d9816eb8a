/* epoll: edge-triggered, each descriptor registered once for both modes.
 *
 * Facts about epoll that shaped this file:
 * - A registration is keyed by the open file and the number.  It goes when the last descriptor of
 *   the file does, not when this number is closed; so a file with duplicates can report events
 *   under a number that belongs to another file by now.  Hence the tag in each event, and reclaim.
 * - EPOLLRDHUP, EPOLLHUP and EPOLLERR come without being asked for or together with data; after
 *   them no further edge may come, so they count as readiness for both modes' waiters.
 * - Urgent data (EPOLLPRI) makes a read stop at its mark, short of what lies behind.  It is asked
 *   for to know that; alone it is no readiness.
 * - epoll_wait counts milliseconds; epoll_pwait2 (Linux 5.11) nanoseconds.
 * - An epoll descriptor is itself readable while it has events, so another epoll can watch it.
 */
#define _GNU_SOURCE /* syscall */
#include "backend/backend.h"

#ifdef NP_HAVE_EPOLL
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "posix/epollfd.h"
#include "posix/nest.h"
#include "posix/posixfd.h"
#include "sys/layout.h"
#include "sys/ms.h"

enum { TAG_WAKE = 0 }; /* no descriptor's tag */

typedef struct epoll_kernel {
    int fd;
    np_wakefd wake;
    np_nest nest;
} epoll_kernel;

static bool epoll_usable(void)
{
    return true;
}

static const uint32_t all_events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET;

static int epoll_init(void **kernel)
{
    epoll_kernel *k = malloc(sizeof *k);
    if (!k)
        return -ENOMEM;
    k->nest = (np_nest)NP_NEST_INIT;
    int rc = k->fd = np_epoll_create();
    if (rc < 0)
        goto no_epoll;
    rc = np_wakefd_open(&k->wake);
    if (rc < 0)
        goto no_wake;
    rc = np_epoll_add(k->fd, k->wake.reader, EPOLLIN, TAG_WAKE);
    if (rc < 0)
        goto no_add;
    *kernel = k;
    return 0;

no_add:
    np_wakefd_close(&k->wake);
no_wake:
    close(k->fd);
no_epoll:
    free(k);
    return rc;
}

static void forget_both(epoll_kernel *k)
{
    k->fd = -1;
    k->wake = (np_wakefd){.reader = -1, .writer = -1};
}

static void close_both(epoll_kernel *k)
{
    if (k->fd >= 0)
        close(k->fd);
    if (k->wake.reader >= 0)
        np_wakefd_close(&k->wake);
    forget_both(k);
}

static void epoll_fini(void *kernel)
{
    epoll_kernel *k = kernel;
    np_nest_close(&k->nest);
    close_both(k);
    free(k);
}

static int renew_both(epoll_kernel *k)
{
    int rc = k->fd < 0 ? 1 : np_epoll_has(k->fd, k->wake.reader);
    if (rc < 0)
        return rc;
    if (rc == 0)
        forget_both(k); /* other files have them by now */
    rc = np_replace_fd(np_epoll_create(), &k->fd);
    if (rc < 0)
        return rc;
    rc = np_wakefd_renew(&k->wake);
    if (rc == 0)
        rc = np_epoll_add(k->fd, k->wake.reader, EPOLLIN, TAG_WAKE);
    if (rc < 0)
        close_both(k); /* the next try would not know them */
    return rc;
}

static int epoll_renew(void *kernel)
{
    epoll_kernel *k = kernel;
    int rc = renew_both(k);
    if (rc == 0)
        rc = np_nest_renew(&k->nest, k->fd);
    return rc;
}

static int epoll_open(void *kernel, np_fd fd, uint64_t tag)
{
    epoll_kernel *k = kernel;
    return np_epoll_add(k->fd, (int)fd, all_events, tag);
}

static int epoll_reclaim(void *kernel, np_fd fd, uint64_t known)
{
    epoll_kernel *k = kernel;
    return np_epoll_reclaim(k->fd, (int)fd, all_events, known);
}

static int epoll_close(void *kernel, np_fd fd, uint64_t tag)
{
    epoll_kernel *k = kernel;
    (void)tag;
    return np_epoll_remove(k->fd, (int)fd);
}

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441 /* the same on every architecture */
#endif

static _Atomic(bool) no_pwait2;

NP_HOT static int wait_for_events(int epfd, struct epoll_event *events, int max, int64_t timeout)
{
    if (timeout > 0 && !atomic_load(&no_pwait2)) {
        struct {
            int64_t tv_sec, tv_nsec;
        } ts = {timeout / 1000000000, timeout % 1000000000};
        long n = syscall(SYS_epoll_pwait2, epfd, events, max, &ts, NULL, (size_t)0);
        if (n >= 0 || (errno != ENOSYS && errno != EPERM))
            return (int)n;
        atomic_store(&no_pwait2, true); /* an old kernel, or a sandbox that does not know it */
    }
    return epoll_wait(epfd, events, max, np_ms(timeout));
}

NP_HOT static void translate(const struct epoll_event *ev, np_event *out)
{
    uint32_t e = ev->events;
    out->tag = ev->data.u64;
    out->modes = (uint8_t)((e & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR) ? NP_READ : 0) |
                           (e & (EPOLLOUT | EPOLLHUP | EPOLLERR) ? NP_WRITE : 0));
    out->error = e == EPOLLERR;
    out->no_more_edges = (e & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI)) != 0;
}

NP_HOT static int epoll_poll(void *kernel, np_event *events, int max, int64_t timeout, bool *woken)
{
    epoll_kernel *k = kernel;
    struct epoll_event batch[NP_EVENT_BATCH];
    int n = wait_for_events(k->fd, batch, max < NP_EVENT_BATCH ? max : NP_EVENT_BATCH, timeout);
    int out = 0;

    if (n < 0)
        return -errno;
    for (int i = 0; i < n; i++) {
        if (batch[i].data.u64 == TAG_WAKE) {
            np_wakefd_drain(&k->wake);
            *woken = true;
        } else {
            translate(&batch[i], &events[out++]);
        }
    }
    return out;
}

static int epoll_wake(void *kernel)
{
    epoll_kernel *k = kernel;
    return np_wakefd_signal(&k->wake);
}

static bool epoll_is_poll_descriptor(void *kernel, np_fd fd)
{
    epoll_kernel *k = kernel;
    return fd == k->fd || fd == k->wake.reader || np_nest_has(&k->nest, fd);
}

static int epoll_kernel_fd(void *kernel, np_fd *out)
{
    epoll_kernel *k = kernel;
    *out = k->fd;
    return 0;
}

static int epoll_fileno(void *kernel, np_fd *out)
{
    epoll_kernel *k = kernel;
    int rc = k->nest.fd < 0 ? np_nest_open(&k->nest, k->fd) : 0;
    *out = k->nest.fd;
    return rc;
}

static int epoll_nest_timer(void *kernel, int64_t when)
{
    epoll_kernel *k = kernel;
    return np_nest_timer(&k->nest, when);
}

static int epoll_nest_work(void *kernel, bool work)
{
    epoll_kernel *k = kernel;
    return np_nest_work(&k->nest, work);
}

const np_backend np_backend_epoll = {
    .name = "epoll",
    .usable = epoll_usable,
    .init = epoll_init,
    .fini = epoll_fini,
    .renew = epoll_renew,
    .open = epoll_open,
    .reclaim = epoll_reclaim,
    .close = epoll_close,
    .arm = NULL,
    .poll = epoll_poll,
    .wake = epoll_wake,
    .is_poll_descriptor = epoll_is_poll_descriptor,
    .kernel_fd = epoll_kernel_fd,
    .fileno = epoll_fileno,
    .nest_timer = epoll_nest_timer,
    .nest_work = epoll_nest_work,
};
#endif
