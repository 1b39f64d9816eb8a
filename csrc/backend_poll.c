/* poll(2): level-triggered, for any POSIX system; the path that Go takes on Solaris and AIX.
 *
 * poll has no registrations, so they live here, in a table.  A mode is asked for only while it is
 * armed, and reporting it disarms it, which makes one edge out of a level.
 *
 * A thread inside poll works on a copy of what was armed when it went in.  Who arms more while it
 * is inside has it woken (arm returns 1) so that it comes back with a new copy; what a copy reports
 * that has been disarmed or closed meanwhile is dropped on the way out.  So the table is never
 * locked across the system call, and any number of threads may be inside.
 *
 * Nothing can be made of poll alone that is readable when poll would return, so nesting takes help:
 * on Linux an epoll that mirrors what is armed, used for nothing else.
 */
#define _GNU_SOURCE /* ppoll */
#include "backend.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nest.h"
#include "posixfd.h"

typedef struct entry {
    uint64_t tag;
    int fd;
    short armed; /* POLLIN, POLLOUT */
    dev_t dev;   /* which file it is: the number alone may have a new one by now */
    ino_t ino;
} entry;

/* A copy of what is armed: pfds[0] is the wake object. */
typedef struct copy {
    struct pollfd *pfds;
    uint64_t *tags;
    uint32_t capacity;
} copy;

typedef struct poll_kernel {
    np_wakefd wake;
    pthread_mutex_t lock; /* everything below */
    entry *entries;       /* in no order */
    uint32_t count, capacity;
    uint32_t *where; /* fd -> position in entries, plus 1; 0: none */
    uint32_t where_size;
    uint32_t next;   /* where the next report starts, so that all get their turn */
    uint32_t inside; /* threads in poll */
    copy spare;      /* kept for the next poll */
    np_nest nest;
} poll_kernel;

static bool poll_usable(void)
{
    return true;
}

/* --- nesting ---------------------------------------------------------------------------------- */

static void mirror(const poll_kernel *k, const entry *e)
{
    np_nest_watch(&k->nest, e->fd,
                  (e->armed & POLLIN ? NP_READ : 0) | (e->armed & POLLOUT ? NP_WRITE : 0));
}

static int nest(poll_kernel *k)
{
    int rc = np_nest_open(&k->nest, k->wake.reader);
    for (uint32_t i = 0; rc == 0 && i < k->count; i++)
        if (k->entries[i].armed)
            mirror(k, &k->entries[i]);
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

static int poll_init(void **kernel)
{
    poll_kernel *k = calloc(1, sizeof *k);
    if (!k)
        return -ENOMEM;
    k->nest = (np_nest)NP_NEST_INIT;
    int rc = np_wakefd_open(&k->wake);
    if (rc < 0) {
        free(k);
        return rc;
    }
    pthread_mutex_init(&k->lock, NULL);
    *kernel = k;
    return 0;
}

static void poll_fini(void *kernel)
{
    poll_kernel *k = kernel;
    np_nest_close(&k->nest);
    np_wakefd_close(&k->wake);
    /* The lock is not destroyed: in a forked child it may be anybody's. */
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
    memset(k->where, 0, k->where_size * sizeof *k->where);
    int rc = np_wakefd_renew(&k->wake);
    return rc == 0 ? np_nest_renew(&k->nest, k->wake.reader) : rc;
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

    e->armed = 0;
    mirror(k, e);
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

static int open_entry(poll_kernel *k, const entry *fresh)
{
    int rc = reserve(k, fresh->fd);
    if (rc < 0)
        return rc;
    if (k->where[fresh->fd] != 0) {
        entry *old = &k->entries[k->where[fresh->fd] - 1];
        if (old->dev == fresh->dev && old->ino == fresh->ino)
            return -EEXIST;
        forget(k, old); /* another file than it was: closed without telling us */
    }
    k->entries[k->count] = *fresh;
    k->where[fresh->fd] = ++k->count;
    return 0;
}

/* poll(2) calls regular files and directories ready, always: they are refused, as epoll does. */
static int poll_open(void *kernel, np_fd fd, uint64_t tag)
{
    poll_kernel *k = kernel;
    struct stat st;

    if (fstat((int)fd, &st) < 0)
        return -errno;
    if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))
        return -EPERM;
    entry fresh = {.tag = tag, .fd = (int)fd, .armed = 0, .dev = st.st_dev, .ino = st.st_ino};
    pthread_mutex_lock(&k->lock);
    int rc = open_entry(k, &fresh);
    pthread_mutex_unlock(&k->lock);
    return rc;
}

/* A thread inside poll holds the file open, so that closing the number would not close it. */
static int poll_close(void *kernel, np_fd fd, uint64_t tag)
{
    poll_kernel *k = kernel;

    pthread_mutex_lock(&k->lock);
    entry *e = lookup(k, (int)fd, tag);
    if (e)
        forget(k, e);
    int rc = k->inside > 0;
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
        e->armed |= bit;
        mirror(k, e);
        rc = k->inside > 0;
    }
    pthread_mutex_unlock(&k->lock);
    return rc;
}

/* --- waiting ---------------------------------------------------------------------------------- */

/* A copy of what is armed, in the spare's memory if nobody else has it. */
static int take_copy(poll_kernel *k, copy *c, nfds_t *n)
{
    *c = k->spare;
    k->spare = (copy){0};
    if (c->capacity < k->count + 1) {
        free(c->pfds);
        free(c->tags);
        c->capacity = k->capacity + 1;
        c->pfds = malloc(c->capacity * sizeof *c->pfds);
        c->tags = malloc(c->capacity * sizeof *c->tags);
        if (!c->pfds || !c->tags) {
            free(c->pfds);
            free(c->tags);
            return -ENOMEM;
        }
    }
    c->pfds[0] = (struct pollfd){.fd = k->wake.reader, .events = POLLIN};
    *n = 1;
    for (uint32_t i = 0; i < k->count; i++) {
        const entry *e = &k->entries[i];
        if (!e->armed)
            continue;
        c->pfds[*n] = (struct pollfd){.fd = e->fd, .events = e->armed};
        c->tags[(*n)++] = e->tag;
    }
    return 0;
}

static void give_copy(poll_kernel *k, copy *c)
{
    if (k->spare.capacity < c->capacity) {
        copy old = k->spare;
        k->spare = *c;
        *c = old;
    }
    free(c->pfds);
    free(c->tags);
}

/* An error or a hang-up is news for both modes; what is not armed any more has been reported. */
static bool report(poll_kernel *k, const struct pollfd *pfd, uint64_t tag, np_event *out)
{
    entry *e = lookup(k, pfd->fd, tag);
    if (!e)
        return false;
    bool both = pfd->revents & (POLLERR | POLLHUP | POLLNVAL);
    short news = (short)((both ? POLLIN | POLLOUT : pfd->revents) & e->armed);
    if (!news)
        return false;
    e->armed = (short)(e->armed & ~news);
    mirror(k, e);
    out->tag = tag;
    out->modes = (uint8_t)((news & POLLIN ? NP_READ : 0) | (news & POLLOUT ? NP_WRITE : 0));
    out->error = pfd->revents == POLLERR;
    out->last = false; /* armed again, it tells again */
    return true;
}

static int collect(poll_kernel *k, const copy *c, nfds_t n, np_event *events, int max)
{
    nfds_t slots = n - 1;
    int out = 0;

    for (nfds_t i = 0; i < slots && out < max; i++) {
        nfds_t at = 1 + (k->next + i) % slots;
        if (c->pfds[at].revents && report(k, &c->pfds[at], c->tags[at], &events[out]) &&
            ++out == max)
            k->next = (uint32_t)at;
    }
    return out;
}

static int poll_poll(void *kernel, np_event *events, int max, int64_t timeout, bool *woken)
{
    poll_kernel *k = kernel;
    copy c;
    nfds_t n;

    pthread_mutex_lock(&k->lock);
    int rc = take_copy(k, &c, &n);
    if (rc == 0)
        k->inside++;
    pthread_mutex_unlock(&k->lock);
    if (rc < 0)
        return rc;

    rc = np_poll_fds(c.pfds, n, timeout);

    if (rc > 0 && c.pfds[0].revents) {
        np_wakefd_drain(&k->wake);
        *woken = true;
    }
    pthread_mutex_lock(&k->lock);
    k->inside--;
    if (rc > 0)
        rc = collect(k, &c, n, events, max);
    give_copy(k, &c);
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
    return fd == k->wake.reader || fd == k->wake.writer || np_nest_has(&k->nest, fd);
}

const np_backend np_backend_poll = {
    .name = "poll",
    .usable = poll_usable,
    .init = poll_init,
    .fini = poll_fini,
    .renew = poll_renew,
    .open = poll_open,
    .close = poll_close,
    .arm = poll_arm,
    .poll = poll_poll,
    .wake = poll_wake,
    .is_poll_descriptor = poll_is_poll_descriptor,
    .fileno = poll_fileno,
    .nest_timer = poll_nest_timer,
    .nest_work = poll_nest_work,
};
