"""Have modules that know nothing of netpoll use its sockets: explicitly, module by module::

    from netpoll import green, patch

    patch.modules("http.client", "smtplib")      # from now on
    with patch.modules("xmlrpc.client"):         # or for a block
        ...

Where such a module says `socket`, `ssl` or `selectors`, or a name that it has imported out of one
of these, ours stands instead: `netpoll.socket`, `netpoll.ssl`, and `Selector` of this module.
Nothing else in the process changes; other modules that use the same one do so with our sockets.

Names are looked up when they are used, so sockets that exist already stay what they are, and so do
classes that inherit from the standard one.  What else blocks, blocks: `time.sleep`, locks and
events of `threading`, `getaddrinfo`.
"""

from __future__ import annotations

import importlib
import selectors
import socket
import time
import types
from typing import TYPE_CHECKING, Any

import netpoll
from netpoll import READ, DeadlineExceeded, _hooks
from netpoll import socket as _socket
from netpoll._parking import pause

if TYPE_CHECKING:
    from collections.abc import Mapping

try:
    import ssl

    from netpoll import ssl as _ssl
except ImportError:  # a build of Python without OpenSSL
    ssl = _ssl = None  # type: ignore[assignment]

__all__ = ["STANDARD", "Selector", "modules"]

#: The modules of the standard library that this was tested with.
STANDARD = (
    "ftplib",
    "http.client",
    "http.server",
    "imaplib",
    "logging.handlers",
    "poplib",
    "smtplib",
    "socketserver",
    "urllib.request",
    "xmlrpc.client",
    "xmlrpc.server",
)

#: Seconds between two looks at what has no descriptor.
_LOOK = 0.005


class Selector(selectors.DefaultSelector):
    """The system's best selector; in a greenlet hub `select` parks the greenlet.

    Where selectors have no descriptor (Windows), it looks every few milliseconds.
    """

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """As in the standard class."""
        if _hooks.hub_poller() is None:
            return super().select(timeout)
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        return self._park(timeout) if hasattr(self, "fileno") else self._look(timeout)

    def _park(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        with netpoll.open(self) as desc:
            desc.set_deadline(timeout, READ)
            while not (ready := super().select(0)):
                try:
                    desc.wait(READ)
                except DeadlineExceeded:
                    return super().select(0)
        return ready

    def _look(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        until = None if timeout is None else time.monotonic() + timeout
        while not (ready := super().select(0)):
            if until is not None and time.monotonic() >= until:
                break
            pause(_LOOK)
        return ready


def _stand_ins() -> Mapping[int, Any]:
    """By the identity of what is replaced."""
    pairs = _changed(socket, _socket)
    if ssl is not None:
        pairs += _changed(ssl, _ssl)
    ours = types.ModuleType("selectors", selectors.__doc__)
    vars(ours).update(vars(selectors))
    for name in ("DefaultSelector", "SelectSelector", "PollSelector", "EpollSelector"):
        if hasattr(selectors, name):
            pairs.append((getattr(selectors, name), Selector))
            setattr(ours, name, Selector)
    pairs.append((selectors, ours))
    return {id(before): after for before, after in pairs}


def _changed(before: types.ModuleType, after: types.ModuleType) -> list[tuple[Any, Any]]:
    """The module, and its public functions and classes of which we have others."""
    names = [name for name in vars(before) if not name.startswith("__") and name.islower()]
    names += ["SSLContext", "SSLSocket"]
    pairs: list[tuple[Any, Any]] = [(before, after)]
    for name in names:
        old, new = getattr(before, name, None), getattr(after, name, None)
        if old is not new and callable(old) and callable(new):
            pairs.append((old, new))
    return pairs


_replaced = _stand_ins()


class modules:
    """Replace the names in these modules, at once; in a `with` statement, until its end.

    :param which: modules, or their names, which are imported.
    :raises ModuleNotFoundError: there is none of that name.
    """

    def __init__(self, *which: str | types.ModuleType) -> None:
        found = [importlib.import_module(one) if isinstance(one, str) else one for one in which]
        self._before: list[tuple[types.ModuleType, str, Any]] = []
        for module in found:
            for name, value in list(vars(module).items()):
                if id(value) in _replaced:
                    self._before.append((module, name, value))
                    setattr(module, name, _replaced[id(value)])

    def undo(self) -> None:
        """Put back what stood there; idempotent."""
        while self._before:
            module, name, value = self._before.pop()
            setattr(module, name, value)

    def __enter__(self) -> modules:
        return self

    def __exit__(self, *unused: object) -> None:
        self.undo()
