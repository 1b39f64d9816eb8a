"""What the figures were taken on."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path


def description() -> str:
    packages = [f"{name} {version(name)}" for name in ("netpoll", "greenlet", "cffi", "gevent")]
    return (
        f"{processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}\n"
        f"{platform.python_implementation()} {platform.python_version()}, {', '.join(packages)}"
    )


def processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "(absent)"
