/* Operations on files as a host makes them: in the calling thread, or by a token at its hub. */
#ifndef FILES_H
#define FILES_H

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "netpoll.h"
#include "sockets.h"

typedef struct operation {
    np_op op;
    np_poller *hub; /* NULL: a thread; else it polls this poller alone */
    np_waiter waiter;
    char *bytes;
    int wanted, moved;
    int interruptions;
} operation;

static inline np_file *file_of(int fd)
{
    np_file *f = NULL;
    CHECK(np_file_new(fd, NP_FILE_UNIX, &f) == NP_OK);
    return f;
}

static inline int attempt(operation *o)
{
    int fd = (int)np_file_fd(o->op.file);
    ssize_t n = o->op.mode == NP_READ ? recv(fd, o->bytes, (size_t)o->wanted, 0)
                                      : send(fd, o->bytes, (size_t)o->wanted, 0);
    if (n < 0)
        return errno == EAGAIN ? NP_BUSY : -errno;
    np_op_moved(&o->op, n, o->wanted);
    o->moved = (int)n;
    return NP_OK;
}

/* The only token of the hub is this operation's. */
static inline int wait_in_hub(operation *o)
{
    np_token token = 0;
    int n = 0;
    int rc = np_op_park(&o->op, o->hub, &o->waiter, 1);
    if (rc != NP_PARKED)
        return rc;
    while (n == 0)
        CHECK(np_poll(o->hub, -1, &token, 1, &n) == NP_OK);
    CHECK(token == 1);
    return np_op_resume(&o->op, &o->waiter);
}

static inline int wait_for(operation *o)
{
    int rc = o->hub ? wait_in_hub(o) : np_op_wait(&o->op, NULL);
    if (rc != NP_INTERRUPTED)
        return rc;
    o->interruptions++;
    return NP_BUSY;
}

static inline int try_it(operation *o)
{
    int rc = np_op_try(&o->op);
    return rc == NP_OK ? attempt(o) : rc;
}

/* After np_op_begin, or a wait: until it is done, or something ends it. */
static inline int go_on(operation *o, int rc)
{
    if (rc == NP_OK)
        rc = try_it(o);
    while (rc == NP_BUSY) {
        rc = wait_for(o);
        if (rc == NP_OK)
            rc = try_it(o);
    }
    return rc;
}

static inline int transfer(operation *o, np_file *f, int mode)
{
    int rc = go_on(o, np_op_begin(&o->op, f, mode, np_file_timeout(f) != 0));
    CHECK(np_op_end(&o->op) == NP_OK);
    return rc;
}

/* One byte: its value, or minus the result. */
static inline int receive(np_file *f, np_poller *hub)
{
    char byte = 0;
    operation o = {.hub = hub, .bytes = &byte, .wanted = 1};
    int rc = transfer(&o, f, NP_READ);
    return rc == NP_OK ? byte : -rc;
}

/* In a forked child.  It is killed when body returns, as what the threads left that are not there
 * is no leak. */
static inline bool is_true_in_a_child(bool (*body)(void *), void *arg)
{
    int result[2];
    char answer = 0;

    CHECK(pipe(result) == 0);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(20);
        answer = body(arg) ? 1 : 0;
        while (write(result[1], &answer, 1) == 1)
            pause();
    }
    close(result[1]);
    bool answered = read(result[0], &answer, 1) == 1;
    close(result[0]);
    CHECK(kill(pid, SIGKILL) == 0);
    CHECK(waitpid(pid, NULL, 0) == pid);
    return answered && answer == 1;
}

#endif
