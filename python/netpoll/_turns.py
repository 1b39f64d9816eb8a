"""The run queue of a hub, in Python: what python/ext/turns.c is on CPython.

Signals.  A handler runs between two bytecodes of the main thread, and may raise there.  What must
not be torn apart by that is one call of a C function: to take the first entry and switch to it is
one next() of a map over an iterator.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from operator import methodcaller
from typing import TYPE_CHECKING, Any

from netpoll._hooks import HubToken

if TYPE_CHECKING:
    from netpoll._api import Poller
    from netpoll._pure import DescBase


def rest() -> bool:
    """Let the others of the calling thread's hub have a turn each, if it has a hub and there is a
    quicker way than the hub's own.  (In C there is.)"""
    return False


class WaiterBase(HubToken):
    """The entry of a greenlet in a queue: to go there is to switch to the greenlet.

    Its `switch` may be replaced by another function.
    """

    def __init__(self, turns: Turns, greenlet: Any) -> None:
        self.turns = turns
        self.greenlet = greenlet
        self.switch: Callable[[], Any] = greenlet.switch

    def replace(self) -> None:
        """The wait was cut short: what is on its way to this waiter is for nobody."""
        raise NotImplementedError


class Turns(deque[Any]):
    """Those of a hub who may run, first in, first out.  An entry is anything with a method
    switch()."""

    def __init__(self) -> None:
        super().__init__()
        self._turns: Iterator[Any] = map(methodcaller("switch"), iter(self.popleft, None))
        self._poller: Poller | None = None

    def turn(self) -> Any:
        """Take the first entry and switch to it; returns when somebody switches back."""
        return next(self._turns)

    def look_at(self, poller: Poller, entry: Any, alone: bool) -> None:
        """The hub's own poller, and the entry that stands for a look at it.

        :param alone: there is nothing else to look at.
        """
        self._poller = poller

    def alarm(self, seconds: float | None) -> None:
        """The hub is to be visited after so many seconds at the latest; None: there is no need."""

    def doubts(self) -> None:
        """The hub is about to sleep: look once more at those who wait without having tried.  (Only
        in C somebody does.)"""

    def settle(self, here: bool) -> None:
        """The greenlets of the calling thread wait here, or no longer."""

    def collect(self, tokens: deque[Any]) -> None:
        """Take all tokens, which came out of the hub's poller: ours into the queue; the poller
        keeps those of other hubs and of users' schedulers for whom they belong to."""
        while tokens:
            token = tokens[0]
            if isinstance(token, WaiterBase) and token.turns is self:
                self.extend(map(deque.popleft, (tokens,)))
            else:
                assert self._poller is not None
                self._poller._keep(tokens.popleft())

    def wait_at(self, desc: DescBase, mode: int, flags: int, waiter: WaiterBase) -> int:
        """Park, let others run, resume, until ready; the descriptor is one of the hub's poller.

        :returns: the result of the core; here 0, or else an exception tells.
        """
        key = next(desc._poller._keys)
        try:
            while desc._park(mode, waiter, flags, key):
                self.turn()
                while desc._holds(key):  # somebody switched here for no reason of ours
                    self.turn()
                if desc._resume(mode, flags):
                    break
        except BaseException:
            desc._give_up(mode, key)
            waiter.replace()
            raise
        return 0
