"""The classes of `selectors` on `netpoll.select`: in a hub, `select` parks the greenlet."""

from __future__ import annotations

import selectors
import sys
from typing import Any

from netpoll import select

if hasattr(selectors, "SelectSelector"):

    class SelectSelector(selectors.SelectSelector):
        """As in the standard module."""

        def _select(self, r: Any, w: Any, _: Any, timeout: float | None = None) -> Any:
            if sys.platform != "win32":
                return select.select(r, w, [], timeout)
            readable, writable, failed = select.select(r, w, w, timeout)
            return readable, writable + failed, []


if hasattr(selectors, "PollSelector"):

    class PollSelector(selectors.PollSelector):
        """As in the standard module."""

        _selector_cls = staticmethod(select.poll)


if hasattr(selectors, "EpollSelector"):

    class EpollSelector(selectors.EpollSelector):
        """As in the standard module."""

        _selector_cls = select.epoll


_StandardKqueue: Any = getattr(selectors, "KqueueSelector", None)

if _StandardKqueue is not None:

    class KqueueSelector(_StandardKqueue):  # type: ignore[misc]
        """As in the standard module."""

        def __init__(self) -> None:
            super().__init__()
            self._selector.close()
            self._selector: Any = vars(select)["kqueue"]()


DefaultSelector: type[selectors.BaseSelector] = globals()[selectors.DefaultSelector.__name__]
