"""The end of a group over cffi: what python/ext/group.c is on CPython."""

from __future__ import annotations

from typing import Any


class GroupBase:
    """What `Group` inherits: the end of its block.

    `_finish` is called with what ended the block, and again with what it raised, until all have
    ended.
    """

    _members: set[Any]  #: that have not ended

    def _finish(self, kind: Any, error: Any, traceback: Any) -> None:
        raise NotImplementedError

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        try:
            self._finish(kind, error, traceback)
        except BaseException as raised:
            if not self._members:
                raise
            self.__exit__(type(raised), raised, raised.__traceback__)
            raise
