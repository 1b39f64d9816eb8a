/* The end of a connect, for both engines. */
#ifndef NP_SETTLE_H
#define NP_SETTLE_H

#include "netpoll.h"

#ifdef __linux__
#include <sys/socket.h>
#endif

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
