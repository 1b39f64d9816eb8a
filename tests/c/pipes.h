/* A poller, and a pipe whose ends are open on it: to be had on every system, in one thread. */
#ifndef PIPES_H
#define PIPES_H

#include <unistd.h>

#include "check.h"
#include "netpoll.h"

#ifdef __wasi__
#include <poll.h>

/* No pipe can be made.  The standard input and output are the ends of one (wheels/wasi.py). */
static inline int open_pipe(int fds[2])
{
    fds[0] = STDIN_FILENO;
    fds[1] = STDOUT_FILENO;
    return 0;
}

/* It is the next test's pipe, too. */
static inline void close_pipe(const int fds[2])
{
    struct pollfd pfd = {.fd = fds[0], .events = POLLIN};
    char bytes[64];
    while (poll(&pfd, 1, 0) == 1 && read(fds[0], bytes, sizeof bytes) > 0) {
    }
}
#else
#include <fcntl.h>

static inline int open_pipe(int fds[2])
{
    int rc = pipe(fds);
    return rc == 0 ? fcntl(fds[0], F_SETFL, O_NONBLOCK) : rc;
}

static inline void close_pipe(const int fds[2])
{
    close(fds[0]);
    close(fds[1]);
}
#endif

typedef struct piped {
    np_poller *p;
    int fds[2];
    np_desc *reader, *writer;
} piped;

static inline void piped_open(piped *t, const char *backend)
{
    CHECK(np_poller_new(backend, &t->p) == NP_OK);
    CHECK(open_pipe(t->fds) == 0);
    CHECK(np_open(t->p, t->fds[0], &t->reader) == NP_OK);
    CHECK(np_open(t->p, t->fds[1], &t->writer) == NP_OK);
}

static inline void piped_close(piped *t)
{
    np_close(t->reader);
    np_close(t->writer);
    np_desc_unref(t->reader);
    np_desc_unref(t->writer);
    np_poller_unref(t->p);
    close_pipe(t->fds);
}

static inline void put_byte(int fd)
{
    CHECK(write(fd, "x", 1) == 1);
}

#endif
