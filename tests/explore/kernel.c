/* The kernel in miniature.  Each system call is one step, as the real ones are to those who look
 * from outside; a call that blocks is enabled when it has something to return for. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>

#include "explore.h"
#include "files.h"
#include "kernel.h"
#include "posix/epollfd.h"
#include "sim.h"

file files[FILES];
int fds[FDS];
static int process, strays;
static unsigned serials;

/* --- files ------------------------------------------------------------------------------------ */

void kernel_point(const char *text)
{
    static ex_site sites[EX_ACTORS + 1];
    ex_site *site = &sites[ex_self + 1];
    *site = (ex_site){"kernel", 0, text};
    op next = {.object = &ex_kernel_object, .write = true, .site = site};
    ex_point(&next);
    sim_fence();
}

static int failures; /* that may still come in this execution */

void k_allow_failures(int times)
{
    failures = times;
}

bool kernel_fails(int error, const char *text)
{
    if (failures == 0 || ex_choose(2) == 0)
        return false;
    failures--;
    errno = error;
    ex_trace("%s fails: %s", text, strerror(error));
    return true;
}

file *file_of(int fd)
{
    return fd >= 0 && fd < FDS && fds[fd] ? &files[fds[fd] - 1] : NULL;
}

file *must(int fd, int kind)
{
    file *f = file_of(fd);
    if (!f || f->kind != kind)
        ex_fail("a system call on descriptor %d, which has been closed", fd);
    return f;
}

int new_file(int kind)
{
    int i = 0, fd = 3;
    while (files[i].kind != FREE)
        i++;
    while (fds[fd])
        fd++;
    memset(&files[i], 0, sizeof files[i]);
    files[i].kind = kind;
    files[i].refs = 1;
    files[i].serial = ++serials;
    for (int r = 0; r < REGS; r++)
        files[i].regs[r].fd = -1;
    fds[fd] = i + 1;
    return fd;
}

/* A timer that goes off puts itself on the list. */
static bool is_listed(const registration *g)
{
    return g->listed || files[g->file].kind == TIMERFD;
}

static bool has_events(const file *epoll)
{
    for (int r = 0; r < REGS; r++) {
        const registration *g = &epoll->regs[r];
        if (g->fd >= 0 && is_listed(g) &&
            state_of(&files[g->file]) & (g->events | EPOLLERR | EPOLLHUP))
            return true;
    }
    return false;
}

uint32_t state_of(const file *f)
{
    switch (f->kind) {
    case EVENTFD:
        return f->bytes ? EPOLLIN : 0;
    case TIMERFD:
        return f->when && f->when <= ex_clock() ? EPOLLIN : 0;
    case EPOLL:
        return has_events(f) ? EPOLLIN : 0;
    case KQUEUE:
        return kqueue_is_readable(f) ? EPOLLIN : 0;
    default:
        return (f->bytes ? EPOLLIN : 0) | (f->writable ? EPOLLOUT : 0) | (f->error ? EPOLLERR : 0) |
               (f->hangup ? EPOLLHUP : 0);
    }
}

/* An edge: whoever watches the file looks again.  epoll does whatever it was; a kqueue's filters
 * are told of what concerns them. */
void changed(const file *f, uint32_t what)
{
    kqueue_changed(f, what);
    iocp_changed(f);
    for (int i = 0; i < FILES; i++)
        for (int r = 0; r < REGS && files[i].kind == EPOLL; r++)
            if (files[i].regs[r].fd >= 0 && &files[files[i].regs[r].file] == f)
                files[i].regs[r].listed = true;
}

static void drop_fd(int fd)
{
    file *f = file_of(fd);
    kqueue_forget(fd);
    fds[fd] = 0;
    if (--f->refs > 0)
        return;
    if (f->inside)
        ex_fail("descriptor %d closed while somebody sleeps on it", fd);
    for (int i = 0; i < FILES; i++)
        for (int r = 0; r < REGS && files[i].kind == EPOLL; r++)
            if (files[i].regs[r].fd >= 0 && &files[files[i].regs[r].file] == f)
                files[i].regs[r].fd = -1;
    iocp_gone(f);
    f->kind = FREE;
}

int k_close(int fd)
{
    kernel_point("close");
    if (!file_of(fd))
        ex_fail("close of descriptor %d, which has been closed", fd);
    drop_fd(fd);
    ex_trace("close(%d)", fd);
    return 0;
}

int k_dup3(int from, int to, int flags)
{
    (void)flags;
    kernel_point("dup3");
    drop_fd(to);
    fds[to] = fds[from];
    file_of(from)->refs++;
    ex_trace("dup3(%d, %d)", from, to);
    return to;
}

int k_fcntl(int fd, int what, ...)
{
    va_list args;
    va_start(args, what);
    int argument = va_arg(args, int);
    va_end(args);
    kernel_point("fcntl");
    if (!file_of(fd))
        ex_fail("fcntl of descriptor %d, which has been closed", fd);
    if (what != F_DUPFD_CLOEXEC)
        return 0;
    if (kernel_fails(EMFILE, "fcntl"))
        return -1;
    while (fds[argument])
        argument++;
    fds[argument] = fds[fd];
    file_of(fd)->refs++;
    ex_trace("fcntl(%d, F_DUPFD_CLOEXEC) = %d", fd, argument);
    return argument;
}

int k_fstat(int fd, struct stat *st)
{
    kernel_point("fstat");
    memset(st, 0, sizeof *st);
    if (!file_of(fd)) {
        errno = EBADF;
        return -1;
    }
    st->st_mode = file_of(fd)->pipe ? S_IFIFO : S_IFSOCK;
    st->st_ino = file_of(fd)->serial;
    return 0;
}

/* --- eventfd, timerfd --------------------------------------------------------------------------
 */

int k_eventfd(unsigned count, int flags)
{
    (void)count;
    (void)flags;
    kernel_point("eventfd");
    return kernel_fails(EMFILE, "eventfd") ? -1 : new_file(EVENTFD);
}

ssize_t k_write(int fd, const void *buffer, size_t n)
{
    (void)buffer;
    kernel_point("write to the wake object");
    file *f = must(fd, EVENTFD);
    f->bytes++;
    changed(f, EPOLLIN);
    ex_trace("write(%d): the wake object is signalled", fd);
    return (ssize_t)n;
}

ssize_t k_read(int fd, void *buffer, size_t n)
{
    (void)n;
    kernel_point("read from the wake object");
    file *f = must(fd, EVENTFD);
    ex_trace("read(%d): the wake object is drained of %llu", fd, (unsigned long long)f->bytes);
    if (!f->bytes) {
        errno = EAGAIN;
        return -1;
    }
    memcpy(buffer, &f->bytes, sizeof f->bytes);
    f->bytes = 0;
    return sizeof f->bytes;
}

int k_timerfd_create(int clock, int flags)
{
    (void)clock;
    (void)flags;
    kernel_point("timerfd_create");
    return kernel_fails(EMFILE, "timerfd_create") ? -1 : new_file(TIMERFD);
}

int k_timerfd_settime(int fd, int flags, const struct itimerspec *its, struct itimerspec *old)
{
    (void)flags;
    (void)old;
    kernel_point("timerfd_settime");
    file *f = must(fd, TIMERFD);
    f->when = (int64_t)its->it_value.tv_sec * 1000000000 + its->it_value.tv_nsec;
    changed(f, EPOLLIN);
    ex_trace("timerfd_settime(%d, %lld)", fd, (long long)f->when);
    return 0;
}

/* --- epoll ------------------------------------------------------------------------------------ */

int k_epoll_create1(int flags)
{
    (void)flags;
    kernel_point("epoll_create1");
    return kernel_fails(EMFILE, "epoll_create1") ? -1 : new_file(EPOLL);
}

static registration *find_registration(file *epoll, int fd)
{
    registration *unused = NULL;
    for (int r = 0; r < REGS; r++) {
        registration *g = &epoll->regs[r];
        if (g->fd == fd && g->file == fds[fd] - 1)
            return g;
        if (g->fd < 0 && !unused)
            unused = g;
    }
    return unused;
}

int k_epoll_ctl(int epfd, int what, int fd, struct epoll_event *event)
{
    static const char *const names[] = {"", "ADD", "DEL", "MOD"};
    kernel_point("epoll_ctl");
    file *epoll = must(epfd, EPOLL);
    registration *g = file_of(fd) ? find_registration(epoll, fd) : NULL;
    ex_trace("epoll_ctl(%s, %d)", names[what], fd);
    errno = !file_of(fd) ? EBADF : what == EPOLL_CTL_ADD ? EEXIST : ENOENT;
    if (!g || (g->fd >= 0) == (what == EPOLL_CTL_ADD))
        return -1;
    if (what == EPOLL_CTL_ADD && kernel_fails(ENOMEM, "epoll_ctl"))
        return -1;
    if (what == EPOLL_CTL_DEL)
        g->fd = -1;
    else
        *g = (registration){.file = fds[fd] - 1,
                            .fd = fd,
                            .events = event->events,
                            .data = event->data.u64,
                            .listed = true};
    return 0;
}

/* As /proc/self/fdinfo has it. */
int np_epoll_lists(int epfd, int fd, uint64_t tag)
{
    kernel_point("read of /proc");
    const file *epoll = must(epfd, EPOLL);
    int found = 0;
    for (int r = 0; r < REGS; r++)
        found = found || (epoll->regs[r].fd == fd && epoll->regs[r].data == tag);
    return found;
}

static uint32_t poll_state(const struct pollfd *pfd)
{
    const file *f = file_of(pfd->fd);
    if (pfd->fd < 0)
        return 0;
    return f ? state_of(f) & ((uint32_t)pfd->events | POLLERR | POLLHUP) : (uint32_t)POLLNVAL;
}

static bool has_reason(void *arg)
{
    sleep_call *c = arg;
    if (c->due <= ex_clock())
        return true;
    if (c->port) /* no signal ends that */
        return iocp_has_packets(c->port);
    if (c->who && c->who->interrupted)
        return true;
    if (c->epoll)
        return has_events(c->epoll);
    if (c->kqueue)
        return kqueue_has_events(c->kqueue);
    for (nfds_t i = 0; i < c->n; i++)
        if (poll_state(&c->pfds[i]))
            return true;
    return false;
}

/* What it sleeps on must not be closed under it, the kernel objects of pollers above all. */
static void stay_inside(const sleep_call *c, int by)
{
    file *one = c->epoll ? c->epoll : c->kqueue ? c->kqueue : c->port;
    if (one)
        one->inside += by;
    for (nfds_t i = 0; i < c->n; i++) {
        file *f = file_of(c->pfds[i].fd);
        if (f && !c->outside && (f->kind == EPOLL || f->kind == KQUEUE))
            f->inside += by;
    }
}

bool sleep_until(sleep_call *c, const char *text)
{
    static ex_site sites[EX_ACTORS + 1];
    ex_site *site = &sites[ex_self + 1];
    *site = (ex_site){"kernel", 0, text};
    op next = {
        .object = &ex_kernel_object, .write = true, .enabled = has_reason, .arg = c, .site = site};
    c->who = ex_self < 0 ? NULL : &ex_actors[ex_self];
    if (c->who) {
        next.reads[0] = &c->who->interrupted;
        c->who->due = c->due;
    }
    if (c->port || (c->due != 0 && c->due != INT64_MAX))
        next.reads[1] = &ex_clock_object;
    if (c->who && c->who->has_handler && c->due != 0 && !c->port) {
        /* A signal that comes before this point ends no sleep. */
        static const ex_site entry = {"kernel", 0, "begins to sleep"};
        op begins = {.object = &c->who->interrupted, .site = &entry};
        ex_point(&begins);
        ex_trace("begins to sleep");
    }
    stay_inside(c, 1);
    ex_point(&next);
    stay_inside(c, -1);
    sim_fence();
    if (!c->who)
        return true;
    c->who->due = 0;
    bool interrupted = c->who->interrupted && c->due != 0 && !c->port;
    if (interrupted)
        c->who->interrupted = false;
    return !interrupted;
}

int64_t due_in(int64_t timeout)
{
    return timeout < 0 ? INT64_MAX : timeout == 0 ? 0 : ex_clock() + timeout;
}

static int collect(file *epoll, struct epoll_event *events, int max)
{
    int n = 0;
    for (int r = 0; r < REGS && n < max; r++) {
        registration *g = &epoll->regs[r];
        if (g->fd < 0 || !is_listed(g))
            continue;
        uint32_t state = state_of(&files[g->file]) & (g->events | EPOLLERR | EPOLLHUP);
        g->listed = state && !(g->events & EPOLLET);
        if (!state)
            continue;
        events[n].events = state;
        events[n++].data.u64 = g->data;
        ex_trace("   ... an event of descriptor %d: %s%s%s", g->fd, state & EPOLLIN ? "in " : "",
                 state & EPOLLOUT ? "out " : "", state & EPOLLERR ? "error" : "");
    }
    return n;
}

static int wait_for_events(int epfd, struct epoll_event *events, int max, int64_t timeout)
{
    sleep_call c = {.epoll = must(epfd, EPOLL), .due = due_in(timeout)};
    if (kernel_fails(EINTR, "epoll_wait"))
        return -1;
    if (!sleep_until(&c, "epoll_wait")) {
        ex_trace("epoll_wait is interrupted by a signal");
        errno = EINTR;
        return -1;
    }
    ex_trace("epoll_wait(timeout %lld) returns", (long long)timeout);
    return collect(must(epfd, EPOLL), events, max);
}

int k_epoll_wait(int epfd, struct epoll_event *events, int max, int milliseconds)
{
    return wait_for_events(epfd, events, max, (int64_t)milliseconds * 1000000);
}

static long wait_finely(va_list args)
{
    int epfd = va_arg(args, int);
    struct epoll_event *events = va_arg(args, struct epoll_event *);
    int max = va_arg(args, int);
    const int64_t *ts = va_arg(args, const int64_t *);
    return wait_for_events(epfd, events, max, ts[0] * 1000000000 + ts[1]);
}

long k_syscall(long number, ...)
{
    va_list args;
    va_start(args, number);
    long rc = number == SYS_futex ? futex(args) : wait_finely(args);
    va_end(args);
    return rc;
}

/* --- poll ------------------------------------------------------------------------------------- */

static int poll_fds(sleep_call *c, struct pollfd *pfds, int64_t timeout)
{
    int ready = 0;
    if (kernel_fails(EINTR, "ppoll"))
        return -1;
    if (!sleep_until(c, "ppoll")) {
        ex_trace("ppoll is interrupted by a signal");
        errno = EINTR;
        return -1;
    }
    ex_trace("ppoll(timeout %lld) returns", (long long)timeout);
    for (nfds_t i = 0; i < c->n; i++) {
        pfds[i].revents = (short)poll_state(&pfds[i]);
        ready += pfds[i].revents != 0;
        if (pfds[i].revents)
            ex_trace("   ... descriptor %d: %#x", pfds[i].fd, (unsigned)pfds[i].revents);
    }
    return ready;
}

int k_ppoll(struct pollfd *pfds, nfds_t n, const struct timespec *ts, const void *mask)
{
    (void)mask;
    int64_t timeout = ts ? (int64_t)ts->tv_sec * 1000000000 + ts->tv_nsec : -1;
    sleep_call c = {.pfds = pfds, .n = n, .due = due_in(timeout)};
    return poll_fds(&c, pfds, timeout);
}

/* The lock of backend/poll.c, and those of futex.c. */
static const ex_site plain_lock = {"pthread", 0, "pthread_mutex_lock"};
static const ex_site plain_unlock = {"pthread", 0, "pthread_mutex_unlock"};

int k_pthread_mutex_init(pthread_mutex_t *m, const void *attributes)
{
    (void)attributes;
    np_mutex_init((np_mutex *)(void *)m);
    return 0;
}

int k_pthread_mutex_lock(pthread_mutex_t *m)
{
    ex_lock((np_mutex *)(void *)m, &plain_lock);
    return 0;
}

int k_pthread_mutex_unlock(pthread_mutex_t *m)
{
    ex_unlock((np_mutex *)(void *)m, &plain_unlock);
    return 0;
}

/* --- for scenarios ---------------------------------------------------------------------------- */

int k_socket(void)
{
    return new_file(A_SOCKET);
}

int k_pipe(void)
{
    int fd = k_socket();
    file_of(fd)->pipe = true;
    return fd;
}

void k_send(int fd)
{
    kernel_point("send");
    file *f = must(fd, A_SOCKET);
    f->bytes++;
    changed(f, EPOLLIN);
    ex_trace("a byte arrives at %d", fd);
}

int k_recv_some(int fd, int wanted)
{
    kernel_point("recv");
    file *f = must(fd, A_SOCKET);
    int got = f->bytes < (uint64_t)wanted ? (int)f->bytes : wanted;
    f->bytes -= (uint64_t)got;
    if (got || !f->hangup)
        ex_trace("recv(%d): %s", fd, got ? got > 1 ? "bytes" : "a byte" : "EAGAIN");
    else
        ex_trace("recv(%d): the end", fd);
    return got || f->hangup ? got : -1;
}

bool k_recv(int fd)
{
    return k_recv_some(fd, 1) > 0;
}

/* With the recv before it one system call, so no step of its own. */
bool k_ended(int fd)
{
    const file *f = must(fd, A_SOCKET);
    return f->hangup && !f->bytes;
}

void k_writable(int fd)
{
    kernel_point("room");
    file *f = must(fd, A_SOCKET);
    f->writable = true;
    changed(f, EPOLLOUT);
    ex_trace("%d has room to write", fd);
}

bool k_put(int fd)
{
    kernel_point("put");
    file *f = must(fd, A_SOCKET);
    bool put = f->writable;
    f->writable = false;
    ex_trace("put(%d): %s", fd, put ? "a byte" : "EAGAIN");
    return put;
}

unsigned k_serial(int fd)
{
    return file_of(fd) ? file_of(fd)->serial : 0;
}

void k_error(int fd)
{
    kernel_point("error");
    file *f = must(fd, A_SOCKET);
    f->error = true;
    changed(f, EPOLLERR);
    ex_trace("%d has an error", fd);
}

void k_error_over(int fd)
{
    kernel_point("no error");
    must(fd, A_SOCKET)->error = false;
    ex_trace("the error of %d is over", fd);
}

void k_hangup(int fd)
{
    kernel_point("hang-up");
    file *f = must(fd, A_SOCKET);
    f->hangup = true;
    changed(f, EPOLLHUP);
    ex_trace("the peer of %d is gone", fd);
}

void k_user_close(int fd)
{
    k_close(fd);
}

int k_user_dup(int fd)
{
    kernel_point("dup");
    int copy = new_file(A_SOCKET);
    files[fds[copy] - 1].kind = FREE;
    fds[copy] = fds[fd];
    file_of(fd)->refs++;
    return copy;
}

void k_user_dup2(int from, int to)
{
    k_dup3(from, to, 0);
}

void k_wait_readable(int fd)
{
    struct pollfd pfd = {.fd = fd, .events = POLLIN};
    sleep_call c = {.pfds = &pfd, .n = 1, .due = INT64_MAX, .outside = true};
    poll_fds(&c, &pfd, -1);
}

bool k_is_readable(int fd)
{
    kernel_point("poll");
    return state_of(file_of(fd)) & EPOLLIN;
}

/* A timer in the kernel counts as somebody who will wake: time may pass until it is due. */
int64_t kernel_next_timer(void)
{
    int64_t first = INT64_MAX;
    for (int i = 0; i < FILES; i++)
        if (files[i].kind == TIMERFD && files[i].when > ex_clock() && files[i].when < first)
            first = files[i].when;
    first = kqueue_next_timer() < first ? kqueue_next_timer() : first;
    return iocp_next_timer() < first ? iocp_next_timer() : first;
}

/* In a forked child: the threads that were inside are not there, and no kqueue either. */
void kernel_fork(void)
{
    for (int i = 0; i < FILES; i++)
        files[i].inside = 0;
    for (int fd = 0; fd < FDS; fd++)
        if (fds[fd] && file_of(fd)->kind == KQUEUE)
            drop_fd(fd);
    process++;
}

pid_t k_getpid(void)
{
    return process;
}

void kernel_expect_stray(void)
{
    strays++;
}

void kernel_reset(void)
{
    strays = 0;
    process = 1;
    serials = 0;
    failures = 0;
    memset(fds, 0, sizeof fds);
    for (int i = 0; i < FILES; i++)
        files[i].kind = FREE;
    iocp_reset();
}

void kernel_finish(void)
{
    for (int fd = 0; fd < FDS; fd++)
        if (fds[fd] && file_of(fd)->kind != A_SOCKET &&
            (file_of(fd)->kind != EVENTFD || strays-- == 0))
            ex_fail("descriptor %d of the poller was never closed", fd);
    iocp_finish();
}
