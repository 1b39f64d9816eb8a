/* poll(2): level-triggered, for any POSIX system; the path that Go takes on Solaris and AIX.
 *
 * poll has no registrations, so they live here, in a table.  A mode is asked for only while it is
 * armed, and reporting it disarms it, which makes one edge out of a level.
 *
 * A thread inside poll works on a pollset, a copy of what was armed when it went in.  A call that
 * arms more meanwhile has it woken (arm returns 1), so that it comes back with a new one; what a
 * pollset reports that has been disarmed or closed meanwhile is dropped on the way out.  So the
 * table is never locked across the system call, and any number of threads may be inside.
 *
 * On Linux two epolls help, each used for one thing.  Nothing can be made of poll alone that is
 * readable when poll would return, so for nesting one mirrors what is armed.  And the other, which
 * nothing waits on, tells whether a number still has the file that it was opened with.
 */
#define _GNU_SOURCE /* ppoll */
#include "backend/backend.h"

#ifdef NP_HAVE_POLL
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "posix/epollfd.h"
#include "posix/nest.h"
#include "posix/posixfd.h"
#include "sys/assert.h"

typedef struct entry {
    uint64_t tag;
    int fd;
    short armed; /* POLLIN, POLLOUT */
    dev_t dev;   /* which file it is, as far as that tells: where there is no witness */
    ino_t ino;
} entry;

/* What one poll(2) waits for; pfds[0] is the wake object. */
typedef struct pollset {
    struct pollfd *pfds;
    uint64_t *tags;
    uint32_t capacity;
} pollset;

typedef struct poll_kernel {
    np_wakefd wake;
    pthread_mutex_t lock; /* everything below */
    entry *entries;       /* in no order */
    uint32_t count, capacity;
    uint32_t *where; /* fd -> position in entries, plus 1; 0: none */
    uint32_t where_size;
    uint32_t next;   /* where the next poll starts to collect, so that all get their turn */
    uint32_t inside; /* threads in poll */
    pollset spare;   /* kept for the next poll */
    int witness;     /* an epoll with all entries, or -1 */
    int mirror;      /* an epoll with the wake object and what is armed; -1 until nested */
    bool mirror_off; /* it has what it should not, and which cannot be removed any more */
    np_nest nest;
} poll_kernel;

static bool poll_usable(void)
{
    return true;
}

/* --- nesting ---------------------------------------------------------------------------------- */

static int fill_mirror(const poll_kernel *k, int epfd)
{
    int rc = np_epoll_watch(epfd, k->wake.reader, 0, POLLIN);
    for (uint32_t i = 0; rc == 0 && i < k->count; i++) {
        const entry *e = &k->entries[i];
        if (e->armed)
            rc = np_epoll_watch(epfd, e->fd, 0, e->armed);
        if (rc == -EBADF || rc == -EPERM) /* it is closed, or not what was armed: poll will tell */
            rc = 0;
    }
    return rc;
}

static int make_mirror(const poll_kernel *k)
{
    int fresh = np_epoll_create();
    int rc = fresh < 0 ? fresh : fill_mirror(k, fresh);
    if (rc == 0)
        return fresh;
    if (fresh >= 0)
        close(fresh);
    return rc;
}

/* A file that has lost its number while it was armed stays in the mirror, and may be ready for
 * ever: then there is a new one.  For want of descriptors or memory, later. */
static void refresh_mirror(poll_kernel *k)
{
    int fresh = k->mirror_off ? make_mirror(k) : -1;
    if (fresh < 0)
        return;
    if (np_epoll_add(k->nest.fd, fresh, POLLIN, 0) < 0) {
        close(fresh);
        return;
    }
    np_epoll_remove(k->nest.fd, k->mirror);
    close(k->mirror);
    k->mirror = fresh;
    k->mirror_off = false;
}

static int set_armed(poll_kernel *k, entry *e, short armed)
{
    short before = e->armed;
    int rc = k->mirror < 0 ? 0 : np_epoll_watch(k->mirror, e->fd, before, armed);

    if (rc < 0 && !before)
        return rc;
    k->mirror_off = k->mirror_off || rc < 0;
    e->armed = armed;
    return 0;
}

static int nest(poll_kernel *k)
{
    int fresh = make_mirror(k);
    int rc = fresh < 0 ? fresh : np_nest_open(&k->nest, fresh);
    if (rc == 0)
        k->mirror = fresh;
    else if (fresh >= 0)
        close(fresh);
    return rc;
}

static int poll_fileno(void *kernel, np_fd *out)
{
    poll_kernel *k = kernel;
    pthread_mutex_lock(&k->lock);
    int rc = k->nest.fd < 0 ? nest(k) : 0;
    *out = k->nest.fd;
    pthread_mutex_unlock(&k->lock);
    return rc;
}

/* The nest, but not while it is readable for the sake of the loop outside. */
static int poll_kernel_fd(void *kernel, np_fd *out)
{
    poll_kernel *k = kernel;
    return k->nest.has_work ? -EBUSY : poll_fileno(kernel, out);
}

static int poll_nest_timer(void *kernel, int64_t when)
{
    poll_kernel *k = kernel;
    return np_nest_timer(&k->nest, when);
}

static int poll_nest_work(void *kernel, bool work)
{
    poll_kernel *k = kernel;
    return np_nest_work(&k->nest, work);
}

/* --- life ------------------------------------------------------------------------------------- */

static void close_epoll(int fd)
{
    if (fd >= 0)
        close(fd);
}

static int renew_epoll(int *fd)
{
    return *fd < 0 ? 0 : np_replace_fd(np_epoll_create(), fd);
}

static int poll_init(void **kernel)
{
    poll_kernel *k = calloc(1, sizeof *k);
    if (!k)
        return -ENOMEM;
    k->nest = (np_nest)NP_NEST_INIT;
    k->mirror = -1;
    k->witness = np_epoll_create();
    int rc = k->witness == -ENOSYS ? 0 : k->witness;
    if (rc < 0)
        goto no_witness;
    rc = np_wakefd_open(&k->wake);
    if (rc < 0)
        goto no_wake;
    pthread_mutex_init(&k->lock, NULL);
    *kernel = k;
    return 0;

no_wake:
    close_epoll(k->witness);
no_witness:
    free(k);
    return rc;
}

static void poll_fini(void *kernel)
{
    poll_kernel *k = kernel;
    np_nest_close(&k->nest);
    close_epoll(k->mirror);
    close_epoll(k->witness);
    np_wakefd_close(&k->wake);
    /* The lock is not destroyed: in a forked child any thread may hold it. */
    free(k->spare.pfds);
    free(k->spare.tags);
    free(k->entries);
    free(k->where);
    free(k);
}

/* The table is whole, as it changes only under the poller's lock, which is held across a fork. */
static int poll_renew(void *kernel)
{
    poll_kernel *k = kernel;
    pthread_mutex_init(&k->lock, NULL);
    k->inside = 0;
    k->count = 0;
    if (k->where_size)
        memset(k->where, 0, k->where_size * sizeof *k->where);
    k->mirror_off = false;
    int rc = np_wakefd_renew(&k->wake);
    if (rc == 0)
        rc = renew_epoll(&k->witness);
    if (rc == 0)
        rc = renew_epoll(&k->mirror);
    if (rc == 0 && k->mirror >= 0)
        rc = fill_mirror(k, k->mirror);
    return rc == 0 ? np_nest_renew(&k->nest, k->mirror) : rc;
}

/* --- the table -------------------------------------------------------------------------------- */

static entry *lookup(poll_kernel *k, int fd, uint64_t tag)
{
    if (fd < 0 || (uint32_t)fd >= k->where_size || k->where[fd] == 0)
        return NULL;
    entry *e = &k->entries[k->where[fd] - 1];
    return e->tag == tag ? e : NULL;
}

static void forget(poll_kernel *k, entry *e)
{
    uint32_t pos = (uint32_t)(e - k->entries);

    np_assert(k->where[e->fd] == pos + 1);
    if (e->armed)
        set_armed(k, e, 0);
    k->where[e->fd] = 0;
    if (pos != --k->count) {
        *e = k->entries[k->count];
        k->where[e->fd] = pos + 1;
    }
}

static int reserve(poll_kernel *k, int fd)
{
    if ((uint32_t)fd >= k->where_size) {
        uint32_t size = k->where_size ? k->where_size : 64;
        while (size <= (uint32_t)fd)
            size *= 2;
        uint32_t *where = realloc(k->where, size * sizeof *where);
        if (!where)
            return -ENOMEM;
        memset(where + k->where_size, 0, (size - k->where_size) * sizeof *where);
        k->where = where;
        k->where_size = size;
    }
    if (k->count == k->capacity) {
        uint32_t capacity = k->capacity ? k->capacity * 2 : 64;
        entry *entries = realloc(k->entries, capacity * sizeof *entries);
        if (!entries)
            return -ENOMEM;
        k->entries = entries;
        k->capacity = capacity;
    }
    return 0;
}

/* 0 if it is another file than that of old, which may be NULL, else -EEXIST.  Inodes alone do not
 * tell: all eventfds share one, and so do the two ends of a pipe. */
static int check_file(const poll_kernel *k, const entry *old, const entry *fresh)
{
    if (k->witness >= 0)
        return np_epoll_add(k->witness, fresh->fd, 0, fresh->tag);
    return old && old->dev == fresh->dev && old->ino == fresh->ino ? -EEXIST : 0;
}

static int open_entry(poll_kernel *k, const entry *fresh)
{
    int rc = reserve(k, fresh->fd);
    if (rc < 0)
        return rc;
    uint32_t where = k->where[fresh->fd];
    entry *old = where ? &k->entries[where - 1] : NULL;
    rc = check_file(k, old, fresh);
    if (rc < 0)
        return rc;
    if (old)
        forget(k, old); /* closed without np_close */
    refresh_mirror(k);
    k->entries[k->count] = *fresh;
    k->where[fresh->fd] = ++k->count;
    return 0;
}

/* poll(2) calls regular files and directories ready, always: they are refused, as epoll does.  But
 * some of which stat says so have events: those of /proc and cgroups, message queues.  The witness
 * knows them. */
static int poll_open(void *kernel, np_fd fd, uint64_t tag)
{
    poll_kernel *k = kernel;
    struct stat st;

    if (fstat((int)fd, &st) < 0)
        return -errno;
    if (k->witness < 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)))
        return -EPERM;
    entry fresh = {.tag = tag, .fd = (int)fd, .armed = 0, .dev = st.st_dev, .ino = st.st_ino};
    pthread_mutex_lock(&k->lock);
    int rc = open_entry(k, &fresh);
    pthread_mutex_unlock(&k->lock);
    return rc;
}

static int poll_reclaim(void *kernel, np_fd fd, uint64_t known)
{
    poll_kernel *k = kernel;
    return k->witness < 0 ? 0 : np_epoll_reclaim(k->witness, (int)fd, 0, known);
}

/* A thread inside poll holds the file open, so that closing the number would not close it. */
static int poll_close(void *kernel, np_fd fd, uint64_t tag)
{
    poll_kernel *k = kernel;

    pthread_mutex_lock(&k->lock);
    entry *e = lookup(k, (int)fd, tag);
    int rc = e && k->witness >= 0 ? np_epoll_remove(k->witness, e->fd) : 0;
    if (e)
        forget(k, e);
    refresh_mirror(k);
    if (rc == 0)
        rc = k->inside > 0;
    pthread_mutex_unlock(&k->lock);
    return rc;
}

static int poll_arm(void *kernel, np_fd fd, uint64_t tag, int mode)
{
    poll_kernel *k = kernel;
    short bit = mode == NP_READ ? POLLIN : POLLOUT;
    int rc = 0;

    pthread_mutex_lock(&k->lock);
    entry *e = lookup(k, (int)fd, tag);
    if (e && !(e->armed & bit)) {
        rc = set_armed(k, e, (short)(e->armed | bit));
        if (rc == 0)
            rc = k->inside > 0;
    }
    refresh_mirror(k);
    pthread_mutex_unlock(&k->lock);
    return rc;
}

/* --- waiting ---------------------------------------------------------------------------------- */

/* A copy of what is armed, in the spare's memory if no other thread has it. */
static int acquire_pollset(poll_kernel *k, pollset *set, nfds_t *n)
{
    *set = k->spare;
    k->spare = (pollset){0};
    if (set->capacity < k->count + 1) {
        free(set->pfds);
        free(set->tags);
        set->capacity = k->capacity + 1;
        set->pfds = malloc(set->capacity * sizeof *set->pfds);
        set->tags = malloc(set->capacity * sizeof *set->tags);
        if (!set->pfds || !set->tags) {
            free(set->pfds);
            free(set->tags);
            return -ENOMEM;
        }
    }
    *n = 1;
    for (uint32_t i = 0; i < k->count; i++) {
        const entry *e = &k->entries[i];
        if (!e->armed)
            continue;
        set->pfds[*n] = (struct pollfd){.fd = e->fd, .events = e->armed};
        set->tags[(*n)++] = e->tag;
    }
    return 0;
}

static void release_pollset(poll_kernel *k, pollset *set)
{
    if (k->spare.capacity < set->capacity) {
        pollset old = k->spare;
        k->spare = *set;
        *set = old;
    }
    free(set->pfds);
    free(set->tags);
}

/* An error or a hang-up makes both modes ready; what is not armed any more has been reported. */
static bool translate(poll_kernel *k, const struct pollfd *pfd, uint64_t tag, np_event *out)
{
    entry *e = lookup(k, pfd->fd, tag);
    if (!e)
        return false;
    bool both = pfd->revents & (POLLERR | POLLHUP | POLLNVAL);
    short ready = (short)((both ? POLLIN | POLLOUT : pfd->revents) & e->armed);
    if (!ready)
        return false;
    set_armed(k, e, (short)(e->armed & ~ready));
    out->tag = tag;
    out->modes = (uint8_t)((ready & POLLIN ? NP_READ : 0) | (ready & POLLOUT ? NP_WRITE : 0));
    out->error = pfd->revents == POLLERR;
    out->no_more_edges = false; /* armed again, it reports again */
    return true;
}

static int collect(poll_kernel *k, const pollset *set, nfds_t n, np_event *events, int max)
{
    nfds_t slots = n - 1;
    int out = 0;

    for (nfds_t i = 0; i < slots && out < max; i++) {
        nfds_t at = 1 + (k->next + i) % slots;
        if (set->pfds[at].revents && translate(k, &set->pfds[at], set->tags[at], &events[out]) &&
            ++out == max)
            k->next = (uint32_t)at;
    }
    return out;
}

static int poll_poll(void *kernel, np_event *events, int max, int64_t timeout, bool *woken)
{
    poll_kernel *k = kernel;
    pollset set;
    nfds_t n;

    pthread_mutex_lock(&k->lock);
    int rc = acquire_pollset(k, &set, &n);
    if (rc == 0)
        k->inside++;
    pthread_mutex_unlock(&k->lock);
    if (rc < 0)
        return rc;

    rc = np_poll_wakefd(&k->wake, set.pfds, n, timeout);

    if (rc > 0 && set.pfds[0].revents) {
        np_wakefd_drain(&k->wake);
        *woken = true;
    }
    pthread_mutex_lock(&k->lock);
    np_assert(k->inside > 0);
    k->inside--;
    if (rc > 0)
        rc = collect(k, &set, n, events, max);
    refresh_mirror(k);
    release_pollset(k, &set);
    pthread_mutex_unlock(&k->lock);
    return rc;
}

static int poll_wake(void *kernel)
{
    poll_kernel *k = kernel;
    return np_wakefd_signal(&k->wake);
}

static bool poll_is_poll_descriptor(void *kernel, np_fd fd)
{
    poll_kernel *k = kernel;
    return fd >= 0 && (fd == k->wake.reader || fd == k->wake.writer || fd == k->witness ||
                       fd == k->mirror || np_nest_has(&k->nest, fd));
}

const np_backend np_backend_poll = {
    .name = "poll",
    .usable = poll_usable,
    .init = poll_init,
    .fini = poll_fini,
    .renew = poll_renew,
    .open = poll_open,
    .reclaim = poll_reclaim,
    .close = poll_close,
    .arm = poll_arm,
    .poll = poll_poll,
    .wake = poll_wake,
    .is_poll_descriptor = poll_is_poll_descriptor,
    .kernel_fd = poll_kernel_fd,
    .fileno = poll_fileno,
    .nest_timer = poll_nest_timer,
    .nest_work = poll_nest_work,
};
#endif
