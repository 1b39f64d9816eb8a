"""A pytest plugin: a library's own tests, on netpoll, with a line of JSON for each outcome.

The environment has

* SUITE_CHOSEN: a file with a list of the tests that run; if it is empty, all do;
* SUITE_OUTCOMES: the file that gets the lines, [test, outcome, text];
* SUITE_ADAPTER: the adapter, whose import patches the library and whose classes take the place of
  the library's own; nothing for the library as it is;
* SUITE_HUB: something, if each test runs in a hub.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from types import FunctionType
from typing import Any

import pytest
from _pytest import runner

ADAPTER = os.environ["SUITE_ADAPTER"]
IN_HUB = bool(os.environ["SUITE_HUB"])


def replace(old: type, new: type) -> None:
    """In the modules of its library: as a name, in a table, as a default argument."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] not in ("urllib3", "requests", "redis"):
            continue
        for key, value in list(vars(module).items()):
            if value is old:
                setattr(module, key, new)
            elif type(value) is dict:
                value.update({one: new for one, other in value.items() if other is old})
            elif isinstance(value, type):
                for function in vars(value).values():
                    if isinstance(function, FunctionType) and function.__defaults__:
                        function.__defaults__ = tuple(
                            new if one is old else one for one in function.__defaults__
                        )


def use(adapter: Any, library: str) -> None:
    for name in adapter.__all__:
        new = getattr(adapter, name)
        if isinstance(new, type):
            replace(next(one for one in new.__mro__ if one.__module__.startswith(library)), new)


if ADAPTER:  # before the tests import the library
    use(importlib.import_module(ADAPTER), ADAPTER.rpartition(".")[2])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    with open(os.environ["SUITE_CHOSEN"], encoding="utf-8") as file:
        chosen = json.load(file)
    if chosen:
        items[:] = [item for item in items if item.nodeid in chosen]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> object:
    if not IN_HUB:
        return None
    from netpoll import green

    return green.run(runner.pytest_runtest_protocol, item, nextitem)


def write(test: str, outcome: str, text: str) -> None:
    if "PYTEST_XDIST_WORKER" not in os.environ:
        with open(os.environ["SUITE_OUTCOMES"], "a", encoding="utf-8") as file:
            file.write(json.dumps([test, outcome, text]) + "\n")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """A test passes by its call, and fails by any of its phases."""
    if report.when == "call" or not report.passed:
        write(report.nodeid, report.outcome, report.longreprtext)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if not report.passed:
        write(report.nodeid, report.outcome, report.longreprtext)
