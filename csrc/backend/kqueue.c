/* kqueue: edge-triggered (EV_CLEAR), each descriptor registered once, with two filters.  On macOS
 * and the BSDs.  The data, and the facts behind it: kqueue.h. */
#define _GNU_SOURCE
#include "backend/backend.h"

#ifdef NP_HAVE_KQUEUE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "backend/kqueue.h"

#ifdef __NetBSD__
typedef size_t kevent_count;
#else
typedef int kevent_count;
#endif

static bool kqueue_usable(void)
{
    return true;
}

/* --- changes ---------------------------------------------------------------------------------- */

int np_kq_apply(int kq, const struct kevent *changes, int n)
{
    int rc;
    do
        rc = kevent(kq, changes, (kevent_count)n, NULL, 0, NULL);
    while (rc < 0 && errno == EINTR); /* a change once made may be made again */
    return rc < 0 ? -errno : 0;
}

/* Without FD_CLOEXEC for a moment, which does no harm: the child of a fork has no kqueue. */
int np_kq_create(void)
{
    int fd = kqueue();
    if (fd >= 0)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int np_kq_watch_readable(int kq, int fd)
{
    struct kevent change = NP_KQ_CHANGE(fd, EVFILT_READ, EV_ADD, NP_KQ_TAGGED(NP_KQ_TAG_WAKE));
    return np_kq_apply(kq, &change, 1);
}

/* Enabling what is enabled changes nothing, and fails for what is not registered. */
bool np_kq_is_registered(const np_kq_kernel *k, int fd)
{
    struct kevent change =
        NP_KQ_CHANGE(fd, EVFILT_READ, EV_ENABLE, NP_KQ_TAGGED(k->entries[fd].tag));
    return np_kq_apply(k->fd, &change, 1) == 0;
}

void np_kq_deregister(const np_kq_kernel *k, int fd)
{
    const struct kevent changes[] = {NP_KQ_CHANGE(fd, EVFILT_READ, EV_DELETE, NP_KQ_TAGGED(0)),
                                     NP_KQ_CHANGE(fd, EVFILT_WRITE, EV_DELETE, NP_KQ_TAGGED(0))};
    if (np_kq_apply(k->fd, changes, 2) < 0)
        np_kq_apply(k->fd, changes + 1, 1);
}

/* --- life ------------------------------------------------------------------------------------- */

static int kqueue_init(void **kernel)
{
    np_kq_kernel *k = calloc(1, sizeof *k);
    if (!k)
        return -ENOMEM;
    atomic_init(&k->nest, -1);
    k->owner = getpid();
    k->fd = np_kq_create();
    int rc = k->fd < 0 ? k->fd : 0;
    if (rc < 0)
        goto no_kqueue;
    rc = np_kq_wake_open(k);
    if (rc < 0)
        goto no_wake;
    *kernel = k;
    return 0;

no_wake:
    close(k->fd);
no_kqueue:
    free(k);
    return rc;
}

static void kqueue_fini(void *kernel)
{
    np_kq_kernel *k = kernel;
    np_kq_nest_close(k);
    np_kq_wake_close(k);
    if (k->owner == getpid() && k->fd >= 0) /* else it could not be renewed */
        close(k->fd);
    free(k->entries);
    free(k);
}

static int kqueue_renew(void *kernel)
{
    np_kq_kernel *k = kernel;
    if (k->owner == getpid() && k->fd >= 0)
        close(k->fd); /* of an attempt that failed */
    k->owner = getpid();
    if (k->size)
        memset(k->entries, 0, k->size * sizeof *k->entries);
    k->fd = np_kq_create();
    int rc = k->fd < 0 ? k->fd : np_kq_wake_renew(k);
    return rc < 0 ? rc : np_kq_nest_renew(k);
}

/* --- registering ------------------------------------------------------------------------------ */

static int reserve(np_kq_kernel *k, uint32_t fd)
{
    if (fd < k->size)
        return 0;
    uint32_t size = k->size ? k->size : 64;
    while (size <= fd)
        size *= 2;
    np_kq_entry *entries = realloc(k->entries, size * sizeof *entries);
    if (!entries)
        return -ENOMEM;
    memset(entries + k->size, 0, (size - k->size) * sizeof *entries);
    k->entries = entries;
    k->size = size;
    return 0;
}

/* Systems have several names for "this file has no such filter"; ours is EPERM. */
static int without_filter(int rc)
{
    switch (rc) {
    case -EINVAL:
    case -ENODEV:
    case -ENOTSUP:
#if EOPNOTSUPP != ENOTSUP
    case -EOPNOTSUPP:
#endif
        return -EPERM;
    default:
        return rc;
    }
}

/* Another kqueue can be read from only. */
static int register_both(const np_kq_kernel *k, int fd, uint64_t tag)
{
    const struct kevent reader =
        NP_KQ_CHANGE(fd, EVFILT_READ, EV_ADD | EV_CLEAR, NP_KQ_TAGGED(tag));
    const struct kevent writer =
        NP_KQ_CHANGE(fd, EVFILT_WRITE, EV_ADD | EV_CLEAR, NP_KQ_TAGGED(tag));

    int rc = without_filter(np_kq_apply(k->fd, &reader, 1));
    if (rc < 0)
        return rc;
    rc = without_filter(np_kq_apply(k->fd, &writer, 1));
    if (rc < 0 && rc != -EPERM) {
        np_kq_deregister(k, fd);
        return rc;
    }
    return 0;
}

#ifndef LIBKQUEUE
bool np_kq_is_duplicate(const np_kq_kernel *k, int fd, const struct stat *st)
{
    (void)st; /* a registration goes with the number */
    return np_kq_is_registered(k, fd);
}

void np_kq_set_entry(np_kq_entry *e, uint64_t tag, const struct stat *st)
{
    (void)st;
    e->tag = tag;
}

int np_kq_kernel_fd(void *kernel, np_fd *out)
{
    const np_kq_kernel *k = kernel;
    *out = k->fd;
    return 0;
}
#endif

/* Regular files and directories have a filter, but it is about their end, and calls them ready. */
static int kqueue_open(void *kernel, np_fd fd, uint64_t tag)
{
    np_kq_kernel *k = kernel;
    struct stat st;

    if (fstat((int)fd, &st) < 0)
        return -errno;
    if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))
        return -EPERM;
    int rc = reserve(k, (uint32_t)fd);
    if (rc < 0)
        return rc;
    if (k->entries[fd].tag && np_kq_is_duplicate(k, (int)fd, &st))
        return -EEXIST;
    rc = register_both(k, (int)fd, tag);
    if (rc == 0)
        np_kq_set_entry(&k->entries[fd], tag, &st);
    return rc;
}

static int kqueue_close(void *kernel, np_fd fd, uint64_t tag)
{
    np_kq_kernel *k = kernel;
    if (fd >= 0 && (uint64_t)fd < k->size && k->entries[fd].tag == tag) {
        k->entries[fd].tag = 0;
        np_kq_deregister(k, (int)fd);
    }
    return 0;
}

/* --- polling ---------------------------------------------------------------------------------- */

static int wait_for_events(int kq, struct kevent *events, int max, int64_t timeout)
{
    const int64_t longest = 1000000 * INT64_C(1000000000); /* on Darwin */
    if (timeout > longest)
        timeout = longest;
    struct timespec ts = {.tv_sec = timeout / 1000000000, .tv_nsec = timeout % 1000000000};
    int n = kevent(kq, NULL, 0, events, (kevent_count)max, timeout < 0 ? NULL : &ts);
    if (n < 0)
        return errno == ETIMEDOUT ? 0 : -errno; /* seen on Darwin, go.dev/issue/59679 */
    return n;
}

static void translate(const struct kevent *ev, np_event *out)
{
    int modes = ev->filter == EVFILT_WRITE ? NP_WRITE : NP_READ;
    if (ev->flags & EV_EOF)
        modes |= NP_WRITE;
    out->tag = (uintptr_t)ev->udata;
    out->modes = (uint8_t)modes;
    out->error = ev->flags == EV_ERROR;
    out->no_more_edges =
        true; /* a read may have stopped at urgent data, which the read filter does not report */
}

static int kqueue_poll(void *kernel, np_event *events, int max, int64_t timeout, bool *woken)
{
    np_kq_kernel *k = kernel;
    struct kevent batch[NP_EVENT_BATCH];
    int n = wait_for_events(k->fd, batch, max < NP_EVENT_BATCH ? max : NP_EVENT_BATCH, timeout);
    int out = 0;

    for (int i = 0; i < n; i++) {
        if ((uintptr_t)batch[i].udata == NP_KQ_TAG_WAKE) {
            np_kq_wake_drain(k);
            *woken = true;
        } else {
            translate(&batch[i], &events[out++]);
        }
    }
    np_kq_nest_refresh(k);
    return n < 0 ? n : out;
}

static bool kqueue_is_poll_descriptor(void *kernel, np_fd fd)
{
    const np_kq_kernel *k = kernel;
    return fd >= 0 &&
           (fd == k->fd || fd == k->wake.reader || fd == k->wake.writer || np_kq_nest_has(k, fd));
}

const np_backend np_backend_kqueue = {
    .name = "kqueue",
    .usable = kqueue_usable,
    .init = kqueue_init,
    .fini = kqueue_fini,
    .renew = kqueue_renew,
    .open = kqueue_open,
    .reclaim = NULL,
    .close = kqueue_close,
    .arm = NULL,
    .poll = kqueue_poll,
    .wake = np_kq_wake,
    .is_poll_descriptor = kqueue_is_poll_descriptor,
    .kernel_fd = np_kq_kernel_fd,
    .fileno = np_kq_fileno,
    .nest_timer = np_kq_nest_timer,
    .nest_work = np_kq_nest_work,
};

#endif
