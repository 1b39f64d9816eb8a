"""`make wheels`, first half: the sdist, and a wheel for every platform of the table.

    python wheels/build.py OUTPUT [PLATFORM...]

With names only the wheels of those platforms.

One machine builds them all: cffi emits the module's C, zig compiles it against any CPython's
headers, the limited API being the same in all of them.  The module is linked with no libpython: its
symbols come from the interpreter that loads it.
"""

from __future__ import annotations

import shutil
import sys
import sysconfig
from pathlib import Path

import abi3info
import wheelfile
import zig
from platforms import WITH_WHEELS, Platform, named

WORK = zig.ROOT / "build" / "wheels"
EXT_FLAGS = ["-Wall", "-Wextra", "-Werror"]

WINDOWS_LINK = ["-Wl,--dynamicbase", "-Wl,--nxcompat"]


def python_headers(platform: Platform) -> list[str]:
    """Python.h finds pyconfig.h beside itself, so the headers are copied to where ours is."""
    include = WORK / ("include-windows" if platform.windows else "include")
    ours = "wheels/windows/pyconfig.h" if platform.windows else "wheels/pyconfig.h"
    shutil.copytree(sysconfig.get_path("include"), include, dirs_exist_ok=True)
    shutil.copy(zig.ROOT / ours, include / "pyconfig.h")
    return ["-isystem", str(include)]


def compile_module(platform: Platform, out: Path) -> list[Path]:
    out.mkdir(parents=True, exist_ok=True)
    generated = out / "_core.c"
    with zig.build_script(platform) as script:
        script["ffibuilder"].emit_c_code(str(generated))
        ext = [name for name in script["sources"]() if name.startswith("python/")]
    headers = python_headers(platform)
    flags = {str(generated): [*zig.GENERATED.split(), *headers]}
    flags |= {name: [*EXT_FLAGS, *headers] for name in ext}
    return zig.compile_core(platform, out, flags)


def stable_abi_library(platform: Platform, out: Path) -> Path:
    """What python3.dll exports, as a library to link with."""
    definition, library = out / "python3.def", out / "python3.lib"
    lines = [symbol.name for symbol in abi3info.FUNCTIONS]
    lines += [f"{symbol.name} DATA" for symbol in abi3info.DATAS]
    definition.write_text("LIBRARY python3.dll\nEXPORTS\n" + "\n".join(sorted(lines)) + "\n")
    machine = "arm64" if platform.zig.startswith("aarch64") else "i386:x86-64"
    zig.run("dlltool", "-m", machine, "-d", definition, "-l", library)
    return library


def musl_stub(platform: Platform, out: Path) -> list[str | Path]:
    """Zig's libc calls itself libc.so; this names it as Alpine does, by which wheels are known.

    There is nothing in it: what a shared object lacks is looked for when it is loaded.
    """
    source, stub = out / "stub.c", out / platform.musl
    source.write_text("extern int nothing;\n")
    zig.cc(platform, "-shared", "-nostdlib", f"-Wl,-soname,{stub.name}", source, "-o", stub)
    return ["-nostdlib", "-Wl,--no-as-needed", stub]


def link_module(platform: Platform, objects: list[Path], out: Path) -> Path:
    more: list[str | Path]
    module = out / ("_core.pyd" if platform.windows else "_core.abi3.so")
    if platform.windows:
        more = [stable_abi_library(platform, out), "-lws2_32", *WINDOWS_LINK]
    elif platform.macos:
        more = ["-undefined", "dynamic_lookup", f"-Wl,-install_name,@rpath/{module.name}"]
    else:
        with zig.build_script(platform) as script:
            hardened = script["LINUX_LINK"]
        more = [*hardened, *(musl_stub(platform, out) if platform.musl else ["-pthread"])]
    zig.cc(
        platform, "-shared", "-s", *objects, *more, *zig.system_libraries(platform), "-o", module
    )
    return module


def build_wheel(platform: Platform, out: Path) -> Path:
    work = WORK / platform.name
    return wheelfile.pack(
        platform, link_module(platform, compile_module(platform, work), work), out
    )


def build_sdist(out: Path) -> Path:
    return out / wheelfile.setuptools("build_sdist", out)


def main() -> int:
    out = Path(sys.argv[1]).resolve()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    names = sys.argv[2:]
    built = [] if names else [build_sdist(out)]
    for platform in named(names, WITH_WHEELS):
        try:
            built.append(build_wheel(platform, out))
        except zig.CompileError as error:
            print(f"{platform.name}: FAILED\n{error}", file=sys.stderr)
            return 1
    for path in built:
        print(f"{path.stat().st_size:8}  {path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
