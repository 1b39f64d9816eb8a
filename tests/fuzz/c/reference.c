#include "reference.h"

#include "target.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

void ref_init(ref_poller *p, bool edges)
{
    *p = (ref_poller){.edges = edges, .shadow = epoll_create1(EPOLL_CLOEXEC)};
}

void ref_fini(ref_poller *p)
{
    close(p->shadow);
    for (int i = 0; i < p->count; i++)
        free(p->descs[i]);
}

/* --- what ends waits ------------------------------------------------------------------------- */

static void notify(ref_poller *p, ref_desc *d, int mode, bool ready)
{
    ref_side *s = &d->side[mode - 1];

    if (s->parked) {
        s->parked = false;
        s->delivery = REF_QUEUED;
        s->ready = s->for_token = ready;
        p->queue[p->queued++] = (ref_queued){d, NULL, mode, p->step, s->token};
    } else if (ready && !s->ready) {
        s->ready = true;
        s->for_token = false;
    }
}

static void deliver(ref_poller *p, ref_desc *d, int modes, bool error)
{
    d->event_error = error && !d->errors_ready;
    for (int mode = NP_READ; mode <= NP_WRITE; mode++)
        if (modes & mode)
            notify(p, d, mode, true);
}

static void evict(ref_poller *p, ref_desc *d, bool gone)
{
    d->evicted = true;
    d->gone = d->gone || gone;
    for (int mode = NP_READ; mode <= NP_WRITE; mode++) {
        d->side[mode - 1].deadline = 0;
        notify(p, d, mode, false);
    }
}

/* Two equal deadlines are one. */
static void expire(ref_poller *p, ref_desc *d, int mode)
{
    int64_t when = d->side[mode - 1].deadline;

    if (when <= 0 || when > ref_clock)
        return;
    p->fired++;
    for (int m = NP_READ; m <= NP_WRITE; m++) {
        if (d->side[m - 1].deadline != when)
            continue;
        d->side[m - 1].deadline = -1;
        notify(p, d, m, false);
    }
}

static void expire_all(ref_poller *p)
{
    p->step++;
    for (int i = 0; i < p->count; i++)
        for (int mode = NP_READ; mode <= NP_WRITE; mode++)
            expire(p, p->descs[i], mode);
    ref_expire_waiters(p);
}

/* --- a look at the kernel -------------------------------------------------------------------- */

static void look_by_epoll(ref_poller *p)
{
    struct epoll_event events[128];
    int n = epoll_wait(p->shadow, events, 128, 0);

    for (int i = 0; i < n; i++) {
        ref_desc *d = events[i].data.ptr;
        uint32_t e = events[i].events;
        p->events++;
        if (d->gone) {
            p->stale++;
            continue;
        }
        d->no_more_edges = d->no_more_edges || e & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI);
        deliver(p, d,
                (e & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR) ? NP_READ : 0) |
                    (e & (EPOLLOUT | EPOLLHUP | EPOLLERR) ? NP_WRITE : 0),
                e == EPOLLERR);
    }
}

static void look_by_poll(ref_poller *p)
{
    for (int i = 0; i < p->count; i++) {
        ref_desc *d = p->descs[i];
        ref_side *r = &d->side[0], *w = &d->side[1];
        struct pollfd pfd = {.fd = d->fd,
                             .events = (short)((r->armed ? POLLIN : 0) | (w->armed ? POLLOUT : 0))};
        if (d->gone || !pfd.events || poll(&pfd, 1, 0) <= 0)
            continue;
        bool both = pfd.revents & (POLLERR | POLLHUP | POLLNVAL);
        bool read = r->armed && (both || pfd.revents & POLLIN);
        bool write = w->armed && (both || pfd.revents & POLLOUT);
        r->armed = r->armed && !read;
        w->armed = w->armed && !write;
        if (read || write)
            deliver(p, d, (read ? NP_READ : 0) | (write ? NP_WRITE : 0), pfd.revents == POLLERR);
    }
}

void ref_look(ref_poller *p)
{
    p->step++;
    if (p->edges)
        look_by_epoll(p);
    else
        look_by_poll(p);
    expire_all(p);
}

/* --- opening and closing ---------------------------------------------------------------------- */

ref_desc *ref_registered(ref_poller *p, int fd)
{
    for (int i = 0; i < p->count; i++)
        if (p->descs[i]->fd == fd && !p->descs[i]->gone)
            return p->descs[i];
    return NULL;
}

/* What is registered for that file under that number makes way: it may be nobody's.  If it is not,
 * it is registered again, which reports once more. */
static void enter_shadow(ref_poller *p, int fd, ref_desc *d)
{
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET,
                             .data = {.ptr = d}};
    if (epoll_ctl(p->shadow, EPOLL_CTL_ADD, fd, &ev) == 0)
        return;
    epoll_ctl(p->shadow, EPOLL_CTL_DEL, fd, &ev);
    epoll_ctl(p->shadow, EPOLL_CTL_ADD, fd, &ev);
}

int ref_open(ref_poller *p, int fd, int file, ref_desc **out)
{
    ref_desc *old = ref_registered(p, fd);

    if (p->closed)
        return NP_CLOSED;
    if (!file)
        return -EBADF;
    if (old && old->file == file) {
        if (p->outlived)
            enter_shadow(p, fd, old);
        return -EEXIST;
    }
    ref_desc *d = p->descs[p->count++] = calloc(1, sizeof *d);
    d->fd = fd;
    d->file = file;
    d->handles = 1;
    p->step++;
    enter_shadow(p, fd, d);
    if (old) { /* its number was closed under it */
        p->outlived = true;
        evict(p, old, true);
    }
    *out = d;
    return NP_OK;
}

/* The number may be another file's by now, which is not registered: then this fails, as it must. */
void ref_close(ref_poller *p, ref_desc *d)
{
    if (d->gone)
        return;
    p->step++;
    if (epoll_ctl(p->shadow, EPOLL_CTL_DEL, d->fd, &(struct epoll_event){0}) < 0)
        p->outlived = true;
    evict(p, d, true);
}

void ref_unref(ref_poller *p, ref_desc *d)
{
    if (--d->handles == 0)
        ref_close(p, d); /* a token that is ready comes out all the same */
}

void ref_unblock(ref_poller *p, ref_desc *d)
{
    p->step++;
    if (!d->evicted)
        evict(p, d, false);
}

void ref_poller_close(ref_poller *p)
{
    p->closed = true;
    p->step++;
    for (int i = 0; i < p->count; i++)
        if (!p->descs[i]->gone)
            evict(p, p->descs[i], true);
    ref_close_waiters(p);
}

/* --- waiting -----------------------------------------------------------------------------------
 */

/* An error without more ends a descriptor while the kernel still says so, of no socket. */
static bool error_lasts(ref_desc *d)
{
    struct pollfd pfd = {.fd = d->fd, .events = POLLIN | POLLOUT | POLLPRI};
    struct stat st;
    if (d->event_error && !(poll(&pfd, 1, 0) == 1 && pfd.revents == POLLERR &&
                            fstat(d->fd, &st) == 0 && !S_ISSOCK(st.st_mode)))
        d->event_error = false;
    return d->event_error;
}

static int error_of(ref_poller *p, ref_desc *d, int mode, int flags)
{
    if (flags & NP_IO_ONLY)
        return d->gone ? NP_CLOSED : NP_OK;
    if (d->evicted)
        return NP_CLOSED;
    p->step++;
    expire(p, d, mode);
    if (d->side[mode - 1].deadline < 0)
        return NP_TIMEOUT;
    return mode == NP_READ && error_lasts(d) ? NP_NOT_POLLABLE : NP_OK;
}

static bool consume(ref_side *s)
{
    bool ready = s->ready;
    s->ready = s->for_token = false;
    return ready;
}

static int success(const ref_desc *d, int flags)
{
    return (flags & NP_IO_ONLY ? d->gone : d->evicted) ? NP_CLOSED : NP_OK;
}

int ref_reset(ref_poller *p, ref_desc *d, int mode)
{
    int rc = error_of(p, d, mode, 0);
    if (rc == NP_OK && !d->side[mode - 1].for_token)
        d->side[mode - 1].ready = false;
    return rc;
}

int ref_begin_wait(ref_poller *p, ref_desc *d, int mode, int flags)
{
    ref_side *s = &d->side[mode - 1];
    int rc = error_of(p, d, mode, flags);

    if (rc != NP_OK)
        return rc;
    if (consume(s))
        return NP_OK;
    if (s->parked)
        return NP_BUSY;
    s->armed = true;
    return NP_PARKED;
}

bool ref_end_of_wait(ref_desc *d, int mode)
{
    return consume(&d->side[mode - 1]);
}

int ref_park(ref_poller *p, ref_desc *d, int mode, np_token token, int flags)
{
    ref_side *s = &d->side[mode - 1];
    int rc = ref_begin_wait(p, d, mode, flags);

    if (rc != NP_PARKED)
        return rc;
    if (s->delivery == REF_QUEUED || s->delivery == REF_DROPPED)
        return NP_BUSY;
    s->parked = true;
    s->delivery = REF_NONE;
    s->token = token;
    return NP_PARKED;
}

int ref_resume(ref_poller *p, ref_desc *d, int mode, int flags)
{
    ref_side *s = &d->side[mode - 1];

    if (s->delivery == REF_OUT) {
        s->delivery = REF_NONE;
        if (consume(s))
            return success(d, flags);
    }
    int rc = error_of(p, d, mode, flags);
    return rc == NP_OK ? NP_AGAIN : rc;
}

int ref_cancel(ref_desc *d, int mode, np_token *token)
{
    ref_side *s = &d->side[mode - 1];

    if (s->parked) {
        s->parked = false;
        *token = s->token;
        return 1;
    }
    if (s->delivery == REF_OUT || s->delivery == REF_QUEUED) {
        s->delivery = s->delivery == REF_OUT ? REF_NONE : REF_DROPPED;
        s->for_token = false;
    }
    return 0;
}

int ref_set_deadline(ref_poller *p, ref_desc *d, __int128 when, int modes)
{
    if (d->evicted)
        return NP_CLOSED;
    p->step++;
    for (int mode = NP_READ; mode <= NP_WRITE; mode++) {
        if (!(modes & mode))
            continue;
        d->side[mode - 1].deadline = when >= NP_NEVER   ? 0
                                     : when > ref_clock ? (int64_t)when
                                                        : (int64_t)-1;
        if (when <= ref_clock)
            notify(p, d, mode, false);
    }
    return NP_OK;
}

void ref_set_ready(ref_poller *p, ref_desc *d, int modes)
{
    p->step++;
    if (!d->gone)
        deliver(p, d, modes, false);
}

/* --- tokens, and what can be seen ------------------------------------------------------------- */

bool ref_take(ref_poller *p, np_token token)
{
    int i = 0;
    while (i < p->queued && p->queue[i].token != token)
        i++;
    if (i == p->queued || p->queue[i].step > p->queue[0].step)
        return false;
    ref_queued out = p->queue[i];
    for (p->queued--; i < p->queued; i++)
        p->queue[i] = p->queue[i + 1];
    if (out.w) {
        out.w->place = REF_GIVEN;
        return true;
    }
    ref_side *s = &out.d->side[out.mode - 1];
    s->delivery = s->delivery == REF_QUEUED ? REF_OUT : REF_NONE;
    return true;
}

int ref_state(const ref_side *s)
{
    if (s->parked)
        return NP_TOKEN;
    if (s->ready && !s->for_token)
        return NP_READY;
    if (s->delivery == REF_QUEUED || s->delivery == REF_DROPPED)
        return NP_QUEUED;
    if (s->delivery == REF_OUT)
        return NP_OUT;
    return s->ready ? NP_READY : NP_IDLE;
}

int64_t ref_first_deadline(const ref_poller *p)
{
    int64_t first = 0;
    for (int i = 0; i < p->count; i++)
        for (int m = 0; m < 2; m++) {
            int64_t when = p->descs[i]->side[m].deadline;
            if (when > 0 && (!first || when < first))
                first = when;
        }
    ref_first_timer(p, &first);
    return first;
}

int ref_count(const ref_poller *p, int mode)
{
    int n = 0;
    for (int i = 0; i < p->count; i++)
        n += mode ? p->descs[i]->side[mode - 1].parked : !p->descs[i]->gone;
    return n;
}
