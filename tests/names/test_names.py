"""Names of `netpoll.socket` are looked up while others run; what binds an operation binds that."""

from __future__ import annotations

import _socket
import contextlib
import socket as std
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from netpoll import ClosedError, DeadlineExceeded, socket
from netpoll._blocking import hosts
from netpoll._blocking.threads import Pool
from support import HAS_GREENLET, LONG, Stage, check_python, name_of, needs_linux, never_early

if HAS_GREENLET:
    from netpoll import green

#: Seconds that a name takes which is called slow.
SLOW = 0.1
#: Those of the family's resolver.
FUNCTIONS = ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr", "getnameinfo")


class Resolver:
    """A stand-in for the system's: every name is this host, once `answer` is set."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.answer = threading.Event()
        self.delay = 0.0

    def replace(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        real = getattr(_socket, name)

        def function(host: Any, *rest: Any) -> Any:
            if not _is_local(host):
                self.asked.append(host)
                time.sleep(self.delay)
                assert self.answer.wait(LONG)
                if "unknown" in str(host):
                    raise std.gaierror(std.EAI_NONAME, "Name or service not known")
                host = ("127.0.0.1", 0) if name == "getnameinfo" else "127.0.0.1"
            return real(host, *rest)

        monkeypatch.setattr(_socket, name, function)


def _is_local(host: Any) -> bool:
    return host is None or str(host)[:1].isdigit() or ":" in str(host) or host == "localhost"


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    resolver = Resolver()
    for name in FUNCTIONS:
        resolver.replace(monkeypatch, name)
    yield resolver
    resolver.answer.set()


@pytest.fixture
def slow(resolver: Resolver) -> Resolver:
    resolver.delay = SLOW
    resolver.answer.set()
    return resolver


@pytest.fixture
def server() -> Iterator[int]:
    with std.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def no_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pool: Pool, call: Any) -> None:
        pytest.fail("a thread was asked")

    monkeypatch.setattr(Pool, "submit", refuse)


def ticks_during(stage: Stage, function: Callable[[], object]) -> int:
    """How often a greenlet can sleep a little meanwhile."""
    work = stage.spawn(function)
    ticks = 0
    while not work.done:
        stage.sleep(0.005)
        ticks += 1
    work.result()
    return ticks


# --- the functions --------------------------------------------------------------------------------

CALLS: list[tuple[str, tuple[Any, ...]]] = [
    ("getaddrinfo", ("name.test", 80)),
    ("gethostbyname", ("name.test",)),
    ("gethostbyname_ex", ("name.test",)),
    ("gethostbyaddr", ("name.test",)),
    ("getnameinfo", (("127.1.1.1", 80), 0)),
    ("getfqdn", ("name.test",)),
]


@pytest.mark.parametrize(("name", "args"), CALLS, ids=[name for name, _ in CALLS])
def test_others_run_meanwhile(
    greenlets: Stage, slow: Resolver, name: str, args: tuple[Any, ...], monkeypatch: Any
) -> None:
    if name == "getnameinfo":
        monkeypatch.setattr(sys.modules[__name__], "_is_local", lambda host: False)
    function = getattr(socket, name)
    assert ticks_during(greenlets, lambda: function(*args)) > 5
    assert slow.asked


def test_ten_at_once_take_as_long_as_one(greenlets: Stage, slow: Resolver) -> None:
    began = time.monotonic()
    asked = [greenlets.spawn(socket.getaddrinfo, f"name{i}.test", 80) for i in range(10)]
    for one in asked:
        one.result()
    assert SLOW <= time.monotonic() - began < 4 * SLOW


SAME: list[tuple[str, tuple[Any, ...]]] = [
    ("getaddrinfo", ("localhost", 80, std.AF_INET)),
    ("getaddrinfo", ("127.0.0.1", "80", 0, std.SOCK_STREAM, 0, std.AI_PASSIVE)),
    ("getaddrinfo", (None, 80, std.AF_INET)),
    ("getaddrinfo", (b"127.0.0.1", None)),
    ("getaddrinfo", ("127.0.0.1", "no such service")),
    ("getaddrinfo", ("name.test", 80, 0, 0, 0, std.AI_NUMERICHOST)),
    ("getaddrinfo", ("::1", 80, std.AF_INET)),
    ("getaddrinfo", (1.5, 80)),
    ("getaddrinfo", ("a\0b", 80)),
    ("getaddrinfo", ("x" * 70 + "\u00e4", 80)),
    ("getaddrinfo", ("127.0.0.1", 80, -7)),
    ("getaddrinfo", ()),
    ("gethostbyname", ("localhost",)),
    ("gethostbyname", ("",)),
    ("gethostbyname", ("127.1",)),
    ("gethostbyname", (7,)),
    ("gethostbyname_ex", ("localhost",)),
    ("gethostbyaddr", ("127.0.0.1",)),
    ("gethostbyaddr", (None,)),
    ("getnameinfo", (("127.0.0.1", 80), 0)),
    ("getnameinfo", (("127.0.0.1", 80), std.NI_NUMERICHOST | std.NI_NUMERICSERV)),
    ("getnameinfo", (("localhost", 80), std.NI_NUMERICHOST)),
    ("getnameinfo", (("127.0.0.1",), 0)),
    ("getnameinfo", ("127.0.0.1", "x")),
    ("getfqdn", ("127.0.0.1",)),
    ("getfqdn", ()),
]


@pytest.mark.parametrize(("name", "args"), SAME, ids=name_of)
def test_result_and_error_are_the_standard_ones(
    stage: Stage, name: str, args: tuple[Any, ...]
) -> None:
    def outcome(module: Any) -> object:
        try:
            return getattr(module, name)(*args)
        except Exception as error:
            return type(error), error.args

    assert outcome(socket) == outcome(std)


def test_arguments_by_name(stage: Stage) -> None:
    found = socket.getaddrinfo(host="127.0.0.1", port=80, type=std.SOCK_STREAM)
    assert found == std.getaddrinfo("127.0.0.1", 80, type=std.SOCK_STREAM)
    assert isinstance(found[0][0], std.AddressFamily)


def test_an_unknown_name_is_the_standard_error(stage: Stage, resolver: Resolver) -> None:
    resolver.answer.set()
    for call in (
        lambda: socket.getaddrinfo("unknown.test", 80),
        lambda: socket.gethostbyname("unknown.test"),
        lambda: socket.create_connection(("unknown.test", 80)),
    ):
        with pytest.raises(std.gaierror) as caught:
            call()
        assert caught.value.errno == std.EAI_NONAME
    with socket.socket() as sock, pytest.raises(std.gaierror):
        sock.connect_ex(("unknown.test", 80))


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "0x7f.1", "::1", "fe80::1%1", "", None, b"127.0.0.1"]
)
def test_numbers_need_no_thread(greenlets: Stage, no_pool: None, host: Any) -> None:
    with contextlib.suppress(std.gaierror):
        socket.getaddrinfo(host, 80)


@needs_linux
def test_names_in_etc_hosts_need_no_thread(greenlets: Stage, no_pool: None, server: int) -> None:
    if not hosts.answers("localhost", std.AF_INET):
        pytest.skip("the system's name service is not asked as this test needs it")
    assert socket.gethostbyname("LocalHost") == "127.0.0.1"
    socket.create_connection(("localhost", server)).close()
    with socket.socket() as sock:
        sock.bind(("localhost", 0))
        assert sock.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("hosts: files dns\n", True),
        ("passwd: files\nhosts:\tfiles\tmyhostname resolve\n", True),
        ("  hosts:files", True),
        ("hosts: files", True),
        ("hosts: dns files\n", False),
        ("hosts: files [SUCCESS=continue] dns\n", False),
        ("hosts: files[SUCCESS=merge] dns\n", False),
        ("# hosts: files dns\n", False),
        ("xhosts: files dns\n", False),
        ("hosts: filesystem\n", False),
        ("", False),
    ],
)
def test_whether_the_system_asks_the_file_first(text: str, first: bool) -> None:
    assert hosts.files_come_first(text) is first


def test_names_of_a_file() -> None:
    text = "127.0.0.1 One two # three\n\n::1\tONE\n# 1.1.1.1 four\n1.1.1.1\n"
    both = {std.AF_INET, std.AF_INET6}
    assert hosts.families_by_name(text) == {"one": both, "two": {std.AF_INET}}


# --- sockets --------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["name.test", "b\u00fccher.test", b"name.test"])
def test_connect_to_a_name(stage: Stage, resolver: Resolver, server: int, host: Any) -> None:
    resolver.answer.set()
    with socket.socket() as sock:
        sock.connect((host, server))
        assert sock.getpeername() == ("127.0.0.1", server)
    with socket.socket() as sock:
        assert sock.connect_ex((host, server)) == 0
    socket.create_connection((host, server)).close()
    assert resolver.asked


def test_others_run_while_a_socket_connects(greenlets: Stage, slow: Resolver, server: int) -> None:
    assert ticks_during(greenlets, lambda: _connect("name.test", server)) > 5


def _connect(name: str, port: int) -> None:
    with socket.socket() as sock:
        sock.connect((name, port))


@pytest.mark.rule(19)
def test_a_timeout_bounds_the_look_up(stage: Stage, resolver: Resolver, server: int) -> None:
    with never_early(0.05), pytest.raises(TimeoutError, match="timed out"):
        socket.create_connection(("name.test", server), 0.05)
    with socket.socket() as sock:
        sock.settimeout(0.05)
        with never_early(0.05), pytest.raises(TimeoutError, match="timed out"):
            sock.connect(("name.test", server))
    with socket.socket(type=std.SOCK_DGRAM) as sock:
        sock.settimeout(0.05)
        with never_early(0.05), pytest.raises(TimeoutError, match="timed out"):
            sock.sendto(b"data", ("name.test", server))


def test_the_default_timeout_bounds_it_too(
    stage: Stage, resolver: Resolver, server: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    std.setdefaulttimeout(0.05)
    try:
        with never_early(0.05), pytest.raises(TimeoutError, match="timed out"):
            socket.create_connection(("name.test", server))
    finally:
        std.setdefaulttimeout(None)


@pytest.mark.rule(3, 4)
def test_a_deadline_ends_a_look_up(stage: Stage, resolver: Resolver, server: int) -> None:
    with socket.socket() as sock:
        sock.set_deadline(60)
        task = stage.spawn(sock.connect, ("name.test", server))
        stage.stays_blocked(task)
        sock.set_write_deadline(0.01)
        task.raises(DeadlineExceeded)


@pytest.mark.rule(8)
def test_close_ends_a_look_up(stage: Stage, resolver: Resolver, server: int) -> None:
    with socket.socket() as sock, socket.socket(type=std.SOCK_DGRAM) as other:
        tasks = [
            stage.spawn(sock.connect, ("name.test", server)),
            stage.spawn(other.sendto, b"data", ("name.test", server)),
        ]
        stage.stays_blocked(*tasks)
        sock.close()
        other.close()
        for task in tasks:
            task.raises(ClosedError)


def test_a_kill_ends_a_look_up(greenlets: Stage, resolver: Resolver, server: int) -> None:
    with socket.socket() as sock:
        tasks = [
            greenlets.spawn(sock.connect, ("name.test", server)),
            greenlets.spawn(socket.create_connection, ("name.test", server)),
            greenlets.spawn(socket.getaddrinfo, "name.test", server),
        ]
        greenlets.stays_blocked(*tasks)
        for task in tasks:
            task.greenlet.kill()  # type: ignore[attr-defined]
            task.raises(green.GreenletExit)
        resolver.answer.set()
        sock.connect(("name.test", server))


def test_datagrams_to_a_name(stage: Stage, slow: Resolver) -> None:
    with socket.socket(type=std.SOCK_DGRAM) as here, socket.socket(type=std.SOCK_DGRAM) as there:
        there.bind(("127.0.0.1", 0))
        to = ("name.test", there.getsockname()[1])
        assert here.sendto(b"one", to) == 3
        assert here.sendto(b"two", 0, to) == 3
        assert there.recv(10) + there.recv(10) == b"onetwo"
        if hasattr(here, "sendmsg"):
            assert here.sendmsg([b"th", b"ree"], [], 0, to) == 5
            assert there.recv(10) == b"three"


def test_a_socket_that_may_not_wait_looks_up_all_the_same(
    stage: Stage, slow: Resolver, server: int
) -> None:
    """As the standard class, which cannot do it otherwise."""
    with socket.socket() as sock, socket.socket(type=std.SOCK_DGRAM) as datagrams:
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.connect(("name.test", server))
        datagrams.setblocking(False)
        assert datagrams.sendto(b"data", ("name.test", server)) == 4


def test_bind_to_a_name(stage: Stage, slow: Resolver) -> None:
    with socket.socket() as sock:
        sock.bind(("name.test", 0))
        assert sock.getsockname()[0] == "127.0.0.1"
    with socket.create_server(("name.test", 0)) as server:
        assert server.getsockname()[0] == "127.0.0.1"


def test_a_wrong_address_is_the_standard_error(stage: Stage) -> None:
    for address in (("name.test",), ("name.test", "80"), ("name.test", 80, 1), "name.test", ()):
        outcomes = []
        for kind in (std.socket, socket.socket):
            with kind() as sock, pytest.raises((TypeError, OSError)) as caught:
                sock.connect(address)
            outcomes.append(type(caught.value))
        assert outcomes[0] == outcomes[1]


@pytest.mark.rule(15)
def test_a_resolver_that_hangs_keeps_no_process_from_exiting() -> None:
    check_python(
        """
        import _socket, threading
        begun = threading.Event()

        def hang(*args):
            begun.set()
            threading.Event().wait()

        _socket.getaddrinfo = hang
        from netpoll import green, socket

        def main():
            green.spawn(socket.create_connection, ("name.test", 80))
            while not begun.is_set():
                green.sleep(0.001)

        green.run(main)
        begun.clear()
        try:
            socket.create_connection(("name.test", 80), 0.01)
        except TimeoutError:
            assert begun.wait(10)
        """
    )
