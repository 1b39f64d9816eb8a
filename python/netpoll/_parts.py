"""What is left of a call that a socket in blocking mode would not have ended yet.

The first attempt of a sendmsg or recvmsg has moved a part.  Each generator here is given its
arguments and its result, yields the arguments of the next attempt, is sent its result, or None if
there is none, and returns the result of the whole.  The engines drive them, inside the operation.
"""

from __future__ import annotations

import _socket
from collections.abc import Generator, Iterator
from typing import Any, TypeAlias

__all__ = ["received", "received_into", "repeatable", "sent_message", "sent_to"]

Args: TypeAlias = tuple[Any, ...]

_FASTOPEN = getattr(_socket, "MSG_FASTOPEN", 0)
_PEEK = getattr(_socket, "MSG_PEEK", 0)
_CTRUNC = getattr(_socket, "MSG_CTRUNC", 0)
#: Control data that go with the first byte, and are not to go twice.
_SENT_ONCE = {
    (_socket.SOL_SOCKET, getattr(_socket, name))
    for name in ("SCM_RIGHTS", "SCM_CREDS", "SCM_CREDENTIALS")
    if hasattr(_socket, name)
}


def repeatable(args: Args) -> Args:
    """An iterator serves one attempt only."""
    return tuple(list(arg) if isinstance(arg, Iterator) else arg for arg in args)


def _skip(buffers: Any, count: int) -> list[memoryview]:
    """The buffers without their first bytes."""
    left = []
    for buffer in buffers:
        view = memoryview(buffer).cast("B")
        if count < len(view):
            left.append(view[count:])
        count = max(count - len(view), 0)
    return left


def sent_message(args: Args, sent: int) -> Generator[Args, int | None, int]:
    """sendmsg(buffers, ancdata, flags, address)"""
    buffers, ancdata, flags, address = args + ((), 0, None)[len(args) - 1 :]
    while left := _skip(buffers, sent):
        ancdata = [item for item in ancdata if tuple(item[:2]) not in _SENT_ONCE]
        more = yield left, ancdata, flags & ~_FASTOPEN, None if flags & _FASTOPEN else address
        if more is None:
            break
        sent += more
    return sent


def sent_to(args: Args, sent: int) -> Generator[Args, int | None, int]:
    """sendto(data, address) or sendto(data, flags, address)"""
    flags = args[1] if len(args) == 3 else 0
    while left := _skip(args[:1], sent):
        more = yield left[0], flags & ~_FASTOPEN, args[-1]
        if more is None:
            break
        sent += more
    return sent


def received(args: Args, first: Args, low_water: int) -> Generator[Args, Args | None, Args]:
    """recvmsg(bufsize, ancbufsize, flags): until there are so many bytes."""
    room, ancillary, flags = args + (0, 0)[len(args) - 1 :]
    result = first
    while _goes_on(flags, first, len(result[0]), min(room, low_water)):
        more = yield room - len(result[0]), ancillary, flags
        if more is None:
            break
        first, result = more, (result[0] + more[0], *more[1:])
    return result


def received_into(args: Args, first: Args, low_water: int) -> Generator[Args, Args | None, Args]:
    """recvmsg_into(buffers, ancbufsize, flags)"""
    buffers, ancillary, flags = args + (0, 0)[len(args) - 1 :]
    room = sum(map(len, _skip(buffers, 0)))
    result = first
    while _goes_on(flags, first, result[0], min(room, low_water)):
        more = yield _skip(buffers, result[0]), ancillary, flags
        if more is None:
            break
        first, result = more, (result[0] + more[0], *more[1:])
    return result


def _goes_on(flags: int, last: Args, have: int, wanted: int) -> bool:
    """Not past the end, nor past control data, which belong to the bytes before them, and of which
    MSG_CTRUNC tells where there was no room for them."""
    control = last[1] or last[2] & _CTRUNC
    return bool(last[0] and not control and not flags & _PEEK and have < wanted)
