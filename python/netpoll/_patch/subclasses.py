"""Classes that inherit from what is replaced."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

from netpoll._patch.changes import Changes

__all__ = ["rebase"]


def rebase(cls: Any, table: Mapping[int, Any], changes: Changes) -> None:
    """Let a class inherit from the replacements of its bases.

    Python changes the bases of a class only if its objects need no more room.  Where ours do, and
    ours is a subclass of the base, the class stays, but makes objects of a subclass of it and ours,
    in which ours come next after it: `super()` and isinstance in its methods go on to be right.
    Otherwise the class goes on with what it has.
    """
    bases = tuple(table.get(id(base), base) for base in cls.__bases__)
    if bases == cls.__bases__:
        return
    try:
        changes.set(cls, "__bases__", bases)
    except TypeError:
        for old, new in zip(cls.__bases__, bases, strict=True):
            if old is not new and isinstance(new, type) and issubclass(new, old):
                _redirect(cls, new, changes)


def _redirect(cls: Any, ours: type, changes: Changes) -> None:
    """Let the class, and its subclasses, make objects that are of ours too."""
    make = cls.__new__
    joined: WeakKeyDictionary[type, type] = WeakKeyDictionary()

    def join(kind: type) -> type:
        if issubclass(kind, ours):
            return kind
        if kind not in joined:
            names = {name: vars(kind).get(name) for name in ("__doc__", "__module__")}
            metaclass: Any = type(kind)
            joined[kind] = metaclass(kind.__name__, (kind, ours), names)
            joined[kind].__qualname__ = kind.__qualname__
        return joined[kind]

    def new(kind: type, *args: Any, **kwargs: Any) -> Any:
        return make(join(kind), *args, **kwargs)

    try:
        join(cls)
    except TypeError:  # slots: there is no class with its layout and ours
        return
    changes.set(cls, "__new__", staticmethod(new))
