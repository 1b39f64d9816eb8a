"""Which names the system finds in /etc/hosts, so that looking them up waits for no server.

It is the system that answers, here as elsewhere; this module only predicts that it needs no more
than the file: /etc/nsswitch.conf names `files` first, and the file has the name, with an address of
the family.  Where the answer is not certain it is no.
"""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

__all__ = ["answers", "families_by_name", "files_come_first"]

T = TypeVar("T")

#: `files` comes first, and what comes next is not an action that would go on all the same.
_FILES_FIRST = re.compile(r"^[ \t]*hosts:[ \t]*files[ \t]*($|[ \t][^\[\n])", re.MULTILINE)


class _Parsed(Generic[T]):
    """What a file says, read again when it has changed."""

    def __init__(self, path: str, parse: Callable[[str], T]) -> None:
        self._path = path
        self._parse = parse
        self._known: tuple[object, T] = (None, parse(""))

    def get(self) -> T:
        try:
            now = os.stat(self._path)
            seen = (now.st_mtime_ns, now.st_size, now.st_ino)
            if seen != self._known[0]:
                with open(self._path, encoding="utf-8", errors="replace") as file:
                    self._known = (seen, self._parse(file.read()))
        except OSError:
            self._known = (None, self._parse(""))
        return self._known[1]


def files_come_first(text: str) -> bool:
    """Of nsswitch.conf."""
    return _FILES_FIRST.search(text) is not None


def families_by_name(text: str) -> Mapping[str, set[int]]:
    """Of /etc/hosts: of which the addresses are that a name has."""
    found: dict[str, set[int]] = {}
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        for name in names:
            found.setdefault(name.lower(), set()).add(family)
    return found


_order = _Parsed("/etc/nsswitch.conf", files_come_first)
_hosts = _Parsed("/etc/hosts", families_by_name)


def answers(name: str, family: int) -> bool:
    """Does the file have an address of the family (0: of any) for the name?"""
    if sys.platform != "linux" or not _order.get():
        return False
    families = _hosts.get().get(name.lower(), ())
    return family in families if family else bool(families)
