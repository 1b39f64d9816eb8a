"""Runs a test module of CPython in this process; cpython_suite.py starts it.

    run_cpython.py MODULE SOCKETS PLACE RESULTS LIMIT < ids

RESULTS gets a line of JSON when a test begins, and another when it ends: [id, outcome, text].
Without ids on stdin all tests of the module run.  A test that takes longer than LIMIT
seconds ends the process, with all stacks on stderr.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import sys
import unittest
from collections.abc import Iterator
from typing import Any, TextIO

import stand_ins


class Recorder(unittest.TestResult):
    """Writes down what begins and what ends."""

    def __init__(self, file: TextIO, limit: float) -> None:
        super().__init__()
        self._file = file
        self._limit = limit
        self._outcome = ("ok", "")

    def _write(self, name: str, outcome: str, text: str = "") -> None:
        self._file.write(json.dumps([name, outcome, text]) + "\n")
        self._file.flush()

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        faulthandler.dump_traceback_later(self._limit, exit=True)
        self._outcome = ("ok", "")
        self._write(test.id(), "begun")

    def stopTest(self, test: unittest.TestCase) -> None:
        super().stopTest(test)
        faulthandler.cancel_dump_traceback_later()
        self._write(test.id(), *self._outcome)

    def _failed(self, test: Any, err: Any) -> None:
        text = self._exc_info_to_string(err, test)  # type: ignore[attr-defined]
        self._outcome = ("failed", self._outcome[1] + text)

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        super().addError(test, err)
        self._failed(test, err)
        if not isinstance(test, unittest.TestCase):  # setUpClass, setUpModule
            self._write(test.id(), *self._outcome)

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        super().addFailure(test, err)
        self._failed(test, err)

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._failed(test, err)

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        super().addSkip(test, reason)
        self._outcome = ("skipped", reason)

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        super().addUnexpectedSuccess(test)
        self._outcome = ("failed", "unexpected success")


def tests_of(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from tests_of(item)
        else:
            yield item


def main(name: str, sockets: str, place: str, results: str, limit: str) -> None:
    module = importlib.import_module(name)
    stand_ins.put_into(module, sockets, place)  # first: the tests' constructors use some of it
    tests = tests_of(unittest.defaultTestLoader.loadTestsFromModule(module))
    wanted = set(sys.stdin.read().split())
    chosen = unittest.TestSuite(test for test in tests if not wanted or test.id() in wanted)
    with open(results, "a", encoding="utf-8") as file:
        stand_ins.run_in(place, lambda: chosen.run(Recorder(file, float(limit))) and None)


if __name__ == "__main__":
    main(*sys.argv[1:])
