"""Seeing inside: all pollers and descriptors as text, and who waits for what.

The truth comes from the core, all of a poller at one moment (np_poller_snapshot).  What Python adds
is names: of threads, of greenlets and other tokens, of the place where somebody waits.  Its objects
are found by the garbage collector's list, so that nothing is paid for it before somebody looks.
"""

from __future__ import annotations

import errno
import gc
import os
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any, TextIO

from netpoll import _api, _errors
from netpoll._core import ffi, lib
from netpoll._engine import HubToken
from netpoll._parking import Queues

PATIENCE_NS = 1_000_000_000  # to get a poller's lock
ROOM = 64  # descriptors, pollers; more is asked for when there are more
MODES = {1: "read", 2: "write"}
PACKAGE = os.path.dirname(__file__) + os.sep

IDLE, READY, ENTERING = lib.NP_IDLE, lib.NP_READY, lib.NP_ENTERING
THREAD, TOKEN, QUEUED, OUT = lib.NP_THREAD, lib.NP_TOKEN, lib.NP_QUEUED, lib.NP_OUT

#: What happens to a token after it was parked.
TOKEN_STATES = {TOKEN: "", QUEUED: ", ready", OUT: ", given out by poll"}


def dump(file: TextIO | None = None, *, stacks: bool = False) -> None:
    """Write what all pollers of the process are doing: a goroutine dump for descriptors.

    Every poller, who drives it, its counters; every open descriptor with the addresses of its
    socket; for each mode the thread, greenlet or token that waits, where, for how long, the
    deadline left, a pending notification.  With NETPOLL_DEBUG=1 also where it was opened.

    It waits for nobody and disturbs nothing, and may be called from any thread and from a signal
    handler.  (A thread that is running a signal handler of Python waits for nothing meanwhile: it
    is named first, with the place where the signal found it.)

    :param file: a text file; by default sys.stderr.
    :param stacks: for each waiter its whole stack, instead of where it stands.
    """
    look = _Dump(stacks)
    try:
        text = "".join(f"{line}\n" for line in look.lines())
    finally:
        look.forget()
    out = sys.stderr if file is None else file
    if out is None:  # a program without a console
        return
    try:
        out.write(text)
        out.flush()
    except RuntimeError:  # a signal handler that came while the same file was being written to
        os.write(out.fileno(), text.encode(errors="backslashreplace"))


def dump_on_signal(signum: int, file: TextIO | int | None = None, *, chain: bool = False) -> None:
    """Let a signal write the core's part of `dump`, as faulthandler.register does for stacks.

    It is written by the signal handler itself, in C: also while all threads are blocked, while one
    holds the GIL and never gives it back, or while the interpreter is broken.  So there are no
    names in it: threads are their `threading.get_ident`, tokens an address.

    :param file: with a fileno(), or a descriptor; by default sys.stderr.  It must stay open.
    :param chain: then also do what the signal did before.
    :raises ValueError: the signal cannot be handled.
    :raises NotImplementedError: on Windows.
    """
    out = sys.stderr if file is None else file
    fd = out if isinstance(out, int) else out.fileno()
    _register(signum, fd, chain)
    _files[signum] = out


def cancel_dump_on_signal(signum: int) -> None:
    """Undo `dump_on_signal`: the signal does again what it did before."""
    _register(signum, -1, False)
    _files.pop(signum, None)


_files: dict[int, TextIO | int] = {}  # they stay open

#: In the debug mode: the stacks that made what is alive now, by id().
opened: dict[int, list[str]] = {}


def _register(signum: int, fd: int, chain: bool) -> None:
    rc = lib.np_report_on_signal(signum, fd, chain)
    if rc == 0:
        return
    if -rc == errno.EINVAL:
        raise ValueError(f"signal {signum} cannot be handled")
    if -rc == errno.ENOSYS:
        raise NotImplementedError("there are no such signals on this system")
    raise _errors.system(-rc, f"signal {signum}")


# --- the core's part ------------------------------------------------------------------------------


def pollers() -> Iterator[Any]:
    """All open ones, as np_poller pointers that are good until the next."""
    room = ROOM
    while (n := lib.np_pollers(out := ffi.new("np_poller *[]", room), room)) > room:
        for p in out:
            lib.np_poller_unref(p)
        room = n + ROOM
    try:
        yield from out[0:n]
    finally:
        for p in out[0:n]:
            lib.np_poller_unref(p)


def snapshot(p: Any) -> tuple[Any, Any, int] | None:
    """The view of a poller, those of its descriptors, and how many these are; None if its lock is
    not to be had."""
    room = ROOM
    view = ffi.new("np_poller_view *")
    while True:
        descs = ffi.new("np_desc_view[]", room)
        n = lib.np_poller_snapshot(p, view, descs, room, PATIENCE_NS)
        if n < 0:
            return None
        if n <= room:
            return view, descs, n
        room = n + ROOM


def alone() -> tuple[Any, int]:
    """The threads that wait by themselves, and how many there are."""
    room = ROOM
    while True:
        views = ffi.new("np_alone_view[]", room)
        n = lib.np_waiting_alone(views, room)
        if n <= room:
            return views, n
        room = n + ROOM


def described(fd: int) -> str:
    """What a descriptor is: "tcp 127.0.0.1:7007 -> 127.0.0.1:54312"."""
    text = ffi.new("char[]", 256)
    n = lib.np_describe_fd(fd, text, len(text))
    raw = ffi.buffer(text, n)[:]
    return bytes(raw).decode(errors="replace")


def address(pointer: Any) -> int:
    return int(ffi.cast("uintptr_t", pointer))


# --- Python's part --------------------------------------------------------------------------------


def objects_of(kind: type) -> dict[int, Any]:
    """The pollers or descriptors of Python by the address of what they are made of."""
    found = {}
    for thing in gc.get_objects():
        if issubclass(type(thing), kind):
            try:
                found[thing._address()] = thing
            except AttributeError:  # not initialised
                continue
    return found


def stack(frame: FrameType | None) -> list[str]:
    """Where somebody stands outside of this package, and what called that; the innermost last."""
    while frame is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    found = []
    while frame is not None:
        found.append(f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}")
        frame = frame.f_back
    return found[::-1]


def greenlets() -> list[Any]:
    """All that are not running now."""
    module = sys.modules.get("greenlet")
    if module is None:
        return []
    return [g for g in gc.get_objects() if issubclass(type(g), module.greenlet) and g.gr_frame]


def entering(frame: FrameType | None) -> tuple[int, int] | None:
    """Does it wait in a socket's queue?  The descriptor and the mode."""
    while frame is not None and frame.f_code.co_filename.startswith(PACKAGE):
        if frame.f_code is Queues.enter.__code__:
            return int(frame.f_locals["fd"].number), int(frame.f_locals["mode"])
        frame = frame.f_back
    return None


def shown(thing: object) -> str:
    try:
        text = repr(thing)
    except Exception as error:  # it is somebody's
        text = f"<{type(thing).__name__}, whose repr raised {type(error).__name__}>"
    return text if len(text) <= 200 else f"{text[:197]}..."


def seconds(ns: int, digits: int = 3) -> str:
    return f"{max(ns, 0) / 1e9:.{digits}f} s"


class _Dump:
    def __init__(self, stacks: bool) -> None:
        self.stacks = stacks
        self.now = 0
        self.pollers: dict[int, Any] = objects_of(_api.Poller)
        self.descs: dict[int, Any] = objects_of(_api.PollDesc)
        # Not by threading.enumerate: a handler may have interrupted the owner of its lock.
        self.threads: dict[int, threading.Thread] = dict(threading._active)  # type: ignore[attr-defined]
        self.frames = sys._current_frames()

    def forget(self) -> None:
        """Among the frames is our own, which would be a cycle, and keep all descriptors alive."""
        for found in (self.pollers, self.descs, self.threads, self.frames):
            found.clear()

    def lines(self) -> Iterator[str]:
        yield f"netpoll, seen by {self.thread(threading.get_ident())}"
        for where in stack(sys._getframe())[0 if self.stacks else -1 :]:
            yield f"  at {where}"
        for p in pollers():
            taken = snapshot(p)
            self.now = lib.np_now()
            if taken is None:
                yield f"poller {address(p):#x} is busy: its lock is held"
                continue
            view, descs, n = taken
            yield from self.poller_lines(p, view)
            for i in sorted(range(n), key=lambda i: int(descs[i].fd)):
                yield from self.desc_lines(descs[i])
        views, n = alone()
        self.now = lib.np_now()
        if n:
            yield f"threads by themselves: {n}"
        for i in range(n):
            yield f"  fd {int(views[i].fd)} {described(views[i].fd)}"
            yield from self.mode_lines(None, 0, MODES[views[i].mode], views[i].view)
        yield from self.queued_lines()

    def queued_lines(self) -> Iterator[str]:
        """Those who want a mode of a socket that another has: they are all in Queues.enter."""
        frames = [(self.thread(ident), frame) for ident, frame in self.frames.items()]
        frames += [(shown(g), g.gr_frame) for g in greenlets()]
        queued = [(who, frame, found) for who, frame in frames if (found := entering(frame))]
        if queued:
            yield f"queued for another's turn at a socket: {len(queued)}"
        for who, frame, (fd, mode) in queued:
            yield f"  fd {fd} {described(fd)}"
            yield f"    {MODES[mode]}: {who}"
            for where in stack(frame)[0 if self.stacks else -1 :]:
                yield f"      at {where}"

    # Pollers.

    def poller_lines(self, p: Any, view: Any) -> Iterator[str]:
        poller = self.pollers.get(address(p))
        backend = ffi.string(lib.np_poller_backend(p))
        assert isinstance(backend, bytes)
        facts = [
            f"{view.descriptors} descriptors",
            f"{view.polls_inside} polling",
            f"{view.threads_inside + view.threads_following} threads waiting",
            f"{view.tokens_ready} tokens ready",
        ]
        if view.wake_pending:
            facts.append("wake pending")
        if view.deadline:
            facts.append(f"first deadline in {seconds(view.deadline - self.now)}")
        whose = self.owner(poller)
        yield f"poller {address(p):#x} {backend.decode()}{whose}: {', '.join(facts)}"
        stats: Any = ffi.new("np_stats *")
        lib.np_poller_stats(p, stats)
        yield (
            f"  since it was made: {stats.polls} polls, {stats.events} events, "
            f"{stats.stale_events} stale, {stats.deadlines_fired} deadlines fired, "
            f"{stats.wakeups} wake-ups"
        )

    def owner(self, poller: Any) -> str:
        if poller is None:
            return ", C's own"
        if poller is _api._default:
            return ", the default poller"
        hubs: Any = getattr(sys.modules.get("netpoll.green"), "Hub", ())
        for reference in poller._watchers.copy():
            hub: Any = reference()
            if isinstance(hub, hubs) and hub.poller is poller:
                return (
                    f", the hub's of {self.thread(hub.thread)}"
                    f" ({len(hub.alive)} greenlets, {len(hub.ready)} in its queue)"
                )
        return ""

    # Descriptors.

    def desc_lines(self, view: Any) -> Iterator[str]:
        desc = self.descs.get(address(view.desc))
        evicted = ", evicted" if view.evicted else ""
        yield f"  fd {int(view.fd)} {described(view.fd)}{evicted}"
        for mode, name in MODES.items():
            yield from self.mode_lines(desc, mode, name, view.mode[mode - 1])
        if places := opened.get(id(desc)):
            yield f"    opened at {places[-1]}"

    def mode_lines(self, desc: Any, mode: int, name: str, view: Any) -> Iterator[str]:
        facts, frame = self.waiter(desc, mode, view)
        if view.since:
            facts.append(f"for {seconds(self.now - view.since, digits=1)}")
        if view.deadline < 0 or 0 < view.deadline <= self.now:
            facts.append("deadline exceeded")
        elif view.deadline:
            facts.append(f"deadline in {seconds(view.deadline - self.now)}")
        if not facts:
            return
        yield f"    {name}: {', '.join(facts)}"
        for where in stack(frame)[0 if self.stacks else -1 :]:
            yield f"      at {where}"

    def waiter(self, desc: Any, mode: int, view: Any) -> tuple[list[str], FrameType | None]:
        """Who waits, and the frame where it does."""
        if view.state == THREAD:
            ident = int(view.waiter)
            return [self.thread(ident)], self.frames.get(ident)
        if view.state in TOKEN_STATES:
            token = None if desc is None else desc._token(mode, int(view.waiter))
            if isinstance(token, HubToken):
                greenlet: Any = getattr(token, "greenlet", None)
                frame = getattr(greenlet, "gr_frame", None)
                return [f"{shown(greenlet)}{TOKEN_STATES[view.state]}"], frame
            what = f"{int(view.waiter):#x}" if token is None else shown(token)
            return [f"token {what}{TOKEN_STATES[view.state]}"], None
        return {READY: ["ready"], ENTERING: ["about to wait"]}.get(view.state, []), None

    def thread(self, ident: int) -> str:
        thread = self.threads.get(ident)
        return f"thread {ident:#x}" if thread is None else f"thread {thread.name} ({ident:#x})"
