"""The C files of the core, found in its folders: the one list for all that build it.

    python csrc/sources.py [posix | windows]     prints them, relative to this folder

Every file of every folder belongs to every build, but that posix/ and win32/ are each for their
systems.  What a system lacks, such as a backend, a file finds out by itself (backend/backend.h).
In make the same is `$(filter-out csrc/win32/%,$(wildcard csrc/*/*.c))`.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def sources(windows: bool = sys.platform == "win32", csrc: Path = HERE) -> list[Path]:
    """The files to compile, with csrc as the one include folder."""
    foreign = "posix" if windows else "win32"
    return sorted(path for path in csrc.glob("*/*.c") if path.parent.name != foreign)


if __name__ == "__main__":
    for source in sources((sys.argv[1:] or [sys.platform])[0] in ("windows", "win32")):
        print(source.relative_to(HERE).as_posix())
