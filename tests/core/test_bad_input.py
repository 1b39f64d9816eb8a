"""What is wrong is refused with the right exception, names the descriptor, and harms nothing."""

from __future__ import annotations

import errno
import math
import os
import pickle
import socket
from collections.abc import Callable
from pathlib import Path

import netpoll
import pytest
from netpoll import READ, WRITE, BusyError, NotPollableError, PollDesc, Poller, PollError
from support import WINDOWS, Sockets, check_python, name_of, needs_linux, take_tokens

pytestmark = pytest.mark.rule(17)


# --- open -----------------------------------------------------------------------------------------


def test_open_on_a_closed_poller_names_the_descriptor(poller: Poller, sockets: Sockets) -> None:
    a, _ = sockets.pair()
    poller.close()
    with pytest.raises(netpoll.ClosedError, match=rf"\b{a.fileno()}\b"):
        poller.open(a)


@pytest.mark.parametrize(
    "fd", [-1, -2, -(1 << 31), 1 << 20, (1 << 31) - 1, 1 << 31, 1 << 63, 1 << 64, 10**30, -(10**30)]
)
def test_a_number_that_is_no_descriptor_is_ebadf(poller: Poller, fd: int) -> None:
    with pytest.raises(OSError) as caught:
        poller.open(fd)
    assert caught.value.errno == errno.EBADF, caught.value
    assert type(caught.value) is OSError
    assert str(fd) in str(caught.value)
    assert poller.stats().open == 0


def test_a_descriptor_that_was_closed_is_ebadf(poller: Poller) -> None:
    a, b = socket.socketpair()
    number = a.fileno()
    a.close()
    with pytest.raises(OSError, match=str(number)) as caught:
        poller.open(number)
    assert caught.value.errno == errno.EBADF
    b.close()


def test_a_closed_socket_object_is_ebadf(poller: Poller) -> None:
    a, b = socket.socketpair()
    a.close()
    b.close()
    for sock in (a, b):
        with pytest.raises(OSError) as caught:
            poller.open(sock)
        assert caught.value.errno == errno.EBADF


class _Fileno:
    def __init__(self, answer: object) -> None:
        self.answer = answer

    def fileno(self) -> object:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    "file",
    [None, "0", b"0", 1.0, object(), [], _Fileno("0"), _Fileno(None), _Fileno(1.5)],
    ids=name_of,
)
def test_what_is_neither_a_number_nor_a_file_is_a_type_error(poller: Poller, file: object) -> None:
    with pytest.raises(TypeError):
        poller.open(file)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        netpoll.open(file)  # type: ignore[arg-type]


def test_an_exception_of_fileno_comes_through(poller: Poller) -> None:
    with pytest.raises(ZeroDivisionError):
        poller.open(_Fileno(ZeroDivisionError()))  # type: ignore[arg-type]


def test_an_object_with_fileno_is_a_descriptor(poller: Poller, sockets: Sockets) -> None:
    a, _ = sockets.pair()
    with poller.open(_Fileno(a.fileno())) as desc:  # type: ignore[arg-type]
        assert desc.fd == desc.fileno() == a.fileno()
    if not WINDOWS:  # where a socket is no file
        with open(a.fileno(), "rb", buffering=0, closefd=False) as file, poller.open(file) as desc:
            assert desc.fd == a.fileno()


@needs_linux
def test_a_regular_file_is_not_pollable(poller: Poller, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("text")
    with path.open() as file:
        with pytest.raises(NotPollableError, match=str(file.fileno())) as caught:
            poller.open(file)
        assert isinstance(caught.value, PollError) and isinstance(caught.value, OSError)
    assert poller.stats().open == 0


@needs_linux
@pytest.mark.parametrize("path", ["/", "/dev/null", "/proc/self/cmdline"])
def test_other_kinds_that_the_kernel_cannot_poll(poller: Poller, path: str) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        with pytest.raises(NotPollableError, match=str(fd)):
            poller.open(fd)
    finally:
        os.close(fd)


def test_the_same_descriptor_twice_is_refused_and_the_first_works_on(
    poller: Poller, sockets: Sockets
) -> None:
    a, b = sockets.pair()
    with poller.open(a) as desc:
        for _ in range(3):
            with pytest.raises(FileExistsError, match=str(a.fileno())):
                poller.open(a)
        assert poller.stats().open == 1
        desc.park(READ, "token")
        b.send(b"x")
        assert take_tokens(poller, 1) == ["token"]
    with poller.open(a):
        pass


def test_two_numbers_of_one_socket_are_two_descriptors(poller: Poller, sockets: Sockets) -> None:
    a, b = sockets.pair()
    duplicate = sockets.keep(a.dup())
    with poller.open(a) as one, poller.open(duplicate) as two:
        one.park(READ, 1)
        two.park(READ, 2)
        b.send(b"x")
        assert sorted(take_tokens(poller, 2)) == [1, 2]


def test_one_descriptor_on_two_pollers(backend: str, sockets: Sockets) -> None:
    a, b = sockets.pair()
    with (
        Poller(backend) as one,
        Poller(backend) as two,
        one.open(a) as first,
        two.open(a) as second,
    ):
        first.park(READ, 1)
        second.park(READ, 2)
        b.send(b"x")
        assert take_tokens(one, 1) == [1]
        assert take_tokens(two, 1) == [2]


# --- modes ----------------------------------------------------------------------------------------

ONE_MODE: dict[str, Callable[[PollDesc, int], object]] = {
    "wait": lambda desc, mode: desc.wait(mode),
    "wait_canceled": lambda desc, mode: desc.wait_canceled(mode),
    "reset": lambda desc, mode: desc.reset(mode),
    "park": lambda desc, mode: desc.park(mode, "token"),
    "resume": lambda desc, mode: desc.resume(mode),
    "cancel": lambda desc, mode: desc.cancel(mode),
    "deadline": lambda desc, mode: desc.deadline(mode),
}


@pytest.mark.parametrize("call", ONE_MODE)
@pytest.mark.parametrize("bad", [0, 3, 4, -1, 1 << 32, (1 << 32) + 1, 1 << 64, 10**30])
def test_a_call_about_one_mode_takes_read_or_write(
    poller: Poller, sockets: Sockets, call: str, bad: int
) -> None:
    a, _ = sockets.pair()
    with poller.open(a) as desc, pytest.raises(ValueError, match=str(a.fileno())):
        ONE_MODE[call](desc, bad)


@pytest.mark.parametrize("call", ONE_MODE)
@pytest.mark.parametrize("bad", ["r", None, 1.0, [1]])
def test_a_mode_that_is_no_number_is_refused(
    poller: Poller, sockets: Sockets, call: str, bad: object
) -> None:
    a, _ = sockets.pair()
    with poller.open(a) as desc, pytest.raises((TypeError, ValueError)):
        ONE_MODE[call](desc, bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [0, 4, 5, -1, 1 << 32, 10**30])
def test_set_deadline_takes_read_write_or_both(poller: Poller, sockets: Sockets, bad: int) -> None:
    a, _ = sockets.pair()
    with poller.open(a) as desc:
        for good in (READ, WRITE, READ | WRITE):
            desc.set_deadline(10, good)
        with pytest.raises(ValueError, match=str(a.fileno())):
            desc.set_deadline(20, bad)
        left = desc.deadline(READ)
        assert left is not None and left <= 10


@pytest.mark.parametrize("bad", ["1", b"1", [], object(), 1j])
def test_a_deadline_that_is_no_number_is_a_type_error(
    poller: Poller, sockets: Sockets, bad: object
) -> None:
    a, _ = sockets.pair()
    with poller.open(a) as desc:
        with pytest.raises(TypeError):
            desc.set_deadline(bad)  # type: ignore[arg-type]
        assert desc.deadline(READ) is None


# --- pollers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "nope", "EPOLL", "epoll\0", "select", "é", "x" * 10_000])
def test_an_unknown_backend_is_refused_with_the_usable_names(name: str) -> None:
    with pytest.raises(ValueError) as caught:
        Poller(name)
    assert all(usable in str(caught.value) for usable in netpoll.backends())


@pytest.mark.parametrize("name", ["epoll", "kqueue", "iocp", "poll"])
def test_a_backend_of_another_system_is_refused_with_the_usable_names(name: str) -> None:
    if name in netpoll.backends():
        with Poller(name) as poller:
            assert poller.backend == name
        return
    with pytest.raises(ValueError) as caught:
        Poller(name)
    assert all(usable in str(caught.value) for usable in netpoll.backends())


@pytest.mark.parametrize("name", [1, b"epoll", []])
def test_a_backend_that_is_no_text_is_a_type_error(name: object) -> None:
    with pytest.raises(TypeError):
        Poller(name)  # type: ignore[arg-type]


def test_the_environment_names_the_default_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in netpoll.backends():
        monkeypatch.setenv("NETPOLL_BACKEND", name)
        with Poller() as poller:
            assert poller.backend == name
    monkeypatch.setenv("NETPOLL_BACKEND", "nope")
    with pytest.raises(ValueError, match=netpoll.backends()[0]):
        Poller()
    with Poller(netpoll.backends()[-1]) as poller:
        assert poller.backend == netpoll.backends()[-1]
    monkeypatch.delenv("NETPOLL_BACKEND")
    with Poller() as poller:
        assert poller.backend == netpoll.backends()[0]


def test_poll_refuses_what_is_no_time(poller: Poller) -> None:
    with pytest.raises(ValueError):
        poller.poll(math.nan)
    for bad in ("1", [], object()):
        with pytest.raises(TypeError):
            poller.poll(bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("timeout", [math.inf, 1e300, 10**30, 2**63, 10**400])
def test_poll_takes_any_large_timeout(poller: Poller, timeout: float) -> None:
    poller.wake()
    assert poller.poll(timeout) == []


@pytest.mark.parametrize("fd", [-1, 1 << 31, 10**30])
def test_is_poll_descriptor_of_nonsense_is_false(poller: Poller, fd: int) -> None:
    try:
        assert poller.is_poll_descriptor(fd) is False
        assert netpoll.is_poll_descriptor(fd) is False
    except OSError as error:
        assert error.errno == errno.EBADF


# --- objects that were never made properly --------------------------------------------------------


def test_half_made_objects_raise_and_do_not_crash(backend: str) -> None:
    """In a process of its own, because what it guards against is a crash."""
    script = """
        import copy, pickle
        import netpoll
        from netpoll import Poller, PollDesc, READ

        def poke(thing):
            for name in dir(thing):
                if name.startswith("_") and name not in ("__enter__", "__repr__", "__init__"):
                    continue
                try:
                    member = getattr(thing, name)
                    for arguments in ((), (READ,), (READ, "token"), (0,), (None,)):
                        if callable(member) and (name, arguments) != ("poll", (None,)):
                            try:
                                member(*arguments)
                            except Exception:
                                pass
                except Exception:
                    pass
            try:
                thing.__exit__(None, None, None)
            except Exception:
                pass

        class NoInit(Poller):
            def __init__(self):
                pass

        class NoDescInit(PollDesc):
            def __init__(self, *args):
                pass

        for make in (
            lambda: Poller.__new__(Poller), NoInit, lambda: PollDesc.__new__(PollDesc), PollDesc,
            NoDescInit, lambda: PollDesc(3), lambda: PollDesc(None),
            lambda: PollDesc(Poller.__new__(Poller), 0),
        ):
            try:
                thing = make()
            except Exception:
                continue
            poke(thing)
        poller = Poller()
        for duplicate in (copy.copy, copy.deepcopy, pickle.dumps):
            try:
                poke(duplicate(poller))
            except Exception:
                pass
        for _ in range(3):  # made again on top of itself
            try:
                poller.__init__()
            except Exception:
                pass
        poller.close()
        print("alive")
    """
    assert check_python(script, backend=backend).endswith("alive\n")


def test_errors_are_made_like_any_os_error() -> None:
    for kind, number in (
        (netpoll.ClosedError, errno.EBADF),
        (netpoll.DeadlineExceeded, errno.ETIMEDOUT),
    ):
        error = kind(number, "text")
        assert error.errno == number and isinstance(error, PollError)
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is kind and again.errno == number
    assert issubclass(netpoll.DeadlineExceeded, TimeoutError)
    assert issubclass(netpoll.NotPollableError, PollError)
    assert issubclass(BusyError, RuntimeError) and not issubclass(BusyError, OSError)
