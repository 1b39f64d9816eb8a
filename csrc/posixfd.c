#define _GNU_SOURCE /* dup3, ppoll */
#include "posixfd.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/eventfd.h>
#endif

int np_replace_fd(int fresh, int old)
{
    if (fresh < 0)
        return -errno;
    int rc;
    do
#ifdef __APPLE__
        rc = dup2(fresh, old);
#else
        rc = dup3(fresh, old, O_CLOEXEC);
#endif
    while (rc < 0 && errno == EINTR);
    rc = rc < 0 ? -errno : 0;
    close(fresh);
#ifdef __APPLE__
    if (rc == 0)
        fcntl(old, F_SETFD, FD_CLOEXEC);
#endif
    return rc;
}

#ifdef __linux__

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
    return np_replace_fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), w->reader);
}

#else

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
    rc = np_replace_fd(fds[0], w->reader);
    int rc2 = np_replace_fd(fds[1], w->writer);
    return rc < 0 ? rc : rc2;
}

#endif

/* One write of eight bytes serves the eventfd, which wants a counter, and the pipe alike.  EAGAIN
 * means that it is readable already. */
int np_wakefd_signal(const np_wakefd *w)
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

void np_wakefd_drain(const np_wakefd *w)
{
    uint64_t buffer[8];
    ssize_t n;
    do
        n = read(w->reader, buffer, sizeof buffer);
    while (n == (ssize_t)sizeof buffer || (n < 0 && errno == EINTR));
}

int np_poll_fds(struct pollfd *pfds, nfds_t n, int64_t timeout)
{
#ifdef __linux__
    struct timespec ts = {.tv_sec = timeout / 1000000000, .tv_nsec = timeout % 1000000000};
    int rc = ppoll(pfds, n, timeout < 0 ? NULL : &ts, NULL);
#else
    const int64_t day = 86400 * INT64_C(1000);
    int64_t ms = timeout / 1000000 >= day ? day : (timeout + 999999) / 1000000;
    int rc = poll(pfds, n, timeout < 0 ? -1 : (int)ms);
#endif
    return rc < 0 ? -errno : rc;
}
