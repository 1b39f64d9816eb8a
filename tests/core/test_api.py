"""The names, types and texts of the public interface."""

from __future__ import annotations

import dataclasses
import inspect
import os
import re
import selectors
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Any

import netpoll
import pytest
from netpoll import READ, WRITE, PollDesc, Poller, sync
from support import Sockets, Stage, ThreadTask, check_python, not_on_libkqueue, open_fds

PUBLIC = {
    "READ", "WRITE", "open", "default_poller", "backends", "is_poll_descriptor", "Poller",
    "PollDesc",
    "PollError", "ClosedError", "DeadlineExceeded", "NotPollableError", "BusyError", "__version__",
}  # fmt: skip
POLLER = [
    "open",
    "poll",
    "wake",
    "fileno",
    "next_deadline",
    "is_poll_descriptor",
    "backend",
    "stats",
    "close",
]
POLL_DESC = [
    "fd",
    "fileno",
    "poller",
    "closed",
    "reset",
    "wait",
    "wait_canceled",
    "set_deadline",
    "deadline",
    "unblock",
    "close",
    "park",
    "resume",
    "cancel",
]


def test_the_public_names_are_there() -> None:
    assert set(netpoll.__all__) >= PUBLIC - {"__version__"}
    assert all(hasattr(netpoll, name) for name in {*PUBLIC, *netpoll.__all__})
    assert all(hasattr(Poller, name) for name in POLLER)
    assert all(hasattr(PollDesc, name) for name in POLL_DESC)


def test_the_modes_are_those_of_selectors() -> None:
    assert (READ, WRITE) == (1, 2) == (selectors.EVENT_READ, selectors.EVENT_WRITE)
    assert type(READ) is type(WRITE) is int


def test_the_version_is_the_one_that_is_installed() -> None:
    assert netpoll.__version__ == version("netpoll")
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", netpoll.__version__)


def test_everything_public_is_documented() -> None:
    things = [getattr(netpoll, name) for name in PUBLIC - {"READ", "WRITE", "__version__"}]
    things += [getattr(Poller, name) for name in POLLER] + [
        getattr(PollDesc, name) for name in POLL_DESC
    ]
    undocumented = [thing for thing in things if len(inspect.getdoc(thing) or "") < 20]
    assert undocumented == []
    assert netpoll.__doc__


def test_the_greenlet_module_is_documented() -> None:
    pytest.importorskip("greenlet")
    from netpoll import green

    for name in ("spawn", "run", "sleep", "get_hub", "Greenlet"):
        assert len(inspect.getdoc(getattr(green, name)) or "") >= 20, name


def callables_of(module: Any) -> Iterator[Any]:
    """The public functions and classes of a module, but for exceptions, and the classes' methods.

    What is inherited from elsewhere is not ours to describe.
    """
    for thing in (getattr(module, name) for name in module.__all__):
        if not isinstance(thing, type):
            yield from [thing] if callable(thing) else []
        elif not issubclass(thing, BaseException):
            yield thing
            for kind in (kind for kind in thing.__mro__ if kind.__module__.startswith("netpoll")):
                names = (name for name in vars(kind) if not name.startswith("_"))
                yield from filter(callable, (getattr(thing, name) for name in names))


def test_everything_tells_its_signature() -> None:
    pytest.importorskip("greenlet")
    from netpoll import green

    silent = []
    for thing in {*callables_of(netpoll), *callables_of(green), *callables_of(sync)}:
        try:
            inspect.signature(thing)
        except ValueError:
            silent.append(thing)
    assert silent == [green.Greenlet]  # greenlet's own; `spawn` makes them


def test_the_package_is_typed() -> None:
    assert resources.files("netpoll").joinpath("py.typed").is_file()


def test_importing_the_package_needs_no_greenlet() -> None:
    script = """
        import sys
        sys.modules["greenlet"] = None
        import netpoll, socket
        a, b = socket.socketpair()
        with netpoll.open(a) as desc:
            desc.wait(netpoll.WRITE)
        try:
            import netpoll.green
        except ImportError as error:
            print(error)
    """
    assert "greenlet" in check_python(script)


def test_without_the_extension_the_error_says_so(tmp_path: Path) -> None:
    """A zip file holds modules in Python only."""
    archive = tmp_path / "app.zip"
    package = Path(netpoll.__file__).parent
    with zipfile.ZipFile(archive, "w") as zipped:
        for path in package.glob("*.py"):
            zipped.write(path, f"netpoll/{path.name}")
    done = subprocess.run(
        [sys.executable, "-S", "-c", "import netpoll"],
        env=dict(os.environ, PYTHONPATH=str(archive)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "ModuleNotFoundError: netpoll's extension module is not here: a zip file" in done.stderr


def test_backends_are_named_best_first() -> None:
    names = netpoll.backends()
    assert isinstance(names, tuple) and names
    assert set(names) <= {"epoll", "kqueue", "iocp", "poll"}
    assert "poll" not in names[:-1]
    for name in names:
        with Poller(name) as poller:
            assert poller.backend == name


def test_there_is_one_default_poller_for_the_process(sockets: Sockets) -> None:
    poller = netpoll.default_poller()

    def in_a_thread_without_a_hub() -> None:
        assert netpoll.default_poller() is poller
        with netpoll.open(sockets.pair()[0]) as desc:
            assert desc.poller is poller

    ThreadTask("another thread", in_a_thread_without_a_hub, ()).result()


def test_a_closed_default_poller_is_replaced_or_refuses() -> None:
    script = """
        import netpoll, socket
        a, b = socket.socketpair()
        netpoll.default_poller().close()
        try:
            netpoll.open(a).close()
        except netpoll.ClosedError:
            pass
        print("ok")
    """
    assert check_python(script) == "ok\n"


def test_the_default_poller_is_made_once_by_racing_threads() -> None:
    script = """
        import threading
        import netpoll
        barrier, found = threading.Barrier(8), []
        def find():
            barrier.wait()
            found.append(netpoll.default_poller())
        threads = [threading.Thread(target=find) for _ in range(8)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        print(len(set(map(id, found))), len(found))
    """
    assert check_python(script) == "1 8\n"


def test_the_default_poller_follows_the_environment(backend: str) -> None:
    script = "import netpoll; print(netpoll.default_poller().backend)"
    assert check_python(script, backend=backend) == backend + "\n"


def test_a_hub_has_a_poller_of_its_own(greenlets: Stage, sockets: Sockets) -> None:
    from netpoll import green

    desc = netpoll.open(sockets.pair()[0])
    assert desc.poller is green.get_hub().poller
    assert desc.poller is not greenlets.thread(netpoll.default_poller).result()
    desc.close()


@not_on_libkqueue("has descriptors of its own")
def test_is_poll_descriptor_knows_what_pollers_are_made_of(backend: str, sockets: Sockets) -> None:
    a, _ = sockets.pair()
    before = open_fds()
    with Poller(backend) as poller:
        try:
            mine = {poller.fileno()} | (open_fds() - before)
        except NotImplementedError:
            mine = open_fds() - before
        for fd in mine:
            assert poller.is_poll_descriptor(fd) is True
            assert netpoll.is_poll_descriptor(fd) is True
        with Poller(backend) as other:
            assert not any(other.is_poll_descriptor(fd) for fd in mine)
        for fd in (0, a.fileno()):
            assert poller.is_poll_descriptor(fd) is False
            assert netpoll.is_poll_descriptor(fd) is False
    assert not any(netpoll.is_poll_descriptor(fd) for fd in mine)


@pytest.mark.parametrize("fd", [-1, (1 << 31) - 1, 1 << 31, -(1 << 31) - 1, 1 << 64])
def test_a_number_that_is_no_descriptor_is_no_poll_descriptor(poller: Poller, fd: int) -> None:
    assert poller.is_poll_descriptor(fd) is False
    assert netpoll.is_poll_descriptor(fd) is False


def test_stats_is_a_small_frozen_dataclass(poller: Poller) -> None:
    stats = poller.stats()
    assert dataclasses.is_dataclass(stats)
    fields = [field.name for field in dataclasses.fields(stats)]
    assert len(fields) == 10
    assert all(type(getattr(stats, name)) is int for name in fields)
    with pytest.raises(dataclasses.FrozenInstanceError):
        stats.open = 3  # type: ignore[misc]
    assert stats == poller.stats()


def test_repr_of_a_descriptor_shows_number_state_and_deadlines(
    poller: Poller, sockets: Sockets
) -> None:
    a, _ = sockets.pair()
    desc = poller.open(a)
    assert str(a.fileno()) in repr(desc)
    plain = repr(desc)
    desc.set_deadline(100, READ)
    with_deadline = repr(desc)
    assert with_deadline != plain and re.search(r"9\d|100", with_deadline)
    desc.park(READ, "token")
    parked = repr(desc)
    assert parked != with_deadline
    desc.close()
    assert "closed" in repr(desc)
    poller.poll(0)


def test_repr_of_a_poller_shows_its_backend(backend: str) -> None:
    with Poller(backend) as poller:
        assert backend in repr(poller)
        opened = repr(poller)
    assert repr(poller) != opened and "closed" in repr(poller)


def test_arguments_have_the_documented_names(poller: Poller, sockets: Sockets) -> None:
    a, b = sockets.pair()
    with poller.open(fd=a) as desc:
        desc.set_deadline(timeout=100, mode=READ)
        desc.reset(mode=READ)
        assert desc.park(mode=READ, token="token")
        assert desc.resume(mode=READ) is False
        assert desc.cancel(mode=READ)
        assert desc.deadline(mode=READ)
        b.send(b"x")
        desc.wait(mode=READ)
        b.send(b"x")
        desc.wait_canceled(mode=READ)
        assert poller.poll(timeout=0) == []
        assert not poller.is_poll_descriptor(fd=0)


def test_backend_may_be_named_by_keyword(backend: str) -> None:
    Poller(backend=backend).close()


def test_a_subclass_may_add_to_a_poller(backend: str, sockets: Sockets) -> None:
    class Counting(Poller):
        opened = 0

        def open(self, fd: object) -> PollDesc:
            self.opened += 1
            return super().open(fd)  # type: ignore[arg-type]

    with Counting(backend) as poller:
        with poller.open(sockets.pair()[0]) as desc:
            assert desc.poller is poller
        assert poller.opened == 1
