"""Where netpoll.green joins in, so that nothing else of the package needs greenlet."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from netpoll._api import Poller
    from netpoll._parking import Gate


class HubToken:
    """The token of a greenlet in `wait`: whoever polls it out hands it to its hub.

    Users' schedulers never see one, and cannot cancel one.
    """

    __slots__ = ()

    def deliver(self) -> None:
        """From any thread: the token's greenlet is to run."""
        raise NotImplementedError


#: For the debug mode: called with each new hub, in its thread.
new_hub: Callable[[Any], None] | None = None

#: The same, with the class `netpoll.socket.socket` when it has been made.
new_socket_class: Callable[[type], None] | None = None

#: Has the process ever had a hub?
hubs = False

#: For the engine in Python, set by the first hub.  Wait where the calling greenlet or thread does:
#: descriptor, mode, flags of np_park.
wait: Callable[[Any, int, int], None] | None = None


def _no_way_to_give() -> None:
    pass


#: For the engine in Python, before an operation that may wait: in a hub, who did many that did not
#: have to lets the others have a turn each.
give_way: Callable[[], None] = _no_way_to_give


def _no_hub() -> Poller | None:
    return None


def _no_gate() -> Gate | None:
    return None


#: A gate for the calling greenlet, or None if the thread has no hub.
gate: Callable[[], Gate | None] = _no_gate

#: The poller of the calling thread's hub, or None if it has none.
hub_poller: Callable[[], Poller | None] = _no_hub
