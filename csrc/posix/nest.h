/* What a poller shows to a loop that it is nested in: on Linux an epoll of its own around whatever
 * the backend waits on.
 *
 * It is apart from what drivers wait on, for two reasons.  A deadline that is due, or a token in
 * the ready queue, must keep it readable until the loop outside has called np_poll; a thread that
 * drives the poller meanwhile must neither spin on that nor swallow it.
 */
#ifndef NP_NEST_H
#define NP_NEST_H

#include <stdbool.h>
#include <stdint.h>

typedef struct np_nest {
    int fd;    /* what the loop outside watches; -1 until it asks */
    int timer; /* readable from the first deadline on */
    int work;  /* readable while tokens are ready */
    bool has_work;
} np_nest;

#define NP_NEST_INIT {.fd = -1, .timer = -1, .work = -1}

int np_nest_open(np_nest *n,
                 int child); /* child: watched for reading; -ENOSYS where there is no epoll */
void np_nest_close(np_nest *n);
int np_nest_renew(np_nest *n, int child); /* after a fork */
bool np_nest_has(const np_nest *n, intptr_t fd);
int np_nest_timer(const np_nest *n, int64_t when); /* 0: off */
int np_nest_work(np_nest *n, bool work);

#endif
