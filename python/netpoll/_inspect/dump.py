"""Seeing inside: all pollers and descriptors as text, and what waits for what.

The truth comes from the core, all of a poller at one moment (np_poller_snapshot).  What Python adds
is names: of threads, of greenlets and other tokens, of the place of each wait.  Its objects are
found by the garbage collector's list, so that nothing is paid for it before a dump is taken.
"""

from __future__ import annotations

import errno
import gc
import os
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, TextIO

import netpoll
from netpoll import _api, _engine, _errors
from netpoll._core import ffi, lib
from netpoll._engine import HubToken

LOCK_TIMEOUT_NS = 1_000_000_000  # to get a lock of the core
ROOM = 64  # descriptors, pollers, waits; more is asked for when there are more
MODES = {1: "read", 2: "write"}
PACKAGE = os.path.dirname(netpoll.__file__) + os.sep

IDLE, READY, ENTERING = lib.NP_IDLE, lib.NP_READY, lib.NP_ENTERING
THREAD, TOKEN, QUEUED, OUT = lib.NP_THREAD, lib.NP_TOKEN, lib.NP_QUEUED, lib.NP_OUT

#: What happens to a token after it was parked.
TOKEN_STATES = {TOKEN: "", QUEUED: ", ready", OUT: ", given out by poll"}


def dump(file: TextIO | None = None, *, stacks: bool = False) -> None:
    """Write what all pollers of the process are doing: a goroutine dump for descriptors.

    Every poller, what drives it, its counters; every open descriptor with the addresses of its
    socket; for each mode the thread, greenlet or token that waits, where, for how long, the
    deadline left, a pending notification.  What waits at a semaphore or for a timer: a lock, a
    queue, a join, a sleep, by name.  With NETPOLL_DEBUG=1 also where a descriptor was opened.

    It waits for nothing and disturbs nothing, and may be called from any thread and from a signal
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
    holds the GIL and never releases it, or while the interpreter is broken.  So there are no
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
        n = lib.np_poller_snapshot(p, view, descs, room, LOCK_TIMEOUT_NS)
        if n < 0:
            return None
        if n <= room:
            return view, descs, n
        room = n + ROOM


def fd_waiters() -> tuple[Any, int]:
    """The threads in np_wait_fd, and how many there are."""
    room = ROOM
    while True:
        views = ffi.new("np_fd_wait_view[]", room)
        n = lib.np_fd_waiters(views, room)
        if n <= room:
            return views, n
        room = n + ROOM


def waits(p: Any | None) -> tuple[Any, int] | None:
    """What waits at semaphores and timers: the tokens at a poller, or the threads; and how many.

    None if a lock is not to be had.
    """
    room = ROOM
    while True:
        views = ffi.new("np_wait_view[]", room)
        if p is None:
            n = lib.np_thread_waits(views, room, LOCK_TIMEOUT_NS)
        else:
            n = lib.np_poller_waits(p, views, room, LOCK_TIMEOUT_NS)
        if n < 0:
            return None
        if n <= room:
            return views, n
        room = n + ROOM


def name_of(view: Any) -> str:
    """Of an np_wait_view.  It is a user's, and may be cut inside a character."""
    text = text_of(view.what, errors="ignore")
    return "".join(char if char.isprintable() else "?" for char in text)


def described(fd: int) -> str:
    """What a descriptor is: "tcp 127.0.0.1:7007 -> 127.0.0.1:54312"."""
    text = ffi.new("char[]", 256)
    lib.np_describe_fd(fd, text, len(text))
    return text_of(text)


def text_of(chars: Any, errors: str = "replace") -> str:
    raw = ffi.string(chars)
    assert isinstance(raw, bytes)
    return raw.decode(errors=errors)


def address(pointer: Any) -> int:
    return int(ffi.cast("uintptr_t", pointer))


# --- Python's part --------------------------------------------------------------------------------


def objects_of(kind: type, locate: Callable[[Any], int]) -> dict[int, Any]:
    """The pollers or descriptors of Python by the address of what they are made of."""
    found = {}
    for thing in gc.get_objects():
        if issubclass(type(thing), kind):
            try:
                found[locate(thing)] = thing
            except AttributeError:  # not initialised
                continue
    return found


def stack(frame: FrameType | None) -> list[str]:
    """Where a frame stands outside of this package, and what called that; the innermost last."""
    while frame is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    found = []
    while frame is not None:
        found.append(f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}")
        frame = frame.f_back
    return found[::-1]


def greenlet_of(token: object) -> Any:
    """The greenlet that a token is, or stands for, if any."""
    module = sys.modules.get("greenlet")
    if isinstance(token, HubToken):
        return getattr(token, "greenlet", None)
    return token if module is not None and isinstance(token, module.greenlet) else None


def shown(thing: object) -> str:
    try:
        text = repr(thing)
    except Exception as error:  # it is a user's
        text = f"<{type(thing).__name__}, whose repr raised {type(error).__name__}>"
    return text if len(text) <= 200 else f"{text[:197]}..."


def seconds(ns: int, digits: int = 3) -> str:
    return f"{max(ns, 0) / 1e9:.{digits}f} s"


class _Dump:
    def __init__(self, stacks: bool) -> None:
        self.stacks = stacks
        self.now = 0
        self.pollers: dict[int, Any] = objects_of(_api.Poller, _engine.poller_address)
        self.descs: dict[int, Any] = objects_of(_api.PollDesc, _engine.desc_address)
        self.hub_tokens: dict[int, Any] = objects_of(HubToken, id)
        self.hubs: dict[int, Any] = objects_of(_engine.HubBase, id)
        # Not by threading.enumerate: a handler may have interrupted the owner of its lock.
        self.threads: dict[int, threading.Thread] = dict(threading._active)  # type: ignore[attr-defined]
        self.frames = sys._current_frames()

    def forget(self) -> None:
        """Among the frames is our own, which would be a cycle, and keep all descriptors alive."""
        for found in (
            self.pollers,
            self.descs,
            self.hub_tokens,
            self.hubs,
            self.threads,
            self.frames,
        ):
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
            yield from self.waits_lines(p)
        views, n = fd_waiters()
        self.now = lib.np_now()
        if n:
            yield f"threads outside the pollers: {n}"
        for i in range(n):
            yield f"  fd {int(views[i].fd)} {described(views[i].fd)}"
            yield from self.waiter_lines(f"    {MODES[views[i].mode]}", views[i].view, None)
        yield from self.waits_lines(None)

    # Semaphores and timers.

    def waits_lines(self, p: Any | None) -> Iterator[str]:
        taken = waits(p)
        self.now = lib.np_now()
        if taken is None:
            yield "  tokens: busy, the lock is held" if p else "semaphores are busy: a lock is held"
            return
        views, n = taken
        if n and p is None:
            yield f"threads at semaphores: {n}"
        poller = None if p is None else self.pollers.get(address(p))
        for i in range(n):
            yield from self.wait_lines(poller, views[i])

    def wait_lines(self, poller: Any, view: Any) -> Iterator[str]:
        what = name_of(view)
        if view.mode:
            what += f" fd {int(view.fd)} {described(view.fd)}"
        elif view.sema:
            what += f" at {address(view.sema):#x}"
        token = None if view.view.state == THREAD else self.filed_token(poller, view.view)
        yield from self.waiter_lines(f"  {what}", view.view, token)

    # Pollers.

    def poller_lines(self, p: Any, view: Any) -> Iterator[str]:
        poller = self.pollers.get(address(p))
        backend = text_of(lib.np_poller_backend(p))
        facts = [
            f"{view.descriptors} descriptors",
            f"{view.polls_inside} polling",
            f"{view.threads_inside + view.threads_following} threads waiting",
            f"{view.tokens_ready} tokens ready",
        ]
        if view.waiters:
            facts.append(f"{view.waiters} at semaphores and timers")
        if view.wake_pending:
            facts.append("wake pending")
        if view.deadline:
            facts.append(f"first deadline in {seconds(view.deadline - self.now)}")
        whose = self.owner(poller)
        yield f"poller {address(p):#x} {backend}{whose}: {', '.join(facts)}"
        stats: Any = ffi.new("np_stats *")
        lib.np_poller_stats(p, stats)
        yield (
            f"  since it was made: {stats.polls} polls, {stats.events} events, "
            f"{stats.stale_events} stale, {stats.deadlines_fired} deadlines fired, "
            f"{stats.timers_fired} timers fired, {stats.wakeups} wake-ups"
        )

    def owner(self, poller: Any) -> str:
        if poller is None:
            return ", C's own"
        if _api.is_default_poller(poller):
            return ", the default poller"
        for hub in self.hubs.values():
            if _engine.hub_poller(hub) is poller:
                alive, _, queued = _engine.hub_counts(hub)
                of = self.thread(hub.thread)
                return f", the hub's of {of} ({alive} greenlets, {queued} in its queue)"
        return ""

    # Descriptors.

    def desc_lines(self, view: Any) -> Iterator[str]:
        desc = self.descs.get(address(view.desc))
        evicted = ", evicted" if view.evicted else ""
        yield f"  fd {int(view.fd)} {described(view.fd)}{evicted}"
        for mode, name in MODES.items():
            at = view.mode[mode - 1]
            yield from self.waiter_lines(f"    {name}", at, self.token(desc, mode, at))
        if places := opened.get(id(desc)):
            yield f"    opened at {places[-1]}"

    def token(self, desc: Any, mode: int, view: Any) -> Any:
        """What is parked, if it can still be told; else None."""
        if desc is not None:
            return _engine.parked_token(desc, mode, int(view.waiter))
        found = (self.filed_token(poller, view) for poller in self.pollers.values())
        return next((token for token in found if token is not None), None)

    def filed_token(self, poller: Any, view: Any) -> Any:
        """The same where it was not parked by a PollDesc.

        A greenlet's the engine in C knows by its address alone.
        """
        key = int(view.waiter)
        token = None if poller is None else _engine.filed_token(poller, key)
        return self.hub_tokens.get(key) if token is None else token

    # Waiters.

    def waiter_lines(self, what: str, view: Any, token: Any) -> Iterator[str]:
        """Of an np_mode_view; none if there is nothing to say."""
        facts, frame = self.waiter(view, token)
        if view.since:
            facts.append(f"for {seconds(self.now - view.since, digits=1)}")
        if view.deadline < 0 or 0 < view.deadline <= self.now:
            facts.append("deadline exceeded")
        elif view.deadline:
            facts.append(f"deadline in {seconds(view.deadline - self.now)}")
        if not facts:
            return
        yield f"{what}: {', '.join(facts)}"
        for where in stack(frame)[0 if self.stacks else -1 :]:
            yield f"      at {where}"

    def waiter(self, view: Any, token: Any) -> tuple[list[str], FrameType | None]:
        """What waits, and the frame where it does."""
        if view.state == THREAD:
            ident = int(view.waiter)
            return [self.thread(ident)], self.frames.get(ident)
        if view.state in TOKEN_STATES:
            if (greenlet := greenlet_of(token)) is not None:
                return [f"{shown(greenlet)}{TOKEN_STATES[view.state]}"], greenlet.gr_frame
            what = f"{int(view.waiter):#x}" if token is None else shown(token)
            return [f"token {what}{TOKEN_STATES[view.state]}"], None
        return {READY: ["ready"], ENTERING: ["about to wait"]}.get(view.state, []), None

    def thread(self, ident: int) -> str:
        thread = self.threads.get(ident)
        return f"thread {ident:#x}" if thread is None else f"thread {thread.name} ({ident:#x})"
