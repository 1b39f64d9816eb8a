"""CPython's tests of locks, queues and locals: of `threading` and `queue`, or of what stands for
the two in `sync`.

The tests' own modules make their threads and sleep; stand_ins.py replaces that in them, too.
"""

from __future__ import annotations

import _thread
import contextlib
import queue
import threading
import types
import unittest
from collections.abc import Iterator
from typing import Any

from test import lock_tests, support, test_queue, test_threading_local
from test.support import threading_helper

sync = types.SimpleNamespace(**{**vars(queue), **vars(threading)})

TESTED_WITH = (lock_tests, test_queue, test_threading_local, support, threading_helper)


@contextlib.contextmanager
def _no_count(*unused: object) -> Iterator[None]:
    """A greenlet is no thread that _thread counts."""
    yield


def load_tests(loader: unittest.TestLoader, tests: Any, pattern: Any) -> Any:
    if lock_tests.start_new_thread is not _thread.start_new_thread:
        threading_helper.wait_threads_exit = _no_count
    return tests


def _kind(name: str) -> Any:
    """Looked up when a test calls it: `sync` may be another by then."""

    def make(*args: Any, **kwargs: Any) -> Any:
        return getattr(sync, name)(*args, **kwargs)

    return staticmethod(make)


class LockTests(lock_tests.LockTests):
    locktype = _kind("Lock")


class RLockTests(lock_tests.RLockTests):
    locktype = _kind("RLock")


class EventTests(lock_tests.EventTests):
    eventtype = _kind("Event")


class ConditionAsRLockTests(lock_tests.RLockTests):
    locktype = _kind("Condition")


class ConditionTests(lock_tests.ConditionTests):
    condtype = _kind("Condition")


class SemaphoreTests(lock_tests.SemaphoreTests):
    semtype = _kind("Semaphore")


class BoundedSemaphoreTests(lock_tests.BoundedSemaphoreTests):
    semtype = _kind("BoundedSemaphore")


class BarrierTests(lock_tests.BarrierTests):
    barriertype = _kind("Barrier")


class _Sync:
    """The module under test, as the tests of queues want it."""

    def __get__(self, instance: object, owner: type) -> Any:
        return sync


class QueueTests(test_queue.QueueTest, unittest.TestCase):
    queue = _Sync()


class LifoQueueTests(test_queue.LifoQueueTest, unittest.TestCase):
    queue = _Sync()


class PriorityQueueTests(test_queue.PriorityQueueTest, unittest.TestCase):
    queue = _Sync()


class FailingQueueTests(test_queue.FailingQueueTest, unittest.TestCase):
    queue = _Sync()


class SimpleQueueTests(test_queue.BaseSimpleQueueTest, unittest.TestCase):
    queue = _Sync()

    def setUp(self) -> None:
        self.type2test = sync.SimpleQueue
        super().setUp()


class LocalTests(test_threading_local.BaseLocalTest, unittest.TestCase):
    @property
    def _local(self) -> Any:
        return sync.local
