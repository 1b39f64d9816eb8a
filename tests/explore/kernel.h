/* A kernel in miniature: what the backends call, under names of its own (explore.py defines
 * epoll_wait to k_epoll_wait, and so on), and what scenarios do to descriptors. */
#ifndef KERNEL_H
#define KERNEL_H

#include <stdbool.h>

int k_socket(void);
int k_pipe(void);
void k_send(int fd);                 /* a byte comes in */
bool k_recv(int fd);                 /* take one; false: it would block */
int k_recv_some(int fd, int wanted); /* take some; 0: the end, -1: it would block */
bool k_ended(int fd);                /* nothing more to take, ever */
void k_writable(int fd);             /* there is room to write */
bool k_put(int fd);                  /* use it; false: it would block */
unsigned k_serial(int fd);           /* which no two files share; 0: closed.  No step of its own */
void k_error(int fd);                /* EPOLLERR and nothing else */
void k_error_over(int fd);           /* which no event tells */
void k_hangup(int fd);               /* the peer is gone */
void k_user_close(int fd);
int k_user_dup(int fd); /* the file lives on under another number */
void k_user_dup2(int from, int to);
void k_allow_failures(int times); /* so many calls may fail from here on, in this execution */
void k_wait_readable(int fd);     /* an event loop around a nested poller */
bool k_is_readable(int fd);

#endif
