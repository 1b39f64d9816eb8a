"""What begins with an underscore is read only in the module that it belongs to."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import ROOT

PACKAGE = ROOT / "python" / "netpoll"
MODULES = sorted(PACKAGE.rglob("*.py"))

#: Of the standard library, on objects that a module of ours was given or made.
STANDARD = {"_accept", "_connected", "_is_owned"}
#: The capsule for extensions, whose name tells Python's users that it is not for them.
CAPSULE = "_C_API"

pytestmark = pytest.mark.any_engine


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name not in {*STANDARD, CAPSULE}


def _is_module(parent: str, name: str) -> bool:
    """Is there a module or package of that name?  Those have an underscore that tells users."""
    folder = PACKAGE.joinpath(*parent.split(".")[1:])
    return any(folder.glob(f"{name}.*")) or (folder / name).is_dir()


def _foreign_names(tree: ast.Module) -> set[str]:
    """Names in the module of what other projects own: their private names are their matter."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(
                (one.asname or one.name).split(".")[0]
                for one in node.names
                if not one.name.startswith("netpoll")
            )
        elif isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("netpoll"):
            found.update(one.asname or one.name for one in node.names)
    return found


def _root(node: ast.expr) -> str | None:
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def _own_names(tree: ast.Module) -> set[str]:
    """What the module defines: functions, classes, slots, and what is assigned or annotated."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
        elif isinstance(node, ast.Assign) and _root(node.targets[0]) == "__slots__":
            found.update(ast.literal_eval(node.value))
    return found


def strangers(source: str) -> Iterator[tuple[int, str]]:
    """The private names of other modules of the package that a module reads, with their lines."""
    tree = ast.parse(source)
    foreign, own = _foreign_names(tree), _own_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("netpoll"):
            for one in node.names:
                if _is_private(one.name) and not _is_module(node.module or "", one.name):
                    yield node.lineno, one.name
        elif isinstance(node, ast.Attribute) and _is_private(node.attr):
            root = _root(node.value)
            inherited = isinstance(node.value, ast.Name) and root in {"self", "cls"}
            inherited |= isinstance(node.value, ast.Call) and _root(node.value.func) == "super"
            module = root == "netpoll" and _is_module("netpoll", node.attr)
            if not (inherited or module or root in foreign or node.attr in own):
                yield node.lineno, node.attr


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_module_reads_a_private_name_of_another(path: Path) -> None:
    assert sorted(strangers(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "source",
    [
        "from netpoll._api import _default",
        "from netpoll import _api\n_api._default",
        "def f(poller): return poller._watchers",
        "class A:\n    def f(self): return self.desc._poller",
        "import sys\ndef f(desc): return desc._park(sys._getframe())",
    ],
)
def test_it_would_be_noticed(source: str) -> None:
    assert len(list(strangers(source))) == 1


def test_it_saw_the_package() -> None:
    assert len(MODULES) > 30
