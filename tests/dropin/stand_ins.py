"""What stands where in a test module of CPython: its sockets, its threads.

`MODULES` has what can stand for a module of the standard library; `put_into` puts some of it into a
test module, together with what the place where it runs asks for:

* `threads`: the test and its client thread run as they are.
* `hubs`: the same threads, and each runs in a greenlet hub of its own.
* `greenlets`: the test and its client are two greenlets of one thread.  An operation that blocks
  the thread would never see the other side move, so it shows as a hang.
"""

from __future__ import annotations

import _thread
import socket
import threading
import time
import types
from collections.abc import Callable
from typing import Any

from netpoll._stand_in import StandIn

PLACES = ("threads", "hubs", "greenlets")


def _with_class(kind: type[socket.socket]) -> types.ModuleType:
    """The standard module, with another class where it says `socket`."""
    module = types.ModuleType("socket")
    vars(module).update({k: v for k, v in vars(socket).items() if not k.startswith("__")})
    module.__dict__.update(__all__=socket.__all__, __file__=socket.__file__)
    for name in ("fromfd", "socketpair", "create_connection", "create_server"):
        old = getattr(socket, name)
        new = types.FunctionType(old.__code__, vars(module), name, old.__defaults__)
        new.__kwdefaults__ = old.__kwdefaults__
        setattr(module, name, new)
    module.__dict__["socket"] = kind
    return module


def _standard() -> types.ModuleType:
    return socket


def _subclass() -> types.ModuleType:
    """The least that a drop-in can be."""

    class Subclass(socket.socket):
        __slots__ = ()

        def accept(self) -> tuple[socket.socket, Any]:
            number, address = self._accept()  # type: ignore[attr-defined]
            sock = type(self)(self.family, self.type, self.proto, fileno=number)
            if socket.getdefaulttimeout() is None and self.gettimeout():
                sock.setblocking(True)
            return sock, address

    return _with_class(Subclass)


def _netpoll() -> types.ModuleType:
    import netpoll.socket

    return netpoll.socket


def _netpoll_ssl() -> types.ModuleType:
    import netpoll.ssl

    return netpoll.ssl


def _netpoll_select() -> types.ModuleType:
    import netpoll.select

    return netpoll.select


def _netpoll_subprocess() -> types.ModuleType:
    import netpoll.subprocess

    return netpoll.subprocess


def _netpoll_sync() -> types.ModuleType:
    import netpoll.sync

    return netpoll.sync


def _lossy() -> types.ModuleType:
    """Loses the last byte of what is long enough."""

    class Lossy(socket.socket):
        __slots__ = ()

        def sendall(self, data: Any, flags: int = 0) -> None:
            super().sendall(data[:-1] if len(data) > 8 else data, flags)

    return _with_class(Lossy)


def _deaf() -> types.ModuleType:
    """Never times out: what shows as a hang, not as a failure."""

    class Deaf(socket.socket):
        __slots__ = ()

        def settimeout(self, value: float | None) -> None:
            super().settimeout(value if value == 0 else None)

    return _with_class(Deaf)


#: What can stand for a module of the standard library; several are joined by a plus sign.  Or else
#: "patched": netpoll.patch is applied to the test module and all that it was tested with.
MODULES: dict[str, tuple[str, Callable[[], types.ModuleType]]] = {
    "standard": ("socket", _standard),
    "subclass": ("socket", _subclass),
    "netpoll": ("socket", _netpoll),
    "ssl": ("ssl", _netpoll_ssl),
    "select": ("select", _netpoll_select),
    "subprocess": ("subprocess", _netpoll_subprocess),
    "lossy": ("socket", _lossy),
    "deaf": ("socket", _deaf),
    "sync": ("sync", _netpoll_sync),
}


def put_into(module: types.ModuleType, sockets: str, place: str) -> None:
    """Replace the module's names.  Where it runs in greenlets, `run_in` must be around it."""
    names: dict[str, Any] = {}
    if sockets == "patched":
        from netpoll import patch

        patch.modules(module, *patch.STANDARD)
    for kind in () if sockets == "patched" else sockets.split("+"):
        name, make = MODULES[kind]
        names[name] = make()
    if place == "hubs":
        names["thread"] = StandIn(_thread, {"start_new_thread": _start_hub})
        threading.Thread._bootstrap_inner = _in_hub(threading.Thread._bootstrap_inner)
        names["start_new_thread"] = _start_hub
    elif place == "greenlets":
        names["thread"] = StandIn(_thread, {"start_new_thread": _start_greenlet})
        names["start_new_thread"] = _start_greenlet
        names["threading"] = StandIn(
            threading,
            {"Barrier": _GreenBarrier, "Event": _GreenEvent, "get_ident": _green_ident},
        )
        names["time"] = StandIn(time, {"sleep": _green_sleep})
        names["select"] = _netpoll_select()
        for name in ("start", "join", "is_alive"):
            setattr(threading.Thread, name, vars(_GreenThread)[name])
    for one in (module, *getattr(module, "TESTED_WITH", ())):
        for name, value in names.items():
            if hasattr(one, name):
                setattr(one, name, value)


def run_in(place: str, function: Callable[[], None]) -> None:
    """Run the tests there."""
    if place == "threads":
        function()
        return
    from netpoll import green

    green.run(function)


# --- hubs -----------------------------------------------------------------------------------------


def _start_hub(function: Callable[..., object], args: tuple[Any, ...]) -> int:
    from netpoll import green

    return _thread.start_new_thread(lambda: _but_exit(green.run, function, *args), ())


def _but_exit(function: Callable[..., object], *args: Any) -> None:
    """`thread.exit` ends the side that calls it, not the hub."""
    try:
        function(*args)
    except SystemExit:
        pass


def _in_hub(bootstrap: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
    """What every thread does, of whatever class: in a hub."""

    def in_hub(thread: threading.Thread) -> None:
        from netpoll import green

        green.run(bootstrap, thread)

    return in_hub


# --- greenlets ------------------------------------------------------------------------------------


def _green_sleep(seconds: float) -> None:
    from netpoll import green

    green.sleep(seconds)


def _green_ident() -> int:
    from netpoll import sync

    return sync.get_ident()


def _start_greenlet(function: Callable[..., object], args: tuple[Any, ...]) -> Any:
    from netpoll import green

    return green.spawn(_but_exit, function, *args)


class _GreenThread(threading.Thread):
    """The methods that make a greenlet of every thread, of whatever class."""

    def start(self) -> None:
        from netpoll import green

        self._greenlet = green.spawn(_but_exit, self.run)

    def join(self, timeout: float | None = None) -> None:
        self._greenlet.join(timeout)

    def is_alive(self) -> bool:
        greenlet = getattr(self, "_greenlet", None)
        return greenlet is not None and not greenlet.dead


class _GreenEvent:
    """threading.Event between greenlets of one thread."""

    def __init__(self) -> None:
        self._flag = False

    def is_set(self) -> bool:
        return self._flag

    def set(self) -> None:
        self._flag = True

    def clear(self) -> None:
        self._flag = False

    def wait(self, timeout: float | None = None) -> bool:
        _wait_for(self.is_set, timeout)
        return self._flag


class _GreenBarrier:
    """threading.Barrier between greenlets of one thread, once."""

    def __init__(self, parties: int) -> None:
        self._missing = parties

    def wait(self) -> None:
        self._missing -= 1
        _wait_for(lambda: self._missing <= 0, None)


def _wait_for(condition: Callable[[], bool], timeout: float | None) -> None:
    end = None if timeout is None else time.monotonic() + timeout
    while not condition() and (end is None or time.monotonic() < end):
        _green_sleep(0.0005)
