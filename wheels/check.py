"""`make wheels`, second half: is every wheel what its name promises?

    python wheels/check.py FOLDER

For each platform of the table there must be one wheel, and in it:

    the archive     complete, its hashes right, its tags those of the name, no path of this machine
    the stable ABI  abi3audit: no symbol that CPython 3.10 has not
    Linux           auditwheel's verdict is the tag; relocations read-only, no executable stack, a
                    guard on the stack
    macOS           processor and oldest system of the tag; libSystem alone; signed where needed
    Windows         processor of the tag; nothing but python3.dll and the system; random addresses

A line a wheel; the exit status is 1 if one failed.
"""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import lief
import zig
from platforms import ABI3, WITH_WHEELS, Platform

WINDOWS_SYSTEM = re.compile(
    r"(python3|ws2_32|kernel32|ntdll|api-ms-win-(crt|core)-[\w-]+)\.dll", re.I
)
MACHINES = {
    "arm64": lief.MachO.Header.CPU_TYPE.ARM64,
    "x86_64": lief.MachO.Header.CPU_TYPE.X86_64,
    "win_amd64": lief.PE.Header.MACHINE_TYPES.AMD64,
    "win_arm64": lief.PE.Header.MACHINE_TYPES.ARM64,
}


class WrongWheelError(Exception):
    """What is wrong with it."""


def expect(condition: object, what: str) -> None:
    if not condition:
        raise WrongWheelError(what)


# --- any wheel ------------------------------------------------------------------------------------


def recorded(archive: zipfile.ZipFile) -> Iterator[tuple[str, str]]:
    [record] = [name for name in archive.namelist() if name.endswith(".dist-info/RECORD")]
    for line in archive.read(record).decode().splitlines():
        name, digest, _ = line.rsplit(",", 2)
        yield name, digest


def check_archive(platform: Platform, archive: zipfile.ZipFile) -> bytes:
    """Look at everything but the module, and give that."""
    record = dict(recorded(archive))
    expect(record.keys() == set(archive.namelist()), "RECORD does not list what is there")
    for name, digest in record.items():
        data = archive.read(name)
        made = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        expect(digest == f"sha256={made}" or name.endswith("/RECORD"), f"{name}: hash")
        for place in (str(zig.ROOT), str(Path.home()), sys.prefix):
            expect(place.encode() not in data, f"{name} names a folder of this machine, {place}")
    [tags] = [archive.read(name).decode() for name in record if name.endswith("/WHEEL")]
    found = re.findall(r"^Tag: (.*)$", tags, re.MULTILINE)
    expect(found == [f"{ABI3}-abi3-{tag}" for tag in platform.tags], f"tags {found}")
    for header in ("netpoll.h", "netpoll_api.h", "netpoll_iocp.h"):
        expect(f"netpoll/include/{header}" in record, f"without {header}")
    [module] = [name for name in record if re.fullmatch(r"netpoll/_core\.(abi3\.so|pyd)", name)]
    return archive.read(module)


def check_stable_abi(wheel: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "abi3audit", "--strict", "--summary", str(wheel)],
        capture_output=True,
        text=True,
        check=False,
    )
    expect(done.returncode == 0, f"abi3audit\n{done.stdout}{done.stderr}")
    return "abi3"


# --- each system ----------------------------------------------------------------------------------


def verdict_of_auditwheel(wheel: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "auditwheel", "show", str(wheel)],
        capture_output=True,
        text=True,
        check=False,
    )
    expect(done.returncode == 0, f"auditwheel\n{done.stdout}{done.stderr}")
    text = " ".join(done.stdout.split())
    found = re.search(r'is consistent with the following platform tag: "(\w+)"', text)
    expect(found, f"auditwheel said {text}")
    assert found is not None
    return found.group(1)


def check_linux(platform: Platform, wheel: Path, module: lief.ELF.Binary) -> str:
    verdict = verdict_of_auditwheel(wheel)
    expect(verdict == platform.tags[-1], f"auditwheel calls it {verdict}")
    flags = [
        entry for entry in module.dynamic_entries if isinstance(entry, lief.ELF.DynamicEntryFlags)
    ]
    expect(any("BIND_NOW" in str(entry) for entry in flags), "it is not bound at load time")
    expect(module.get(lief.ELF.Segment.TYPE.GNU_RELRO), "no read-only relocations")
    stack = module.get(lief.ELF.Segment.TYPE.GNU_STACK)
    expect(stack and not stack.has(lief.ELF.Segment.FLAGS.X), "an executable stack")
    # Not imported_symbols, which wants a type: one that is linked without a libc has none.
    undefined = {str(symbol.name) for symbol in module.dynamic_symbols if symbol.shndx == 0}
    expect("__stack_chk_fail" in undefined, "no guard on the stack")
    expect(not module.has(lief.ELF.DynamicEntry.TAG.RUNPATH), "a search path")
    return f"auditwheel: {verdict}"


def oldest_macos(module: lief.MachO.Binary) -> tuple[int, ...]:
    """In one of two load commands, by age."""
    command = module.build_version if module.has_build_version else module.version_min
    return tuple((command.minos if module.has_build_version else command.version)[:2])


def check_macos(platform: Platform, module: lief.MachO.Binary) -> str:
    found = re.fullmatch(r"macosx_(\d+)_(\d+)_(\w+)", platform.tags[-1])
    assert found is not None
    oldest = (int(found[1]), int(found[2]))
    expect(module.header.cpu_type == MACHINES[found[3]], "another processor")
    expect(oldest_macos(module) == oldest, f"for macOS {oldest_macos(module)}")
    loaded = [
        library.name
        for library in module.libraries
        if library.command == lief.MachO.LoadCommand.TYPE.LOAD_DYLIB
    ]
    expect(loaded == ["/usr/lib/libSystem.B.dylib"], f"loads {loaded}")
    expect(module.has_code_signature or found[3] != "arm64", "not signed")
    python = sum(1 for symbol in module.imported_symbols if symbol.name.startswith(("_Py", "__Py")))
    return f"macOS {oldest[0]}.{oldest[1]}, libSystem, {python} symbols of Python"


def check_windows(platform: Platform, module: lief.PE.Binary) -> str:
    expect(module.header.machine == MACHINES[platform.tags[-1]], "another processor")
    imports = [entry.name for entry in module.imports]
    expect("python3.dll" in imports, "not linked with the stable ABI's library")
    strange = [name for name in imports if not WINDOWS_SYSTEM.fullmatch(name)]
    expect(not strange, f"imports {strange}")
    wanted = lief.PE.OptionalHeader.DLL_CHARACTERISTICS
    for flag in (wanted.DYNAMIC_BASE, wanted.NX_COMPAT, wanted.HIGH_ENTROPY_VA):
        expect(module.optional_header.has(flag), f"not {flag}")
    named = [name.removesuffix(".dll") for name in imports if not name.startswith("api-ms-win-crt")]
    return f"imports {', '.join(named)} and the C runtime"


def exports_init(module: lief.Binary) -> bool:
    return any(
        function.name.lstrip("_") == "PyInit__core" for function in module.exported_functions
    )


def check(platform: Platform, folder: Path) -> str:
    """One wheel; what it was found to be."""
    wheels = list(folder.glob(f"netpoll-*-{ABI3}-abi3-{'.'.join(platform.tags)}.whl"))
    expect(len(wheels) == 1, f"{len(wheels)} wheels")
    with zipfile.ZipFile(wheels[0]) as archive:
        module = lief.parse(check_archive(platform, archive))
    if isinstance(module, lief.MachO.FatBinary):
        module = module.at(0)
    assert module is not None
    expect(exports_init(module), "no init function")
    found = check_stable_abi(wheels[0])
    if isinstance(module, lief.ELF.Binary):
        return f"{found}; {check_linux(platform, wheels[0], module)}"
    if isinstance(module, lief.MachO.Binary):
        return f"{found}; {check_macos(platform, module)}"
    assert isinstance(module, lief.PE.Binary)
    return f"{found}; {check_windows(platform, module)}"


def main() -> int:
    folder, failed = Path(sys.argv[1]), 0
    lief.logging.disable()
    for platform in WITH_WHEELS:
        try:
            verdict = check(platform, folder)
        except WrongWheelError as error:
            failed += 1
            verdict = f"WRONG: {error}"
        print(f"{platform.name:15} {verdict}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
