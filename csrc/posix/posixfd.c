#define _GNU_SOURCE /* dup3, ppoll */
#include "posix/posixfd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "posix/timespec.h"
#include "sys/ms.h"
#include "sys/system.h"

#ifdef __linux__
#include <sys/eventfd.h>
#endif

#ifndef POLLPRI /* WASI */
#define POLLPRI 0
#endif

/* --- replacing a descriptor, which is for forked children ------------------------------------ */

#ifdef NP_HAVE_FORK

/* A program that becomes a daemon closes all that it has inherited, and the numbers become other
 * files'.  One that is as ours was is taken for it. */
static bool is_others(int fd, int fresh)
{
    struct stat now, ours;
    return fstat(fd, &now) == 0 &&
           (fstat(fresh, &ours) < 0 || now.st_mode != ours.st_mode || now.st_dev != ours.st_dev);
}

static int duplicate(int fresh, int old)
{
    int rc;
    do
#ifdef __APPLE__
        rc = dup2(fresh, old);
#else
        rc = dup3(fresh, old, O_CLOEXEC);
#endif
    while (rc < 0 && errno == EINTR);
    rc = rc < 0 ? -errno : 0;
#ifdef __APPLE__
    if (rc == 0)
        fcntl(old, F_SETFD, FD_CLOEXEC);
#endif
    return rc;
}

int np_replace_fd(int fresh, int *number)
{
    if (fresh < 0)
        return -errno;
    if (*number < 0 || is_others(*number, fresh))
        *number = fresh;
    if (*number == fresh)
        return 0;
    int rc = duplicate(fresh, *number);
    close(fresh);
    return rc;
}

#else

int np_replace_fd(int fresh, int *number)
{
    (void)fresh, (void)number;
    return -ENOSYS;
}

#endif

/* --- the wake object ------------------------------------------------------------------------- */

#if defined(__linux__)

int np_wakefd_open(np_wakefd *w)
{
    w->reader = w->writer = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return w->reader < 0 ? -errno : 0;
}

void np_wakefd_close(np_wakefd *w)
{
    close(w->reader);
}

int np_wakefd_renew(np_wakefd *w)
{
    int rc = np_replace_fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), &w->reader);
    w->writer = w->reader;
    return rc;
}

#elif defined(NP_HAVE_THREADS)

static int open_pipe(int fds[2])
{
    if (pipe(fds) < 0)
        return -errno;
    for (int i = 0; i < 2; i++)
        if (fcntl(fds[i], F_SETFD, FD_CLOEXEC) < 0 || fcntl(fds[i], F_SETFL, O_NONBLOCK) < 0) {
            int rc = -errno;
            close(fds[0]);
            close(fds[1]);
            return rc;
        }
    return 0;
}

int np_wakefd_open(np_wakefd *w)
{
    int fds[2];
    int rc = open_pipe(fds);
    if (rc == 0)
        *w = (np_wakefd){.reader = fds[0], .writer = fds[1]};
    return rc;
}

void np_wakefd_close(np_wakefd *w)
{
    close(w->reader);
    close(w->writer);
}

int np_wakefd_renew(np_wakefd *w)
{
    int fds[2];
    int rc = open_pipe(fds);
    if (rc < 0)
        return rc;
    rc = np_replace_fd(fds[0], &w->reader);
    int rc2 = np_replace_fd(fds[1], &w->writer);
    return rc < 0 ? rc : rc2;
}

#else

int np_wakefd_open(np_wakefd *w)
{
    *w = (np_wakefd){.reader = -1, .writer = -1};
    return 0;
}

void np_wakefd_close(np_wakefd *w)
{
    (void)w;
}

int np_wakefd_renew(np_wakefd *w)
{
    return np_wakefd_open(w);
}

int np_wakefd_signal(np_wakefd *w)
{
    w->signalled = true;
    return 0;
}

void np_wakefd_drain(np_wakefd *w)
{
    w->signalled = false;
}

int np_poll_wakefd(const np_wakefd *w, struct pollfd *pfds, nfds_t n, int64_t timeout)
{
    pfds[0] = (struct pollfd){.fd = -1, .revents = w->signalled ? POLLIN : 0};
    int rc = n == 1 && w->signalled ? 0 : np_poll_fds(pfds + 1, n - 1, w->signalled ? 0 : timeout);
    return rc < 0 ? rc : rc + w->signalled;
}

#endif

#ifdef NP_HAVE_THREADS

/* One write of eight bytes serves the eventfd, which wants a counter, and the pipe alike.  EAGAIN
 * means that it is readable already. */
int np_wakefd_signal(np_wakefd *w)
{
    uint64_t one = 1;
    int saved = errno; /* we may be in a signal handler */
    ssize_t n;
    do
        n = write(w->writer, &one, sizeof one);
    while (n < 0 && errno == EINTR);
    int rc = n < 0 && errno != EAGAIN ? -errno : 0;
    errno = saved;
    return rc;
}

void np_wakefd_drain(np_wakefd *w)
{
    uint64_t buffer[8];
    ssize_t n;
    do
        n = read(w->reader, buffer, sizeof buffer);
    while (n == (ssize_t)sizeof buffer || (n < 0 && errno == EINTR));
}

int np_poll_wakefd(const np_wakefd *w, struct pollfd *pfds, nfds_t n, int64_t timeout)
{
    pfds[0] = (struct pollfd){.fd = w->reader, .events = POLLIN};
    return np_poll_fds(pfds, n, timeout);
}

#endif

/* --- poll(2) --------------------------------------------------------------------------------- */

/* Is there a descriptor, or a signal handler, that could end it? */
static bool can_end(const struct pollfd *pfds, nfds_t n)
{
#ifdef NP_HAVE_SIGNALS
    (void)pfds, (void)n;
    return true;
#else
    bool any = false;
    for (nfds_t i = 0; i < n; i++)
        any = any || pfds[i].fd >= 0;
    return any;
#endif
}

int np_poll_fds(struct pollfd *pfds, nfds_t n, int64_t timeout)
{
    if (timeout < 0 && !can_end(pfds, n))
        return -ENOSYS;
#ifdef __linux__
    struct timespec ts = np_timespec(timeout);
    int rc = ppoll(pfds, n, timeout < 0 ? NULL : &ts, NULL);
#else
    int rc = poll(pfds, n, np_ms(timeout));
#endif
    return rc < 0 ? -errno : rc;
}

bool np_fd_is_broken(np_fd fd)
{
    struct pollfd pfd = {.fd = (int)fd, .events = POLLIN | POLLOUT | POLLPRI};
    struct stat st;
    return np_poll_fds(&pfd, 1, 0) == 1 && pfd.revents == POLLERR && fstat((int)fd, &st) == 0 &&
           !S_ISSOCK(st.st_mode);
}
