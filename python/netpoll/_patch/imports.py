"""What `import` gives to modules while a patch for them lasts."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from netpoll._patch.table import stand_ins, unpatched

__all__ = ["cover", "uncover"]

#: For each patch that lasts: does it cover the module of that name?
_covers: list[Callable[[str], bool]] = []
#: What we call, and stand in front of; None: we do not.
_import_before: Callable[..., Any] | None = None


def cover(covers: Callable[[str], bool]) -> None:
    """From now on, modules for which it is true get stand-ins of the standard modules."""
    global _import_before
    if _import_before is None:
        _import_before, builtins.__import__ = builtins.__import__, _import
    _covers.append(covers)


def uncover(covers: Callable[[str], bool]) -> None:
    """The end of `cover`."""
    global _import_before
    _covers.remove(covers)
    # If another is in front of us meanwhile, we stay, and change nothing.
    if not _covers and builtins.__import__ is _import and _import_before is not None:
        builtins.__import__, _import_before = _import_before, None


def _import(
    name: str,
    globals: Mapping[str, Any] | None = None,
    locals: Mapping[str, Any] | None = None,
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> Any:
    assert _import_before is not None
    module = _import_before(name, globals, locals, fromlist, level)
    stand_in = stand_ins.get(id(module))
    if stand_in is None or globals is None:
        return module
    importer = globals.get("__name__", "")
    if importer.partition(".")[0] == "netpoll":
        return unpatched[id(module)]  # as our modules that were there before have it
    return stand_in if any(covers(importer) for covers in _covers) else module


# A warning about a module is at the line that imports it: `warnings` leaves out the import system.
_import.__code__ = _import.__code__.replace(co_filename="<frozen importlib._bootstrap>")
