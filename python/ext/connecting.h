/* How a connect ends, for both engines. */
#ifndef NP_CONNECTING_H
#define NP_CONNECTING_H

#include <errno.h>
#include <stdbool.h>

#include "netpoll.h"

#ifdef _WIN32
#include <winsock2.h>
#include <ws2tcpip.h>
typedef int address_length;
typedef SOCKET socket_fd;
enum { IN_PROGRESS = WSAEWOULDBLOCK, NOT_CONNECTED = WSAENOTCONN, ALREADY = WSAEALREADY };
static inline int last_error(void)
{
    return WSAGetLastError();
}

static inline bool is_writable(socket_fd fd)
{
    fd_set writable, failed;
    struct timeval now = {0};

    FD_ZERO(&writable);
    FD_SET(fd, &writable);
    failed = writable;
    return select(0, NULL, &writable, &failed, &now) != 0;
}
#else
#include <poll.h>
#include <sys/socket.h>
typedef socklen_t address_length;
typedef int socket_fd;
enum { IN_PROGRESS = EINPROGRESS, NOT_CONNECTED = ENOTCONN, ALREADY = EALREADY };
static inline int last_error(void)
{
    return errno;
}

static inline bool is_writable(socket_fd fd)
{
    struct pollfd pfd = {.fd = fd, .events = POLLOUT};
    return poll(&pfd, 1, 0) != 0;
}
#endif

/* 0, or the errno of what went wrong; IN_PROGRESS: it was woken for another reason. */
static inline int connect_result(socket_fd fd)
{
    struct sockaddr_storage peer;
    address_length size = sizeof peer;
    int number = 0;
    address_length number_size = sizeof number;

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, (void *)&number, &number_size) < 0)
        return last_error();
    if (number != 0)
        return number;
    if (getpeername(fd, (struct sockaddr *)&peer, &size) == 0)
        return 0;
    number = last_error();
    return number == NOT_CONNECTED && !is_writable(fd) ? IN_PROGRESS : number;
}

/* number: the errno of the connect that is over.  Linux has another state for the socket that is
 * known by the caller to be connected, or not to be, and only a connect that blocks ends in it.
 * Another call does the rest: from then on a connect is refused; or it may be tried anew. */
static inline void settle_connect(np_fd fd, int number)
{
#ifdef __linux__
    struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
    socklen_t size = sizeof peer;

    if (number == 0 && getpeername((int)fd, (struct sockaddr *)&peer, &size) < 0)
        return;
    if (peer.ss_family != AF_UNIX)
        (void)!connect((int)fd, (struct sockaddr *)&peer, size); /* it may be so already */
#else
    (void)fd, (void)number;
#endif
}

#endif
