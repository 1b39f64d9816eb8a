"""Make programs and libraries that know nothing of netpoll wait in it::

    from netpoll import green, patch

    patch.everything()                              # first of all, for a whole program
    patch.package("requests", "urllib3")            # or: these packages, loaded now or later
    with patch.modules("http.client", "smtplib"):   # or: these modules, for a block
        ...

`everything` replaces the names in the standard modules themselves.  The others leave those alone:
the modules that they are for, and no others, see stand-ins of `socket`, `ssl`, `select`,
`threading`, `queue`, `time` and so on.  What is there from now on: every `import` in such a module,
names that it has imported already, and what its functions and classes have captured of them
in default arguments, attributes and base classes.

Objects that exist already stay what they are; so patch first, and import then.
docs/howto/patching.md tells what is replaced by what, and what cannot be.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
import types
from typing import Any

from netpoll._patch import imports, table, waits
from netpoll._patch.captured import keep_own, replace_captured
from netpoll._patch.changes import Changes
from netpoll._patch.selecting import DefaultSelector as Selector

__all__ = ["STANDARD", "Selector", "everything", "modules", "package"]

#: The modules of the standard library that `modules` was tested with.
STANDARD = (
    "ftplib",
    "http.client",
    "http.server",
    "imaplib",
    "logging.handlers",
    "poplib",
    "smtplib",
    "socketserver",
    "urllib.request",
    "xmlrpc.client",
    "xmlrpc.server",
)

_ROWS = {row.standard: row for row in table.ROWS}

#: The patches that last, oldest first.
_lasting: list[_Patch] = []


class _Patch:
    """What is patched at once, until it is undone."""

    def __init__(self) -> None:
        self._changes = Changes()
        self._begin()
        _lasting.append(self)
        try:
            self._apply()
        except BaseException:
            self.undo()
            raise

    def undo(self) -> None:
        """Restore all that was there before; idempotent.

        What another patch that lasts has replaced too stays replaced.
        """
        if self in _lasting:
            _lasting.remove(self)
            self._end()
            for other in _lasting:
                other._apply()

    def _begin(self) -> None:
        """What comes before the first replacement."""

    def _apply(self) -> None:
        """Replace what is not yet replaced."""
        raise NotImplementedError

    def _end(self) -> None:
        self._changes.undo()

    def _patch_inside(self, row: table.Row) -> None:
        """Replace names in a standard module itself, for everyone but us."""
        self._keep_ours()
        module = sys.modules[row.standard]
        for name in row.own:
            if vars(module)[name] is not table.inside(row)[name]:
                keep_own(module, name, self._changes)
        for name, new in table.inside(row).items():
            if vars(module)[name] is not new:
                self._changes.set(module, name, new)

    def _keep_ours(self) -> None:
        """What our own modules look up in the standard ones stays what they were written for."""
        for name, module in _loaded().items():
            if _is_kept(name):
                for key, value in list(vars(module).items()):
                    if id(value) in table.unpatched:
                        self._changes.set(module, key, table.unpatched[id(value)])

    def _patch_joins(self) -> None:
        if threading.Thread.join is not waits.join:
            self._changes.set(threading.Thread, "join", waits.join)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *unused: object) -> None:
        self.undo()


class modules(_Patch):
    """Patch these modules, at once; in a `with` statement, until its end.

    A standard module that waits by itself, such as `socket`, is patched for everyone.

    :param which: modules, or their names, which are imported.
    :raises ModuleNotFoundError: there is none of that name.
    """

    def __init__(self, *which: str | types.ModuleType) -> None:
        found = [importlib.import_module(one) if isinstance(one, str) else one for one in which]
        self._given = {module.__name__: module for module in found}
        super().__init__()

    def _covers(self, name: str) -> bool:
        return name in self._given

    def _covered(self) -> dict[str, types.ModuleType]:
        """The modules that are loaded, by name."""
        return self._given

    def _begin(self) -> None:
        self._old = frozenset(self._covered())
        imports.cover(self._covers)

    def _apply(self) -> None:
        self._patch_joins()
        replacements = table.replacements(everywhere=False)
        for name, module in self._covered().items():
            if name in _ROWS:
                self._patch_inside(_ROWS[name])
            else:
                replace_captured(module, replacements, self._changes)

    def _end(self) -> None:
        imports.uncover(self._covers)
        super()._end()
        originals = table.originals()
        for name, module in self._covered().items():
            if name not in self._old:  # it was loaded meanwhile
                replace_captured(module, originals, Changes())


class package(modules):
    """Patch these packages: all their modules, whether loaded already or later.

    :param names: of packages or modules; they are not imported.
    :raises ModuleNotFoundError: there is none of that name; of ``a.b``, no a.
    """

    def __init__(self, *names: str) -> None:
        for name in names:  # of `a.b` only a, as to find b imports a
            top = name.partition(".")[0]
            if top not in sys.modules and importlib.util.find_spec(top) is None:
                raise ModuleNotFoundError(f"No module named {top!r}", name=top)
        self._names = names
        _Patch.__init__(self)

    def _covers(self, name: str) -> bool:
        return any(name == one or name.startswith(one + ".") for one in self._names)

    def _covered(self) -> dict[str, types.ModuleType]:
        return {name: module for name, module in _loaded().items() if self._covers(name)}


class everything(_Patch):
    """Patch the standard modules themselves, for the process, and all modules that are loaded.

    The first thing that a program does, or `python -m netpoll run` does for it.
    """

    def _covers(self, name: str) -> bool:
        return False  # the standard modules themselves are patched

    def _begin(self) -> None:
        imports.cover(self._covers)

    def _end(self) -> None:
        imports.uncover(self._covers)
        super()._end()

    def _apply(self) -> None:
        self._patch_joins()
        for row in table.ROWS:
            if row.standard in sys.modules:
                self._patch_inside(row)
        replacements = table.replacements(everywhere=True)
        for name, module in _loaded().items():
            if name not in _ROWS and not _is_kept(name):
                replace_captured(module, replacements, self._changes)


#: Its locks belong to threads, and it must not wait in a module of its making.
_IMPORT_SYSTEM = ("importlib._bootstrap", "importlib._bootstrap_external")


def _is_kept(name: str) -> bool:
    return name.partition(".")[0] == "netpoll" or name in _IMPORT_SYSTEM


def _loaded() -> dict[str, types.ModuleType]:
    found = list(sys.modules.items())
    return {name: module for name, module in found if isinstance(module, types.ModuleType)}
