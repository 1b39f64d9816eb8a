"""Building C beside the tests: extensions, and programs on the bare core."""

from __future__ import annotations

import importlib.util
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

import netpoll
import pytest

_CC = (sysconfig.get_config_var("CC") or "cc").split()[0]
COMPILER = shutil.which(_CC) or shutil.which("cc")
STRICT = "-std=c11 -O2 -Wall -Wextra -Wshadow -Wconversion -Werror"

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")
needs_c_api = pytest.mark.skipif(
    sys.implementation.name != "cpython", reason="the C interface is CPython's"
)


def compile_c(*arguments: str | Path) -> None:
    done = subprocess.run(
        [str(COMPILER), *arguments], text=True, capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def build_extension(
    source: Path, folder: Path, flags: str = "", include: Path | str | None = None
) -> Path:
    """Compile an extension as its author would: with what get_include() offers, and warnings."""
    module = folder / f"{source.stem}{sysconfig.get_config_var('EXT_SUFFIX')}"
    folders = ["-I", str(include or netpoll.get_include())]
    folders += ["-isystem", sysconfig.get_path("include")]
    shared = shlex.split(
        "-bundle -undefined dynamic_lookup" if sys.platform == "darwin" else "-shared"
    )
    flags = f"{STRICT} -fPIC {flags}"
    compile_c(*shlex.split(flags), *folders, *shared, source, "-o", module, "-pthread")
    return module


def load(module: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(module.name.partition(".")[0], module)
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded
