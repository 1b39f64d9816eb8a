/* An echo server in C: one thread, any number of connections, each with a read deadline.
 *
 *     ./echo PORT [MILLISECONDS]     PORT 0 takes a free one; Ctrl-C stops
 *
 * A connection is a task that runs until it would block and then parks, with itself as the token.
 * The loop in main is the scheduler: whoever's token comes out of np_poll runs.
 */
#define _POSIX_C_SOURCE 200809L
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netpoll.h"

enum { BATCH = 64, RETRY_NS = 100 * 1000 * 1000 };

typedef struct task {
    struct task *next, *previous; /* all that live */
    void (*run)(struct task *);
    np_desc *desc;
    int fd;
    int mode; /* what it is parked for */

    /* A connection's: what was read and not sent back yet. */
    size_t start, end;
    char buffer[4096];
} task;

static np_poller *poller;
static task tasks = {.next = &tasks, .previous = &tasks};
static int64_t patience = 5000000000;
static volatile sig_atomic_t stopped;

static void stop(int signal)
{
    (void)signal;
    stopped = 1;
    np_wake(poller);
}

/* --- tasks ----------------------------------------------------------------------------------- */

/* Takes over fd, whatever comes. */
static task *start(int fd, void (*run)(task *))
{
    task *t = calloc(1, sizeof *t);
    if (!t || fcntl(fd, F_SETFL, O_NONBLOCK) < 0 || np_open(poller, fd, &t->desc) != NP_OK) {
        free(t);
        close(fd);
        return NULL;
    }
    t->fd = fd;
    t->run = run;
    t->next = &tasks;
    t->previous = tasks.previous;
    t->previous->next = tasks.previous = t;
    return t;
}

/* Nobody's token is parked any more when this is called: the task itself calls it, running. */
static void finish(task *t)
{
    np_close(t->desc);
    np_desc_unref(t->desc);
    close(t->fd);
    t->previous->next = t->next;
    t->next->previous = t->previous;
    free(t);
}

/* True: go on at once; np_reset will tell if there is a reason not to.  False: parked, or out of
 * memory and finished. */
static bool park(task *t, int mode)
{
    t->mode = mode;
    int rc = np_park(t->desc, mode, (np_token)t, 0);
    if (rc < 0)
        finish(t);
    return rc >= 0 && rc != NP_PARKED;
}

/* --- connections ----------------------------------------------------------------------------- */

static bool would_block(ssize_t n)
{
    return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

static void serve(task *t)
{
    for (;;) {
        bool sending = t->start < t->end;
        int mode = sending ? NP_WRITE : NP_READ;
        if (np_reset(t->desc, mode) != NP_OK)
            break; /* the deadline has passed, or we are closing */
        ssize_t n = sending ? send(t->fd, t->buffer + t->start, t->end - t->start, 0)
                            : recv(t->fd, t->buffer, sizeof t->buffer, 0);
        if (would_block(n)) {
            if (!park(t, mode))
                return;
        } else if (n < 0 && errno == EINTR) {
            continue;
        } else if (n < 0 || (n == 0 && !sending)) {
            break;
        } else if (sending) {
            t->start += (size_t)n;
        } else {
            t->start = 0;
            t->end = (size_t)n;
            np_set_deadline(t->desc, patience, NP_READ | NP_WRITE);
        }
    }
    finish(t);
}

static void welcome(int fd)
{
    task *t = start(fd, serve);
    if (t) {
        np_set_deadline(t->desc, patience, NP_READ | NP_WRITE);
        serve(t);
    }
}

/* Out of descriptors, the connection stays in the kernel's queue, and no edge will tell of it
 * again: a deadline does. */
static void accept_all(task *t)
{
    int rc;
    while ((rc = np_reset(t->desc, NP_READ)) != NP_CLOSED) {
        if (rc == NP_TIMEOUT)
            np_set_deadline(t->desc, NP_NEVER, NP_READ);
        int fd = accept(t->fd, NULL, NULL);
        if (fd >= 0) {
            welcome(fd);
            continue;
        }
        if (errno == EINTR || errno == ECONNABORTED)
            continue;
        if (!would_block(fd))
            np_set_deadline(t->desc, RETRY_NS, NP_READ);
        if (!park(t, NP_READ))
            return;
    }
    finish(t);
}

static int listen_on(unsigned port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    int yes = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) < 0 ||
        bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, SOMAXCONN) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) < 0) {
        perror("echo: cannot listen");
        exit(1);
    }
    printf("listening on port %u\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

/* --- the scheduler --------------------------------------------------------------------------- */

static void resume(task *t)
{
    np_resume(t->desc, t->mode, 0); /* what it returns, np_reset will tell */
    t->run(t);
}

static void run(void)
{
    np_token tokens[BATCH];
    int n = 0, rc = NP_OK;

    while (!stopped && (rc == NP_OK || rc == NP_INTERRUPTED)) {
        rc = np_poll(poller, -1, tokens, BATCH, &n);
        for (int i = 0; i < n; i++)
            resume((task *)tokens[i]);
    }
    np_poller_close(poller); /* whoever is parked comes out, once more, to be told NP_CLOSED */
    while ((n = np_take_ready(poller, tokens, BATCH)) > 0)
        for (int i = 0; i < n; i++)
            resume((task *)tokens[i]);
}

int main(int argc, char **argv)
{
    unsigned long port = argc > 1 ? strtoul(argv[1], NULL, 10) : 65536;
    if (argc > 3 || port > 65535) {
        fprintf(stderr, "usage: %s PORT [MILLISECONDS]\n", argv[0]);
        return 2;
    }
    if (argc == 3)
        patience = strtoll(argv[2], NULL, 10) * NP_MILLISECOND;

    int rc = np_poller_new(NULL, &poller);
    if (rc != NP_OK) {
        fprintf(stderr, "echo: no poller: %s\n", strerror(-rc));
        return 1;
    }
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    task *listener = start(listen_on((unsigned)port), accept_all);
    if (listener) {
        accept_all(listener);
        run();
    }
    np_poller_unref(poller);
    return listener ? 0 : 1;
}
