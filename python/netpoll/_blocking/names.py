"""Looking up names: the standard functions, in a thread where they may wait for a server.

In a hub the greenlet waits, and others run.  A thread without a hub calls the standard function
itself, unless a limit has to bind.  Numbers need no thread, nor do names that are in /etc/hosts.
"""

from __future__ import annotations

import _socket
import re
import socket as _std
from collections.abc import Callable
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

from netpoll._blocking import hosts
from netpoll._blocking.threads import Call, Pool
from netpoll._engine import coop_yield, current_hub

__all__ = [
    "begin",
    "forget",
    "getaddrinfo",
    "getaddrinfo_within",
    "gethostbyaddr",
    "gethostbyname",
    "gethostbyname_ex",
    "getnameinfo",
    "needs_server",
    "number_of",
]

P = ParamSpec("P")
T = TypeVar("T")

#: A server that hangs keeps its threads, but none of `green.call_in_thread`.
_lookups = Pool("netpoll look-up")

# As they are now: later they may be ours.
_getaddrinfo = _std.getaddrinfo

_NUMERIC = _std.AI_NUMERICHOST
#: With others an answer from /etc/hosts may not be the end of it.
_FLAGS = _std.AI_PASSIVE | getattr(_std, "AI_ADDRCONFIG", 0) | getattr(_std, "AI_NUMERICSERV", 0)


def needs_server(host: Any, family: int = 0, flags: int = 0) -> bool:
    """May the answer take a while?

    What is wrong is refused at once, and so needs none.
    """
    name = _ascii(host)
    if not name or name == "<broadcast>" or flags & _NUMERIC or _is_number(name):
        return False
    return bool(flags & ~_FLAGS) or not hosts.answers(name, family)


def _ascii(host: Any) -> str:
    """As the standard functions do; empty: they refuse it."""
    try:
        if isinstance(host, str):
            host = host.encode("ascii" if host.isascii() else "idna")
        name = (
            bytes(host).decode("ascii", "replace") if isinstance(host, (bytes, bytearray)) else ""
        )
    except UnicodeError:
        return ""
    return "" if "\0" in name else name


def _is_number(name: str) -> bool:
    try:
        if ":" in name:
            _std.inet_pton(_std.AF_INET6, name.partition("%")[0])
        elif re.fullmatch(r"[0-9a-fA-FxX.]+", name):
            _std.inet_aton(name)
        else:
            return False
    except OSError:
        return False
    return True


def _at_once(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """What needs no server does not wait."""
    coop_yield()
    return function(*args, **kwargs)


def _look_up(
    timeout: float | None, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
) -> T:
    if timeout is None and current_hub() is None:
        return function(*args, **kwargs)
    return _lookups.call("name look-up", timeout, function, *args, **kwargs)


# --- for sockets ----------------------------------------------------------------------------------


def _first(host: Any, family: int) -> str:
    """What the standard class takes for a name."""
    number: str = _socket.getaddrinfo(host, None, family)[0][4][0]  # type: ignore[assignment]
    return number


def number_of(host: Any, family: int) -> str:
    """Of a name that needs a server."""
    return _look_up(None, _first, host, family)


def begin(host: Any, family: int, ended: Callable[[], object]) -> Call[str]:
    """The same in a thread; `ended` is called there when `result` has an answer."""
    call = Call(partial(_first, host, family), ended)
    _lookups.submit(call)
    return call


def forget(call: Call[str]) -> None:
    """Nothing waits for it any more."""
    _lookups.withdraw(call)


# --- as in the standard module --------------------------------------------------------------------


def getaddrinfo_within(  # noqa: PLR0917 - as the standard function
    timeout: float | None,
    host: Any,
    port: Any,
    family: int = 0,
    type: int = 0,
    proto: int = 0,
    flags: int = 0,
) -> list[Any]:
    """`getaddrinfo`, for so many seconds.

    :raises TimeoutError: they are over.
    """
    if not needs_server(host, family, flags):
        return _at_once(_getaddrinfo, host, port, family, type, proto, flags)
    return _look_up(timeout, _getaddrinfo, host, port, family, type, proto, flags)


@wraps(_std.getaddrinfo)
def getaddrinfo(  # noqa: PLR0917 - the same
    host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
) -> list[Any]:
    return getaddrinfo_within(None, host, port, family, type, proto, flags)


@wraps(_std.gethostbyname)
def gethostbyname(hostname: Any, /) -> str:
    if not needs_server(hostname, _std.AF_INET):
        return _at_once(_socket.gethostbyname, hostname)
    return _look_up(None, _socket.gethostbyname, hostname)


@wraps(_std.gethostbyname_ex)
def gethostbyname_ex(hostname: Any, /) -> tuple[str, list[str], list[str]]:
    if not needs_server(hostname, _std.AF_INET):
        return _at_once(_socket.gethostbyname_ex, hostname)
    return _look_up(None, _socket.gethostbyname_ex, hostname)


@wraps(_std.gethostbyaddr)
def gethostbyaddr(ip_address: Any, /) -> tuple[str, list[str], list[str]]:
    return _look_up(None, _socket.gethostbyaddr, ip_address)


@wraps(_std.getnameinfo)
def getnameinfo(sockaddr: Any, flags: int, /) -> tuple[str, str]:
    if isinstance(flags, int) and flags & _std.NI_NUMERICHOST:
        return _at_once(_socket.getnameinfo, sockaddr, flags)
    return _look_up(None, _socket.getnameinfo, sockaddr, flags)
