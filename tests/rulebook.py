"""Which test proves which rule: read from the marks in the tests, checked by test_rules.py.

`python tests/rulebook.py --write` puts the table into docs/testing.md.
"""

from __future__ import annotations

import argparse
import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "testing.md"
BEGIN, END = "<!-- rules: begin -->\n", "<!-- rules: end -->\n"

RULES = {
    1: "remembered edges",
    2: "one waiter a mode",
    3: "deadlines are instants",
    4: "a deadline moved under a waiter",
    5: "never early; late by scheduling only",
    6: "expiry that nobody drove",
    7: "closing wins",
    8: "close from anywhere; memory until the last waiter left",
    9: "stale handles",
    10: "stale events and timers",
    11: "any thread, any greenlet, any poller",
    12: "no background thread; nobody stranded",
    13: "signals",
    14: "fork",
    15: "exit",
    16: "the GIL",
    17: "no crash, no leak, no lost wake-up; out of resources",
    18: "no torn state",
    19: "limits bind on every path",
    20: "without the GIL",
    21: "sub-interpreters",
}


def _numbers(node: ast.expr) -> set[int]:
    """The rule numbers of every `pytest.mark.rule(...)` in an expression."""
    found: set[int] = set()
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.mark.rule":
            found |= {number.value for number in call.args if isinstance(number, ast.Constant)}  # type: ignore[misc]
    return found


@cache
def tests_of(path: Path) -> dict[str, set[int]]:
    """Each test of a file with its rules, those of the whole file included."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    everywhere: set[int] = set()
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark":
            everywhere = _numbers(node.value)
    tests = [
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    return {test.name: everywhere.union(*map(_numbers, test.decorator_list)) for test in tests}


def by_rule() -> dict[int, dict[str, list[str]]]:
    """rule -> file -> tests"""
    table: dict[int, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for path in sorted(TESTS.rglob("test_*.py")):
        for test, rules in tests_of(path).items():
            for rule in rules:
                table[rule][path.name].append(test)
    return table


def all_tests() -> set[str]:
    """`file.py::test` for every test."""
    return {f"{path.name}::{test}" for path in TESTS.rglob("test_*.py") for test in tests_of(path)}


def table() -> str:
    """Markdown: a line a rule, with the files and how many tests in each."""
    rules = by_rule()
    lines = ["| rule | | tests |", "| --- | --- | --- |"]
    for number, name in RULES.items():
        files = [f"`{file}` ({len(tests)})" for file, tests in sorted(rules[number].items())]
        lines.append(f"| {number} | {name} | {', '.join(files)} |")
    return "\n".join(lines) + "\n"


def page_with_table(page: str) -> str:
    return re.sub(f"(?<={BEGIN}).*(?={END})", lambda _: table(), page, flags=re.DOTALL)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the table into docs/testing.md")
    parser.add_argument("rule", nargs="?", type=int, help="list the tests of one rule")
    options = parser.parse_args()
    if options.write:
        PAGE.write_text(page_with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    elif options.rule:
        for file, names in by_rule()[options.rule].items():
            print(*(f"{file}::{name}" for name in names), sep="\n")
    else:
        print(table(), end="")
