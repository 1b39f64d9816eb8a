"""What the figures were taken on."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
from importlib import metadata
from pathlib import Path

from . import build

PACKAGES = ("netpoll", "greenlet", "cffi", "gevent", "uvloop", "trio", "eventlet")


def description() -> list[str]:
    """A fact a line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return [
        f"{processor()}, {os.cpu_count()} cores{virtual()}, {memory:.0f} GiB",
        f"{platform.system()} {platform.release()}, at most {limit:,} descriptors a process",
        ", without the GIL ".join([python_version(), *free_threaded_version()]),
        f"{go_version()}, {compiler()}",
        ", ".join(f"{name} {version(name)}" for name in PACKAGES),
    ]


def commit() -> str:
    """Of this source tree; "-dirty" if something differs from it that no run writes."""
    git = ["git", "-C", str(build.ROOT)]
    try:
        done = subprocess.run(
            [*git, "describe", "--always"], capture_output=True, text=True, check=True
        )
        changed = subprocess.run(
            [*git, "diff", "--quiet", "HEAD", "--", ".", ":!docs"], capture_output=True, check=False
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip() + ("-dirty" if changed.returncode else "")


def processor() -> str:
    return cpuinfo("model name") or platform.processor() or platform.machine()


def virtual() -> str:
    return " of a virtual machine" if "hypervisor" in cpuinfo("flags").split() else ""


def cpuinfo(key: str) -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(key):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return ""


def python_version() -> str:
    return f"{platform.python_implementation()} {platform.python_version()}"


def free_threaded_version() -> list[str]:
    """If there is one."""
    try:
        interpreter = build.free_threaded()
    except build.BuildFailed:
        return []
    return [first_line([str(interpreter), "--version"]).removeprefix("Python ")]


def go_version() -> str:
    return f"Go {first_line([str(build.go()), 'env', 'GOVERSION']).removeprefix('go')}"


def compiler() -> str:
    return first_line([*os.environ.get("CC", "cc").split(), "--version"])


def first_line(command: list[str]) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, env=build.go_environment()
        )
    except (OSError, subprocess.CalledProcessError):
        return "(absent)"
    return done.stdout.splitlines()[0]


def version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "(absent)"
