"""The same call on a standard socket and on ours has the same outcome, errors included."""

from __future__ import annotations

import array
import copy
import errno
import math
import os
import pathlib
import pickle
import socket as std
import subprocess
import sys
import tempfile
import types
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from netpoll import socket as ours
from support import name_of

WAITING = b"abcdef"
#: Windows has another number for it; ClosedError's is EBADF everywhere.
CLOSED = {getattr(errno, "WSAENOTSOCK", errno.EBADF): errno.EBADF}
BAD_TIMEOUTS = (-1, -0.5, math.nan, math.inf, 1e400, 1e30, 2**80, "1", b"", [], object())


class Stage:
    """Two connected sockets, with a few bytes waiting in each."""

    def __init__(self, module: types.ModuleType) -> None:
        self.module = module
        self._file: Any = None
        self.sock, self.peer = module.socketpair()
        self.sock.send(WAITING)
        self.peer.send(WAITING)

    def closed(self) -> Any:
        self.sock.close()
        return self.sock

    def empty(self, timeout: float | None = 0) -> Any:
        self.sock.recv(100)
        self.sock.settimeout(timeout)
        return self.sock

    def full(self, timeout: float | None = 0) -> Any:
        self.sock.settimeout(0)
        try:
            while True:
                self.sock.send(b"x" * 65536)
        except BlockingIOError:
            self.sock.settimeout(timeout)
            return self.sock

    def lonely(self) -> Any:
        self.peer.close()
        self.sock.recv(100)
        return self.sock

    def new(self, *args: Any, **kwargs: Any) -> Any:
        """Another socket, in place of the first."""
        self.sock.close()
        self.sock = self.module.socket(*args, **kwargs)
        return self.sock

    def file(self, mode: str) -> Any:
        """An empty one."""
        self._file = open(os.devnull, mode)  # noqa: SIM115
        return self._file

    def keep(self, sock: Any) -> Any:
        """A socket that came out of a call."""
        sock.close()
        return type(sock) is self.module.socket

    def end(self) -> None:
        if self._file is not None:
            self._file.close()
        self.sock.close()
        self.peer.close()


def into(size: int, *args: Any, **kwargs: Any) -> Callable[[Callable[..., Any]], Any]:
    """Receive into a buffer, which belongs to the outcome."""

    def call(receive: Callable[..., Any]) -> Any:
        buffer = bytearray(size)
        return receive(buffer, *args, **kwargs), bytes(buffer)

    return call


STRIDED = memoryview(b"abcdef")[::2]

CALLS: dict[str, Callable[[Stage], Any]] = {
    # what is received
    "recv": lambda s: s.sock.recv(3),
    "recv nothing": lambda s: s.sock.recv(0),
    "recv more than there is": lambda s: s.sock.recv(100),
    "recv less than nothing": lambda s: s.sock.recv(-1),
    "recv too much to tell": lambda s: s.sock.recv(2**80),
    "recv more than memory": lambda s: s.sock.recv(2**62),
    "recv without a size": lambda s: s.sock.recv(),
    "recv by keyword": lambda s: s.sock.recv(bufsize=3),
    "recv a fraction": lambda s: s.sock.recv(3.0),
    "recv an index": lambda s: s.sock.recv(True),
    "recv with bad flags": lambda s: s.sock.recv(3, "x"),
    "recv a number of another class": lambda s: s.sock.recv(Index(3), Index(0)),
    "recv_into numbers of another class": lambda s: s.sock.recv_into(
        bytearray(9), Index(3), Index(0)
    ),
    "recvfrom a number of another class": lambda s: s.sock.recvfrom(Index(3), Index(0)),
    "recvfrom_into numbers of another class": lambda s: s.sock.recvfrom_into(
        bytearray(9), Index(3), Index(0)
    ),
    "send with flags of another class": lambda s: s.sock.send(b"x", Index(0)),
    "sendall with flags of another class": lambda s: s.sock.sendall(b"x", Index(0)),
    "recv with flags beyond all": lambda s: s.sock.recv(3, 2**40),
    "recv by peeking": lambda s: (s.sock.recv(3, s.module.MSG_PEEK), s.sock.recv(3)),
    "recv when there is nothing": lambda s: s.empty().recv(3),
    "recv out of time": lambda s: s.empty(0.01).recv(3),
    "recv, told not to wait": lambda s: s.empty(None).recv(3, std.MSG_DONTWAIT),
    "recv from nobody": lambda s: s.lonely().recv(3),
    "recv when closed": lambda s: s.closed().recv(3),
    "recv unconnected": lambda s: s.new().recv(3),
    "recv, waiting for all": lambda s: s.sock.recv(6, std.MSG_WAITALL),
    "recv_into": lambda s: into(10)(s.sock.recv_into),
    "recv_into some of it": lambda s: into(10, 3)(s.sock.recv_into),
    "recv_into by keyword": lambda s: into(10, nbytes=3, flags=0)(s.sock.recv_into),
    "recv_into more than fits": lambda s: into(10, 11)(s.sock.recv_into),
    "recv_into less than nothing": lambda s: into(10, -1)(s.sock.recv_into),
    "recv_into no room": lambda s: into(0)(s.sock.recv_into),
    "recv_into, told of a size twice": lambda s: s.sock.recv_into(bytearray(3), 1, nbytes=1),
    "recv_into bytes": lambda s: s.sock.recv_into(b"abc"),
    "recv_into holes": lambda s: s.sock.recv_into(memoryview(bytearray(8))[::2]),
    "recv_into integers": lambda s: s.sock.recv_into(array.array("i", [0, 0])),
    "recv_into nothing at all": lambda s: s.sock.recv_into(None),
    "recv_into when closed": lambda s: s.closed().recv_into(bytearray(3)),
    "recv_into all": lambda s: into(6, 6, std.MSG_WAITALL)(s.sock.recv_into),
    "recvfrom": lambda s: s.sock.recvfrom(3),
    "recvfrom less than nothing": lambda s: s.sock.recvfrom(-1),
    "recvfrom when there is nothing": lambda s: s.empty().recvfrom(3),
    "recvfrom_into": lambda s: into(10)(s.sock.recvfrom_into),
    "recvfrom_into by keyword": lambda s: into(10, nbytes=3)(s.sock.recvfrom_into),
    "recvfrom_into more than fits": lambda s: into(10, 11)(s.sock.recvfrom_into),
    "recvfrom_into less than nothing": lambda s: into(10, -1)(s.sock.recvfrom_into),
    "recvmsg": lambda s: s.sock.recvmsg(3),
    "recvmsg with room for more": lambda s: s.sock.recvmsg(3, 100),
    "recvmsg less than nothing": lambda s: s.sock.recvmsg(-1),
    "recvmsg with less than no room": lambda s: s.sock.recvmsg(3, -1),
    "recvmsg by keyword": lambda s: s.sock.recvmsg(bufsize=3),
    "recvmsg_into": lambda s: into(10)(lambda b: s.sock.recvmsg_into([b])),
    "recvmsg_into two": lambda s: s.sock.recvmsg_into([bytearray(2), bytearray(2)]),
    "recvmsg_into a generator": lambda s: into(10)(lambda b: s.sock.recvmsg_into(iter([b]))),
    "recvmsg_into nothing": lambda s: s.sock.recvmsg_into([]),
    "recvmsg_into no list": lambda s: s.sock.recvmsg_into(5),
    "recvmsg_into bytes": lambda s: s.sock.recvmsg_into([b"abc"]),
    # what is sent
    "send": lambda s: (s.sock.send(b"xyz"), s.peer.recv(100)),
    "send nothing": lambda s: s.sock.send(b""),
    "send integers": lambda s: (s.sock.send(array.array("h", [1, 2])), s.peer.recv(100)),
    "send no integers": lambda s: s.sock.send(array.array("h")),
    "send text": lambda s: s.sock.send("xyz"),
    "send a number": lambda s: s.sock.send(5),
    "send holes": lambda s: s.sock.send(STRIDED),
    "send by keyword": lambda s: s.sock.send(data=b""),
    "send with bad flags": lambda s: s.sock.send(b"", "x"),
    "send into the full": lambda s: s.full().send(b"x"),
    "send out of time": lambda s: s.full(0.01).send(b"x"),
    "send to nobody": lambda s: s.lonely().send(b"x"),
    "send when closed": lambda s: s.closed().send(b"x"),
    "send unconnected": lambda s: s.new().send(b"x"),
    "sendall": lambda s: (s.sock.sendall(b"xyz"), s.peer.recv(100)),
    "sendall nothing": lambda s: s.sock.sendall(b""),
    "sendall nothing when closed": lambda s: s.closed().sendall(b""),
    "sendall nothing to nobody": lambda s: s.lonely().sendall(b""),
    "sendall integers": lambda s: (s.sock.sendall(array.array("h", [1, 2])), s.peer.recv(100)),
    "sendall text": lambda s: s.sock.sendall("xyz"),
    "sendall holes": lambda s: s.sock.sendall(STRIDED),
    "sendall with bad flags": lambda s: s.sock.sendall(b"", "x"),
    "sendall into the full": lambda s: s.full().sendall(b"x"),
    "sendall out of time": lambda s: s.full(0.01).sendall(b"x" * 10),
    "sendall to nobody": lambda s: s.lonely().sendall(b"x"),
    "sendto without an address": lambda s: s.sock.sendto(b"x"),
    "sendto with too much": lambda s: s.sock.sendto(b"x", 0, "a", "b"),
    "sendto a number": lambda s: s.sock.sendto(b"x", 5),
    "sendto with bad flags": lambda s: s.sock.sendto(b"x", "x", "address"),
    "sendto text": lambda s: s.sock.sendto("x", "address"),
    "sendto a strange address": lambda s: s.new(std.AF_INET, std.SOCK_DGRAM).sendto(b"", "x"),
    "sendto a strange port": lambda s: s.new(std.AF_INET, std.SOCK_DGRAM).sendto(b"", ("::", -1)),
    "sendmsg": lambda s: (s.sock.sendmsg([b"x", b"yz"]), s.peer.recv(100)),
    "sendmsg a generator": lambda s: (s.sock.sendmsg(iter([b"x", b"yz"])), s.peer.recv(100)),
    "sendmsg nothing": lambda s: s.sock.sendmsg([]),
    "sendmsg no list": lambda s: s.sock.sendmsg(5),
    "sendmsg text": lambda s: s.sock.sendmsg(["x"]),
    "sendmsg strange data": lambda s: s.sock.sendmsg([b"x"], [5]),
    "sendmsg no data": lambda s: s.sock.sendmsg([b"x"], None),
    "sendmsg by keyword": lambda s: s.sock.sendmsg(buffers=[b"x"]),
    "sendmsg into the full": lambda s: s.full().sendmsg([b"x"]),
    "sendfile of no file": lambda s: s.sock.sendfile(5),
    "sendfile of nothing": lambda s: s.sock.sendfile(s.file("rb")),
    "sendfile without waiting": lambda s: s.empty().sendfile(s.file("rb")),
    "sendfile of text": lambda s: s.sock.sendfile(s.file("r")),
    # connections
    "accept unlistening": lambda s: s.sock.accept(),
    "accept when closed": lambda s: s.closed().accept(),
    "connect when closed": lambda s: s.closed().connect(("127.0.0.1", 1)),
    "connect_ex when closed": lambda s: s.closed().connect_ex(("127.0.0.1", 1)),
    "connect to nobody": lambda s: s.new().connect(("127.0.0.1", 1)),
    "connect_ex to nobody": lambda s: s.new().connect_ex(("127.0.0.1", 1)),
    "connect to a path that is none": lambda s: s.new(std.AF_UNIX).connect("/nowhere/at/all"),
    "connect_ex to such a path": lambda s: s.new(std.AF_UNIX).connect_ex("/nowhere/at/all"),
    "connect again": lambda s: s.sock.connect("/nowhere/at/all"),
    "connect to a strange port": lambda s: s.new().connect(("127.0.0.1", 2**16)),
    "connect_ex to a strange port": lambda s: s.new().connect_ex(("127.0.0.1", -1)),
    "connect to a number": lambda s: s.new().connect(5),
    "connect to nothing": lambda s: s.new().connect(),
    "shutdown": lambda s: (s.sock.shutdown(std.SHUT_RDWR), s.peer.recv(9), s.peer.recv(9)),
    "shutdown when closed": lambda s: s.closed().shutdown(std.SHUT_RDWR),
    "recv after shutdown": lambda s: (
        s.sock.shutdown(std.SHUT_RDWR),
        s.sock.recv(9),
        s.sock.recv(9),
    ),
    "send after shutdown": lambda s: (s.sock.shutdown(std.SHUT_RDWR), s.sock.send(b"x")),
    # what a socket is
    "a new one": lambda s: (s.new().family, s.sock.type, s.sock.proto, s.sock.gettimeout()),
    "one that is non-blocking": lambda s: (
        s.new(type=std.SOCK_STREAM | std.SOCK_NONBLOCK).type,
        s.sock.gettimeout(),
        s.sock.getblocking(),
    ),
    "one of a strange family": lambda s: s.new(1234),
    "one of a strange type": lambda s: s.new(std.AF_INET, 77),
    "one of a closed number": lambda s: s.module.socket(fileno=s.closed().fileno()),
    "one of a number that is open nowhere": lambda s: s.module.socket(fileno=99999),
    "one of a fraction": lambda s: s.module.socket(fileno=1.5),
    "one of its number": lambda s: s.module.socket(fileno=s.sock.fileno()).detach() >= 0,
    "too many arguments": lambda s: s.new(1, 2, 3, 4, 5),
    "the number of a closed one": lambda s: s.closed().fileno(),
    "close twice": lambda s: (s.closed().close(), s.sock.fileno()),
    "detach": lambda s: os.close(s.sock.detach()),
    "detach twice": lambda s: (os.close(s.sock.detach()), s.sock.detach()),
    "recv when detached": lambda s: (os.close(s.sock.detach()), s.sock.recv(3)),
    "close a number that is not open": lambda s: (os.close(s.sock.fileno()), s.closed()),
    "dup": lambda s: s.keep(s.sock.dup()),
    "dup when closed": lambda s: s.closed().dup(),
    "copy": lambda s: copy.copy(s.sock),
    "pickle": lambda s: pickle.dumps(s.sock),
    "compare": lambda s: s.sock == s.peer,
    "hold": lambda s: s.sock.__enter__() is s.sock,
    "repr": lambda s: type(s.sock).__name__ in repr(s.sock) and "fd=" in repr(s.sock),
    "repr when closed": lambda s: "[closed]" in repr(s.closed()),
    "an attribute of one's own": lambda s: setattr(s.sock, "mine", 1),
    "an inheritable one": lambda s: (s.sock.get_inheritable(), s.sock.set_inheritable(True)),
    "an option": lambda s: s.sock.getsockopt(std.SOL_SOCKET, std.SO_TYPE),
    "an option when closed": lambda s: s.closed().getsockopt(std.SOL_SOCKET, std.SO_TYPE),
    "a name when closed": lambda s: s.closed().getsockname(),
    "makefile": lambda s: s.sock.makefile("rb", 0).read(3),
    "makefile of text": lambda s: s.sock.makefile("r", encoding="ascii", buffering=1).read(0),
    "makefile in a strange mode": lambda s: s.sock.makefile("a"),
    "makefile when closed": lambda s: s.closed().makefile("rb").read(3),
    "makefile out of time": lambda s: s.empty(0.01).makefile("rb").read(3),
    "makefile when there is nothing": lambda s: s.empty().makefile("rb", 0).read(3),
    # time
    "timeout": lambda s: (s.sock.settimeout(1.5), s.sock.gettimeout(), s.sock.timeout),
    "timeout of an integer": lambda s: (s.sock.settimeout(2), s.sock.gettimeout()),
    "timeout of no time": lambda s: (s.sock.settimeout(0), s.sock.getblocking()),
    "no timeout": lambda s: (s.sock.settimeout(None), s.sock.gettimeout(), s.sock.getblocking()),
    "timeout without an argument": lambda s: s.sock.settimeout(),
    "timeout when closed": lambda s: s.closed().settimeout(1),
    "timeout of a closed one": lambda s: s.closed().gettimeout(),
    "blocking": lambda s: (s.sock.setblocking(False), s.sock.gettimeout(), s.sock.setblocking(7)),
    "blocking when closed": lambda s: s.closed().setblocking(True),
    "blocking as text": lambda s: s.sock.setblocking("x"),
    "set the timeout as an attribute": lambda s: setattr(s.sock, "timeout", 1),
    # functions
    "create_connection to nobody": lambda s: s.module.create_connection(("127.0.0.1", 1)),
    "create_connection, all errors": lambda s: s.module.create_connection(
        ("127.0.0.1", 1), all_errors=True
    ),
    "create_connection to a number": lambda s: s.module.create_connection(5),
    "create_server": lambda s: s.keep(s.module.create_server(("127.0.0.1", 0))),
    "create_server of a strange family": lambda s: s.module.create_server(
        ("127.0.0.1", 0), family=std.AF_UNIX
    ),
    "create_server on a bad port": lambda s: s.module.create_server(("127.0.0.1", -1)),
    "fromfd": lambda s: s.keep(s.module.fromfd(s.sock.fileno(), std.AF_UNIX, std.SOCK_STREAM)),
    "fromfd of nothing": lambda s: s.module.fromfd(-1, std.AF_UNIX, std.SOCK_STREAM),
    "socketpair of a family that has none": lambda s: s.module.socketpair(std.AF_INET),
    "send_fds": lambda s: s.module.send_fds(s.sock, [b"x"], [0]),
    "recv_fds": lambda s: s.module.recv_fds(s.sock, 3, 1),
}
CALLS |= {
    f"timeout of {name_of(value)}"[:40]: lambda s, v=value: s.sock.settimeout(v)
    for value in BAD_TIMEOUTS
}


def outcome(module: types.ModuleType, call: Callable[[Stage], Any]) -> object:
    stage = Stage(module)
    try:
        return _plain(call(stage))
    except BaseException as error:
        return _described(error)
    finally:
        try:
            stage.end()
        except OSError as error:
            if CLOSED.get(error.errno, error.errno) != errno.EBADF:
                raise


def _plain(value: Any) -> Any:
    """Without the sockets that the two modules' values are made of, which are closed."""
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    if isinstance(value, std.socket):
        value.close()
        return type(value).__name__
    return value


def _described(error: BaseException) -> tuple[object, ...]:
    """The class that a handler would catch, and the number."""
    kind = next(base for base in type(error).__mro__ if base.__module__ != "netpoll._errors")
    inner = getattr(error, "exceptions", ())
    number = getattr(error, "errno", None)
    return kind.__name__, CLOSED.get(number, number), *map(_described, inner)


@pytest.mark.parametrize("name", CALLS)
def test_same_outcome(name: str) -> None:
    assert outcome(ours, CALLS[name]) == outcome(std, CALLS[name])


# --- addresses ---------------------------------------------------------------------------------


class Pair(NamedTuple):
    host: str
    port: int


class Index:
    def __init__(self, number: int) -> None:
        self.number = number

    def __index__(self) -> int:
        return self.number


def sent_to(form: Callable[[Any], Any], family: int, name: Any) -> Callable[[Stage], Any]:
    """A datagram to the socket itself, by a form of its address, and the addresses as told."""

    def call(stage: Stage) -> Any:
        sock = stage.new(family, std.SOCK_DGRAM)
        sock.bind(name)
        sock.settimeout(0.2)  # some go elsewhere
        address = sock.getsockname()
        sent = [
            sock.sendto(b"abc", form(address)),
            sock.sendto(bytearray(b"abcd"), 0, form(address)),
        ]
        buffer = bytearray(9)
        received = [sock.recvfrom(9), sock.recvfrom_into(buffer)]
        return sent, [(data, told == address, shape(told)) for data, told in received], buffer

    return call


def shape(address: Any) -> Any:
    """What of it is the same in another run: a port and a folder are not."""
    if isinstance(address, tuple):
        return [type(part) for part in address], address[0], address[2:]
    return type(address), len(address)


IN: dict[str, Callable[[Any], Any]] = {
    "as told": lambda a: a,
    "a named tuple": lambda a: Pair(*a[:2]),
    "a list": list,
    "too short": lambda a: a[:1],
    "too long": lambda a: (*a, 0, 0, 0),
    "nothing": lambda a: (),
    "text": lambda a: a[0],
    "none": lambda a: None,
    "host of bytes": lambda a: (a[0].encode(), *a[1:]),
    "host of a bytearray": lambda a: (bytearray(a[0].encode()), *a[1:]),
    "host with a NUL": lambda a: (a[0] + "\0", *a[1:]),
    "host with a NUL and more": lambda a: (a[0] + "\0.1", *a[1:]),
    "host that is a surrogate": lambda a: ("\udcff", *a[1:]),
    "host that is a number": lambda a: (1, *a[1:]),
    "no host": lambda a: ("", *a[1:]),
    "host by name": lambda a: ("localhost", *a[1:]),
    "all hosts": lambda a: ("<broadcast>", *a[1:]),
    "host in short": lambda a: ("127.1", *a[1:]),
    "host of the other family": lambda a: ({"::1": "127.0.0.1"}.get(a[0], "::1"), *a[1:]),
    "port as text": lambda a: (a[0], str(a[1]), *a[2:]),
    "port as a fraction": lambda a: (a[0], 1.0, *a[2:]),
    "port as an index": lambda a: (a[0], Index(a[1]), *a[2:]),
    "port as a bool": lambda a: (a[0], True, *a[2:]),
    "port 0": lambda a: (a[0], 0, *a[2:]),
    "port -1": lambda a: (a[0], -1, *a[2:]),
    "port 65536": lambda a: (a[0], 2**16, *a[2:]),
    "port beyond all": lambda a: (a[0], 2**80, *a[2:]),
}
IN6: dict[str, Callable[[Any], Any]] = IN | {
    "two": lambda a: a[:2],
    "three": lambda a: a[:3],
    "a flow": lambda a: (*a[:2], 0xFFFFF, a[3]),
    "too much flow": lambda a: (*a[:2], 0x100000, a[3]),
    "negative flow": lambda a: (*a[:2], -1, a[3]),
    "a scope": lambda a: (*a[:3], 1),
    "the last scope": lambda a: (*a[:3], 2**32 - 1),
    "too much scope": lambda a: (*a[:3], 2**32),
    "negative scope": lambda a: (*a[:3], -1),
    "scope beyond all": lambda a: (*a[:3], 2**80),
    "scope as text": lambda a: (*a[:3], "lo"),
    "scope in the host": lambda a: (a[0] + "%1", *a[1:]),
    "mapped": lambda a: ("::ffff:127.0.0.1", *a[1:]),
    "nobody's": lambda a: ("fe80::1", *a[1:]),
}
UN: dict[str, Callable[[Any], Any]] = {
    "as told": lambda a: a,
    "bytes": os.fsencode,
    "text": os.fsdecode,
    "a bytearray": lambda a: bytearray(os.fsencode(a)),
    "a path": lambda a: pathlib.Path(os.fsdecode(a)),
    "a tuple": lambda a: (a,),
    "none": lambda a: None,
    "nothing": lambda a: "",
    "nothing in bytes": lambda a: b"",
    "nobody's": lambda a: "/nowhere/at/all",
    "nobody's, abstract": lambda a: b"\0nobody",
    "cut at a NUL": lambda a: os.fsencode(a) + b"\0x",
    "107 bytes": lambda a: b"/" * 107,
    "108 bytes": lambda a: b"/" * 108,
    "108 bytes, abstract": lambda a: b"\0" + b"x" * 107,
    "109 bytes, abstract": lambda a: b"\0" + b"x" * 108,
    "not to be encoded": lambda a: "\ud800",
}


def _bound(family: int, name: Any) -> bool:
    with std.socket(family, std.SOCK_DGRAM) as sock:
        try:
            sock.bind(name)
        except OSError:
            return False
        return True


@pytest.mark.parametrize("form", IN)
def test_addresses_of_ipv4(form: str) -> None:
    call = sent_to(IN[form], std.AF_INET, ("127.0.0.1", 0))
    assert outcome(ours, call) == outcome(std, call)


@pytest.mark.parametrize("form", IN6)
def test_addresses_of_ipv6(form: str) -> None:
    if not std.has_ipv6 or not _bound(std.AF_INET6, ("::1", 0)):
        pytest.skip("no IPv6 here")
    call = sent_to(IN6[form], std.AF_INET6, ("::1", 0))
    assert outcome(ours, call) == outcome(std, call)


needs_unix = pytest.mark.skipif(not hasattr(std, "AF_UNIX"), reason="Python has no AF_UNIX here")


@needs_unix
@pytest.mark.parametrize("form", UN)
@pytest.mark.parametrize("name", ["short", "all there is room for", "no text"])
@pytest.mark.slow
def test_addresses_that_are_paths(form: str, name: str) -> None:
    def call(stage: Stage) -> Any:
        with tempfile.TemporaryDirectory(dir="/tmp") as folder:
            start = os.fsencode(folder) + b"/"
            path = {
                "short": start + b"x",
                "all there is room for": start + b"x" * (107 - len(start)),
                "no text": start + b"\xff\xfe",
            }[name]
            return sent_to(UN[form], std.AF_UNIX, path)(stage)

    assert outcome(ours, call) == outcome(std, call)


@pytest.mark.skipif(sys.platform != "linux", reason="abstract names are Linux's")
@pytest.mark.parametrize("form", UN)
@pytest.mark.parametrize("name", [b"", b"\0netpoll", b"\0net\0poll\xff", b"\0".ljust(108, b"x")])
@pytest.mark.slow
def test_addresses_that_are_abstract(form: str, name: bytes) -> None:
    own = name[:100] and name[:100] + b"%d" % os.getpid()
    call = sent_to(UN[form], std.AF_UNIX, own)
    assert outcome(ours, call) == outcome(std, call)


def from_nobody(receive: Callable[[Any], Any]) -> Callable[[Stage], Any]:
    """A datagram of one who has no name."""

    def call(stage: Stage) -> Any:
        with tempfile.TemporaryDirectory(dir="/tmp") as folder:
            sock = stage.new(std.AF_UNIX, std.SOCK_DGRAM)
            sock.bind(folder + "/x")
            with stage.module.socket(std.AF_UNIX, std.SOCK_DGRAM) as other:
                other.sendto(b"abcdef", folder + "/x")
            sock.settimeout(5)
            return receive(sock)

    return call


def over_tcp(receive: Callable[[Any], Any]) -> Callable[[Stage], Any]:
    def call(stage: Stage) -> Any:
        with stage.module.create_server(("127.0.0.1", 0)) as listener:
            sock = stage.module.create_connection(listener.getsockname(), timeout=5)
            with sock, listener.accept()[0] as peer:
                peer.sendall(b"abcdef")
                return receive(sock)

    return call


RECEIVE: dict[str, Callable[[Any], Any]] = {
    "a part": lambda sock: (sock.recvfrom(3), sock.settimeout(0), sock.recvfrom(9)),
    "nothing": lambda sock: (sock.recvfrom(0), sock.settimeout(0), sock.recvfrom(9)),
    "by peeking": lambda sock: (sock.recvfrom(3, std.MSG_PEEK), sock.recvfrom(9)),
    "all": lambda sock: sock.recvfrom(6, std.MSG_WAITALL),
    "with room for much": lambda sock: sock.recvfrom(1 << 20),
    "into a part": lambda sock: into(9, 3)(sock.recvfrom_into),
    "into all": lambda sock: into(9)(sock.recvfrom_into),
    "into no room": lambda sock: (
        into(0)(sock.recvfrom_into),
        sock.settimeout(0),
        sock.recvfrom(9),
    ),
    "into a bit, told of all": lambda sock: into(3, 3, std.MSG_TRUNC)(sock.recvfrom_into)[0],
    "out of time": lambda sock: (sock.recvfrom(9), sock.settimeout(0.01), sock.recvfrom(9)),
    "flags that are too large": lambda sock: sock.recvfrom(3, 2**40),
    "too large": lambda sock: sock.recvfrom(2**80),
    "a fraction": lambda sock: sock.recvfrom(3.0),
    "by keyword": lambda sock: sock.recvfrom(bufsize=3),
    "into bytes": lambda sock: sock.recvfrom_into(b"abc"),
}


@pytest.mark.parametrize("how", RECEIVE)
@pytest.mark.parametrize("where", [pytest.param(from_nobody, marks=needs_unix), over_tcp])
@pytest.mark.slow
def test_senders_without_a_name(where: Callable[[Any], Callable[[Stage], Any]], how: str) -> None:
    call = where(RECEIVE[how])
    assert outcome(ours, call) == outcome(std, call)


HOOKED = """
import sys
from {module} import socket, AF_INET, SOCK_DGRAM
heard, refuse = [], []
def hook(event, args):
    if event == "socket.sendto":
        heard.append((args[0] is sock, args[1] == sock.getsockname(), len(args)))
        if refuse:
            raise KeyError("refused")
sys.addaudithook(hook)
sock = socket(AF_INET, SOCK_DGRAM)
sock.bind(("127.0.0.1", 0))
sock.sendto(b"first", sock.getsockname())
sock.sendto(b"second", 0, sock.getsockname())
refuse.append(True)
try:
    sock.sendto(b"third", sock.getsockname())
except KeyError as error:
    heard.append(error.args)
sock.settimeout(0)
print(heard, sock.recv(9), sock.recv(9))
try:
    sock.recv(9)
except BlockingIOError:
    print("no third")
"""


def test_an_audit_hook_hears_of_each_sendto_once_and_may_refuse_it() -> None:
    heard = [
        subprocess.run(
            [sys.executable, "-c", HOOKED.format(module=module)],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for module in ("netpoll.socket", "socket")
    ]
    assert heard[0] == heard[1]
    assert heard[1].count("True, True, 2") == 3 and "refused" in heard[1]
    assert heard[1].endswith("no third\n")


def test_every_public_name_is_there() -> None:
    assert set(ours.__all__) == set(std.__all__)
    assert [name for name in vars(std) if not hasattr(ours, name)] == []


def test_what_stays_the_standard_modules_own() -> None:
    """All but what makes sockets or looks up names is the same object: exceptions can be caught by
    either name."""
    makers = {"socket", "socketpair", "create_connection", "create_server", "fromfd", "fromshare"}
    names = {"getaddrinfo", "getnameinfo", "getfqdn"}
    names |= {"gethostbyname", "gethostbyname_ex", "gethostbyaddr"}
    changed = makers | names
    other = [n for n in std.__all__ if n not in changed and getattr(ours, n) is not getattr(std, n)]
    assert other == []


@pytest.fixture(autouse=True)
def _closes_what_is_left() -> Iterator[None]:
    """Some of the calls open files that nobody closes."""
    import gc
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield
        gc.collect()
