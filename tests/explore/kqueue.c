/* The kqueue of the kernel in miniature, behind kqueue/sys/event.h.
 *
 * What matters of the real ones: a filter is keyed by the number and goes with it; it is queued
 * when its event comes, and only asking the kqueue takes it off again, if the event is over;
 * touching a filter looks at its state anew; and of a peer that has gone only the reader's filter
 * tells.
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/epoll.h>

#include "files.h"
#include "kqueue/sys/event.h"
#include "sim.h"

int k_kqueue(void);
int k_kevent(int kq, const struct kevent *changes, int changes_n, struct kevent *events,
             int events_n, const struct timespec *timeout);

static bool is_about_a_file(int filter)
{
    return filter == EVFILT_READ || filter == EVFILT_WRITE;
}

/* Is it so now? */
static bool is_true(const knote *k)
{
    switch (k->filter) {
    case EVFILT_READ:
        return state_of(&files[k->file]) & (EPOLLIN | EPOLLERR | EPOLLHUP);
    case EVFILT_WRITE:
        return state_of(&files[k->file]) & (EPOLLOUT | EPOLLERR);
    case EVFILT_TIMER:
        return k->when <= ex_clock();
    default:
        return k->active;
    }
}

static bool is_active(const knote *k)
{
    return k->filter && (k->active || (k->filter == EVFILT_TIMER && is_true(k)));
}

bool kqueue_is_readable(const file *kq)
{
    for (int i = 0; i < REGS; i++)
        if (is_active(&kq->knotes[i]))
            return true;
    return false;
}

bool kqueue_has_events(const file *kq)
{
    for (int i = 0; i < REGS; i++)
        if (is_active(&kq->knotes[i]) && is_true(&kq->knotes[i]))
            return true;
    return false;
}

static void activate(file *kq, knote *k)
{
    k->active = true;
    changed(kq, EPOLLIN);
}

/* An edge: the filters that it concerns are queued. */
void kqueue_changed(const file *f, uint32_t what)
{
    for (int i = 0; i < FILES; i++)
        for (int j = 0; j < REGS && files[i].kind == KQUEUE; j++) {
            knote *k = &files[i].knotes[j];
            uint32_t mine =
                k->filter == EVFILT_READ ? EPOLLIN | EPOLLERR | EPOLLHUP : EPOLLOUT | EPOLLERR;
            if (is_about_a_file(k->filter) && &files[k->file] == f && what & mine && is_true(k))
                activate(&files[i], k);
        }
}

void kqueue_forget(int fd)
{
    for (int i = 0; i < FILES; i++)
        for (int j = 0; j < REGS && files[i].kind == KQUEUE; j++)
            if (is_about_a_file(files[i].knotes[j].filter) &&
                files[i].knotes[j].ident == (uintptr_t)fd)
                files[i].knotes[j].filter = 0;
}

int64_t kqueue_next_timer(void)
{
    int64_t first = INT64_MAX;
    for (int i = 0; i < FILES; i++)
        for (int j = 0; j < REGS && files[i].kind == KQUEUE; j++) {
            const knote *k = &files[i].knotes[j];
            if (k->filter == EVFILT_TIMER && k->when > ex_clock() && k->when < first)
                first = k->when;
        }
    return first;
}

/* --- changes ---------------------------------------------------------------------------------- */

static knote *find(file *kq, uintptr_t ident, int filter)
{
    for (int i = 0; i < REGS; i++)
        if (kq->knotes[i].filter == filter && kq->knotes[i].ident == ident)
            return &kq->knotes[i];
    return NULL;
}

static knote *attach(file *kq, const struct kevent *c)
{
    int i = 0;
    while (kq->knotes[i].filter)
        i++;
    kq->knotes[i] = (knote){.ident = c->ident, .filter = c->filter, .flags = c->flags};
    if (is_about_a_file(c->filter))
        kq->knotes[i].file = fds[c->ident] - 1;
    else if (c->filter == EVFILT_TIMER)
        kq->knotes[i].when = ex_clock() + c->data;
    return &kq->knotes[i];
}

static const char *name_of(int filter)
{
    static const char *const names[] = {"READ", "WRITE", "TIMER", "USER"};
    return names[-filter - 1];
}

/* 0 or an errno value. */
static int change(file *kq, const struct kevent *c)
{
    knote *k = find(kq, c->ident, c->filter);

    ex_trace("kevent: %s%s%s%s %d", c->flags & EV_ADD ? "ADD " : "",
             c->flags & EV_DELETE ? "DELETE " : "", c->fflags & NOTE_TRIGGER ? "TRIGGER " : "",
             name_of(c->filter), (int)c->ident);
    if (is_about_a_file(c->filter) && !file_of((int)c->ident))
        return EBADF;
    if (!k && !(c->flags & EV_ADD))
        return ENOENT;
    if (c->flags & EV_DELETE) {
        k->filter = 0;
        return 0;
    }
    if (!k && kernel_fails(ENOMEM, "kevent"))
        return ENOMEM;
    if (!k)
        k = attach(kq, c);
    k->udata = c->udata;
    if (c->filter == EVFILT_USER ? c->fflags & NOTE_TRIGGER : is_true(k))
        activate(kq, k);
    return 0;
}

/* --- events ----------------------------------------------------------------------------------- */

static void report(knote *k, struct kevent *out)
{
    *out = (struct kevent){.ident = k->ident, .filter = (short)k->filter, .udata = k->udata};
    out->flags = (unsigned short)(k->flags & EV_CLEAR);
    if (is_about_a_file(k->filter) && (files[k->file].error || files[k->file].hangup))
        out->flags |= EV_EOF;
    ex_trace("   ... an event: %s %d%s", name_of(k->filter), (int)k->ident,
             out->flags & EV_EOF ? " EOF" : "");
    if (k->flags & EV_CLEAR)
        k->active = false;
    if (k->flags & EV_ONESHOT)
        k->filter = 0;
}

static int collect(file *kq, struct kevent *events, int max)
{
    int n = 0;
    for (int i = 0; i < REGS && n < max; i++) {
        knote *k = &kq->knotes[i];
        if (!is_active(k))
            continue;
        if (is_true(k))
            report(k, &events[n++]);
        else
            k->active = false;
    }
    return n;
}

int k_kqueue(void)
{
    kernel_point("kqueue");
    return kernel_fails(EMFILE, "kqueue") ? -1 : new_file(KQUEUE);
}

/* Each change is a step of its own, as other threads may come in between. */
int k_kevent(int fd, const struct kevent *changes, int changes_n, struct kevent *events,
             int events_n, const struct timespec *timeout)
{
    for (int i = 0; i < changes_n; i++) {
        kernel_point("kevent");
        int error = change(must(fd, KQUEUE), &changes[i]);
        if (error) {
            ex_trace("kevent: %s", strerror(error));
            errno = error;
            return -1;
        }
    }
    if (!events_n)
        return 0;
    int64_t ns = timeout ? (int64_t)timeout->tv_sec * 1000000000 + timeout->tv_nsec : -1;
    sleep_call c = {.kqueue = must(fd, KQUEUE), .due = due_in(ns)};
    if (kernel_fails(EINTR, "kevent"))
        return -1;
    if (!sleep_until(&c, "kevent")) {
        ex_trace("kevent is interrupted by a signal");
        errno = EINTR;
        return -1;
    }
    ex_trace("kevent(timeout %lld) returns", (long long)ns);
    return collect(must(fd, KQUEUE), events, events_n);
}
