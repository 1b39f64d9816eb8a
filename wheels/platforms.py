"""The one table of platforms.  What is built, checked and published is read from here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Platform:
    #: What to call it on the command line.
    name: str
    #: Zig's target.  The version in it is the oldest libc or system that the result runs on.
    zig: str
    #: sys.platform there, by which the sources are chosen.
    sys_platform: str
    #: The platform tags of its wheel, newest name last; empty: only the core is built, to see that
    #: it compiles and links.
    tags: tuple[str, ...] = ()
    #: What cibuildwheel calls it, in its build identifiers.
    cibuildwheel: str = ""
    #: Whether PyPy exists there; if so it gets a wheel, in the workflow.
    pypy: bool = False

    @property
    def windows(self) -> bool:
        return self.sys_platform == "win32"

    @property
    def macos(self) -> bool:
        return self.sys_platform == "darwin"

    @property
    def linux(self) -> bool:
        return self.sys_platform == "linux"

    @property
    def wasi(self) -> bool:
        return self.sys_platform == "wasi"

    @property
    def musl(self) -> str:
        """The name under which distributions have musl's libc, or nothing."""
        return f"libc.musl-{self.zig.split('-')[0]}.so.1" if self.zig.endswith("musl") else ""


PLATFORMS = (
    Platform(
        "linux-x86_64",
        "x86_64-linux-gnu.2.17",
        "linux",
        ("manylinux2014_x86_64", "manylinux_2_17_x86_64"),
        "manylinux_x86_64",
        pypy=True,
    ),
    Platform(
        "linux-aarch64",
        "aarch64-linux-gnu.2.17",
        "linux",
        ("manylinux2014_aarch64", "manylinux_2_17_aarch64"),
        "manylinux_aarch64",
        pypy=True,
    ),
    # The oldest level that PyPI's tools know for RISC-V.
    Platform(
        "linux-riscv64",
        "riscv64-linux-gnu.2.31",
        "linux",
        ("manylinux_2_31_riscv64",),
        "manylinux_riscv64",
    ),
    Platform(
        "musl-x86_64", "x86_64-linux-musl", "linux", ("musllinux_1_2_x86_64",), "musllinux_x86_64"
    ),
    Platform(
        "musl-aarch64",
        "aarch64-linux-musl",
        "linux",
        ("musllinux_1_2_aarch64",),
        "musllinux_aarch64",
    ),
    Platform(
        "macos-arm64",
        "aarch64-macos.11.0",
        "darwin",
        ("macosx_11_0_arm64",),
        "macosx_arm64",
        pypy=True,
    ),
    Platform(
        "macos-x86_64",
        "x86_64-macos.10.13",
        "darwin",
        ("macosx_10_13_x86_64",),
        "macosx_x86_64",
        pypy=True,
    ),
    Platform(
        "windows-amd64", "x86_64-windows-gnu", "win32", ("win_amd64",), "win_amd64", pypy=True
    ),
    Platform("windows-arm64", "aarch64-windows-gnu", "win32", ("win_arm64",), "win_arm64"),
    # No binary wheels are published for these: pip builds the sdist there.
    Platform("freebsd-x86_64", "x86_64-freebsd", "freebsd14"),
    Platform("freebsd-aarch64", "aarch64-freebsd", "freebsd14"),
    Platform("openbsd-x86_64", "x86_64-openbsd", "openbsd7"),
    # Words of 32 bits, and seconds too.
    Platform("linux-armhf", "arm-linux-gnueabihf.2.28", "linux"),
    # The core alone: there is no CPython with cffi.
    Platform("wasi", "wasm32-wasi", "wasi"),
)

WITH_WHEELS = tuple(platform for platform in PLATFORMS if platform.tags)

#: The interpreter that each stable-ABI wheel is built with, the oldest one; later ones share it.
ABI3 = "cp310"


def named(names: list[str], among: tuple[Platform, ...]) -> list[Platform]:
    """The platforms of these names, or all."""
    known = {platform.name: platform for platform in among}
    unknown = set(names) - known.keys()
    if unknown:
        raise SystemExit(f"no such platform: {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in names] or list(among)
