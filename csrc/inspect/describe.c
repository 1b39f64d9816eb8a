/* What a descriptor is, in words; for a signal handler too. */
#define _GNU_SOURCE /* strnlen */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "inspect/text.h"
#include "sys/system.h"

#ifdef _WIN32
#include <winsock2.h>

#include <ws2tcpip.h>
typedef int socklen;
#elif !defined(NP_HAVE_SOCKET_NAMES)
#include <sys/stat.h>
#else
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
typedef socklen_t socklen;
#endif

#ifdef NP_HAVE_SOCKET_NAMES

typedef union address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
#ifndef _WIN32
    struct sockaddr_un un;
#endif
} address;

static void put_in(np_text *t, const struct sockaddr_in *a)
{
    unsigned char bytes[4];
    memcpy(bytes, &a->sin_addr, sizeof bytes);
    for (int i = 0; i < 4; i++) {
        np_put(t, i ? "." : "");
        np_put_number(t, bytes[i], 10);
    }
    np_put(t, ":");
    np_put_number(t, ntohs(a->sin_port), 10);
}

static void put_in6(np_text *t, const struct sockaddr_in6 *a)
{
    unsigned char bytes[16];
    memcpy(bytes, &a->sin6_addr, sizeof bytes);
    np_put(t, "[");
    for (int i = 0; i < 16; i += 2) {
        np_put(t, i ? ":" : "");
        np_put_number(t, (uint64_t)bytes[i] << 8 | bytes[i + 1], 16);
    }
    np_put(t, "]:");
    np_put_number(t, ntohs(a->sin6_port), 10);
}

#ifndef _WIN32
static void put_un(np_text *t, const struct sockaddr_un *a, socklen size)
{
    size_t length = size - offsetof(struct sockaddr_un, sun_path);
    if (size <= offsetof(struct sockaddr_un, sun_path) || (a->sun_path[0] == 0 && length <= 1))
        np_put(t, "unnamed");
    else if (a->sun_path[0] == 0) {
        np_put(t, "@");
        np_put_plain(t, a->sun_path + 1, length - 1);
    } else
        np_put_plain(t, a->sun_path, strnlen(a->sun_path, length));
}
#endif

static void put_address(np_text *t, const address *a, socklen size)
{
    switch (a->any.sa_family) {
    case AF_INET:
        put_in(t, &a->in);
        break;
    case AF_INET6:
        put_in6(t, &a->in6);
        break;
#ifndef _WIN32
    case AF_UNIX:
        put_un(t, &a->un, size < (socklen)sizeof *a ? size : (socklen)sizeof *a);
        break;
#endif
    default:
        np_put(t, "family ");
        np_put_number(t, a->any.sa_family, 10);
    }
    (void)size;
}

static int socket_option(np_fd fd, int name)
{
    int value = 0;
    socklen size = sizeof value;
#ifdef _WIN32
    return getsockopt((SOCKET)fd, SOL_SOCKET, name, (char *)&value, &size) == 0 ? value : 0;
#else
    return getsockopt((int)fd, SOL_SOCKET, name, &value, &size) == 0 ? value : 0;
#endif
}

static bool get_address(np_fd fd, bool peer, address *a, socklen *size)
{
    memset(a, 0, sizeof *a);
    *size = sizeof *a;
#ifdef _WIN32
    SOCKET s = (SOCKET)fd;
#else
    int s = (int)fd;
#endif
    return (peer ? getpeername(s, &a->any, size) : getsockname(s, &a->any, size)) == 0;
}

static void put_socket(np_text *t, np_fd fd, const address *local, socklen size)
{
    address peer;
    socklen peer_size;
    bool internet = local->any.sa_family == AF_INET || local->any.sa_family == AF_INET6;
    int type = socket_option(fd, SO_TYPE);

    np_put(t, !internet             ? "unix "
              : type == SOCK_STREAM ? "tcp "
              : type == SOCK_DGRAM  ? "udp "
                                    : "ip ");
    put_address(t, local, size);
    if (get_address(fd, true, &peer, &peer_size)) {
        np_put(t, " -> ");
        put_address(t, &peer, peer_size);
    } else {
        np_put(t, socket_option(fd, SO_ACCEPTCONN) ? ", listening" : ", not connected");
    }
}

static bool put_bound_socket(np_text *t, np_fd fd)
{
    address local;
    socklen size;
    if (!get_address(fd, false, &local, &size))
        return false;
    put_socket(t, fd, &local, size);
    return true;
}

#else

static bool put_bound_socket(np_text *t, np_fd fd)
{
    (void)t, (void)fd;
    return false;
}

#endif

#ifdef _WIN32

static void put_other(np_text *t, np_fd fd)
{
    np_put(t, socket_option(fd, SO_TYPE) ? "socket, not bound" : "no socket");
}

#else

static void put_other(np_text *t, np_fd fd)
{
    struct stat s;
    if (fstat((int)fd, &s) < 0)
        np_put(t, "closed");
    else
        np_put(t, S_ISFIFO(s.st_mode)   ? "pipe"
                  : S_ISCHR(s.st_mode)  ? "character device"
                  : S_ISREG(s.st_mode)  ? "file"
                  : S_ISSOCK(s.st_mode) ? "socket"
                                        : "special file");
}

#endif

void np_put_fd(np_text *t, np_fd fd)
{
    if (!put_bound_socket(t, fd))
        put_other(t, fd);
}

int np_describe_fd(np_fd fd, char *buffer, int size)
{
    np_text t = {.start = buffer, .used = 0, .size = size};
    int error = errno;
    np_put_fd(&t, fd);
    buffer[t.used] = 0;
    errno = error;
    return t.used;
}
