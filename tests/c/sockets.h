/* Non-blocking sockets, made as every POSIX system can. */
#ifndef SOCKETS_H
#define SOCKETS_H

#include <fcntl.h>
#include <sys/socket.h>

static inline int nonblocking(int fd)
{
    return fcntl(fd, F_SETFL, O_NONBLOCK);
}

static inline int nonblocking_pair(int fds[2])
{
    int rc = socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
    return rc == 0 ? nonblocking(fds[0]) | nonblocking(fds[1]) : rc;
}

#endif
