/* What libkqueue does otherwise than a kernel's kqueue: the reason for each test that is left out
 * for kqueue on Linux.  It says so if one of them is gone, for then its tests can come back.
 *
 * `make test-kqueue` runs it.  Nothing of netpoll is in here.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/event.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 128 };

static void must(bool condition, const char *what)
{
    if (!condition) {
        perror(what);
        exit(2);
    }
}

static int add(int kq, int fd, short filter)
{
    struct kevent ev = {.ident = (uintptr_t)fd, .filter = filter, .flags = EV_ADD | EV_CLEAR};
    return kevent(kq, &ev, 1, NULL, 0, NULL);
}

static int collect(int kq, struct kevent *events, int max)
{
    const struct timespec soon = {.tv_nsec = 100 * 1000 * 1000};
    return kevent(kq, NULL, 0, events, max, &soon);
}

static void pair(int fds[2])
{
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0, "socketpair");
}

/* One event of its epoll makes two of kqueue, and those for which there is no room are dropped. */
static bool loses_events_when_more_than_half_a_batch_is_ready(void)
{
    int kq = kqueue(), total = 0, n;
    struct kevent events[BATCH];
    for (int i = 0; i < BATCH; i++) {
        int fds[2];
        pair(fds);
        must(write(fds[1], "x", 1) == 1, "write");
        must(add(kq, fds[0], EVFILT_READ) == 0 && add(kq, fds[0], EVFILT_WRITE) == 0, "add");
    }
    while ((n = collect(kq, events, BATCH)) > 0)
        total += n;
    close(kq);
    return total < 2 * BATCH;
}

static bool takes_the_socket_error_for_itself(void)
{
    struct sockaddr_in nobody = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof nobody;
    int kq = kqueue(), fd = socket(AF_INET, SOCK_STREAM, 0), error = 0;
    struct kevent events[BATCH];

    must(bind(fd, (struct sockaddr *)&nobody, sizeof nobody) == 0, "bind");
    must(getsockname(fd, (struct sockaddr *)&nobody, &length) == 0, "getsockname");
    close(fd); /* so that nobody listens there */
    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    connect(fd, (struct sockaddr *)&nobody, sizeof nobody);
    must(add(kq, fd, EVFILT_WRITE) == 0, "add");
    must(collect(kq, events, BATCH) == 1, "no event for a refused connection");
    length = sizeof error;
    must(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0, "getsockopt");
    close(fd);
    close(kq);
    return error == 0;
}

static bool reports_a_number_that_was_closed(void)
{
    int kq = kqueue(), fds[2];
    struct kevent events[BATCH];
    pair(fds);
    int number = dup(fds[0]);
    must(add(kq, number, EVFILT_READ) == 0, "add");
    close(number);
    must(write(fds[1], "x", 1) == 1, "write");
    int n = collect(kq, events, BATCH);
    close(kq);
    return n == 1 && (int)events[0].ident == number;
}

static bool is_not_readable_when_it_has_events(void)
{
    int kq = kqueue(), fds[2];
    pair(fds);
    must(add(kq, fds[0], EVFILT_WRITE) == 0, "add");
    struct pollfd pfd = {.fd = kq, .events = POLLIN};
    int n = poll(&pfd, 1, 100);
    close(kq);
    return n == 0;
}

static bool has_descriptors_of_its_own(void)
{
    int before = dup(0), kq = kqueue(), after = dup(0);
    close(before);
    close(kq);
    close(after);
    return after - before > 2;
}

/* One more descriptor at a time, until there is one for the kqueue, but none for its event. */
static bool misreports_a_lack_of_descriptors(void)
{
    int first = dup(0), last = first, fd, error = 0;
    struct rlimit before, limit;
    must(getrlimit(RLIMIT_NOFILE, &before) == 0, "getrlimit");
    limit = (struct rlimit){(rlim_t)first + 20, before.rlim_max};
    must(setrlimit(RLIMIT_NOFILE, &limit) == 0, "setrlimit");
    while ((fd = dup(0)) >= 0)
        last = fd;
    while (last > first && error == 0) {
        int kq = kqueue();
        struct kevent user = {.filter = EVFILT_USER, .flags = EV_ADD};
        if (kq >= 0)
            error = kevent(kq, &user, 1, NULL, 0, NULL) < 0 ? errno : EMFILE;
        close(last--);
    }
    must(setrlimit(RLIMIT_NOFILE, &before) == 0, "setrlimit");
    return error != EMFILE;
}

static int without_memory(void)
{
    int kq = kqueue(), fds[2], fd;
    struct rlimit limit = {1, 1};
    pair(fds);
    must(add(kq, fds[0], EVFILT_READ) == 0, "add");
    must(setrlimit(RLIMIT_DATA, &limit) == 0, "setrlimit");
    while ((fd = dup(fds[1])) >= 0)
        if (add(kq, fd, EVFILT_READ) < 0 || add(kq, fd, EVFILT_WRITE) < 0)
            return errno == ENOMEM ? 0 : 1;
    return 2;
}

/* In a child, which may not come back. */
static bool does_not_survive_a_lack_of_memory(void)
{
    int status;
    pid_t pid = fork();
    must(pid >= 0, "fork");
    if (pid == 0)
        _exit(without_memory());
    must(waitpid(pid, &status, 0) == pid, "waitpid");
    return WIFSIGNALED(status) || WEXITSTATUS(status) == 1;
}

/* Releases up to 2.7.0 cannot: such a library is too old for the tests. */
static bool can_register_a_number_that_was_reused(void)
{
    int kq = kqueue(), old[2], fresh[2];
    struct kevent events[BATCH];
    struct kevent gone = {.filter = EVFILT_READ, .flags = EV_DELETE};

    pair(old);
    pair(fresh);
    must(add(kq, old[0], EVFILT_READ) == 0 && add(kq, old[0], EVFILT_WRITE) == 0, "add");
    must(dup2(fresh[0], old[0]) == old[0], "dup2");
    gone.ident = (uintptr_t)old[0];
    kevent(kq, &gone, 1, NULL, 0, NULL);
    gone.filter = EVFILT_WRITE;
    kevent(kq, &gone, 1, NULL, 0, NULL);
    bool added = add(kq, old[0], EVFILT_READ) == 0 && add(kq, old[0], EVFILT_WRITE) == 0;
    int n = collect(kq, events, BATCH);
    close(kq);
    return added && n == 1 && events[0].filter == EVFILT_WRITE;
}

static const struct {
    const char *name;
    bool (*holds)(void);
} limits[] = {
    {"loses events when more than half a batch is ready",
     loses_events_when_more_than_half_a_batch_is_ready},
    {"takes the socket error for itself", takes_the_socket_error_for_itself},
    {"reports a number that was closed", reports_a_number_that_was_closed},
    {"is not readable when it has events", is_not_readable_when_it_has_events},
    {"has descriptors of its own", has_descriptors_of_its_own},
    {"misreports a lack of descriptors", misreports_a_lack_of_descriptors},
    {"does not survive a lack of memory", does_not_survive_a_lack_of_memory},
};

int main(void)
{
    int gone = 0;
    if (!can_register_a_number_that_was_reused()) {
        fprintf(stderr, "this libkqueue cannot register a number that was reused: "
                        "a later one than release 2.7.0 is needed\n");
        return 2;
    }
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        bool holds = limits[i].holds();
        gone += !holds;
        printf("libkqueue %s%s\n", limits[i].name, holds ? "" : ": NO LONGER");
        fflush(stdout);
    }
    return gone > 0;
}
