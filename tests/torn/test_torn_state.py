"""A signal handler that raises leaves nothing torn: every scenario, at some of its places.

`make torn` strikes them all; `torn.py NAME` strikes those of one scenario and tells more.
"""

from __future__ import annotations

import sys

import pytest

if sys.platform != "linux" or sys.implementation.name != "cpython":
    pytest.skip("it forks, looks into /proc, and counts CPython's checks", allow_module_level=True)
pytest.importorskip("trustme", reason="trustme, which makes the certificates")
pytest.importorskip("greenlet", reason="greenlet")

import explore
import scenarios_adapters  # noqa: F401
import scenarios_blocking  # noqa: F401
import scenarios_green  # noqa: F401
import scenarios_pollers  # noqa: F401
import scenarios_sockets  # noqa: F401
import scenarios_sync  # noqa: F401
import scenarios_tls  # noqa: F401
from netpoll import _engine
from strike import Place
from world import SCENARIOS

pytestmark = pytest.mark.rule(18)

#: Of each scenario.
AT_MOST = 5


#: With the engine in Python: docs/proof.md, "Not done".
TORN_IN_PYTHON = (
    "sync_condition_threads",
    "sync_condition_greenlets",
    "sync_simple_queue_",
    "sync_queue_",
    "sync_group",
    "queue_put_",
    "queue_get_",
)


def some(places: list[Place]) -> list[int]:
    """Spread evenly, the first and the last included."""
    count = min(AT_MOST, len(places))
    return sorted({1 + i * (len(places) - 1) // max(count - 1, 1) for i in range(count)})


#: `make test` takes every fourth; each runs in `make test-all`.
SOME_SCENARIOS = [
    pytest.param(name, marks=[pytest.mark.slow] if number % 4 else [])
    for number, name in enumerate(SCENARIOS)
]


@pytest.mark.parametrize("name", SOME_SCENARIOS)
def test_a_raising_signal_handler_tears_nothing(name: str) -> None:
    if _engine.PURE and name.startswith(TORN_IN_PYTHON):
        pytest.xfail("conditions, queues and groups take several steps in the engine in Python")
    report = explore.explore(name, some)
    assert report.numbers
    assert not report.faults, "\n".join(f"{fault}\n{fault.details}" for fault in report.faults)
