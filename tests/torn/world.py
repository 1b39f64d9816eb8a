"""What a scenario plays with, and what must be whole after it was struck."""

from __future__ import annotations

import contextlib
import gc
import os
import socket as std
import stat
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import netpoll
from netpoll import PollDesc, Poller, green
from netpoll import socket as np_socket
from strike import Place, Strike, struck_at

MARK = b"<mark>"
VANISHED = "the exception vanished"
#: What must be gone when a scenario's thread has ended.
OURS = (Poller, PollDesc, green.Greenlet, green.Hub, np_socket.socket)

Act = Callable[[], object]


@dataclass(frozen=True)
class Scenario:
    """Sets up what it needs, untouched, and gives what is to be struck."""

    name: str
    prepare: Callable[[World], Act]
    hub: bool  #: are the actors greenlets?  Else the thread has no hub.
    ready: bool = True  #: is there a hub before it is struck?


#: By name, in the order of their definition.
SCENARIOS: dict[str, Scenario] = {}

Prepare = Callable[["World"], Act]


def _add(prepare: Prepare, hub: bool, suffix: str = "", ready: bool = True) -> None:
    name = prepare.__name__ + suffix
    SCENARIOS[name] = Scenario(name, prepare, hub, ready)


def with_greenlets(prepare: Prepare) -> Prepare:
    """A scenario in a hub."""
    _add(prepare, hub=True)
    return prepare


def with_first_hub(prepare: Prepare) -> Prepare:
    """A scenario that makes the hub of its thread."""
    _add(prepare, hub=True, ready=False)
    return prepare


def with_threads(prepare: Prepare) -> Prepare:
    """A scenario in a thread without a hub."""
    _add(prepare, hub=False)
    return prepare


def with_both(prepare: Prepare) -> Prepare:
    """Two scenarios: in a hub, and in a thread without one."""
    _add(prepare, hub=True, suffix="_greenlets")
    _add(prepare, hub=False, suffix="_threads")
    return prepare


class Torn(AssertionError):
    """What was found."""


def demand(fact: object, what: str) -> None:
    if not fact:
        raise Torn(what)


def demand_error(error: type[BaseException], function: Callable[..., object], *args: Any) -> None:
    try:
        function(*args)
    except error:
        return
    raise AssertionError(f"{function.__name__} ended")


class World:
    """That of one run of one scenario, which has a thread of its own.

    :param patience: seconds; what takes longer hangs.
    """

    def __init__(self, scenario: Scenario, patience: float) -> None:
        self.hub = scenario.hub
        self.patience = patience
        self.struck: list[Place | None] = []
        self._errors: set[int] = set()
        self._ours_only = False
        self._usable: list[tuple[Any, std.socket]] = []
        self._ours: list[Any] = []
        self._theirs: list[std.socket] = []
        self._numbers: list[int] = []
        self._closing: list[Any] = []  # PollDescs and Pollers
        self._pollers: list[Poller] = []
        self._releases: list[Callable[[], object]] = []
        self._checks: list[Callable[[], object]] = []
        self._threads: list[threading.Thread] = []
        if self.hub and scenario.ready:
            green.get_hub()

    # --- for scenarios -----------------------------------------------------------------------

    def pair(self, kind: int = std.SOCK_STREAM, usable: bool = True) -> tuple[Any, std.socket]:
        """A socket of ours, and its peer, a standard one.

        :param usable: data must go in both directions afterwards.
        """
        a, b = std.socketpair(type=kind)
        ours = self.ours(np_socket.socket(a.family, a.type, 0, a.detach()))
        peer = self.theirs(b)
        for sock in (ours, peer):
            sock.setsockopt(std.SOL_SOCKET, std.SO_SNDBUF, 8192)
        if usable:
            self._usable.append((ours, peer))
        return ours, peer

    def ours(self, sock: Any) -> Any:
        """To be closed at the end: its number once."""
        self._ours.append(sock)
        if sock.fileno() not in self._numbers:
            self._numbers.append(sock.fileno())
        return sock

    def theirs(self, sock: std.socket) -> std.socket:
        sock.settimeout(self.patience)
        self._theirs.append(sock)
        return sock

    def poller(self) -> Poller:
        poller = Poller()
        self._pollers.append(poller)
        return poller

    def open(self, file: Any, poller: Poller | None = None) -> PollDesc:
        desc = poller.open(file) if poller else netpoll.open(file)
        self._closing.append(desc)
        return desc

    def closed_at_the_end(self, thing: Any) -> None:
        self._closing.append(thing)

    def fill(self, file: Any) -> None:
        """No room is left for writing."""
        with std.socket(fileno=os.dup(file.fileno())) as sock:
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while sock.send(bytes(1 << 16)):
                    pass

    def drain(self, sock: std.socket) -> None:
        """Nothing is left to be read."""
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while sock.recv(1 << 20):
                pass
        sock.settimeout(self.patience)

    def close_somehow(self, number: int) -> None:
        """It may be closed already."""
        with contextlib.suppress(OSError):
            os.close(number)

    def soon(self, call: Callable[..., object], *args: Any) -> None:
        """Call it while what is to be struck waits, or a little later."""
        if self.hub:
            green.spawn(call, *args)
        else:
            self.thread(lambda: (time.sleep(0.001), call(*args)))

    def actor(self, call: Callable[..., object], *args: Any) -> None:
        """One that has begun to wait when this returns."""
        if self.hub:
            green.spawn(call, *args)
            green.sleep(0)
        else:
            self.thread(call, *args)
            time.sleep(0.001)

    def thread(self, call: Callable[..., object], *args: Any) -> None:
        """Another thread, which is not struck, and has to end."""
        thread = threading.Thread(target=call, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def join_threads(self) -> None:
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def release(self, call: Callable[..., object], *args: Any) -> None:
        """Done after the strike: then all that still waits has to end."""
        self._releases.append(lambda: call(*args))

    def ours_only(self) -> None:
        """A strike in the standard library's frames does not count: its own state may be torn."""
        self._ours_only = True

    def check(self, call: Callable[..., object], *args: Any) -> None:
        """One more thing that must hold, when everything has ended."""
        self._checks.append(lambda: call(*args))

    # --- afterwards --------------------------------------------------------------------------

    def caught(self, error: BaseException) -> None:
        if id(error) not in self._errors:
            self._errors.add(id(error))  # its number stays its own: the run keeps no other
            self.struck.append(struck_at(error))
        while error.__context__ is not None:
            error.__context__.__traceback__ = None
            error.__context__ = error.__context__.__context__
        error.__traceback__ = None  # or it would hold what its frames hold

    def examine(self, armed: bool) -> None:
        """In the thread of the scenario.

        :raises Torn: something is not whole.
        """
        if self.hub:
            self._bring_out_the_strike()
            self._main_runs()
        demand(len(self.struck) <= 1, f"raised more than once: {self.struck}")
        if self._ours_only and any(place and not place.ours for place in self.struck):
            self._close()
            return
        for release in self._releases:
            release()
        self._all_threads_end()
        if self.hub:
            self._all_greenlets_end()
        for ours, peer in self._usable:
            self._by_another(lambda: self._both_directions_work(ours, peer))  # noqa: B023
        for check in self._checks:
            self._by_another(check)
        if self.hub:
            self._kill_works()
            self._interrupt_works()
        self._nothing_is_parked()
        self._close()
        demand(self.struck or not armed, VANISHED)

    def _bring_out_the_strike(self) -> None:
        """One that ended a greenlet is raised in the main one as soon as that waits."""
        for _ in range(3):
            try:
                green.sleep(0)
            except Strike as error:
                self.caught(error)

    def _main_runs(self) -> None:
        demand(green.run(int) == 0, "green.run gives something else")
        start = time.monotonic()
        green.sleep(0.0002)
        demand(time.monotonic() - start >= 0.0002, "green.sleep was early")

    def _all_threads_end(self) -> None:
        """While greenlets run, if there are any."""
        limit = time.monotonic() + self.patience
        while any(thread.is_alive() for thread in self._threads):
            demand(time.monotonic() < limit, "another thread still waits")
            (green.sleep if self.hub else time.sleep)(0.0005)

    def _all_greenlets_end(self) -> None:
        """Those that spawn has made, whether its caller knows them or not."""
        limit = time.monotonic() + self.patience / 2
        while waiting := [one for one in _living(green.Greenlet) if not one.dead]:
            demand(time.monotonic() < limit, f"never ends: {waiting}")
            green.sleep(0.0005)

    def _by_another(self, check: Callable[[], object]) -> None:
        """For a lock may let in again the one that never left it."""
        errors: list[Torn] = []

        def do() -> None:
            try:
                check()
            except Torn as torn:
                errors.append(torn)

        if self.hub:
            green.run(do)
        else:
            _call_in_thread(do)
        for torn in errors:
            raise Torn(str(torn))

    def _both_directions_work(self, ours: Any, peer: std.socket) -> None:
        """So nobody has a mode, and nothing is parked there."""
        ours.settimeout(self.patience)
        ours.set_deadline(None)
        try:
            peer.sendall(MARK)
            received = b""
            while MARK not in received:
                received += ours.recv(1 << 20)
        except OSError as error:
            raise Torn(f"a later recv: {error!r}") from None
        try:
            self.drain(peer)
            ours.sendall(MARK)
            demand(peer.recv(100) == MARK, "a later sendall sends something else")
        except OSError as error:
            raise Torn(f"a later sendall: {error!r}") from None

    def _kill_works(self) -> None:
        for by in (_call, _call_in_thread):
            victim = green.spawn(green.sleep, 1000)
            green.sleep(0)
            by(victim.kill)
            victim.join(self.patience)
            demand(victim.dead, "a later kill does not end a greenlet")

    def _interrupt_works(self) -> None:
        """As Ctrl-C while a greenlet runs."""
        green.spawn(_interrupt)
        try:
            green.sleep(self.patience)
        except Strike as error:
            error.__traceback__ = None
            return
        raise Torn("a later interrupt does not reach the main greenlet")

    def _nothing_is_parked(self) -> None:
        pollers = [netpoll.default_poller(), *self._pollers]
        if self.hub:
            pollers.append(green.get_hub().poller)
        for poller in pollers:
            if not poller.closed:
                stats = poller.stats()
                demand(stats.parked_readers + stats.parked_writers == 0, f"parked: {stats}")

    def _close(self) -> None:
        for thing in (*self._closing, *self._ours, *self._theirs, *self._pollers):
            thing.close()
        gc.collect()
        for number in self._numbers:
            demand(not _is_open(number), f"fd {number} was not closed")

    def lend_numbers(self) -> list[int]:
        """What is closed becomes another file's, which nobody else may close."""
        null = os.open(os.devnull, os.O_RDONLY)
        for number in self._numbers:
            os.dup2(null, number)
        if null not in self._numbers:
            os.close(null)
        return self._numbers


def still_there(numbers: list[int]) -> None:
    """`World.lend_numbers`, when everything is gone that could close them once more."""
    for number in numbers:
        whole = _is_open(number) and stat.S_ISCHR(os.fstat(number).st_mode)
        demand(whole, f"fd {number} was closed twice")
        os.close(number)


def left_behind() -> list[str]:
    """Our objects that are alive, and were made since the last gc.freeze."""
    gc.collect()  # once more is for what weak dictionaries have kept
    return [repr(one) for one in _living(*OURS)]


def _living(*kinds: type) -> list[Any]:
    gc.collect()
    return [one for one in gc.get_objects() if isinstance(one, kinds)]


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _call(call: Callable[[], object]) -> None:
    call()


def _call_in_thread(call: Callable[[], object]) -> None:
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join()


def _interrupt() -> None:
    raise Strike
