"""Attributes that are set, and restored."""

from __future__ import annotations

from typing import Any

__all__ = ["Changes"]

_MISSING: Any = object()


class Changes:
    """Attributes of modules, classes, functions and cells that a patch has set."""

    def __init__(self) -> None:
        self._made: list[tuple[Any, str, Any, Any]] = []

    def set(self, owner: Any, name: str, new: Any) -> None:
        """Set an attribute.

        :raises TypeError: it cannot be set; nothing has changed.
        """
        old = _get(owner, name)
        _set(owner, name, new)
        self._made.append((owner, name, old, new))

    def undo(self) -> None:
        """Restore what is still as it was set here; idempotent."""
        while self._made:
            owner, name, old, new = self._made.pop()
            if _get(owner, name) is new:
                _set(owner, name, old)


def _get(owner: Any, name: str) -> Any:
    """As it stands there, without binding."""
    if name in getattr(owner, "__dict__", ()):
        return vars(owner)[name]
    if isinstance(owner, type) and name != "__bases__":
        return _MISSING
    return getattr(owner, name, _MISSING)


def _set(owner: Any, name: str, value: Any) -> None:
    # Past the __setattr__ of metaclasses: enumerations refuse.
    kind = type if isinstance(owner, type) else object
    if value is _MISSING:
        kind.__delattr__(owner, name)
    else:
        kind.__setattr__(owner, name, value)
