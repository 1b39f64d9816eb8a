/* The report of all pollers as text, for a signal handler too: nothing here allocates, waits for a
 * lock without end, or calls what a handler must not. */
#define _GNU_SOURCE /* sigaction, NSIG */
#include <string.h>

#include "core/internal.h"
#include "inspect/text.h"
#include "inspect/waits.h"

#ifdef _WIN32
#include <io.h>
#else
#include <unistd.h>
#endif
#ifdef NP_HAVE_SIGNALS
#include <signal.h>
#endif

enum { LOCK_TIMEOUT_NS = 10 * 1000 * 1000 };

static void write_out(int fd, np_text *t)
{
    for (int done = 0; done < t->used;) {
#ifdef _WIN32
        int n = _write(fd, t->start + done, (unsigned)(t->used - done));
#else
        ssize_t n = write(fd, t->start + done, (size_t)(t->used - done));
#endif
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break; /* the reader is gone */
        done += (int)n;
    }
    t->used = 0;
}

/* The rest of a line: what waits, since when and until when. */
static void put_waiter(np_text *t, const np_mode_view *v, int64_t now)
{
    static const char *const states[] = {"idle",   "ready",        "entering",  "thread ",
                                         "token ", "token ready ", "token out "};
    np_put(t, states[v->state]);
    if (v->waiter)
        np_put_hex(t, v->waiter);
    if (v->since) {
        np_put(t, ", for ");
        np_put_seconds(t, now - v->since, 1);
    }
    if (v->deadline < 0 || (v->deadline > 0 && v->deadline <= now)) {
        np_put(t, ", deadline exceeded");
    } else if (v->deadline > 0) {
        np_put(t, ", deadline in ");
        np_put_seconds(t, v->deadline - now, 3);
    }
    np_put(t, "\n");
}

static void put_mode(np_text *t, const char *name, const np_mode_view *v, int64_t now)
{
    if (v->state == NP_IDLE && v->deadline == 0)
        return;
    np_put(t, "    ");
    np_put(t, name);
    put_waiter(t, v, now);
}

static void put_desc(np_text *t, const np_desc_view *v, int64_t now)
{
    np_put(t, "  fd ");
    np_put_number(t, (uint64_t)v->fd, 10);
    np_put(t, " ");
    np_put_fd(t, v->fd);
    np_put(t, v->evicted ? ", evicted\n" : "\n");
    put_mode(t, "read: ", &v->mode[0], now);
    put_mode(t, "write: ", &v->mode[1], now);
}

static void put_poller(np_text *t, const np_poller *p, const np_poller_view *v, int64_t now)
{
    np_put(t, "poller ");
    np_put_hex(t, (uintptr_t)p);
    np_put(t, " ");
    np_put(t, np_poller_backend(p));
    np_put(t, ": ");
    np_put_count(t, v->descriptors, " descriptors, ");
    np_put_count(t, v->polls_inside, " polling, ");
    np_put_count(t, v->threads_inside + v->threads_following, " threads waiting, ");
    np_put_count(t, v->tokens_ready, " tokens ready");
    if (v->waiters) {
        np_put(t, ", ");
        np_put_count(t, v->waiters, " at semaphores and timers");
    }
    np_put(t, v->wake_pending ? ", wake pending" : "");
    if (v->deadline) {
        np_put(t, ", first deadline in ");
        np_put_seconds(t, v->deadline - now, 3);
    }
    np_put(t, "\n");
}

static void put_wait(np_text *t, const np_wait_view *v, int64_t now)
{
    np_put(t, "  ");
    np_put_plain(t, v->what, strlen(v->what));
    if (v->mode) {
        np_put(t, " fd ");
        np_put_number(t, (uint64_t)v->fd, 10);
        np_put(t, " ");
        np_put_fd(t, v->fd);
    } else if (v->sema) {
        np_put(t, " ");
        np_put_hex(t, (uintptr_t)v->sema);
    }
    np_put(t, ": ");
    put_waiter(t, &v->view, now);
}

/* Of the tokens at p, or with NULL of the threads.  Part by part, between which they may change;
 * and not of all, since each part goes through the list from its beginning. */
static void report_waits(int fd, np_poller *p)
{
    enum { PART = 16, MOST = 512 };
    char buffer[1024];
    np_text t = {.start = buffer, .used = 0, .size = sizeof buffer};
    np_wait_view views[PART];
    bool all = true;
    int n = 1;

    for (int skip = 0; skip < n && skip < MOST; skip += PART) {
        all = np_waits_from(p, skip, views, PART, LOCK_TIMEOUT_NS, &n);
        int64_t now = np_now();
        if (!p && skip == 0 && n > 0)
            np_put_count(&t, n, " threads at semaphores\n");
        for (int i = 0; i < PART && skip + i < n; i++) {
            put_wait(&t, &views[i], now);
            write_out(fd, &t);
        }
    }
    if (n > MOST) {
        np_put(&t, "  and ");
        np_put_count(&t, n - MOST, " more\n");
    }
    if (!all)
        np_put(&t,
               p ? "  tokens: busy, the lock is held\n" : "semaphores are busy: a lock is held\n");
    write_out(fd, &t);
}

static void report_poller(np_poller *p, void *context)
{
    enum { PART = 16 };
    int fd = *(int *)context;
    char buffer[1024];
    np_text t = {.start = buffer, .used = 0, .size = sizeof buffer};
    np_poller_view poller;
    np_desc_view descs[PART];
    uint32_t next = 0;
    int n = PART;

    if (np_poller_closed(p))
        return;
    for (bool first = true; n == PART; first = false) {
        int64_t now = np_now();
        n = np_snapshot_chunk(p, &poller, descs, PART, &next, LOCK_TIMEOUT_NS);
        if (n < 0) {
            np_put(&t, "poller ");
            np_put_hex(&t, (uintptr_t)p);
            np_put(&t, " is busy: its lock is held\n");
        } else if (first) {
            put_poller(&t, p, &poller, now);
        }
        write_out(fd, &t);
        for (int i = 0; i < n; i++) {
            put_desc(&t, &descs[i], now);
            write_out(fd, &t);
        }
    }
    if (n >= 0)
        report_waits(fd, p);
}

static void report_fd_waiter(const np_fd_waiter *w, void *context)
{
    char buffer[1024];
    np_text t = {.start = buffer, .used = 0, .size = sizeof buffer};
    np_fd_wait_view v;

    np_fd_waiter_view(w, &v);
    if (v.mode == 0)
        return;
    np_put(&t, "a thread outside the pollers\n  fd ");
    np_put_number(&t, (uint64_t)v.fd, 10);
    np_put(&t, " ");
    np_put_fd(&t, v.fd);
    np_put(&t, "\n");
    put_mode(&t, v.mode == NP_READ ? "read: " : "write: ", &v.view, np_now());
    write_out(*(int *)context, &t);
}

void np_report(int fd)
{
    int error = errno;
    char buffer[64];
    np_text t = {.start = buffer, .used = 0, .size = sizeof buffer};

    np_put(&t, "netpoll:\n");
    write_out(fd, &t);
    if (!np_registry_each(LOCK_TIMEOUT_NS, report_poller, &fd) ||
        !np_registry_each_fd_waiter(LOCK_TIMEOUT_NS, report_fd_waiter, &fd)) {
        np_put(&t, "the list of pollers is busy: its lock is held\n");
        write_out(fd, &t);
    }
    report_waits(fd, NULL);
    errno = error;
}

/* --- on a signal ----------------------------------------------------------------------------- */

#ifndef NP_HAVE_SIGNALS

int np_report_on_signal(int signum, int fd, int chain)
{
    (void)signum, (void)fd, (void)chain;
    return -ENOSYS;
}

#else

#ifndef NSIG
#define NSIG 65
#endif

/* Written before the handler is installed, and after it is gone. */
static struct registration {
    bool installed;
    int fd, chain;
    struct sigaction ours, before;
} registrations[NSIG];

/* What the system does by itself can only be had by raising the signal, not blocked and with no
 * handler; where the program survives that, ours comes back. */
static void do_default(int signum, struct registration *r)
{
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, signum);
    if (sigaction(signum, &r->before, NULL) < 0)
        return;
    pthread_sigmask(SIG_UNBLOCK, &one, NULL);
    raise(signum);
    sigaction(signum, &r->ours, NULL);
}

static void on_signal(int signum, siginfo_t *info, void *context)
{
    struct registration *r = &registrations[signum];
    int error = errno;

    np_report(r->fd);
    if (!r->chain || r->before.sa_handler == SIG_IGN)
        ;
    else if (r->before.sa_flags & SA_SIGINFO)
        r->before.sa_sigaction(signum, info, context);
    else if (r->before.sa_handler == SIG_DFL)
        do_default(signum, r);
    else
        r->before.sa_handler(signum);
    errno = error;
}

static int uninstall(int signum, struct registration *r)
{
    if (!r->installed)
        return 0;
    if (sigaction(signum, &r->before, NULL) < 0)
        return -errno;
    r->installed = false;
    return 0;
}

int np_report_on_signal(int signum, int fd, int chain)
{
    if (signum <= 0 || signum >= NSIG)
        return -EINVAL;
    struct registration *r = &registrations[signum];
    int rc = uninstall(signum, r);
    if (rc < 0 || fd < 0)
        return rc;
    r->fd = fd;
    r->chain = chain;
    r->ours = (struct sigaction){.sa_sigaction = on_signal,
                                 .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
    sigemptyset(&r->ours.sa_mask);
    /* before must be there when the handler first runs. */
    if (sigaction(signum, NULL, &r->before) < 0 || sigaction(signum, &r->ours, NULL) < 0)
        return -errno;
    r->installed = true;
    return 0;
}

#endif
