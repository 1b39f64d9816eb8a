"""Functions of the standard library that make objects of our classes."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])


def rebind(function: F, namespace: dict[str, Any]) -> F:
    """The same function, but that it finds its globals in a module of ours, where some names stand
    for other classes."""
    made = types.FunctionType(
        function.__code__,
        namespace,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    made.__doc__ = function.__doc__
    made.__kwdefaults__ = function.__kwdefaults__
    made.__module__ = namespace["__name__"]
    return cast(F, made)
