/* kqueue: edge-triggered (EV_CLEAR), each descriptor registered once, with two filters; macOS, the
 * BSDs, and with NETPOLL_KQUEUE=1 whatever library offers <sys/event.h> on Linux.
 *
 * Facts about kqueue that shaped this file:
 * - A registration is keyed by the number, and goes when the number is closed, whatever duplicates
 *   the file has.  Adding one that exists overwrites its udata; so a table of our own says which
 *   numbers were registered, and only for those the kernel is asked whether they still are.
 * - udata comes back with each event: it is the tag.
 * - EV_EOF is set on the reader's event when the other side has gone, on some systems the only
 *   event that a writer will get (the write end of a pipe), so it is news for both, as in Go.
 * - Timeouts are nanoseconds; Darwin refuses to sleep too long.
 * - The child of a fork has no kqueue: the number is free there, or already somebody else's.
 * - A kqueue is itself readable while it has events, but once readable stays so until somebody has
 *   asked it for them.
 */
#define _GNU_SOURCE
#include "backend.h"

#ifdef NP_HAVE_KQUEUE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/event.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "posixfd.h"

_Static_assert(sizeof(void *) >= sizeof(uint64_t), "a tag must fit in udata");

#ifdef __NetBSD__
typedef size_t kevent_count;
#else
typedef int kevent_count;
#endif

/* A change, and what it is about.  Constants only, whose types differ from system to system. */
#define CHANGE(about, which, what, ...)                                                            \
    (struct kevent)                                                                                \
    {                                                                                              \
        .ident = (uintptr_t)(about), .filter = (which), .flags = (what), __VA_ARGS__               \
    }
#define TAGGED(tag) .udata = (void *)(uintptr_t)(tag)

enum { TAG_WAKE = 0 }; /* no descriptor's tag */

/* What was registered under a number, though it may have been closed since. */
typedef struct entry {
    uint64_t tag; /* 0: nothing */
#ifdef LIBKQUEUE
    dev_t dev;
    ino_t ino;
#endif
} entry;

typedef struct kqueue_kernel {
    int fd;
    pid_t owner; /* the process whose kqueues they are */
    np_wakefd wake;
    entry *entries; /* by fd; under the poller's lock */
    uint32_t size;
    atomic_int nest; /* what the loop outside watches: a kqueue around this one; -1 until it asks */
    np_wakefd nest_work;
    pid_t nest_owner; /* the process that nest is open in; nest_work is in its children too */
} kqueue_kernel;

static bool kqueue_usable(void)
{
    return true;
}

/* --- talking to the kernel -------------------------------------------------------------------- */

/* Stops at the first change that fails. */
static int apply(int kq, const struct kevent *changes, int n)
{
    int rc;
    do
        rc = kevent(kq, changes, (kevent_count)n, NULL, 0, NULL);
    while (rc < 0 && errno == EINTR); /* a change once made may be made again */
    return rc < 0 ? -errno : 0;
}

/* Without FD_CLOEXEC for a moment, which matters to nobody: what another thread forks meanwhile
 * has no kqueue. */
static int new_kqueue(void)
{
    int fd = kqueue();
    if (fd >= 0)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static inline int watch_readable(int kq, int fd)
{
    struct kevent change = CHANGE(fd, EVFILT_READ, EV_ADD, TAGGED(TAG_WAKE));
    return apply(kq, &change, 1);
}

/* --- the wake object: a user event where every kernel has them, else a pipe ------------------- */

#if (defined(__APPLE__) || defined(__FreeBSD__) || defined(__DragonFly__) ||                       \
     defined(LIBKQUEUE)) &&                                                                        \
    !defined(NP_KQUEUE_PIPE)

static int wake_open(kqueue_kernel *k)
{
    struct kevent change = CHANGE(0, EVFILT_USER, EV_ADD | EV_CLEAR, TAGGED(TAG_WAKE));
    k->wake = (np_wakefd){.reader = -1, .writer = -1};
    return apply(k->fd, &change, 1);
}

static int wake_renew(kqueue_kernel *k)
{
    return wake_open(k);
}

static void wake_close(kqueue_kernel *k)
{
    (void)k; /* it goes with the kqueue */
}

static void wake_drain(kqueue_kernel *k)
{
    (void)k; /* EV_CLEAR */
}

static int kqueue_wake(void *kernel)
{
    kqueue_kernel *k = kernel;
    int saved = errno; /* we may be in a signal handler */
    struct kevent change = CHANGE(0, EVFILT_USER, 0, .fflags = NOTE_TRIGGER, TAGGED(TAG_WAKE));
    int rc = apply(k->fd, &change, 1);
    errno = saved;
    return rc;
}

#else

static int wake_open(kqueue_kernel *k)
{
    int rc = np_wakefd_open(&k->wake);
    if (rc == 0 && (rc = watch_readable(k->fd, k->wake.reader)) < 0)
        np_wakefd_close(&k->wake);
    return rc;
}

static int wake_renew(kqueue_kernel *k)
{
    int rc = np_wakefd_renew(&k->wake);
    return rc < 0 ? rc : watch_readable(k->fd, k->wake.reader);
}

static void wake_close(kqueue_kernel *k)
{
    np_wakefd_close(&k->wake);
}

static void wake_drain(kqueue_kernel *k)
{
    np_wakefd_drain(&k->wake);
}

static int kqueue_wake(void *kernel)
{
    kqueue_kernel *k = kernel;
    return np_wakefd_signal(&k->wake);
}

#endif

/* --- nesting ---------------------------------------------------------------------------------- */

/* The loop outside watches a kqueue around the one that drivers wait on, which neither spin on what
 * is for that loop nor swallow it. */

#ifndef LIBKQUEUE

static int open_nest(const kqueue_kernel *k, np_wakefd *work)
{
    int nest = new_kqueue();
    if (nest < 0)
        return nest;
    int rc = np_wakefd_open(work);
    if (rc < 0)
        goto no_work;
    if ((rc = watch_readable(nest, k->fd)) < 0 || (rc = watch_readable(nest, work->reader)) < 0) {
        np_wakefd_close(work);
    no_work:
        close(nest);
        return rc;
    }
    return nest;
}

static int kqueue_fileno(void *kernel, np_fd *out)
{
    kqueue_kernel *k = kernel;
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

/* One microsecond late, so that no rounding of the kernel's makes it go off before its time. */
static int64_t nanoseconds_until(int64_t when)
{
    const int64_t years = INT32_MAX / 2 * INT64_C(1000000000); /* 34; some kernels know no more */
    int64_t left = when - np_now();
    if (left < 0)
        left = 0;
    return left < years ? left + 1000 : years;
}

/* Taken out before it is set anew: whether a change restarts a timer, and takes back that it has
 * gone off, differs from system to system. */
static int kqueue_nest_timer(void *kernel, int64_t when)
{
    kqueue_kernel *k = kernel;
    int nest = atomic_load(&k->nest);
    struct kevent change = CHANGE(0, EVFILT_TIMER, EV_DELETE, TAGGED(0));

    int rc = apply(nest, &change, 1);
    if (when) {
        change = CHANGE(0, EVFILT_TIMER, EV_ADD | EV_ONESHOT, .fflags = NOTE_NSECONDS,
                        .data = nanoseconds_until(when));
        rc = apply(nest, &change, 1);
    }
    return rc == -ENOENT ? 0 : rc;
}

static int kqueue_nest_work(void *kernel, bool work)
{
    kqueue_kernel *k = kernel;
    if (work)
        return np_wakefd_signal(&k->nest_work);
    np_wakefd_drain(&k->nest_work);
    return 0;
}

/* Have the nest look again, so that it is not readable for what is over.  A timer that has gone off
 * is gone with it, but then poll's caller is about to fire deadlines and to set it anew. */
static void nest_look_again(kqueue_kernel *k)
{
    struct kevent unused[3];
    const struct timespec now = {0};
    int nest = atomic_load(&k->nest);
    if (nest >= 0)
        kevent(nest, NULL, 0, unused, 3, &now);
}

static void nest_close(kqueue_kernel *k)
{
    int nest = atomic_load(&k->nest);
    if (nest < 0)
        return;
    np_wakefd_close(&k->nest_work);
    if (k->nest_owner == getpid())
        close(nest);
}

/* In a forked child.  The number is kept if nobody has it yet.  Until there is a new nest the old
 * one stays, and where a call after this one fails, all is made once more. */
static int nest_renew(kqueue_kernel *k)
{
    int old = atomic_load(&k->nest);
    np_wakefd work;

    if (old < 0)
        return 0;
    int fresh = open_nest(k, &work);
    if (fresh < 0)
        return fresh;
    nest_close(k);
    int same = fcntl(fresh, F_DUPFD_CLOEXEC, old);
    atomic_store(&k->nest, same == old ? same : fresh);
    if (same >= 0)
        close(same == old ? fresh : same);
    k->nest_work = work;
    k->nest_owner = getpid();
    return 0;
}

#else

/* The library's descriptor is not the object that has the events. */
static int kqueue_fileno(void *kernel, np_fd *out)
{
    (void)kernel;
    (void)out;
    return -ENOSYS;
}

static int kqueue_nest_timer(void *kernel, int64_t when)
{
    (void)kernel;
    (void)when;
    return -ENOSYS;
}

static int kqueue_nest_work(void *kernel, bool work)
{
    (void)kernel;
    (void)work;
    return -ENOSYS;
}

static void nest_look_again(kqueue_kernel *k)
{
    (void)k;
}

static int nest_renew(kqueue_kernel *k)
{
    (void)k;
    return 0;
}

static void nest_close(kqueue_kernel *k)
{
    (void)k;
}

#endif

/* --- life ------------------------------------------------------------------------------------- */

static int kqueue_init(void **kernel)
{
    kqueue_kernel *k = calloc(1, sizeof *k);
    if (!k)
        return -ENOMEM;
    atomic_init(&k->nest, -1);
    k->owner = getpid();
    k->fd = new_kqueue();
    int rc = k->fd < 0 ? k->fd : 0;
    if (rc < 0)
        goto no_kqueue;
    rc = wake_open(k);
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
    kqueue_kernel *k = kernel;
    nest_close(k);
    wake_close(k);
    if (k->owner == getpid() && k->fd >= 0) /* else it could not be renewed */
        close(k->fd);
    free(k->entries);
    free(k);
}

static int kqueue_renew(void *kernel)
{
    kqueue_kernel *k = kernel;
    if (k->owner == getpid() && k->fd >= 0)
        close(k->fd); /* of an attempt that failed */
    k->owner = getpid();
    if (k->size)
        memset(k->entries, 0, k->size * sizeof *k->entries);
    k->fd = new_kqueue();
    int rc = k->fd < 0 ? k->fd : wake_renew(k);
    return rc < 0 ? rc : nest_renew(k);
}

/* --- registering ------------------------------------------------------------------------------ */

static int reserve(kqueue_kernel *k, uint32_t fd)
{
    if (fd < k->size)
        return 0;
    uint32_t size = k->size ? k->size : 64;
    while (size <= fd)
        size *= 2;
    entry *entries = realloc(k->entries, size * sizeof *entries);
    if (!entries)
        return -ENOMEM;
    memset(entries + k->size, 0, (size - k->size) * sizeof *entries);
    k->entries = entries;
    k->size = size;
    return 0;
}

/* Enabling what is enabled changes nothing, and fails for what is not registered. */
static bool still_registered(const kqueue_kernel *k, int fd)
{
    struct kevent change = CHANGE(fd, EVFILT_READ, EV_ENABLE, TAGGED(k->entries[fd].tag));
    return apply(k->fd, &change, 1) == 0;
}

/* The second is deleted even if the first is gone. */
static void deregister(const kqueue_kernel *k, int fd)
{
    const struct kevent changes[] = {CHANGE(fd, EVFILT_READ, EV_DELETE, TAGGED(0)),
                                     CHANGE(fd, EVFILT_WRITE, EV_DELETE, TAGGED(0))};
    if (apply(k->fd, changes, 2) < 0)
        apply(k->fd, changes + 1, 1);
}

/* What systems say of files without a filter, in one word. */
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
static int register_both(const kqueue_kernel *k, int fd, uint64_t tag)
{
    const struct kevent reader = CHANGE(fd, EVFILT_READ, EV_ADD | EV_CLEAR, TAGGED(tag));
    const struct kevent writer = CHANGE(fd, EVFILT_WRITE, EV_ADD | EV_CLEAR, TAGGED(tag));

    int rc = without_filter(apply(k->fd, &reader, 1));
    if (rc < 0)
        return rc;
    rc = without_filter(apply(k->fd, &writer, 1));
    if (rc < 0 && rc != -EPERM) {
        deregister(k, fd);
        return rc;
    }
    return 0;
}

#ifdef LIBKQUEUE
/* The library is not told of a close: whether the number still is the same file is for us to see,
 * and an old registration for us to delete. */
static bool is_duplicate(const kqueue_kernel *k, int fd, const struct stat *st)
{
    const entry *e = &k->entries[fd];
    if (e->dev == st->st_dev && e->ino == st->st_ino && still_registered(k, fd))
        return true;
    deregister(k, fd);
    return false;
}

static void remember(entry *e, uint64_t tag, const struct stat *st)
{
    *e = (entry){.tag = tag, .dev = st->st_dev, .ino = st->st_ino};
}
#else
static bool is_duplicate(const kqueue_kernel *k, int fd, const struct stat *st)
{
    (void)st;
    return still_registered(k, fd);
}

static void remember(entry *e, uint64_t tag, const struct stat *st)
{
    (void)st;
    e->tag = tag;
}
#endif

/* Regular files and directories have a filter, but it is about their end, and calls them ready. */
static int kqueue_open(void *kernel, np_fd fd, uint64_t tag)
{
    kqueue_kernel *k = kernel;
    struct stat st;

    if (fstat((int)fd, &st) < 0)
        return -errno;
    if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))
        return -EPERM;
    int rc = reserve(k, (uint32_t)fd);
    if (rc < 0)
        return rc;
    if (k->entries[fd].tag && is_duplicate(k, (int)fd, &st))
        return -EEXIST;
    rc = register_both(k, (int)fd, tag);
    if (rc == 0)
        remember(&k->entries[fd], tag, &st);
    return rc;
}

static int kqueue_close(void *kernel, np_fd fd, uint64_t tag)
{
    kqueue_kernel *k = kernel;
    if (fd >= 0 && (uint64_t)fd < k->size && k->entries[fd].tag == tag) {
        k->entries[fd].tag = 0;
        deregister(k, (int)fd);
    }
    return 0;
}

/* --- waiting ---------------------------------------------------------------------------------- */

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
    out->last =
        true; /* a read may have stopped at urgent data, which the read filter does not tell */
}

static int kqueue_poll(void *kernel, np_event *events, int max, int64_t timeout, bool *woken)
{
    kqueue_kernel *k = kernel;
    struct kevent batch[NP_EVENT_BATCH];
    int n = wait_for_events(k->fd, batch, max < NP_EVENT_BATCH ? max : NP_EVENT_BATCH, timeout);
    int out = 0;

    for (int i = 0; i < n; i++) {
        if ((uintptr_t)batch[i].udata == TAG_WAKE) {
            wake_drain(k);
            *woken = true;
        } else {
            translate(&batch[i], &events[out++]);
        }
    }
    nest_look_again(k);
    return n < 0 ? n : out;
}

static bool kqueue_is_poll_descriptor(void *kernel, np_fd fd)
{
    kqueue_kernel *k = kernel;
    int nest = atomic_load(&k->nest);
    return fd >= 0 &&
           (fd == k->fd || fd == k->wake.reader || fd == k->wake.writer ||
            (nest >= 0 && (fd == nest || fd == k->nest_work.reader || fd == k->nest_work.writer)));
}

const np_backend np_backend_kqueue = {
    .name = "kqueue",
    .usable = kqueue_usable,
    .init = kqueue_init,
    .fini = kqueue_fini,
    .renew = kqueue_renew,
    .open = kqueue_open,
    .close = kqueue_close,
    .arm = NULL,
    .poll = kqueue_poll,
    .wake = kqueue_wake,
    .is_poll_descriptor = kqueue_is_poll_descriptor,
    .fileno = kqueue_fileno,
    .nest_timer = kqueue_nest_timer,
    .nest_work = kqueue_nest_work,
};

#endif
