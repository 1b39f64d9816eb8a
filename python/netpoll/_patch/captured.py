"""Finds what a module has captured: names, default arguments, class attributes, base classes."""

from __future__ import annotations

import _thread
import types
from collections.abc import Callable, Mapping
from functools import _lru_cache_wrapper, cached_property, partial
from typing import Any

from netpoll import sync
from netpoll._patch.changes import Changes
from netpoll._patch.subclasses import rebase

__all__ = ["keep_own", "replace_captured"]


def replace_captured(module: types.ModuleType, table: Mapping[int, Any], changes: Changes) -> None:
    """Replace what the module and its own functions and classes have captured.

    :param table: replacements, by the identity of what they replace.
    """
    _Search(module.__name__, table, changes).namespace(module)


def keep_own(module: types.ModuleType, name: str, changes: Changes) -> None:
    """Let a module's functions go on to use a global as it is now, whatever becomes of it.

    They get it by another name.
    """
    other = f"_netpoll_{name}"
    changes.set(module, other, vars(module)[name])
    owners = [one for one in vars(module).values() if isinstance(one, type)]
    for owner in (module, *(one for one in owners if one.__module__ == module.__name__)):
        for function in list(vars(owner).values()):
            if isinstance(function, types.FunctionType) and name in function.__code__.co_names:
                names = (other if one == name else one for one in function.__code__.co_names)
                changes.set(function, "__code__", function.__code__.replace(co_names=tuple(names)))


#: A module's or class's own lock would hold up a hub where another greenlet waits with it held.
_LOCKS: dict[type, Callable[[], Any]] = {
    type(_thread.allocate_lock()): sync.Lock,
    _thread.RLock: sync.RLock,
}


def _is_free(lock: Any) -> bool:
    if getattr(lock, "_is_owned", bool)() or not lock.acquire(blocking=False):
        return False
    lock.release()
    return True


class _Search:
    def __init__(self, module: str, table: Mapping[int, Any], changes: Changes) -> None:
        self._module = module
        self._table = table
        self._changes = changes
        self._seen: set[int] = set()

    def namespace(self, owner: Any) -> None:
        """A module, or a class."""
        for name, value in list(vars(owner).items()):
            if id(value) in self._table:
                if getattr(value, "__module__", None) == self._module:
                    continue  # it is from here: a module in C
                self._changes.set(owner, name, self._table[id(value)])
            elif type(value) in _LOCKS and _is_free(value):
                self._changes.set(owner, name, _LOCKS[type(value)]())
            elif isinstance(value, staticmethod) and id(value.__func__) in self._table:
                self._changes.set(owner, name, staticmethod(self._table[id(value.__func__)]))
            elif type(value) is partial and (new := self._partial(value)) is not value:
                self._changes.set(owner, name, new)
            else:
                self._visit(value)

    def _partial(self, value: Any) -> Any:
        """The same, if it has captured nothing that is replaced."""
        captured = [value.func, *value.args, *value.keywords.values()]
        if not any(id(one) in self._table for one in captured):
            return value
        func, *args = (self._table.get(id(one), one) for one in (value.func, *value.args))
        named = {key: self._table.get(id(one), one) for key, one in value.keywords.items()}
        new = partial(func, *args, **named)
        vars(new).update(vars(value))
        return new

    def _visit(self, value: Any) -> None:
        if id(value) in self._seen:
            return
        self._seen.add(id(value))
        if isinstance(value, (staticmethod, classmethod)):
            self._visit(value.__func__)
        elif isinstance(value, _lru_cache_wrapper):
            self._visit(value.__wrapped__)
        elif isinstance(value, cached_property):
            self._visit(value.func)
        elif isinstance(value, property):
            for function in (value.fget, value.fset, value.fdel):
                self._visit(function)
        elif isinstance(value, types.FunctionType):
            self._function(value)
        elif isinstance(value, type) and value.__module__ == self._module:
            self.namespace(value)
            rebase(value, self._table, self._changes)

    def _function(self, function: types.FunctionType) -> None:
        """Its default arguments, and what it has from the functions around it."""
        table = self._table
        values = function.__defaults__ or ()
        if any(id(value) in table for value in values):
            new = tuple(table.get(id(value), value) for value in values)
            self._changes.set(function, "__defaults__", new)
        named = function.__kwdefaults__ or {}
        if any(id(value) in table for value in named.values()):
            changed = {name: table.get(id(value), value) for name, value in named.items()}
            self._changes.set(function, "__kwdefaults__", changed)
        for cell in function.__closure__ or ():
            try:
                value = cell.cell_contents
            except ValueError:  # empty
                continue
            if id(value) in table:
                self._changes.set(cell, "cell_contents", table[id(value)])
            else:
                self._visit(value)
