/* Nesting of the kqueue backend: the loop outside watches a kqueue around the one that drivers wait
 * on, which neither spin on what is for that loop nor swallow it. */
#define _GNU_SOURCE
#include "backend/backend.h"

#ifdef NP_HAVE_KQUEUE
#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "backend/kqueue.h"

/* In a renewal work is opened before the old one is closed, so it is not k->nest_work. */
static int open_nest(const np_kq_kernel *k, np_wakefd *work)
{
    int nest = np_kq_create();
    if (nest < 0)
        return nest;
    int rc = np_wakefd_open(work);
    if (rc < 0)
        goto no_work;
    rc = np_kq_watch_readable(nest, k->fd);
    if (rc == 0)
        rc = np_kq_watch_readable(nest, work->reader);
    if (rc == 0)
        return nest;
    np_wakefd_close(work);
no_work:
    close(nest);
    return rc;
}

#ifndef LIBKQUEUE
int np_kq_fileno(void *kernel, np_fd *out)
{
    np_kq_kernel *k = kernel;
    int nest = atomic_load(&k->nest);

    if (nest < 0) {
        nest = open_nest(k, &k->nest_work);
        if (nest < 0)
            return nest;
        k->nest_owner = getpid();
        atomic_store(&k->nest, nest);
    }
    *out = nest;
    return 0;
}
#endif

/* One microsecond late, so that no rounding of the kernel's makes it expire before its time. */
static int64_t nanoseconds_until(int64_t when)
{
    const int64_t years = INT32_MAX / 2 * INT64_C(1000000000); /* 34; some kernels know no more */
    int64_t left = when - np_now();
    if (left < 0)
        left = 0;
    return left < years ? left + 1000 : years;
}

/* Deleted before it is set anew: whether a change restarts a timer, and clears its expiry, differs
 * from system to system. */
int np_kq_nest_timer(void *kernel, int64_t when)
{
    np_kq_kernel *k = kernel;
    int nest = atomic_load(&k->nest);
    struct kevent change = NP_KQ_CHANGE(0, EVFILT_TIMER, EV_DELETE, NP_KQ_TAGGED(0));

    int rc = np_kq_apply(nest, &change, 1);
    if (when) {
        change = NP_KQ_CHANGE(0, EVFILT_TIMER, EV_ADD | EV_ONESHOT, .fflags = NOTE_NSECONDS,
                              .data = nanoseconds_until(when));
        rc = np_kq_apply(nest, &change, 1);
    }
    return rc == -ENOENT ? 0 : rc;
}

int np_kq_nest_work(void *kernel, bool work)
{
    np_kq_kernel *k = kernel;
    if (work)
        return np_wakefd_signal(&k->nest_work);
    np_wakefd_drain(&k->nest_work);
    return 0;
}

/* Polled, the nest checks its events again, and is not readable for those that are over.  A timer
 * that has expired is collected with them, but then poll's caller is about to fire deadlines and to
 * set it anew. */
void np_kq_nest_refresh(np_kq_kernel *k)
{
    struct kevent unused[3];
    const struct timespec now = {0};
    int nest = atomic_load(&k->nest);
    if (nest >= 0)
        kevent(nest, NULL, 0, unused, 3, &now);
}

void np_kq_nest_close(np_kq_kernel *k)
{
    int nest = atomic_load(&k->nest);
    if (nest < 0)
        return;
    np_wakefd_close(&k->nest_work);
    if (k->nest_owner == getpid())
        close(nest);
}

/* In a forked child.  The number is kept if no other file has it yet.  Until there is a new nest
 * the old one stays, and where a call after this one fails, all is made once more. */
int np_kq_nest_renew(np_kq_kernel *k)
{
    int old = atomic_load(&k->nest);
    np_wakefd work;

    if (old < 0)
        return 0;
    int fresh = open_nest(k, &work);
    if (fresh < 0)
        return fresh;
    np_kq_nest_close(k);
    int same = fcntl(fresh, F_DUPFD_CLOEXEC, old);
    atomic_store(&k->nest, same == old ? same : fresh);
    if (same >= 0)
        close(same == old ? fresh : same);
    k->nest_work = work;
    k->nest_owner = getpid();
    return 0;
}

bool np_kq_nest_has(const np_kq_kernel *k, np_fd fd)
{
    int nest = atomic_load(&k->nest);
    return nest >= 0 && (fd == nest || fd == k->nest_work.reader || fd == k->nest_work.writer);
}

#endif
