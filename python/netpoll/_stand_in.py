"""Modules in which some names mean something else."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Any

__all__ = ["StandIn"]


class StandIn(types.ModuleType):
    """A module in which some names have other values.

    All other names are looked up in the module each time, and set there: `time.tzset` gives
    `time.timezone` a new value, and a program `threading.excepthook`.
    """

    def __init__(self, module: types.ModuleType, names: Mapping[str, Any]) -> None:
        super().__init__(module.__name__)
        vars(self).clear()  # __spec__ and its like are the module's
        vars(self).update(names, __doc__=module.__doc__)
        vars(self)["__stand_in__"] = (module, frozenset(names))

    def __getattr__(self, name: str) -> Any:
        return getattr(vars(self)["__stand_in__"][0], name)

    def __setattr__(self, name: str, value: Any) -> None:
        module, names = vars(self)["__stand_in__"]
        if name in names:
            super().__setattr__(name, value)
        else:
            setattr(module, name, value)

    def __delattr__(self, name: str) -> None:
        module, names = vars(self)["__stand_in__"]
        if name in names:
            super().__delattr__(name)
        else:
            delattr(module, name)

    def __dir__(self) -> list[str]:
        module, names = vars(self)["__stand_in__"]
        return sorted(names.union(dir(module)))
