"""Whatever a program calls on the standard objects is there on ours."""

from __future__ import annotations

import queue
import threading
from typing import Any

import pytest
from netpoll import sync

#: Of `_thread.lock`, undocumented since Python 2.
OBSOLETE = {"acquire_lock", "locked_lock", "release_lock"}

PAIRS: list[tuple[Any, Any]] = [
    (threading.Lock(), sync.Lock()),
    (threading.RLock(), sync.RLock()),
    (threading.Condition(), sync.Condition()),
    (threading.Event(), sync.Event()),
    (threading.Semaphore(), sync.Semaphore()),
    (threading.BoundedSemaphore(), sync.BoundedSemaphore()),
    (threading.Barrier(1), sync.Barrier(1)),
    (queue.Queue(), sync.Queue()),
    (queue.LifoQueue(), sync.LifoQueue()),
    (queue.PriorityQueue(), sync.PriorityQueue()),
    (queue.SimpleQueue(), sync.SimpleQueue()),
]


@pytest.mark.parametrize(("standard", "ours"), PAIRS, ids=lambda one: type(one).__name__)
def test_every_public_name_is_there(standard: Any, ours: Any) -> None:
    public = {name for name in dir(standard) if not name.startswith("_")} - OBSOLETE
    assert sorted(public - set(dir(ours))) == []


@pytest.mark.skipif(not hasattr(threading.Event, "isSet"), reason="the old names are gone")
def test_the_old_names_work_and_warn() -> None:
    event, condition = sync.Event(), sync.Condition()
    with pytest.warns(DeprecationWarning, match="isSet"):
        assert event.isSet() is False
    with condition, pytest.warns(DeprecationWarning, match="notifyAll"):
        condition.notifyAll()
