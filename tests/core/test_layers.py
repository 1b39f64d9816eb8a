"""The folders of csrc/ are layers: a lower one knows nothing of a higher one.

docs/design.md has the layers; here is what enforces them, in what files include and in what their
objects need of each other.  And no build lists files by hand: csrc/sources.py finds them.
"""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from compiling import compile_c, needs_compiler
from support import ROOT, WINDOWS

pytestmark = [
    pytest.mark.any_engine,
    pytest.mark.skipif(not (ROOT / "csrc").exists(), reason="the sources are not here"),
]

CSRC = ROOT / "csrc"

# From the bottom up.  Folders of one line are alternatives, which do not know each other.
LAYERS = [
    ["sys"],
    ["posix", "win32"],
    ["backend"],
    ["core"],
    ["sema"],
    ["io"],
    ["inspect"],
]
RANK = {folder: rank for rank, layer in enumerate(LAYERS) for folder in layer}

# The public headers stand below all layers: anyone may include them, and they include each other.
PUBLIC = {"netpoll.h", "netpoll_iocp.h"}

UPWARD_INCLUDES = {
    # The lock and the wait of Windows are inline, as pthreads are: sync.h is one header for both.
    ("sys/sync.h", "win32/sync_win32.h"),
}
UPWARD_SYMBOLS = {
    # A count of forks, which only fork.c raises; sys/sync.h declares it.
    ("posix/main_thread.c", "core/fork.c"),
}


def files(csrc: Path) -> Iterator[str]:
    for path in sorted(csrc.rglob("*.[ch]")):
        yield path.relative_to(csrc).as_posix()


def may_use(user: str, used: str) -> bool:
    """May a file use another one, both relative to csrc/?"""
    if used in PUBLIC:
        return True
    if user in PUBLIC:
        return False
    above, below = user.partition("/")[0], used.partition("/")[0]
    return above == below or RANK[above] > RANK[below]


def misplaced(csrc: Path) -> list[str]:
    """Files outside the layers; also deeper ones, which csrc/sources.py would not find."""
    return [
        file
        for file in files(csrc)
        if file not in PUBLIC and (file.count("/") != 1 or file.partition("/")[0] not in RANK)
    ]


def bad_includes(csrc: Path) -> set[tuple[str, str]]:
    """(file, what it includes) against the layers, or not written from csrc/ on."""
    known = set(files(csrc))
    found = set()
    for file in known:
        text = (csrc / file).read_text(encoding="utf-8")
        for bracket, name in re.findall(r'^\s*#\s*include\s*([<"])([^>"]+)', text, re.MULTILINE):
            ours = name in known
            if (bracket == '"' and not ours) or (ours and not may_use(file, name)):
                found.add((file, name))
    return found


def test_every_file_is_in_a_layer() -> None:
    assert misplaced(CSRC) == []


def test_no_layer_includes_a_higher_one() -> None:
    assert bad_includes(CSRC) == UPWARD_INCLUDES


def copy_of_csrc(folder: Path) -> Path:
    # By copyfile: shutil.copy2 needs a function on Windows that Wine lacks.
    return shutil.copytree(CSRC, folder / "csrc", copy_function=shutil.copyfile)


@pytest.mark.parametrize(
    ("file", "included"),
    [
        ("posix/clock.c", "core/internal.h"),
        ("posix/clock.c", "win32/ntapi_win32.h"),
        ("win32/clock_win32.c", "posix/posixfd.h"),
        ("core/desc.c", "inspect/text.h"),
        ("netpoll.h", "sys/list.h"),
        ("core/desc.c", "internal.h"),
    ],
)
def test_the_check_of_includes_finds_what_is_planted(
    file: str, included: str, tmp_path: Path
) -> None:
    csrc = copy_of_csrc(tmp_path)
    with (csrc / file).open("a", encoding="utf-8") as source:
        source.write(f'#include "{included}"\n')
    assert bad_includes(csrc) == UPWARD_INCLUDES | {(file, included)}


@pytest.mark.parametrize("file", ["new.c", "elsewhere/new.c", "core/deeper/new.c"])
def test_the_check_of_places_finds_what_is_planted(file: str, tmp_path: Path) -> None:
    csrc = copy_of_csrc(tmp_path)
    (csrc / file).parent.mkdir(exist_ok=True)
    (csrc / file).touch()
    assert misplaced(csrc) == [file]


# --- what the objects need of each other ----------------------------------------------------------


def symbols(source: Path, folder: Path) -> tuple[set[str], set[str]]:
    """What a file defines for others, and what it needs of them."""
    target = folder / f"{source.parent.name}-{source.stem}.o"
    compile_c("-std=c11", "-I", CSRC, "-c", source, "-o", target)
    command = ["nm", "-P", "-g", target]
    listed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    kinds = [line.split()[:2] for line in listed.splitlines()]
    needed = {name for name, kind in kinds if kind == "U"}
    return {name for name, _ in kinds} - needed, needed


@needs_compiler
@pytest.mark.skipif(WINDOWS or shutil.which("nm") is None, reason="there is no nm")
def test_no_layer_calls_a_higher_one(tmp_path: Path) -> None:
    """Which a declaration of its own would allow, whatever it includes."""
    sources: list[Path] = runpy.run_path(str(CSRC / "sources.py"))["sources"]()
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda source: symbols(source, tmp_path), sources))
    names = [source.relative_to(CSRC).as_posix() for source in sources]
    owner = {symbol: name for name, (ours, _) in zip(names, found, strict=True) for symbol in ours}
    used = {
        (name, owner[symbol])
        for name, (_, needed) in zip(names, found, strict=True)
        for symbol in needed & owner.keys()
    }
    assert len(used) > 30, "nm has not said much"
    assert {pair for pair in used if not may_use(*pair)} <= UPWARD_SYMBOLS


# --- one list of sources --------------------------------------------------------------------------

BUILD_FILES = [
    "Makefile",
    "mk/*.mk",
    "setup.py",
    "pyproject.toml",
    "MANIFEST.in",
    "csrc/sources.py",
    "python/*.py",
    "benchmarks/*.py",
    "examples/*/Makefile",
    "examples/*/setup.py",
    "wheels/*.py",
    "tests/*.py",
    "tests/*/*.sh",
    "tests/explore/explore.py",
    "tests/faults/faults.py",
    "tests/fuzz/fuzz_c.py",
    ".ci/*",
    ".github/workflows/*",
]
NAMES_SINGLE_FILES = {
    # What it replaces by a simulation, what it includes whole to reach the statics, and what
    # belongs to a simulated system.  All other files it finds.
    "tests/explore/explore.py",
}


def test_no_build_file_names_a_file_of_the_core() -> None:
    units = [Path(file) for file in files(CSRC) if file.endswith(".c")]
    ways = "|".join(rf"{u.with_suffix('').as_posix()}|{u.stem}\.c" for u in units)
    naming = re.compile(rf"(?<![\w/])(?:csrc/)?(?:{ways})\b(?!\.h)")
    paths = [path for pattern in BUILD_FILES for path in ROOT.glob(pattern) if path.is_file()]
    assert len(paths) > 30
    found = {
        path.relative_to(ROOT).as_posix()
        for path in paths
        if naming.search(path.read_text(encoding="utf-8"))
    }
    assert found == NAMES_SINGLE_FILES


def test_each_source_is_built_on_one_system_or_on_all() -> None:
    sources = runpy.run_path(str(CSRC / "sources.py"))["sources"]
    posix, windows = set(sources(windows=False)), set(sources(windows=True))
    assert posix | windows == set(CSRC.rglob("*.c"))
    assert {path.parent.name for path in posix ^ windows} == {"posix", "win32"}


@pytest.mark.skipif(sys.platform == "win32" or shutil.which("make") is None, reason="no make")
def test_make_finds_the_same_sources() -> None:
    command = ["make", "-C", ROOT, "-n", "-p", "help"]
    database = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    (core,) = re.findall(r"^CORE := (.+)$", database.stdout, re.MULTILINE)
    sources = runpy.run_path(str(CSRC / "sources.py"))["sources"](windows=False)
    assert sorted(core.split()) == [path.relative_to(ROOT).as_posix() for path in sources]
