"""Programs made of many objects, of which a mutant changes one: only that is compiled again.

The objects of the unmutated sources are kept in build/mutants and made anew when a source changes.
A mutant lies in an overlay, a folder that the compiler looks into before csrc/ and python/ext, so
no tree is copied.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, wraps
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

ROOT = Path(__file__).absolute().parents[2]
BUILD = ROOT / "build" / "mutants"
sys.path[:0] = [str(ROOT / "tests" / "explore"), str(ROOT / "tests" / "fuzz")]

import explore  # noqa: E402
import fuzz_c  # noqa: E402

P = ParamSpec("P")
T = TypeVar("T")
_making = threading.RLock()

CC = os.environ.get("CC", "cc")
#: As released, for those that differ in an assertion only, and what -O1 does not see to be equal.
RELEASED = ["-std=gnu11", "-O2", "-Werror=return-type", "-fPIC", "-D_GNU_SOURCE", "-Icsrc"]
C_TESTS = ["-std=gnu11", "-O1", "-w", "-DNP_DEBUG", "-D_GNU_SOURCE", "-pthread", "-Icsrc"]
#: With the arguments of each run.
C_PROGRAMS: dict[str, list[list[str]]] = {
    **{
        f"fuzz-{target.name}": [
            sorted(str(path) for path in target.corpus.iterdir()),
            ["--random", "300", "1"],
        ]
        for target in fuzz_c.TARGETS
    },
    **{path.stem: [[]] for path in sorted((ROOT / "tests" / "c").glob("test_*.c"))},
}


class Unit(NamedTuple):
    """A source, from the top of the tree, and how it is compiled."""

    source: str
    flags: tuple[str, ...]
    of: tuple[str, ...]  # the files of which it consists: itself, or those that it includes
    object: Path  # of the unmutated source

    def sources(self) -> Iterable[Path]:
        return (ROOT / source for source in (self.source, *self.of))


class Program(NamedTuple):
    units: list[Unit]
    link: list[str]

    def prepare(self) -> Program:
        """Compile what is not there, or older than its sources and the headers."""
        headers = newest(path for path in sources() if path.suffix == ".h")
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            jobs = [
                pool.submit(compiled, unit, ROOT, unit.object)
                for unit in self.units
                if newest([unit.object]) < max(headers, newest(unit.sources()))
            ]
        if not all(job.result() for job in jobs):
            raise SystemExit("the unmutated sources do not compile")
        return self

    def of(self, file: str) -> list[Unit]:
        """What has to be compiled again when that file has changed."""
        return [unit for unit in self.units if file in unit.of]

    def mutated(self, file: str, done: dict[Path, Path] | None = None) -> list[Path] | None:
        """The objects with the mutant in this thread's overlay; None: it is not C.

        What is in `done`, of other programs with the same objects, is not compiled again.
        """
        done = {} if done is None else done
        for unit in self.of(file):
            mine = workplace() / unit.object.name
            if unit.object not in done and not compiled(unit, overlay(), mine):
                return None
            done[unit.object] = mine
        return [done.get(unit.object, unit.object) for unit in self.units]

    def linked(self, objects: Iterable[Path], target: Path) -> bool:
        command = [CC, "-o", target, *objects, *self.link]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0


def once(function: Callable[P, T]) -> Callable[P, T]:
    """`functools.cache`, for several threads: the others wait while one makes the value."""
    cached: Any = cache(function)

    @wraps(function)
    def get(*args: P.args, **kwargs: P.kwargs) -> T:
        with _making:
            value: T = cached(*args, **kwargs)
            return value

    return get


def workplace() -> Path:
    """A folder of this thread's own."""
    folder = BUILD / f"worker-{os.getpid()}-{threading.get_ident()}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def clear() -> None:
    """Away with the folders of all threads."""
    for folder in BUILD.glob(f"worker-{os.getpid()}-*"):
        shutil.rmtree(folder)


def overlay() -> Path:
    return workplace() / "overlay"


def lay(file: str, text: str) -> None:
    """Put a mutant, and nothing else, into this thread's overlay."""
    for old in (*overlay().rglob("*.c"), workplace() / "explore"):
        old.unlink(missing_ok=True)
    (overlay() / file).parent.mkdir(parents=True, exist_ok=True)
    (overlay() / file).write_text(text, encoding="utf-8")


def compiled(unit: Unit, tree: Path, target: Path) -> bool:
    source = tree / unit.source
    source = source if source.exists() else ROOT / unit.source
    target.parent.mkdir(parents=True, exist_ok=True)
    command = [CC, f"-I{tree}/csrc", *unit.flags, "-c", str(source), "-o", str(target)]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True).returncode == 0


def sources() -> list[Path]:
    folders = [ROOT / "csrc", ROOT / "python", explore.HERE, ROOT / "tests" / "c"]
    return [path for folder in folders for path in folder.rglob("*.[ch]")]


def newest(paths: Iterable[Path]) -> float:
    return max(path.stat().st_mtime if path.exists() else 0 for path in paths)


def object_of(program: str, source: str) -> Path:
    return BUILD / program / (source.replace("/", "-") + ".o")


def explored(extra: Iterable[str] = ()) -> list[Unit]:
    """The explorer's units, without -g, which the mutants do not need."""
    common = [flag for flag in explore.COMMON if flag != "-g"]
    common += [f"-I{explore.CSRC}", f"-I{explore.HERE}"]

    def unit(name: str, source: str, of: tuple[str, ...]) -> Unit:
        flags = (*common, *explore.flags_of(name), *(extra if of else ()))
        return Unit(source, flags, of, object_of("reach" if extra and of else "explorer", source))

    core = explore.core_units(explore.CSRC)
    units = [unit(name, f"csrc/{name}.c", (f"csrc/{name}.c",)) for name in core]
    for name in (*explore.INCLUDING, *explore.OURS):
        of = tuple(f"csrc/{part}.c" for part, whole in explore.WHOLE.items() if name in whole)
        units.append(unit(name, f"tests/explore/{name}.c", of))
    return units


@once
def explorer() -> Program:
    return Program(explored(), []).prepare()


@once
def c_program(name: str) -> Program:
    """All have the objects of the core in common."""
    own = [f"tests/c/{name}.c"]
    core = core_sources()
    if name.startswith("fuzz-"):
        [target] = (
            target for target in fuzz_c.TARGETS if target.name == name.removeprefix("fuzz-")
        )
        paths = [*fuzz_c.sources_of(target), fuzz_c.HERE / "c" / "replay.c"]
        own, core = [path.relative_to(ROOT).as_posix() for path in paths], []
    units = [Unit(s, tuple(C_TESTS), (s,), object_of("c", s)) for s in (*own, *core)]
    return Program(units, ["-pthread"]).prepare()


def core_sources() -> list[str]:
    paths = sorted((ROOT / "csrc").glob("*/*.c"))
    return [p.relative_to(ROOT).as_posix() for p in paths if p.parent.name != "win32"]


@once
def module() -> Program:
    """The extension, by the commands that setup.py gives, which are kept as long as they hold."""
    kept = BUILD / "commands"
    if newest([kept]) < newest(p for p in sources() if p.is_relative_to(ROOT / "python")):
        BUILD.mkdir(parents=True, exist_ok=True)
        base = [f"--build-base={BUILD / 'py'}", f"--build-lib={BUILD / 'py' / 'lib'}", "--force"]
        done = subprocess.run(
            [sys.executable, "setup.py", "build", *base],
            cwd=ROOT,
            env={**os.environ, "CFLAGS": "-O1 -g0"},
            check=True,
            capture_output=True,
            text=True,
        )
        kept.write_text("\n".join(ln for ln in done.stdout.splitlines() if " -o " in ln))
    units = []
    link: list[str] = []
    for command in map(shlex.split, kept.read_text().splitlines()):
        target = Path(command[command.index("-o") + 1])
        if "-c" in command:
            source = command[command.index("-c") + 1]
            flags = command[1 : command.index("-c")]
            units.append(Unit(source, tuple(flags), (source,), target))
        else:
            link = [part for part in command[1:] if not part.endswith((".o", ".so", "-o"))]
    return Program(units, link)
