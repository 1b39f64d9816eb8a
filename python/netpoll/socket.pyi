"""What type checkers see of netpoll.socket.

The module takes all names of the standard one, and replaces some.  No checker follows that, so
what is replaced stands here, with the names that every program needs; the rest is Any.
"""

import socket as _std
import sys
from socket import (
    AF_INET as AF_INET,
    AF_INET6 as AF_INET6,
    AF_UNSPEC as AF_UNSPEC,
    AI_PASSIVE as AI_PASSIVE,
    IPPROTO_IP as IPPROTO_IP,
    IPPROTO_IPV6 as IPPROTO_IPV6,
    IPPROTO_TCP as IPPROTO_TCP,
    IPPROTO_UDP as IPPROTO_UDP,
    IPV6_V6ONLY as IPV6_V6ONLY,
    MSG_OOB as MSG_OOB,
    MSG_PEEK as MSG_PEEK,
    MSG_WAITALL as MSG_WAITALL,
    SHUT_RD as SHUT_RD,
    SHUT_RDWR as SHUT_RDWR,
    SHUT_WR as SHUT_WR,
    SO_BROADCAST as SO_BROADCAST,
    SO_ERROR as SO_ERROR,
    SO_KEEPALIVE as SO_KEEPALIVE,
    SO_LINGER as SO_LINGER,
    SO_RCVBUF as SO_RCVBUF,
    SO_REUSEADDR as SO_REUSEADDR,
    SO_SNDBUF as SO_SNDBUF,
    SOCK_DGRAM as SOCK_DGRAM,
    SOCK_RAW as SOCK_RAW,
    SOCK_STREAM as SOCK_STREAM,
    SOL_SOCKET as SOL_SOCKET,
    SOMAXCONN as SOMAXCONN,
    TCP_NODELAY as TCP_NODELAY,
    AddressFamily as AddressFamily,
    AddressInfo as AddressInfo,
    MsgFlag as MsgFlag,
    SocketKind as SocketKind,
    close as close,
    error as error,
    gaierror as gaierror,
    getaddrinfo as getaddrinfo,
    getdefaulttimeout as getdefaulttimeout,
    getfqdn as getfqdn,
    gethostbyaddr as gethostbyaddr,
    gethostbyname as gethostbyname,
    gethostbyname_ex as gethostbyname_ex,
    gethostname as gethostname,
    getnameinfo as getnameinfo,
    has_dualstack_ipv6 as has_dualstack_ipv6,
    has_ipv6 as has_ipv6,
    herror as herror,
    htonl as htonl,
    htons as htons,
    inet_aton as inet_aton,
    inet_ntoa as inet_ntoa,
    inet_ntop as inet_ntop,
    inet_pton as inet_pton,
    ntohl as ntohl,
    ntohs as ntohs,
    setdefaulttimeout as setdefaulttimeout,
    timeout as timeout,
)
from typing import Any

if sys.platform != "win32":
    from socket import (
        AF_UNIX as AF_UNIX,
        MSG_DONTWAIT as MSG_DONTWAIT,
        SCM_RIGHTS as SCM_RIGHTS,
        SO_REUSEPORT as SO_REUSEPORT,
    )

class Handover(map[Any]): ...

class socket(_std.socket):
    def __init__(
        self, family: int = -1, type: int = -1, proto: int = -1, fileno: Any = None
    ) -> None: ...
    def set_deadline(self, timeout: float | None, /) -> None:
        """Seconds from now, for both directions; None clears it; <= 0 expires at once."""

    def set_read_deadline(self, timeout: float | None, /) -> None: ...
    def set_write_deadline(self, timeout: float | None, /) -> None: ...
    def accept(self) -> tuple[socket, Any]: ...
    def dup(self) -> socket: ...

SocketType = socket

def create_connection(
    address: tuple[Any, ...],
    timeout: float | None = ...,
    source_address: tuple[str | bytes | bytearray, int] | None = None,
    *,
    all_errors: bool = False,
) -> socket: ...
def create_server(
    address: tuple[Any, ...],
    *,
    family: int = ...,
    backlog: int | None = None,
    reuse_port: bool = False,
    dualstack_ipv6: bool = False,
) -> socket: ...
def socketpair(
    family: int | None = None, type: int = ..., proto: int = 0
) -> tuple[socket, socket]: ...
def fromfd(fd: int, family: int, type: int, proto: int = 0) -> socket: ...
def __getattr__(name: str) -> Any: ...
