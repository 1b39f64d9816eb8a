"""Cross-builds the wheel for 64-bit Windows, with mingw-w64.

    python wheels/windows/build.py PYTHON3.DLL OUTPUT_DIR

PYTHON3.DLL is the stable ABI's library, from any CPython for Windows: its exports make the import
library.  The headers are those of the CPython that runs this, but for pyconfig.h.  The one wheel
serves every CPython from 3.10 on.

Environment: CC_WINDOWS, DLLTOOL and OBJDUMP choose other tools, WHEEL_PLATFORM another target.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import cffi  # noqa: F401  it looks at sys.platform, which is about to change
from setuptools import build_meta

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent

CC = os.environ.get("CC_WINDOWS", "x86_64-w64-mingw32-gcc")
DLLTOOL = os.environ.get("DLLTOOL", "x86_64-w64-mingw32-dlltool")
OBJDUMP = os.environ.get("OBJDUMP", "x86_64-w64-mingw32-objdump")
PLATFORM = os.environ.get("WHEEL_PLATFORM", "win_amd64")

FLAGS = "-std=c11 -O2 -Wall -Wextra -Werror -D_WIN32_WINNT=0x0602"
#: cffi's own output is not as clean as ours.
GENERATED_FLAGS = "-Wno-unused-parameter -Wno-missing-field-initializers -Wno-cast-function-type"
TAG = f"cp310-abi3-{PLATFORM}"


def run(*command: str | Path) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


# --- the module -----------------------------------------------------------------------------------


def build_script() -> ModuleType:
    """python/netpoll_build.py, as it is on Windows."""
    sysconfig.get_config_vars()  # this system's, before they are asked for as that system's
    sys.path.insert(0, str(ROOT / "python"))
    platform, sys.platform = sys.platform, "win32"
    try:
        return importlib.import_module("netpoll_build")
    finally:
        sys.platform = platform


def headers(out: Path) -> Path:
    """Python.h finds pyconfig.h beside itself, so the headers are copied to where ours is."""
    include = out / "include"
    shutil.copytree(sysconfig.get_path("include"), include, dirs_exist_ok=True)
    shutil.copy(HERE / "pyconfig.h", include)
    return include


def import_library(dll: Path, out: Path) -> Path:
    names = re.findall(
        r"^\s*\[ *\d+\] (?:\+base\[ *\d+\] +[0-9a-f]+ )?(\w+)$", run(OBJDUMP, "-p", dll), re.M
    )
    definition, library = out / "python3.def", out / "libpython3.a"
    definition.write_text("LIBRARY python3.dll\nEXPORTS\n" + "\n".join(sorted(set(names))) + "\n")
    run(DLLTOOL, "--input-def", definition, "--output-lib", library)
    return library


def compile_all(script: ModuleType, include: Path, out: Path) -> list[Path]:
    generated = out / "_core.c"
    script.ffibuilder.emit_c_code(str(generated))
    macros = [f"-D{name}={value}" for name, value in script.macros()]
    common = [CC, *shlex.split(FLAGS), *macros, f"-I{ROOT / 'csrc'}", "-isystem", str(include)]

    def compile_one(source: Path) -> Path:
        target = out / f"{source.stem}.o"
        extra = shlex.split(GENERATED_FLAGS) if source == generated else []
        run(*common, *extra, "-c", source, "-o", target)
        return target

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(compile_one, [generated, *(ROOT / name for name in script.sources())]))


def build_module(dll: Path, out: Path) -> Path:
    objects = compile_all(build_script(), headers(out), out)
    module = out / "_core.pyd"
    run(
        CC,
        "-shared",
        "-static-libgcc",
        "-s",
        *objects,
        import_library(dll, out),
        "-lws2_32",
        "-o",
        module,
    )
    return module


# --- the wheel ------------------------------------------------------------------------------------


def metadata(out: Path) -> Path:
    """The .dist-info that setuptools makes of pyproject.toml, with this wheel's tag."""
    with tempfile.TemporaryDirectory(dir=out) as scratch:
        name = build_meta.prepare_metadata_for_build_wheel(scratch)
        target = out / name
        shutil.rmtree(target, ignore_errors=True)
        shutil.move(Path(scratch) / name, target)
    (target / "WHEEL").write_text(
        f"Wheel-Version: 1.0\nGenerator: netpoll\nRoot-Is-Purelib: false\nTag: {TAG}\n",
        newline="\n",
    )
    (target / "RECORD").unlink(missing_ok=True)
    return target


def record_line(name: str, data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(data)}\n"


def pack(module: Path, info: Path, out: Path) -> Path:
    package = ROOT / "python" / "netpoll"
    files = {
        f"netpoll/{path.relative_to(package).as_posix()}": path
        for path in package.rglob("*")
        if path.suffix in {".py", ".pyi", ".h"}
    }
    files |= {"netpoll/py.typed": package / "py.typed", "netpoll/_core.pyd": module}
    files |= {path.relative_to(out).as_posix(): path for path in info.rglob("*") if path.is_file()}
    record, record_name = "", f"{info.name}/RECORD"
    wheel = out / f"{info.name.removesuffix('.dist-info')}-{TAG}.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            data = files[name].read_bytes()
            record += record_line(name, data)
            archive.writestr(name, data)
        archive.writestr(record_name, f"{record}{record_name},,\n")
    return wheel


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    dll, out = (Path(arg).resolve() for arg in sys.argv[1:])
    out.mkdir(parents=True, exist_ok=True)
    os.chdir(ROOT)
    print(pack(build_module(dll, out), metadata(out), out))


if __name__ == "__main__":
    main()
