"""Every rule of the contract has tests, and docs/testing.md tells the truth about them."""

from __future__ import annotations

import re

import pytest
import rulebook


@pytest.mark.parametrize("rule", rulebook.RULES)
def test_every_rule_has_tests(rule: int) -> None:
    assert sum(map(len, rulebook.by_rule()[rule].values())) >= 3


def test_no_test_claims_a_rule_that_does_not_exist() -> None:
    assert set(rulebook.by_rule()) <= set(rulebook.RULES)


def test_the_page_about_testing_has_the_table_of_rules_as_it_is() -> None:
    """`python tests/rulebook.py --write` brings it up to date."""
    page = rulebook.PAGE.read_text(encoding="utf-8")
    assert page == rulebook.page_with_table(page)


def test_every_test_that_the_page_names_exists() -> None:
    """A name may stand for several tests by a * at its end."""
    page = rulebook.PAGE.read_text(encoding="utf-8")
    named = set(re.findall(r"test_\w+\.py::test_\w*\*?", page))
    known = rulebook.all_tests()
    missing = [name for name in named if not _known(name, known)]
    assert named and missing == []


def _known(name: str, known: set[str]) -> bool:
    if name.endswith("*"):
        return any(test.startswith(name[:-1]) for test in known)
    return name in known
