"""What is built and shipped: the binding fits the header, the sdist builds a wheel that works."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import netpoll
import pytest
from netpoll import _core
from netpoll._core import ffi, lib
from support import ROOT, needs_linux

pytestmark = [
    pytest.mark.any_engine,
    pytest.mark.skipif(
        not (ROOT / "csrc" / "netpoll.h").exists(), reason="the sources are not here"
    ),
]


def declared() -> str:
    header = (ROOT / "csrc" / "netpoll.h").read_text()
    (text,) = re.findall(r"/\* cdef: begin \*/(.*)/\* cdef: end \*/", header, re.DOTALL)
    return re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)


def test_the_binding_has_every_function_of_the_header() -> None:
    functions = set(re.findall(r"\b(np_\w+)\(", declared()))
    assert functions == {name for name in dir(lib) if name.startswith("np_")}


def test_the_binding_has_every_constant_of_the_header() -> None:
    constants = re.findall(r"#define (NP_\w+) (\w+)", declared())
    assert constants
    for name, value in constants:
        assert getattr(lib, name) == int(value, 0), name


def test_a_batch_of_statistics_is_named_as_in_the_header() -> None:
    names = [name for name, _ in ffi.typeof("np_stats").fields]
    assert names == list(netpoll.PollerStats.__dataclass_fields__)


@needs_linux
@pytest.mark.skipif(shutil.which("readelf") is None, reason="there is no readelf")
def test_the_module_is_hardened() -> None:
    """Relocations read-only and bound at load time, no executable stack, a guard on the stack."""
    command = ["readelf", "--wide", "--dynamic", "--program-headers", "--dyn-syms", _core.__file__]
    said = subprocess.run(command, text=True, capture_output=True, check=True).stdout
    assert "GNU_RELRO" in said
    assert "BIND_NOW" in said
    assert "__stack_chk_fail" in said
    assert re.search(r"GNU_STACK .* RW +0x", said)


def build(folder: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    base, lib = str(folder / "base"), str(folder / "lib")
    return subprocess.run(
        [sys.executable, "setup.py", "build", "--build-base", base, "--build-lib", lib],
        cwd=ROOT,
        env=env,
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )


def compile_commands(folder: Path, cflags: str | None, *, refused: str = "") -> list[str]:
    """How the extension would be compiled and linked, by a compiler that refuses that flag."""
    compiler = folder / "compiler"
    compiler.write_text(f"""#!/bin/sh
for argument; do [ "$argument" = "{refused}" ] && exit 1; done
echo "ran: $*"
""")
    compiler.chmod(0o755)
    env = {name: value for name, value in os.environ.items() if name != "CFLAGS"}
    env |= {"CC": str(compiler)} | ({} if cflags is None else {"CFLAGS": cflags})
    return [
        line
        for line in build(folder, env).stdout.splitlines()
        if line.startswith("ran: ") and "probe" not in line
    ]


@needs_linux
@pytest.mark.parametrize("cflags", [None, "", "-DSOMETHING"])
def test_the_module_is_optimized_whatever_other_flags_there_are(
    tmp_path: Path, cflags: str | None
) -> None:
    """setuptools takes CFLAGS instead of the interpreter's flags, the level of optimization too."""
    commands = compile_commands(tmp_path, cflags)
    assert len(commands) > 40
    for command in commands:
        assert "-O3 -flto=auto -fno-plt" in command
        assert not cflags or cflags in command


@needs_linux
def test_a_level_of_optimization_that_is_asked_for_is_kept(tmp_path: Path) -> None:
    for command in compile_commands(tmp_path, "-g -O1"):
        assert "-O1" in command
        assert "-O3" not in command
        assert "-flto" not in command


@needs_linux
def test_a_compiler_that_cannot_link_a_whole_program_is_not_asked_to(tmp_path: Path) -> None:
    commands = compile_commands(tmp_path, None, refused="-flto=auto")
    assert len(commands) > 40
    assert all("-O3" in command and "-flto" not in command for command in commands)


@needs_linux
def test_a_build_without_a_compiler_says_what_to_install(tmp_path: Path) -> None:
    done = build(tmp_path, os.environ | {"PATH": str(tmp_path), "CC": "no-such-compiler"})
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "error: there is no C compiler, no-such-compiler: install one (Debian: gcc and libc6-dev)"
    )


def run(code: str, cwd: Path) -> str:
    """The last line that the code prints."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=cwd, text=True, capture_output=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made from a copy, so that the tree stays as it is."""
    if sys.platform == "win32":
        pytest.skip("the wheel for Windows is cross-built: no compiler there")
    pytest.importorskip("setuptools")
    tree = tmp_path_factory.mktemp("tree") / "netpoll"
    ignore = shutil.ignore_patterns(".*", "build", "dist", "*.so", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, tree, ignore=ignore)
    name = run("from setuptools import build_meta as b; print(b.build_sdist('dist'))", tree)
    return tree / "dist" / name


def test_the_sdist_is_complete(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = ["LICENSE", "README.md", "CHANGELOG.md", "Makefile", "pyproject.toml", "setup.py"]
    wanted += ["python/netpoll_build.py", "python/netpoll/py.typed", "python/netpoll/_core.pyi"]
    folders = {"csrc": "ch", "python/ext": "ch", "python/plain": "ch", "tests": ("py",)}
    for folder, kinds in folders.items():
        for kind in kinds:
            wanted += [
                path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob(f"*.{kind}")
            ]
    assert set(wanted) <= names
    assert not [name for name in names if name.endswith((".so", ".o", ".pyc", "/_core.c"))]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_sdist_builds_a_wheel_that_works(sdist: Path, tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        if hasattr(tarfile, "data_filter"):
            archive.extractall(tmp_path, filter="data")
        else:
            archive.extractall(tmp_path)
    (tree,) = tmp_path.iterdir()
    name = run("from setuptools import build_meta as b; print(b.build_wheel('dist'))", tree)
    free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    if sys.implementation.name == "cpython" and not free_threaded:
        assert "-cp310-abi3-" in name
    with zipfile.ZipFile(tree / "dist" / name) as wheel:
        wheel.extractall(tmp_path / "site")
    check = (
        "import sys; sys.path.insert(0, '.'); import netpoll;"
        "poller = netpoll.Poller(); poller.wake(); poller.poll(None); poller.close();"
        "print(netpoll.get_include())"
    )
    include = Path(run(check, tmp_path / "site"))
    assert include.is_relative_to(tmp_path)
    assert {path.name for path in include.iterdir()} >= {"netpoll.h", "netpoll_api.h"}
