"""`local` over cffi: what python/ext/local.c is on CPython."""

from __future__ import annotations

import threading
from typing import Any
from weakref import WeakKeyDictionary

from netpoll._cffi.hub import running_greenlet
from netpoll._cffi.waiter import owner_of

_get = object.__getattribute__


class _Owner:
    """What a thread or a greenlet has of all locals; it ends with it."""


class _ThreadOwner(threading.local):
    def __init__(self) -> None:
        self.owner = _Owner()


_thread = _ThreadOwner()


def _present_owner() -> Any:
    greenlet = running_greenlet()
    return _thread.owner if greenlet is None else owner_of(greenlet, _Owner)


def _values(self: local) -> dict[str, Any]:
    """Those of what runs."""
    dicts, owner = _get(self, "_dicts"), _present_owner()
    try:
        found: dict[str, Any] = dicts[owner]
    except KeyError:
        found = dicts[owner] = {}
        args, kwargs = _get(self, "_arguments")
        try:
            self.__init__(*args, **kwargs)  # type: ignore[misc]
        except BaseException:
            del dicts[owner]
            raise
    return found


def _of_class(kind: type, name: str) -> Any:
    """What the class has under that name, and the class of that; None if it has nothing."""
    for base in kind.__mro__:
        if name in vars(base):
            attribute = vars(base)[name]
            return attribute, type(attribute)
    return None, type(None)


class local:
    """Attributes of its own for each greenlet, in a hub, and for each thread elsewhere.

    As `threading.local`: a subclass's `__init__` is called in each with the same arguments.
    """

    __slots__ = ("__weakref__", "_arguments", "_dicts")

    def __new__(cls, /, *args: Any, **kwargs: Any) -> local:
        if (args or kwargs) and cls.__init__ is object.__init__:
            raise TypeError("Initialization arguments are not supported")
        self = object.__new__(cls)
        object.__setattr__(self, "_arguments", (args, kwargs))
        object.__setattr__(self, "_dicts", WeakKeyDictionary({_present_owner(): {}}))
        return self

    def __getattribute__(self, name: str) -> Any:
        values, kind = _values(self), type(self)
        if name == "__dict__":
            return values
        attribute, its_kind = _of_class(kind, name)
        if not hasattr(its_kind, "__get__"):
            return values[name] if name in values else _get(self, name)
        if hasattr(its_kind, "__set__") or name not in values:
            return its_kind.__get__(attribute, self, kind)
        return values[name]

    def __setattr__(self, name: str, value: Any) -> None:
        self._refuse_dict(name)
        attribute, its_kind = _of_class(type(self), name)
        if hasattr(its_kind, "__set__"):
            its_kind.__set__(attribute, self, value)
        else:
            _values(self)[name] = value

    def __delattr__(self, name: str) -> None:
        self._refuse_dict(name)
        attribute, its_kind = _of_class(type(self), name)
        if hasattr(its_kind, "__delete__"):
            its_kind.__delete__(attribute, self)
        else:
            try:
                del _values(self)[name]
            except KeyError:
                raise AttributeError(name) from None

    def _refuse_dict(self, name: str) -> None:
        if name == "__dict__":
            raise AttributeError(f"{type(self)!r}: its __dict__ is read-only")

    def __reduce__(self) -> Any:
        raise TypeError(f"cannot pickle {type(self).__qualname__!r} object")


local.__module__ = "netpoll.sync"
