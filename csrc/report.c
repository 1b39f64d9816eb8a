/* The report of all pollers as text, for a signal handler too: nothing here allocates, waits for a
 * lock that may never be free, or calls what a handler must not. */
#define _GNU_SOURCE /* sigaction, NSIG */
#include <string.h>

#include "internal.h"

#ifdef _WIN32
#include <winsock2.h>

#include <io.h>
#include <ws2tcpip.h>
typedef int socklen;
#else
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
typedef socklen_t socklen;
#endif

enum { PATIENCE_NS = 10 * 1000 * 1000 };

/* --- text ------------------------------------------------------------------------------------ */

typedef struct text {
    char *start;
    int used, size; /* one byte of size is for a NUL */
} text;

static void put(text *t, const char *s)
{
    while (*s && t->used < t->size - 1)
        t->start[t->used++] = *s++;
}

static void put_number(text *t, uint64_t n, unsigned base)
{
    char digits[24];
    char *p = digits + sizeof digits - 1;

    *p = 0;
    do {
        *--p = "0123456789abcdef"[n % base];
    } while ((n /= base) > 0);
    put(t, p);
}

static void put_address(text *t, uintptr_t address)
{
    put(t, "0x");
    put_number(t, address, 16);
}

static void put_count(text *t, int n, const char *what)
{
    put_number(t, (uint64_t)n, 10);
    put(t, what);
}

static void put_seconds(text *t, int64_t ns, int digits)
{
    uint64_t ms = (uint64_t)(ns < 0 ? 0 : ns) / 1000000;
    char fraction[] = {'.', (char)('0' + ms / 100 % 10), (char)('0' + ms / 10 % 10),
                       (char)('0' + ms % 10), 0};
    fraction[digits + 1] = 0;
    put_number(t, ms / 1000, 10);
    put(t, fraction);
    put(t, " s");
}

/* --- what a descriptor is -------------------------------------------------------------------- */

typedef union address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
#ifndef _WIN32
    struct sockaddr_un un;
#endif
} address;

static void put_in(text *t, const struct sockaddr_in *a)
{
    unsigned char bytes[4];
    memcpy(bytes, &a->sin_addr, sizeof bytes);
    for (int i = 0; i < 4; i++) {
        put(t, i ? "." : "");
        put_number(t, bytes[i], 10);
    }
    put(t, ":");
    put_number(t, ntohs(a->sin_port), 10);
}

static void put_in6(text *t, const struct sockaddr_in6 *a)
{
    unsigned char bytes[16];
    memcpy(bytes, &a->sin6_addr, sizeof bytes);
    put(t, "[");
    for (int i = 0; i < 16; i += 2) {
        put(t, i ? ":" : "");
        put_number(t, (uint64_t)bytes[i] << 8 | bytes[i + 1], 16);
    }
    put(t, "]:");
    put_number(t, ntohs(a->sin6_port), 10);
}

#ifndef _WIN32
/* Whoever reads this may be looking at a terminal. */
static void put_plain(text *t, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char one[2] = {s[i] < ' ' || s[i] > '~' ? '?' : s[i], 0};
        put(t, one);
    }
}

static void put_un(text *t, const struct sockaddr_un *a, socklen size)
{
    size_t length = size - offsetof(struct sockaddr_un, sun_path);
    if (size <= offsetof(struct sockaddr_un, sun_path) || (a->sun_path[0] == 0 && length <= 1))
        put(t, "unnamed");
    else if (a->sun_path[0] == 0) {
        put(t, "@");
        put_plain(t, a->sun_path + 1, length - 1);
    } else
        put_plain(t, a->sun_path, strnlen(a->sun_path, length));
}
#endif

static void put_end(text *t, const address *a, socklen size)
{
    switch (a->any.sa_family) {
    case AF_INET:
        put_in(t, &a->in);
        break;
    case AF_INET6:
        put_in6(t, &a->in6);
        break;
#ifndef _WIN32
    case AF_UNIX:
        put_un(t, &a->un, size < (socklen)sizeof *a ? size : (socklen)sizeof *a);
        break;
#endif
    default:
        put(t, "family ");
        put_number(t, a->any.sa_family, 10);
    }
    (void)size;
}

static int option(np_fd fd, int name)
{
    int value = 0;
    socklen size = sizeof value;
#ifdef _WIN32
    return getsockopt((SOCKET)fd, SOL_SOCKET, name, (char *)&value, &size) == 0 ? value : 0;
#else
    return getsockopt((int)fd, SOL_SOCKET, name, &value, &size) == 0 ? value : 0;
#endif
}

static bool get_end(np_fd fd, bool peer, address *a, socklen *size)
{
    memset(a, 0, sizeof *a);
    *size = sizeof *a;
#ifdef _WIN32
    SOCKET s = (SOCKET)fd;
#else
    int s = (int)fd;
#endif
    return (peer ? getpeername(s, &a->any, size) : getsockname(s, &a->any, size)) == 0;
}

static void put_socket(text *t, np_fd fd, const address *here, socklen size)
{
    address there;
    socklen there_size;
    bool internet = here->any.sa_family == AF_INET || here->any.sa_family == AF_INET6;
    int type = option(fd, SO_TYPE);

    put(t, !internet             ? "unix "
           : type == SOCK_STREAM ? "tcp "
           : type == SOCK_DGRAM  ? "udp "
                                 : "ip ");
    put_end(t, here, size);
    if (get_end(fd, true, &there, &there_size)) {
        put(t, " -> ");
        put_end(t, &there, there_size);
    } else {
        put(t, option(fd, SO_ACCEPTCONN) ? ", listening" : ", not connected");
    }
}

#ifdef _WIN32

static void put_other(text *t, np_fd fd)
{
    put(t, option(fd, SO_TYPE) ? "socket, not bound" : "no socket");
}

#else

static void put_other(text *t, np_fd fd)
{
    struct stat s;
    if (fstat((int)fd, &s) < 0)
        put(t, "closed");
    else
        put(t, S_ISFIFO(s.st_mode)   ? "pipe"
               : S_ISCHR(s.st_mode)  ? "character device"
               : S_ISREG(s.st_mode)  ? "file"
               : S_ISSOCK(s.st_mode) ? "socket"
                                     : "special file");
}

#endif

static void put_fd(text *t, np_fd fd)
{
    address here;
    socklen size;
    if (get_end(fd, false, &here, &size))
        put_socket(t, fd, &here, size);
    else
        put_other(t, fd);
}

int np_describe_fd(np_fd fd, char *buffer, int size)
{
    text t = {.start = buffer, .used = 0, .size = size};
    int error = errno;
    put_fd(&t, fd);
    buffer[t.used] = 0;
    errno = error;
    return t.used;
}

/* --- the report ------------------------------------------------------------------------------ */

static void write_out(int fd, text *t)
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
            break; /* nobody to tell it to */
        done += (int)n;
    }
    t->used = 0;
}

static void put_mode(text *t, const char *name, const np_mode_view *v, int64_t now)
{
    static const char *const states[] = {"idle",   "ready",        "entering",  "thread ",
                                         "token ", "token ready ", "token out "};
    if (v->state == NP_IDLE && v->deadline == 0)
        return;
    put(t, "    ");
    put(t, name);
    put(t, states[v->state]);
    if (v->waiter)
        put_address(t, v->waiter);
    if (v->since) {
        put(t, ", for ");
        put_seconds(t, now - v->since, 1);
    }
    if (v->deadline < 0 || (v->deadline > 0 && v->deadline <= now)) {
        put(t, ", deadline exceeded");
    } else if (v->deadline > 0) {
        put(t, ", deadline in ");
        put_seconds(t, v->deadline - now, 3);
    }
    put(t, "\n");
}

static void put_desc(text *t, const np_desc_view *v, int64_t now)
{
    put(t, "  fd ");
    put_number(t, (uint64_t)v->fd, 10);
    put(t, " ");
    put_fd(t, v->fd);
    put(t, v->evicted ? ", evicted\n" : "\n");
    put_mode(t, "read: ", &v->mode[0], now);
    put_mode(t, "write: ", &v->mode[1], now);
}

static void put_poller(text *t, const np_poller *p, const np_poller_view *v, int64_t now)
{
    put(t, "poller ");
    put_address(t, (uintptr_t)p);
    put(t, " ");
    put(t, np_poller_backend(p));
    put(t, ": ");
    put_count(t, v->descriptors, " descriptors, ");
    put_count(t, v->polls_inside, " polling, ");
    put_count(t, v->threads_inside + v->threads_following, " threads waiting, ");
    put_count(t, v->tokens_ready, " tokens ready");
    put(t, v->wake_pending ? ", wake pending" : "");
    if (v->deadline) {
        put(t, ", first deadline in ");
        put_seconds(t, v->deadline - now, 3);
    }
    put(t, "\n");
}

static void report_poller(np_poller *p, void *context)
{
    enum { PART = 16 };
    int fd = *(int *)context;
    char buffer[1024];
    text t = {.start = buffer, .used = 0, .size = sizeof buffer};
    np_poller_view poller;
    np_desc_view descs[PART];
    uint32_t next = 0;
    int n = PART;

    if (np_poller_closed(p))
        return;
    for (bool first = true; n == PART; first = false) {
        int64_t now = np_now();
        n = np_look(p, &poller, descs, PART, &next, PATIENCE_NS);
        if (n < 0) {
            put(&t, "poller ");
            put_address(&t, (uintptr_t)p);
            put(&t, " is busy: its lock is held\n");
        } else if (first) {
            put_poller(&t, p, &poller, now);
        }
        write_out(fd, &t);
        for (int i = 0; i < n; i++) {
            put_desc(&t, &descs[i], now);
            write_out(fd, &t);
        }
    }
}

static void report_loner(const np_loner *l, void *context)
{
    char buffer[1024];
    text t = {.start = buffer, .used = 0, .size = sizeof buffer};
    np_alone_view v;

    np_look_at_loner(l, &v);
    if (v.mode == 0)
        return;
    put(&t, "a thread by itself\n  fd ");
    put_number(&t, (uint64_t)v.fd, 10);
    put(&t, " ");
    put_fd(&t, v.fd);
    put(&t, "\n");
    put_mode(&t, v.mode == NP_READ ? "read: " : "write: ", &v.view, np_now());
    write_out(*(int *)context, &t);
}

void np_report(int fd)
{
    int error = errno;
    char buffer[64];
    text t = {.start = buffer, .used = 0, .size = sizeof buffer};

    put(&t, "netpoll:\n");
    write_out(fd, &t);
    if (!np_registry_each(PATIENCE_NS, report_poller, &fd) ||
        !np_registry_each_loner(PATIENCE_NS, report_loner, &fd)) {
        put(&t, "the list of pollers is busy: its lock is held\n");
        write_out(fd, &t);
    }
    errno = error;
}

/* --- on a signal ----------------------------------------------------------------------------- */

#ifdef _WIN32

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
