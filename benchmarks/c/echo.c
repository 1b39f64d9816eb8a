/* An echo server on bare epoll, edge-triggered: what a server of one thread can reach. */
#include "rounds.h"

#include <signal.h>
#include <sys/epoll.h>

enum { ROOM = 65536, MOST = 4096, BATCH = 64 };

static int epfd, listener;
static char room[ROOM];

/* What could not be written at once, by descriptor: nothing is read until it is gone. */
static struct {
    char *bytes;
    size_t from, size;
} pending[MOST];

static void register_fd(int fd)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.fd = fd};
    CHECK(epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &event) == 0);
}

static void hang_up(int fd)
{
    free(pending[fd].bytes);
    pending[fd].bytes = NULL;
    close(fd);
}

static void accept_all(void)
{
    int on = 1, fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        CHECK(fd < MOST);
        CHECK(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0);
        register_fd(fd);
    }
    CHECK(errno == EAGAIN);
}

/* False: there is still something to write, or the peer has gone. */
static int flush_pending(int fd)
{
    while (pending[fd].bytes != NULL) {
        ssize_t n = write(fd, pending[fd].bytes + pending[fd].from, pending[fd].size);
        if (n < 0)
            return 0;
        pending[fd].from += (size_t)n;
        pending[fd].size -= (size_t)n;
        if (pending[fd].size == 0) {
            free(pending[fd].bytes);
            pending[fd].bytes = NULL;
        }
    }
    return 1;
}

static void keep(int fd, const char *bytes, size_t size)
{
    pending[fd].bytes = allocate(size, 1);
    memcpy(pending[fd].bytes, bytes, size);
    pending[fd].from = 0;
    pending[fd].size = size;
}

/* After a short read nothing is left, unless the peer has hung up: what comes later is a new edge.
 */
static void echo(int fd, int hung_up)
{
    while (flush_pending(fd)) {
        ssize_t n = read(fd, room, ROOM);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            hang_up(fd);
            return;
        }
        if (n < 0)
            return;
        ssize_t sent = write(fd, room, (size_t)n);
        if (sent < n)
            keep(fd, room + (sent > 0 ? sent : 0), (size_t)(n - (sent > 0 ? sent : 0)));
        else if (n < ROOM && !hung_up)
            return;
    }
}

static void serve_echo(char **args)
{
    (void)args;
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    struct epoll_event events[BATCH];
    signal(SIGPIPE, SIG_IGN);
    epfd = epoll_create1(EPOLL_CLOEXEC);
    listener = listen_anywhere();
    CHECK(fcntl(listener, F_SETFL, O_NONBLOCK) == 0);
    CHECK(getsockname(listener, (struct sockaddr *)&address, &size) == 0);
    register_fd(listener);
    printf("{\"port\": %d}\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        int n = epoll_wait(epfd, events, BATCH, -1);
        CHECK(n >= 0);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == listener)
                accept_all();
            else
                echo(events[i].data.fd,
                     (events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0);
        }
    }
}

int main(int argc, char **argv)
{
    static const workload workloads[] = {{"echo", serve_echo, NULL}, {NULL, NULL, NULL}};
    return serve(argc, argv, workloads);
}
