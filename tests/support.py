"""What the tests share: bounded waits, actors that are threads or greenlets, sockets, subprocesses.

A test that takes the fixture `stage` is a scenario.  It runs once with its actors as threads and
once as greenlets, on every backend, and speaks to both through one class, `Stage`; under greenlets
the whole test function runs inside a hub of its own.  Nothing here waits without a bound: a
scenario that loses a wake-up fails with a message, it does not hang.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import random
import re
import socket
import subprocess
import sys
import textwrap
import threading
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import pytest
from netpoll import READ, WRITE, BusyError, DeadlineExceeded, PollDesc, Poller

T = TypeVar("T")

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent

#: A bound on failures: nothing in a healthy run takes this long, on the slowest machine.
LONG = 15.0
#: How long a scenario looks at something that must not happen.
PAUSE = 0.05
#: A whole scenario; the watchdog in conftest.py is slower than this.
SCENARIO_LIMIT = 45.0

WINDOWS = sys.platform == "win32"
if sys.platform == "win32":
    import ctypes

    WINE = hasattr(ctypes.windll.ntdll, "wine_get_version")
else:
    WINE = False


def turns(count: int) -> int:
    """How often to do it: less often under Wine, where each call on a socket asks its server."""
    return count // 5 if WINE else count


#: Backends that are asked each time, and say ready as long as it lasts: poll(2), AFD polls.
LEVEL_TRIGGERED = {"poll", "iocp"}

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
needs_sigint = pytest.mark.skipif(WINDOWS, reason="os.kill(pid, SIGINT) is POSIX")
needs_fileno = pytest.mark.needs_fileno  # see NO_FILENO
needs_fifo = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no FIFOs")
needs_pipe = pytest.mark.skipif(WINDOWS, reason="pipes are pollable on POSIX only")
needs_fd_list = pytest.mark.skipif(WINDOWS, reason="the system cannot list descriptors")
needs_rlimit = pytest.mark.skipif(WINDOWS, reason="resource limits are POSIX")
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="a fact about the Linux kernel")
needs_unix_sockets = pytest.mark.skipif(
    not hasattr(socket, "AF_UNIX"), reason="the system has no Unix sockets"
)

#: The backends whose pollers have no descriptor here.
NO_FILENO = {"iocp", "kqueue"} if sys.platform == "linux" else {"iocp", "poll"}


def name_of(value: object) -> str:
    """Its repr without an address: a test has the same name in every process that collects it."""
    return re.sub(" at 0x[0-9a-fA-F]+", "", repr(value))


def not_on(backend: str, reason: str) -> pytest.MarkDecorator:
    """The test is left out for one backend."""
    return pytest.mark.not_on(backend, reason)


def not_on_libkqueue(what: str) -> pytest.MarkDecorator:
    """Left out for kqueue on Linux, for what tests/kqueue/limits.c shows of the library."""
    return not_on("kqueue" if sys.platform == "linux" else "libkqueue", f"libkqueue {what}")


#: The kernel's word for an error is the end of the file, with a reason, as in Go.
no_error_events = not_on("kqueue", "kqueue has no event that is an error and nothing else")

try:
    import greenlet  # noqa: F401

    HAS_GREENLET = True
except ImportError:
    HAS_GREENLET = False

needs_greenlet = pytest.mark.skipif(not HAS_GREENLET, reason="greenlet is not installed")
needs_counts = pytest.mark.skipif(
    sys.implementation.name == "pypy", reason="PyPy counts no references"
)


def now_ns() -> int:
    """The clock of deadlines: none of them may fire before it says so."""
    return time.monotonic_ns()


def until(
    condition: Callable[[], object],
    what: str,
    limit: float = LONG,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until something holds, or fail."""
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"not within {limit} s: {what}")
        sleep(0.001)


# --- actors ---------------------------------------------------------------------------------------


class Task(ABC, Generic[T]):
    """One actor of a scenario and what became of it."""

    def __init__(self, name: str, function: Callable[..., T], args: tuple[Any, ...]) -> None:
        self.name = name
        self.done = False
        self._function = function
        self._args = args
        self._value: T
        self._error: BaseException | None = None

    def _run(self) -> None:
        try:
            self._value = self._function(*self._args)
        except BaseException as error:
            self._error = error
        finally:
            self.done = True
            del self._function, self._args

    @abstractmethod
    def join(self, timeout: float) -> None:
        """Wait until the actor is done or the timeout is over."""

    @abstractmethod
    def where(self) -> str:
        """The stack of an actor that is not done, for messages."""

    def result(self, timeout: float = LONG) -> T:
        """The actor's result, or the exception that ended it."""
        self.join(timeout)
        if not self.done:
            pytest.fail(f"{self.name} is still blocked after {timeout} s\n{self.where()}")
        if self._error is not None:
            raise self._error
        return self._value

    def raises(self, kind: type[BaseException], timeout: float = LONG) -> BaseException:
        """Assert that an exception of exactly this class ended the actor; give the exception."""
        self.join(timeout)
        if not self.done:
            pytest.fail(f"{self.name} is still blocked after {timeout} s\n{self.where()}")
        assert self._error is not None, f"{self.name} returned {self._value!r}, not {kind.__name__}"
        if type(self._error) is not kind:
            raise self._error
        return self._error


#: The adapters that are tested patch it for the process; in a hub that one would park.
_join = threading.Thread.join


class ThreadTask(Task[T]):
    def __init__(
        self,
        name: str,
        function: Callable[..., T],
        args: tuple[Any, ...],
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        """`sleep` is for a joiner that must not block its whole thread."""
        super().__init__(name, function, args)
        self._sleep = sleep
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def join(self, timeout: float) -> None:
        if self._sleep is None:
            _join(self._thread, timeout)
            return
        limit = time.monotonic() + timeout
        while self._thread.is_alive() and time.monotonic() < limit:
            self._sleep(0.001)

    def where(self) -> str:
        frame = sys._current_frames().get(self._thread.ident or 0)
        return "".join(traceback.format_stack(frame)) if frame else "(no stack)"


class GreenTask(Task[T]):
    def __init__(self, name: str, function: Callable[..., T], args: tuple[Any, ...]) -> None:
        from netpoll import green

        super().__init__(name, function, args)
        self.greenlet = green.spawn(self._run)

    def join(self, timeout: float) -> None:
        self.greenlet.join(timeout)

    def where(self) -> str:
        return "".join(traceback.format_stack(self.greenlet.gr_frame))


class Stage(ABC):
    """A backend, a kind of actor, and the poller that a scenario plays on."""

    kind: ClassVar[str]

    def __init__(self, backend: str) -> None:
        self.backend = backend
        self._tasks: list[Task[Any]] = []
        self._descs: list[PollDesc] = []
        self._pollers: list[Poller] = []

    @property
    @abstractmethod
    def poller(self) -> Poller:
        """The poller of the scenario; under greenlets the hub's."""

    @property
    def edge_triggered(self) -> bool:
        """False where a wait without new data may return at once."""
        return self.backend not in LEVEL_TRIGGERED

    @abstractmethod
    def perform(self, body: Callable[[], object]) -> None:
        """Run the test function on this stage."""

    @abstractmethod
    def sleep(self, seconds: float) -> None: ...

    @abstractmethod
    def spawn(self, function: Callable[..., T], *args: Any) -> Task[T]:
        """Start an actor: a thread or a greenlet."""

    @abstractmethod
    def thread(self, function: Callable[..., T], *args: Any) -> Task[T]:
        """Start an actor that is an OS thread without a hub, whatever the others are."""

    @abstractmethod
    def settle(self) -> None:
        """Have the poller collect what the kernel knows by now."""

    def open(self, file: Any, poller: Poller | None = None) -> PollDesc:
        """Open on the scenario's poller; closed when the scenario ends."""
        desc = (poller or self.poller).open(file)
        self._descs.append(desc)
        return desc

    def new_poller(self, backend: str | None = None) -> Poller:
        """One more poller, which nobody drives; closed when the scenario ends."""
        poller = Poller(backend or self.backend)
        self._pollers.append(poller)
        return poller

    def wait(self, desc: PollDesc, mode: int) -> None:
        """`desc.wait(mode)` in an actor of its own, so that it is bounded."""
        self.spawn(desc.wait, mode).result()

    def until(self, condition: Callable[[], object], what: str, limit: float = LONG) -> None:
        until(condition, what, limit, self.sleep)

    def until_parked(
        self, readers: int = 0, writers: int = 0, poller: Poller | None = None
    ) -> None:
        """Until exactly so many waiters are parked: whatever comes now must wake them."""
        poller = poller or self.poller

        def parked() -> bool:
            stats = poller.stats()
            return stats.parked_readers == readers and stats.parked_writers == writers

        self.until(parked, f"{readers} readers and {writers} writers parked; {poller.stats()}")

    def stays_blocked(self, *tasks: Task[Any], seconds: float = PAUSE) -> None:
        """Assert that nothing wakes these actors for a while."""
        self.sleep(seconds)
        for task in tasks:
            if task.done:
                with contextlib.suppress(Exception):
                    task.result()
                pytest.fail(f"{task.name} went on: {task._error!r}")

    def _tidy(self) -> None:
        for desc in self._descs:
            desc.close()
        for poller in self._pollers:
            poller.close()
        for task in self._tasks:
            task.join(LONG)
        stuck = [f"{task.name}\n{task.where()}" for task in self._tasks if not task.done]
        self._tasks.clear()
        self._descs.clear()
        self._pollers.clear()
        if stuck:
            pytest.fail("left behind by the scenario: " + "\n".join(stuck))


class ThreadStage(Stage):
    kind = "threads"
    _poller: Poller | None = None

    @property
    def poller(self) -> Poller:
        if self._poller is None:
            self._poller = self.new_poller()
        return self._poller

    def perform(self, body: Callable[[], object]) -> None:
        try:
            body()
        finally:
            self._tidy()
            self._poller = None

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def spawn(self, function: Callable[..., T], *args: Any) -> Task[T]:
        task = ThreadTask(f"thread {len(self._tasks)}", function, args)
        self._tasks.append(task)
        return task

    thread = spawn

    def settle(self) -> None:
        for _ in range(3):
            assert self.poller.poll(0) == []


class GreenStage(Stage):
    kind = "greenlets"

    @property
    def poller(self) -> Poller:
        from netpoll import green

        return green.get_hub().poller

    def perform(self, body: Callable[[], object]) -> None:
        """In a thread of its own: a fresh hub for each test, gone with its thread."""
        error: list[BaseException] = []

        def in_hub() -> None:
            try:
                assert self.poller.backend == self.backend
                try:
                    body()
                finally:
                    self._tidy()
            except BaseException as caught:
                error.append(caught)

        def in_thread() -> None:
            from netpoll import green

            green.run(in_hub)

        task = ThreadTask("the hub's thread", in_thread, ())
        task.result(SCENARIO_LIMIT)
        if error:
            raise error.pop()

    def sleep(self, seconds: float) -> None:
        from netpoll import green

        green.sleep(seconds)

    def spawn(self, function: Callable[..., T], *args: Any) -> Task[T]:
        task = GreenTask(f"greenlet {len(self._tasks)}", function, args)
        self._tasks.append(task)
        return task

    def thread(self, function: Callable[..., T], *args: Any) -> Task[T]:
        task = ThreadTask(f"thread {len(self._tasks)}", function, args, self.sleep)
        self._tasks.append(task)
        return task

    def settle(self) -> None:
        for _ in range(3):
            self.sleep(0.002)


# --- I/O in the shape of rule 1: reset, try, wait, try again --------------------------------------


if WINDOWS:
    # A socket's number is a handle there, which os.read does not know.

    @contextlib.contextmanager
    def _borrowed(fd: int) -> Iterator[socket.socket]:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fd)  # it need not be true
        try:
            yield sock
        finally:
            sock.detach()

    def read_fd(fd: int, size: int) -> bytes:
        with _borrowed(fd) as sock:
            return sock.recv(size)

    def write_fd(fd: int, data: bytes) -> int:
        with _borrowed(fd) as sock:
            return sock.send(data)

else:
    read_fd, write_fd = os.read, os.write


def read_some(desc: PollDesc, size: int = 65536) -> bytes:
    """What a blocking read would give: b"" at the end of the file."""
    while True:
        desc.reset(READ)
        try:
            return read_fd(desc.fd, size)
        except BlockingIOError:
            desc.wait(READ)


def read_exactly(desc: PollDesc, size: int) -> bytes:
    parts = []
    while size:
        part = read_some(desc, size)
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def write_some(desc: PollDesc, data: bytes) -> int:
    while True:
        desc.reset(WRITE)
        try:
            return write_fd(desc.fd, data)
        except BlockingIOError:
            desc.wait(WRITE)


def write_all(desc: PollDesc, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[write_some(desc, bytes(view[:65536])) :]


def accept(desc: PollDesc, listener: socket.socket) -> socket.socket:
    while True:
        desc.reset(READ)
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            desc.wait(READ)
        else:
            connection.setblocking(False)
            return connection


def fill(fd: int) -> int:
    """Write until it would block; the number of bytes."""
    total = 0
    for chunk in (b"f" * 65536, b"f"):
        with contextlib.suppress(BlockingIOError):
            while True:
                total += write_fd(fd, chunk)
    return total


def drain(fd: int) -> int:
    """Read until it would block; the number of bytes."""
    total = 0
    with contextlib.suppress(BlockingIOError):
        while chunk := read_fd(fd, 1 << 20):
            total += len(chunk)
    return total


def waits(name: str) -> int:
    """How many threads and tokens of the process wait so at a semaphore, or for a timer."""
    from netpoll._inspect import dump

    places = [dump.waits(None), *(dump.waits(p) for p in dump.pollers())]
    return sum(
        dump.name_of(views[i]) == name for views, n in filter(None, places) for i in range(n)
    )


class Sockets:
    """A factory of non-blocking sockets and pipes that are closed when the test ends."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self.all: list[socket.socket] = []

    def close(self) -> None:
        self._stack.close()

    def keep(self, sock: socket.socket) -> socket.socket:
        sock.setblocking(False)
        if WINDOWS and sock.type == socket.SOCK_STREAM:  # all are TCP; it may hold megabytes
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        self.all.append(sock)
        return self._stack.enter_context(sock)

    def keep_fd(self, fd: int) -> int:
        if not WINDOWS:  # where no poller has it
            os.set_blocking(fd, False)
        self._stack.callback(close_quietly, fd)
        return fd

    def pair(self) -> tuple[socket.socket, socket.socket]:
        a, b = socket.socketpair()
        return self.keep(a), self.keep(b)

    def pipe(self) -> tuple[int, int]:
        """(read end, write end)"""
        r, w = os.pipe()
        return self.keep_fd(r), self.keep_fd(w)

    def listener(self, backlog: int = 128) -> socket.socket:
        sock = self.keep(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        sock.bind(("127.0.0.1", 0))
        sock.listen(backlog)
        return sock

    def tcp(self) -> tuple[socket.socket, socket.socket]:
        """(client, server) of one connection."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = socket.create_connection(listener.getsockname(), timeout=LONG)
            server, _ = listener.accept()
        return self.keep(client), self.keep(server)

    def udp(self) -> socket.socket:
        sock = self.keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        sock.bind(("127.0.0.1", 0))
        return sock


def blocked(
    open_: Callable[[Any], PollDesc], sockets: Sockets, mode: int
) -> tuple[PollDesc, Callable[[], object]]:
    """A descriptor that is not ready for the mode, and the function that makes it so."""
    a, b = sockets.pair()
    if mode == WRITE:
        fill(a.fileno())
        return open_(a), partial(drain, b.fileno())
    return open_(a), partial(b.send, b"x")


def contend(stage: Stage, desc: PollDesc, seconds: float, deadlines: list[float]) -> None:
    """Six users of a descriptor that is never ready, threads and greenlets, each at random: one
    waits, the others are busy; none may be lost.

    Sleeping also makes a hub for a thread that has none, where the others are greenlets.
    """
    end = time.monotonic() + seconds

    def use(me: int) -> int:
        chance, waits = random.Random(me), 0
        while time.monotonic() < end:
            mode = chance.choice([READ, WRITE])
            desc.set_deadline(chance.choice(deadlines), mode)
            try:
                desc.wait(mode)
            except DeadlineExceeded:
                waits += 1
            except BusyError:
                stage.sleep(0)
        return waits

    users = [(stage.thread if i % 2 else stage.spawn)(use, i) for i in range(6)]
    assert sum(user.result() for user in users) > 0
    stage.until_parked(0, 0)
    desc.close()


class ClosedMeanwhile(Poller):
    """Another thread closes it while somebody begins to watch it: before it knows, or after."""

    before = False

    def add_watcher(self, watcher: Any) -> None:
        closing = threading.Thread(target=self.close)
        if self.before:
            closing.start()
            closing.join()
        super().add_watcher(watcher)
        if not self.before:
            closing.start()
            closing.join()


def close_quietly(fd: int) -> None:
    try:
        os.close(fd)
    except OSError as error:
        if error.errno != errno.EBADF:
            raise


def open_fds() -> set[int]:
    """The descriptors of this process; where that cannot be listed, the empty set."""
    if WINDOWS:  # under Wine there is such a folder: the host's
        return set()
    try:
        listed = {int(name) for name in os.listdir("/proc/self/fd")}
    except OSError:
        return set()
    return {fd for fd in listed if _is_open(fd)}


def _is_open(fd: int) -> bool:
    """False for the one that listed the others."""
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def park_surely(desc: PollDesc, mode: int, token: object) -> None:
    """Park on a mode that is not ready; a notification left from before is used up first."""
    for _ in range(100):
        if desc.park(mode, token):
            return
    pytest.fail(f"{desc!r} is always ready")


def take_tokens(poller: Poller, count: int, limit: float = LONG) -> list[Any]:
    """Poll until so many tokens came out."""
    tokens: list[Any] = []
    end = time.monotonic() + limit
    while len(tokens) < count:
        if time.monotonic() > end:
            pytest.fail(f"{len(tokens)} of {count} tokens within {limit} s: {tokens[:20]!r}")
        tokens += poller.poll(0.1)
    return tokens


def no_tokens(poller: Poller, seconds: float = PAUSE) -> None:
    """Assert that nothing comes out for a while."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        assert poller.poll(left) == []


@contextlib.contextmanager
def never_early(seconds: float) -> Iterator[None]:
    """Assert that the block takes at least so long, to the nanosecond that a float can tell."""
    start = now_ns()
    yield
    took = now_ns() - start
    slack = math.ulp(seconds) * 1e9 + 1
    assert took >= seconds * 1e9 - slack, f"{took} ns, expected at least {seconds} s"


# --- subprocesses ---------------------------------------------------------------------------------

PRELUDE = "import faulthandler; faulthandler.dump_traceback_later({limit}, exit=True)\n"


def python(
    script: str,
    *args: str,
    backend: str | None = None,
    limit: float = 30,
    options: tuple[str, ...] = (),
) -> subprocess.CompletedProcess[str]:
    """Run a script in a fresh interpreter that dumps its stacks and exits if it hangs."""
    places = [str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(places), PYTHONFAULTHANDLER="1")
    if backend is not None:
        env["NETPOLL_BACKEND"] = backend
    source = PRELUDE.format(limit=limit) + textwrap.dedent(script)
    # From 3.12 on a fork beside threads warns; here it is the point.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", *options, "-c", source, *args]
    return subprocess.run(
        command, env=env, check=False, capture_output=True, text=True, timeout=limit + 15
    )


def check_python(script: str, *args: str, backend: str | None = None, limit: float = 30) -> str:
    """Run a script that must end well and say nothing on stderr; give what it printed."""
    done = python(script, *args, backend=backend, limit=limit)
    assert (done.returncode, done.stderr) == (0, ""), (
        f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    )
    return done.stdout
