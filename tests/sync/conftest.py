"""A crew: actors that are threads, greenlets of one hub, greenlets of hubs of their own, or some of
each."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, TypeVar

import netpoll
import pytest
from support import HAS_GREENLET, GreenStage, Stage, Task, ThreadStage

T = TypeVar("T")


def in_a_hub(function: Callable[..., T], *args: Any) -> T:
    from netpoll import green

    return green.run(function, *args)


class HubStage(ThreadStage):
    """Each actor is a greenlet of a thread of its own."""

    kind = "hubs"

    def spawn(self, function: Callable[..., T], *args: Any) -> Task[T]:
        return super().spawn(in_a_hub, function, *args)


class MixedStage(GreenStage):
    """Greenlets of the test's hub, plain threads, greenlets of other hubs; in turn."""

    kind = "mixed"

    def __init__(self, backend: str) -> None:
        super().__init__(backend)
        self._turn = itertools.count()

    def spawn(self, function: Callable[..., T], *args: Any) -> Task[T]:
        turn = next(self._turn) % 3
        if turn == 0:
            return super().spawn(function, *args)
        if turn == 1:
            return self.thread(function, *args)
        return self.thread(in_a_hub, function, *args)


CREWS = {"threads": ThreadStage, "greenlets": GreenStage, "hubs": HubStage, "mixed": MixedStage}


@pytest.fixture(params=CREWS)
def crew(request: pytest.FixtureRequest) -> Stage:
    if request.param != "threads" and not HAS_GREENLET:
        pytest.skip("greenlet is not installed")
    return CREWS[request.param](netpoll.backends()[0])
