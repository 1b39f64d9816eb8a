"""What is replaced, and by what: the one table that all patches read.

It is made when this module is imported.  A name that the program has replaced before stays the
program's.
"""

from __future__ import annotations

import importlib
import types
from collections.abc import Mapping
from typing import Any, NamedTuple

from netpoll._stand_in import StandIn

__all__ = [
    "ROWS",
    "Row",
    "inside",
    "originals",
    "replacements",
    "stand_ins",
    "unpatched",
]


class Row(NamedTuple):
    """A standard module, and a module of ours that has some of its names."""

    standard: str
    ours: str
    #: Our names for the standard ones; None: they are the same, and those that differ count.
    names: Mapping[str, str] | None = None
    #: What is replaced in the standard module itself; None: all of it.
    inside: frozenset[str] | None = None
    #: Of that, what the module's own functions go on to use as it was.
    own: frozenset[str] = frozenset()


ROWS = (
    Row("socket", "netpoll.socket"),
    # The standard methods say `super(SSLContext, SSLContext)`, so that name must stay theirs.
    Row("ssl", "netpoll.ssl", inside=frozenset({"socket", "create_connection"})),
    Row("select", "netpoll.select"),
    Row("selectors", "netpoll._patch.selecting"),
    # It finds a thread's object by that number.
    Row("threading", "netpoll.sync", own=frozenset({"get_ident"})),
    Row(
        "_thread",
        "netpoll.sync",
        {
            "allocate": "Lock",
            "allocate_lock": "Lock",
            "RLock": "RLock",
            "_local": "local",
            "get_ident": "get_ident",
        },
    ),
    Row("queue", "netpoll.sync"),
    Row("subprocess", "netpoll.subprocess"),
    Row("time", "netpoll._patch.waits", {"sleep": "sleep"}),
    Row("os", "netpoll._patch.waits", {"waitpid": "waitpid", "wait": "wait"}),
)


class _Pair(NamedTuple):
    """What a name means in a standard module, and in ours."""

    name: str
    old: Any
    new: Any


#: By the standard module's name.
_pairs: dict[str, list[_Pair]] = {}
#: Each standard module and what a patched module has instead.
_modules: list[tuple[types.ModuleType, types.ModuleType]] = []
#: The standard modules as they are now, by identity.
unpatched: dict[int, types.ModuleType] = {}


def _read(row: Row) -> None:
    try:
        standard = importlib.import_module(row.standard)
        ours = importlib.import_module(row.ours)
    except ImportError:  # a build of Python without OpenSSL, say
        return
    public = [name for name in vars(standard) if not name.startswith("_")]
    pairs = _pairs[row.standard] = []
    for name, other in (row.names or {name: name for name in public}).items():
        old, new = getattr(standard, name, None), getattr(ours, other, None)
        if old is not new and callable(old) and callable(new):
            pairs.append(_Pair(name, old, new))
    if all(hasattr(ours, name) for name in public):
        _modules.append((standard, ours))
    else:
        _modules.append((standard, StandIn(standard, {pair.name: pair.new for pair in pairs})))
    unpatched[id(standard)] = StandIn(standard, {pair.name: pair.old for pair in pairs})


for _row in ROWS:
    _read(_row)

#: What a patched module has instead of a standard one, by the identity of that.
stand_ins = {id(standard): ours for standard, ours in _modules}


def inside(row: Row) -> dict[str, Any]:
    """The new values of names in the standard module itself."""
    found = _pairs.get(row.standard, ())
    return {pair.name: pair.new for pair in found if row.inside is None or pair.name in row.inside}


def replacements(everywhere: bool) -> dict[int, Any]:
    """By the identity of what is replaced in other modules.

    :param everywhere: the standard modules are patched themselves.
    """
    found: dict[int, Any] = {} if everywhere else dict(stand_ins)
    for row in ROWS:
        new = inside(row)
        for pair in _pairs.get(row.standard, ()):
            if not everywhere or pair.name in new:
                found[id(pair.old)] = pair.new
    return found


def originals() -> dict[int, Any]:
    """The other way round: by the identity of what replaces it."""
    found: dict[int, Any] = {id(ours): standard for standard, ours in _modules}
    return found | {id(pair.new): pair.old for pairs in _pairs.values() for pair in pairs}
