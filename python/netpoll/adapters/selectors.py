"""A `selectors.BaseSelector` on a netpoll `Poller`.

    from netpoll.adapters.selectors import PollerSelector

    loop = asyncio.SelectorEventLoop(PollerSelector())

On Windows it has not the limits of select, as it rests on I/O completion ports.  In a greenlet hub
`select` parks the greenlet, where the poller has a descriptor (not on Windows), and so does a loop
of asyncio that selects by it.

How it works.  The interface is level-triggered: what is ready is reported at each `select`, until
it is so no longer.  A poller reports edges.  So whenever the selector sleeps, a token is parked for
each mode that is wanted; and those that were reported last time are *suspect*: the next `select`
begins by checking them, and no others, with one poll(2).  What is still ready is reported again,
the rest is suspect no longer.  So the cost grows with what is reported, not with what is
registered.  Backends that ask the kernel at each `park` need no poll(2): to park what is suspect is
enough.  Where an event may be stale (`level.STALE_EVENTS`) the kernel is asked after it instead.

A signal handler that raises in the midst of this may leave a token out unnoticed.  Then everything
that is registered is suspect, once.
"""

from __future__ import annotations

import selectors
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from netpoll import READ, WRITE, BusyError, ClosedError, NotPollableError, PollDesc, Poller
from netpoll._blocking.readiness import wait_readable
from netpoll._engine import coop_yield, current_hub
from netpoll.adapters._nest import has_descriptor
from netpoll.adapters.level import LEVEL_TRIGGERED, STALE_EVENTS, poll_now

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

__all__ = ["PollerSelector"]

#: The modes that a number stands for.
_SPLIT: tuple[tuple[int, ...], ...] = ((), (READ,), (WRITE,), (READ, WRITE))

#: A poll that brings so many tokens may have left more behind.
MANY = 32


class _Entry:
    """A registered file.  Its tokens are pairs: the entry and the mode."""

    __slots__ = ("desc", "events", "fd", "key", "parked")

    def __init__(self, desc: PollDesc, key: selectors.SelectorKey) -> None:
        self.desc = desc
        self.key = key
        self.fd = key.fd
        self.events = key.events
        self.parked = 0  #: the modes whose tokens are in the poller

    def park(self, modes: int) -> int:
        """Have the poller tell of what happens from now on.

        What happened before is forgotten, so ask the kernel after this.  Gives the modes that
        cannot be parked, as there is an error and nothing else, which is something to be reported.
        """
        failed = 0
        for mode in _SPLIT[modes & ~self.parked]:
            try:
                while not self.desc.park(mode, (self, mode)):
                    pass
                self.parked |= mode
            except BusyError:  # parked already: a signal handler cut us off before the note of it
                self.parked |= mode
            except NotPollableError:
                failed |= mode
            except ClosedError:  # the file was closed, and the number is another's
                pass
        return failed

    def close(self) -> None:
        self.drop(READ | WRITE)  # a token refers to us
        self.desc.close()

    def drop(self, modes: int) -> None:
        for mode in _SPLIT[modes]:
            self.desc.cancel(mode)
        self.parked &= ~modes


class PollerSelector(selectors.BaseSelector):
    """Level-triggered readiness of any number of files.

    As with the selectors of the standard library, one thread selects; others may register, modify
    and unregister meanwhile, and what they change counts at once.

    :param backend: as for `Poller`, whose errors it raises.
    """

    def __init__(self, backend: str | None = None) -> None:
        self._poller = Poller(backend)
        self._rechecks = self._poller.backend not in LEVEL_TRIGGERED
        self._confirms = self._poller.backend in STALE_EVENTS
        self._entries: dict[int, _Entry] = {}
        self._map: _Keys | None = _Keys(self)
        self._suspect: dict[_Entry, int] = {}  # modes that may be ready without an edge
        self._waits: set[PollDesc] = set()  # of the greenlet that selects
        self._sleeping = False
        self._interrupted = False

    # Registration.

    def register(
        self, fileobj: FileDescriptorLike, events: int, data: Any = None
    ) -> selectors.SelectorKey:
        """Begin to watch a file.

        :raises ValueError: events are not EVENT_READ, EVENT_WRITE or both; or no file.
        :raises KeyError: it is registered.
        :raises OSError: it is no open file; or, as NotPollableError, no kind that can be polled.
        """
        _check(events)
        fd = self._find(fileobj)
        if fd in self._entries:
            raise KeyError(f"{fileobj!r} (fd {fd}) is already registered")
        key = selectors.SelectorKey(fileobj, fd, events, data)
        entry = self._entries[fd] = _Entry(self._open(fd), key)
        # The kernel's first event tells what is ready.  If another thread sleeps in select, it may
        # have come already, unheard.
        failed = entry.park(events)
        if self._sleeping or failed:
            self._mark_suspect(entry, events)
        return key

    def _open(self, fd: int) -> PollDesc:
        try:
            return self._poller.open(fd)
        except FileExistsError as error:
            raise KeyError(f"fd {fd} is already registered") from error

    def unregister(self, fileobj: FileDescriptorLike) -> selectors.SelectorKey:
        """Watch it no longer.  The file may have been closed before.

        :raises KeyError: it is not registered.
        """
        entry = self._entry_of(fileobj)
        entry.close()  # first: if the rest is cut off, it is done once more
        self._suspect.pop(entry, None)
        del self._entries[entry.fd]
        return entry.key

    def modify(
        self, fileobj: FileDescriptorLike, events: int, data: Any = None
    ) -> selectors.SelectorKey:
        """Change what is watched for, or the data.

        :raises KeyError: it is not registered.
        :raises ValueError: events are not EVENT_READ, EVENT_WRITE or both.
        """
        _check(events)
        entry = self._entry_of(fileobj)
        before, entry.events = entry.events, events
        entry.key = selectors.SelectorKey(fileobj, entry.fd, events, data)
        entry.drop(before & ~events)
        if events & ~before:
            entry.park(events & ~before)
            self._mark_suspect(entry, events & ~before)
        return entry.key

    def _entry_of(self, fileobj: FileDescriptorLike) -> _Entry:
        try:
            return self._entries[self._find(fileobj)]
        except KeyError:
            raise KeyError(f"{fileobj!r} is not registered") from None

    def _mark_suspect(self, entry: _Entry, modes: int) -> None:
        self._suspect[entry] = self._suspect.get(entry, 0) | modes
        if self._sleeping:
            self._poller.wake()

    # Selection.

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait until registered files are ready; their keys, and the events that are.

        :param timeout: seconds; None waits without end, 0 or less not at all.
        :returns: empty if the time is over.
        """
        coop_yield(timeout is None or timeout > 0)
        if self._interrupted:
            self._start_anew()
        self._interrupted = True
        found = self._select(timeout)
        self._suspect.update(found)
        self._interrupted = False
        return [(entry.key, modes & entry.events) for entry, modes in found.items()]

    def _select(self, timeout: float | None) -> dict[_Entry, int]:
        end = None if timeout is None else time.monotonic() + timeout
        left = timeout
        while True:
            found = self._recheck_suspects() if self._suspect else {}
            self._take_events(found, 0 if found else left)
            if self._confirms and found:
                found = self._confirm(found)
            if found or (end is not None and (left := end - time.monotonic()) <= 0):
                return found

    def _recheck_suspects(self) -> dict[_Entry, int]:
        """Nothing is suspect after this; what is ready is found."""
        found: dict[_Entry, int] = {}
        asked: dict[int, int] = {}
        suspect = self._suspect
        while suspect:
            entry, modes = suspect.popitem()
            modes &= entry.events
            if modes & ~entry.parked and (failed := entry.park(modes)):
                found[entry] = failed
            asked[entry.fd] = modes
        if self._rechecks:
            entries = self._entries
            for fd, ready in poll_now(asked):
                if (still := entries.get(fd)) is not None:
                    found[still] = found[still] | ready if still in found else ready
        return found

    def _take_events(self, found: dict[_Entry, int], timeout: float | None) -> None:
        """What the poller tells."""
        self._sleeping = True  # from here on `_mark_suspect` wakes us
        tokens: list[tuple[_Entry, int]] = self._poll(0 if self._suspect else timeout)
        self._sleeping = False
        entries = self._entries
        while tokens:
            for entry, mode in tokens:
                entry.parked &= ~mode
                if mode & entry.events and entry is entries.get(entry.fd):
                    found[entry] = found[entry] | mode if entry in found else mode
            tokens = self._poller.poll(0) if len(tokens) >= MANY else []

    def _poll(self, timeout: float | None) -> list[Any]:
        """`Poller.poll`; in a hub others run meanwhile."""
        may_wait = timeout is None or timeout > 0
        if may_wait and current_hub() is not None and has_descriptor(self._poller):
            until = None if timeout is None else time.monotonic() + timeout
            with suppress(ClosedError):  # the poller was, and says so
                wait_readable(self._poller.fileno(), until, self._waits)
            timeout = 0
        return self._poller.poll(timeout)

    def _confirm(self, found: dict[_Entry, int]) -> dict[_Entry, int]:
        """Of what was told, what is still so; the rest is parked again."""
        self._suspect.update(found)
        ready = dict(poll_now({entry.fd: modes & entry.events for entry, modes in found.items()}))
        return {entry: ready[entry.fd] for entry in found if entry.fd in ready}

    def _start_anew(self) -> None:
        """The last select was cut off: what it had found is lost."""
        self._sleeping = False
        for entry in tuple(self._entries.values()):
            entry.drop(READ | WRITE)
            self._suspect[entry] = entry.events

    # The rest.

    def close(self) -> None:
        """Close the poller and forget every file; idempotent.  The files stay open."""
        for entry in tuple(self._entries.values()):
            entry.close()
        self._entries.clear()
        self._suspect.clear()
        self._map = None
        self._poller.close()
        for desc in tuple(self._waits):
            desc.close()
        with suppress(ClosedError):
            self._poller.poll(0)  # the tokens that were about to come out, which refer to it

    def get_map(self) -> Mapping[FileDescriptorLike, selectors.SelectorKey]:
        """The keys by file, or by descriptor; None after `close`, as the interface has it."""
        return self._map  # type: ignore[return-value]

    def _find(self, fileobj: FileDescriptorLike) -> int:
        """The descriptor of a file, which may have been closed since it was registered."""
        try:
            return _descriptor(fileobj)
        except ValueError:
            for entry in tuple(self._entries.values()):
                if entry.key.fileobj is fileobj:
                    return entry.fd
            raise


class _Keys(Mapping["FileDescriptorLike", selectors.SelectorKey]):
    def __init__(self, selector: PollerSelector) -> None:
        self._selector = selector

    def __len__(self) -> int:
        return len(self._selector._entries)

    def __getitem__(self, fileobj: FileDescriptorLike) -> selectors.SelectorKey:
        try:
            return self._selector._entries[self._selector._find(fileobj)].key
        except (KeyError, ValueError):
            raise KeyError(f"{fileobj!r} is not registered") from None

    def __iter__(self) -> Iterator[FileDescriptorLike]:
        return iter(self._selector._entries)


def _check(events: int) -> None:
    if not events or events & ~(READ | WRITE):
        raise ValueError(f"invalid events: {events!r}")


def _descriptor(fileobj: FileDescriptorLike) -> int:
    try:
        fd = fileobj if isinstance(fileobj, int) else int(fileobj.fileno())
    except (AttributeError, TypeError, ValueError):
        raise ValueError(f"invalid file object: {fileobj!r}") from None
    if fd < 0:
        raise ValueError(f"invalid file descriptor: {fd}")
    return fd
