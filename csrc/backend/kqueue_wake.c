/* The wake object of the kqueue backend: a user event where every release of the system has them,
 * else a pipe.  -DNP_KQUEUE_PIPE: the pipe, everywhere. */
#define _GNU_SOURCE
#include "backend/backend.h"

#ifdef NP_HAVE_KQUEUE
#include <errno.h>

#include "backend/kqueue.h"

#if (defined(__APPLE__) || defined(__FreeBSD__) || defined(__DragonFly__) ||                       \
     defined(LIBKQUEUE)) &&                                                                        \
    !defined(NP_KQUEUE_PIPE)

int np_kq_wake_open(np_kq_kernel *k)
{
    struct kevent change =
        NP_KQ_CHANGE(0, EVFILT_USER, EV_ADD | EV_CLEAR, NP_KQ_TAGGED(NP_KQ_TAG_WAKE));
    k->wake = (np_wakefd){.reader = -1, .writer = -1};
    return np_kq_apply(k->fd, &change, 1);
}

int np_kq_wake_renew(np_kq_kernel *k)
{
    return np_kq_wake_open(k);
}

void np_kq_wake_close(np_kq_kernel *k)
{
    (void)k; /* it goes with the kqueue */
}

void np_kq_wake_drain(np_kq_kernel *k)
{
    (void)k; /* EV_CLEAR */
}

int np_kq_wake(void *kernel)
{
    np_kq_kernel *k = kernel;
    int saved = errno; /* we may be in a signal handler */
    struct kevent change =
        NP_KQ_CHANGE(0, EVFILT_USER, 0, .fflags = NOTE_TRIGGER, NP_KQ_TAGGED(NP_KQ_TAG_WAKE));
    int rc = np_kq_apply(k->fd, &change, 1);
    errno = saved;
    return rc;
}

#else

int np_kq_wake_open(np_kq_kernel *k)
{
    int rc = np_wakefd_open(&k->wake);
    if (rc == 0 && (rc = np_kq_watch_readable(k->fd, k->wake.reader)) < 0)
        np_wakefd_close(&k->wake);
    return rc;
}

int np_kq_wake_renew(np_kq_kernel *k)
{
    int rc = np_wakefd_renew(&k->wake);
    return rc < 0 ? rc : np_kq_watch_readable(k->fd, k->wake.reader);
}

void np_kq_wake_close(np_kq_kernel *k)
{
    np_wakefd_close(&k->wake);
}

void np_kq_wake_drain(np_kq_kernel *k)
{
    np_wakefd_drain(&k->wake);
}

int np_kq_wake(void *kernel)
{
    np_kq_kernel *k = kernel;
    return np_wakefd_signal(&k->wake);
}

#endif
#endif
