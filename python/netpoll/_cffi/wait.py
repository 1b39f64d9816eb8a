"""How a greenlet or a thread waits, over cffi: what python/ext/wait.c is on CPython."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from netpoll import _errors
from netpoll._cffi import engine
from netpoll._cffi.engine import (
    CLOSED,
    INTERRUPTED,
    NEVER,
    PARKED,
    TIMEOUT,
    DescBase,
    nanoseconds,
)
from netpoll._cffi.hub import HubBase, Token, current_hub, get_hub
from netpoll._core import ffi, lib

_SLEEP = ffi.new("char[]", b"sleep")


def instant_after(ns: int) -> int:
    """So many nanoseconds from now; NEVER stays so."""
    return NEVER if ns == NEVER else min(lib.np_now() + ns, NEVER)


def coop_yield(may_wait: bool = True) -> None:
    """Before an operation: in a hub others get a turn now and then."""
    hub = current_hub()
    if hub is not None:
        hub.coop_yield(may_wait)


def sleep(seconds: float = 0) -> None:
    """Park while other greenlets run.

    :param seconds: for how long; 0 yields once to each that is ready.
    :raises ValueError: negative, or NaN.
    """
    if not isinstance(seconds, (int, float)) and not hasattr(seconds, "__float__"):
        raise TypeError(f"cannot sleep for {seconds!r} seconds")
    if not seconds >= 0:
        raise ValueError(f"cannot sleep for {seconds!r} seconds")
    hub: HubBase = get_hub()
    ns = nanoseconds(seconds)
    if ns == 0:
        hub.yield_now()
        return
    until = instant_after(ns)
    unit = new_unit(ffi.NULL, _SLEEP)
    while (rc := _park(hub, ffi.NULL, unit, until, _SLEEP)) == CLOSED:
        pass  # the poller was, and the hub has another
    if rc < 0:
        raise _errors.system(-rc, "sleep")


def new_unit(sema: Any, what: Any) -> Any:
    """For a wait at a semaphore, or for an instant if that is NULL.

    Its destructor ends the wait and passes on a unit that was granted, wherever it was cut off.
    """
    return ending(ffi.new("unit *"), sema, what, ffi.NULL)


def ending(memory: Any, sema: Any, what: Any, poller: Any) -> Any:
    """A unit with that destructor, which keeps the poller until then."""
    return ffi.gc(memory, partial(lib.end_unit, sema, what, poller))


def acquire(sema: Any, until: int, what: Any) -> int:
    """np_sema_acquire, of the calling greenlet or thread: the result of the core."""
    unit = new_unit(sema, what)
    rc = acquire_into(unit, sema, until, what)
    ffi.gc(unit, None)  # the caller's from here on
    return rc


def acquire_into(unit: Any, sema: Any, until: int, what: Any) -> int:
    """The same; the unit is held by its record."""
    hub = current_hub()
    if hub is None:
        lib.np_begin_wait()
        while (rc := lib.acquire_unit(sema, unit, until, what)) == INTERRUPTED:
            pass  # signal handlers have run; its place in the queue is kept
        return rc
    rc = lib.acquire_unit(sema, unit, 0, what)  # in the hub's greenlet, too
    if rc != TIMEOUT or until == 0:
        return rc
    rc = CLOSED
    while rc == CLOSED and not lib.np_sema_is_shut(sema):
        rc = _park(hub, sema, unit, until, what)
    return rc


def _park(hub: HubBase, sema: Any, unit: Any, until: int, what: Any) -> int:
    """np_sema_park or np_timer_start, and what ended the wait."""
    return wait_parked(
        hub,
        lambda p, key: lib.park_unit(sema, unit, p, key, until, what),
        partial(lib.resume_unit, sema, unit),
        partial(lib.end_unit, sema, what, ffi.NULL, unit),
        (unit, sema),
    )


def wait_parked(
    hub: HubBase,
    park: Callable[[Any, int], int],
    resume: Callable[[], int],
    cancel: Callable[[], Any],
    memory: object,
) -> int:
    """The calling greenlet waits.

    :param park: of the core, given an np_poller and the key for a token; resume and cancel
        likewise.
    :param memory: what the core uses until the token has come out.
    :returns: the result of the core.
    """
    waiter, poller = hub.current_waiter(), hub.poller
    key = engine.new_key()
    tokens = engine.file_token(poller, key, Token(waiter, memory))
    try:
        rc = park(engine.core_of(poller), key)
        if rc == PARKED:
            while key in tokens:
                hub.let_others_run(waiter)
            rc = resume()
    except BaseException:
        cancel()
        tokens.pop(key, None)
        raise
    tokens.pop(key, None)
    return rc


def wait_at(desc: DescBase, mode: int, flags: int) -> None:
    """`PollDesc.wait`: in a thread with a hub the greenlet waits."""
    hub = current_hub()
    if hub is None:
        engine.wait_in_thread(desc, mode, flags)
        return
    hub.coop_yield(True)
    while not _wait_once(hub, desc, mode, flags):
        pass


def _wait_once(hub: HubBase, desc: DescBase, mode: int, flags: int) -> bool:
    """False: park again."""
    waiter, home = hub.current_waiter(), hub.poller
    key = engine.new_key()
    try:
        if not engine.park_as(desc, mode, Token(waiter, desc), flags=flags, key=key, home=home):
            return True
        while engine.filed_token(home, key) is not None:
            hub.let_others_run(waiter)
    except engine.NoPollerError:
        return False
    except BaseException:
        engine.give_up(desc, mode, key, home)
        raise
    return engine.resume_after(desc, mode, flags)


engine.bind_wait(wait_at)
