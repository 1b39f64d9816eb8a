"""Random sequences of calls on several descriptors, against a reference that is easy to read.

The reference (`Side`, `Model`) states the rules in one thread, without locks and cleverness: what
each call must return or raise, which tokens each poll must give out, and which notification is
remembered.  hypothesis makes the sequences, and shrinks those that fail.

Deadlines are in the past or an hour away, so no outcome depends on time.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from typing import Any

import pytest

if sys.platform == "win32":
    pytest.skip(
        "AFD may tell what is old by now, which the model does not", allow_module_level=True
    )
pytest.importorskip("hypothesis")

import netpoll
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from netpoll import READ, WRITE

PAIRS = 2
MODES = st.sampled_from((READ, WRITE))
SLOTS = st.integers(0, PAIRS - 1)
RARELY = st.integers(0, 7)
FAR = 3600


class Side:
    """One mode of one descriptor."""

    def __init__(self) -> None:
        self.ready = False  # a notification is remembered
        self.for_token = False  # ... and it is what a token on its way will report
        self.parked: int | None = None
        self.delivery = "none"  # or "queued", "dropped", "out"
        self.deadline = "none"  # or "expired", "far"


class Model:
    """One descriptor."""

    def __init__(self, data: int) -> None:
        self.sides = {READ: Side(), WRITE: Side()}
        self.closing = self.gone = False
        self.listed = True  # edge-triggered: the kernel has an edge to report
        self.armed: set[int] = set()  # level-triggered: the modes to report
        self.data = data

    def error(self, mode: int) -> type[BaseException] | None:
        if self.closing:
            return netpoll.ClosedError
        if self.sides[mode].deadline == "expired":
            return netpoll.DeadlineExceeded
        return None

    def takes_notification(self, mode: int) -> bool:
        side = self.sides[mode]
        had = side.ready
        side.ready = side.for_token = False
        return had

    def can_do(self) -> set[int]:
        return {READ, WRITE} if self.data else {WRITE}


class PollerMachine(RuleBasedStateMachine):
    backend = "epoll"

    @initialize()
    def begin(self) -> None:
        self.poller = netpoll.Poller(self.backend)
        self.pairs = [socket.socketpair() for _ in range(PAIRS)]
        for pair in self.pairs:
            for end in pair:
                end.setblocking(False)
        self.descs = [self.poller.open(pair[0]) for pair in self.pairs]
        self.models = [Model(0) for _ in range(PAIRS)]
        self.queue: list[tuple[Side, int]] = []
        self.tokens = 0

    # --- the reference -------------------------------------------------------------------------

    def expect(self, error: type[BaseException] | None, call: Callable[[], Any]) -> Any:
        if error is None:
            return call()
        with pytest.raises(error):
            call()
        return None

    def unpark(self, side: Side, *, ready: bool) -> None:
        if side.parked is not None:
            self.queue.append((side, side.parked))
            side.parked, side.delivery = None, "queued"
            side.ready = side.for_token = ready
        elif ready and not side.ready:
            side.ready, side.for_token = True, False

    def deliver(self, model: Model) -> None:
        """What the kernel reports when it is asked."""
        if model.gone:
            return
        if self.backend == "epoll":
            modes = model.can_do() if model.listed else set()
            model.listed = False
        else:
            modes = model.can_do() & model.armed
            model.armed -= modes
        for mode in modes:
            self.unpark(model.sides[mode], ready=True)

    def evict(self, model: Model, *, gone: bool) -> None:
        model.closing = True
        model.gone = model.gone or gone
        for side in model.sides.values():
            side.deadline = "none"
            self.unpark(side, ready=False)

    # --- the calls -----------------------------------------------------------------------------

    @rule(i=SLOTS)
    def send(self, i: int) -> None:
        self.pairs[i][1].send(b"x")
        self.models[i].data += 1
        self.models[i].listed = True

    @rule(i=SLOTS)
    def receive(self, i: int) -> None:
        model = self.models[i]
        if model.data:
            assert len(self.pairs[i][0].recv(1000)) == model.data
            model.data = 0

    @rule(i=SLOTS, mode=MODES)
    def reset(self, i: int, mode: int) -> None:
        model = self.models[i]
        error = model.error(mode)
        self.expect(error, lambda: self.descs[i].reset(mode))
        side = model.sides[mode]
        if error is None and not side.for_token:
            side.ready = False

    @rule(i=SLOTS, mode=MODES)
    def park(self, i: int, mode: int) -> None:
        model, desc = self.models[i], self.descs[i]
        side = model.sides[mode]
        token = self.tokens = self.tokens + 1
        error = model.error(mode)
        if error is not None:
            self.expect(error, lambda: desc.park(mode, token))
        elif model.takes_notification(mode):
            assert desc.park(mode, token) is False
        elif side.parked is not None:
            self.expect(netpoll.BusyError, lambda: desc.park(mode, token))
        elif side.delivery in ("queued", "dropped"):
            self.expect(netpoll.BusyError, lambda: desc.park(mode, token))
            model.armed.add(mode)
        else:
            assert desc.park(mode, token) is True
            model.armed.add(mode)
            side.parked, side.delivery = token, "none"

    @rule(i=SLOTS, mode=MODES)
    def resume(self, i: int, mode: int) -> None:
        model = self.models[i]
        side = model.sides[mode]
        was_out, side.delivery = (
            side.delivery == "out",
            "none" if side.delivery == "out" else side.delivery,
        )
        if was_out and model.takes_notification(mode):
            error = netpoll.ClosedError if model.closing else None
            assert self.expect(error, lambda: self.descs[i].resume(mode)) in (True, None)
        else:
            error = model.error(mode)
            assert self.expect(error, lambda: self.descs[i].resume(mode)) in (False, None)

    @rule(i=SLOTS, mode=MODES)
    def cancel(self, i: int, mode: int) -> None:
        side = self.models[i].sides[mode]
        assert self.descs[i].cancel(mode) is (side.parked is not None)
        if side.parked is not None:
            side.parked = None
        elif side.delivery in ("out", "queued"):
            side.delivery = "none" if side.delivery == "out" else "dropped"
            side.for_token = False

    @rule()
    def poll(self) -> None:
        for model in self.models:
            self.deliver(model)
        expected = sorted(token for _, token in self.queue)
        for side, _ in self.queue:
            side.delivery = "out" if side.delivery == "queued" else "none"
        self.queue.clear()
        assert sorted(self.poller.poll(0)) == expected

    @rule(i=SLOTS, mode=MODES)
    def wait_when_it_cannot_block(self, i: int, mode: int) -> None:
        model = self.models[i]
        error = model.error(mode)
        if error is not None or model.takes_notification(mode):
            self.expect(error, lambda: self.descs[i].wait(mode))
        elif model.sides[mode].parked is not None:
            self.expect(netpoll.BusyError, lambda: self.descs[i].wait(mode))

    @rule(i=SLOTS, modes=st.integers(1, 3), when=st.sampled_from(("none", "expired", "far")))
    def set_deadline(self, i: int, modes: int, when: str) -> None:
        model = self.models[i]
        seconds = {"none": None, "expired": 0, "far": FAR}[when]
        error = netpoll.ClosedError if model.closing else None
        self.expect(error, lambda: self.descs[i].set_deadline(seconds, modes))
        for mode, side in model.sides.items():
            if error is None and modes & mode:
                side.deadline = when
                if when == "expired":
                    self.unpark(side, ready=False)

    # Rare, or most of the other calls would meet closed descriptors.
    @rule(i=SLOTS, rarely=RARELY)
    def unblock(self, i: int, rarely: int) -> None:
        if rarely:
            return
        self.descs[i].unblock()
        if not self.models[i].closing:
            self.evict(self.models[i], gone=False)

    @rule(i=SLOTS, rarely=RARELY)
    def close(self, i: int, rarely: int) -> None:
        if rarely:
            return
        self.descs[i].close()
        if not self.models[i].gone:
            self.evict(self.models[i], gone=True)

    @precondition(lambda self: any(model.closing for model in self.models))
    @rule()
    def open_again(self) -> None:
        i = next(i for i in range(PAIRS) if self.models[i].closing)
        self.descs[i].close()
        if not self.models[i].gone:
            self.evict(self.models[i], gone=True)
        self.descs[i] = self.poller.open(self.pairs[i][0])
        self.models[i] = Model(self.models[i].data)

    @rule(i=SLOTS, rarely=RARELY)
    def open_twice(self, i: int, rarely: int) -> None:
        if not rarely and not self.models[i].gone:
            self.expect(FileExistsError, lambda: self.poller.open(self.pairs[i][0]))

    @rule()
    def wake(self) -> None:
        self.poller.wake()

    # --- what always holds ------------------------------------------------------------------------

    @invariant()
    def counters_agree(self) -> None:
        if not hasattr(self, "poller"):
            return
        stats = self.poller.stats()
        assert stats.open == sum(not model.gone for model in self.models)
        parked = [[m.sides[mode].parked is not None for m in self.models] for mode in (READ, WRITE)]
        assert (stats.parked_readers, stats.parked_writers) == tuple(map(sum, parked))

    @invariant()
    def deadlines_agree(self) -> None:
        for desc, model in zip(self.descs, self.models, strict=True):
            for mode, side in model.sides.items():
                left = desc.deadline(mode)
                kind = "none" if left is None else "expired" if left < 0 else "far"
                assert kind == side.deadline
            assert desc.closed is model.closing

    def teardown(self) -> None:
        if not hasattr(self, "poller"):
            return
        self.poll()
        for desc in self.descs:
            desc.close()
        self.poller.close()
        for pair in self.pairs:
            for end in pair:
                end.close()


class LevelMachine(PollerMachine):
    backend = "poll"


EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "60"))
for machine in (PollerMachine, LevelMachine):
    machine.TestCase.settings = settings(
        max_examples=EXAMPLES,
        stateful_step_count=100,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        derandomize="FUZZ_EXAMPLES" not in os.environ,
    )

TestEpoll = PollerMachine.TestCase
TestPoll = LevelMachine.TestCase
