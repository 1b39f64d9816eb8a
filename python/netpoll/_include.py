"""Where the C headers are."""

from __future__ import annotations

from pathlib import Path


def get_include() -> str:
    """The folder of netpoll's C headers, for an extension's `include_dirs`.

    netpoll_api.h is for extension modules, which reach the core through the package; netpoll.h
    is the core's own header.
    """
    return str(Path(__file__).parent / "include")
