"""Packing a wheel: a zip file with a .dist-info folder and a list of hashes."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from platforms import ABI3, ROOT, Platform

PACKAGE = ROOT / "python" / "netpoll"
#: The same bytes from the same sources, whenever they are built: the oldest time that a zip knows.
EPOCH = (1980, 1, 1, 0, 0, 0)


def file_name(name: str, platform: Platform) -> str:
    return f"{name}-{ABI3}-abi3-{'.'.join(platform.tags)}.whl"


def setuptools(hook: str, out: Path) -> str:
    """One of setuptools' hooks, in a process of its own, and silent; the name of what it made."""
    program = f"from setuptools import build_meta; print(build_meta.{hook}({str(out)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return done.stdout.splitlines()[-1]


def metadata() -> dict[str, bytes]:
    """The .dist-info that setuptools makes of pyproject.toml, but for what is about one wheel."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / setuptools("prepare_metadata_for_build_wheel", Path(scratch))
        files = {
            path.relative_to(scratch).as_posix(): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }
    return {
        name: data for name, data in files.items() if Path(name).name not in {"WHEEL", "RECORD"}
    }


def wheel_lines(platform: Platform) -> bytes:
    lines = ["Wheel-Version: 1.0", "Generator: netpoll", "Root-Is-Purelib: false"]
    lines += [f"Tag: {ABI3}-abi3-{tag}" for tag in platform.tags]
    return ("\n".join(lines) + "\n").encode()


def record_line(name: str, data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(data)}\n"


def entry(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = (0o755 if name.endswith(".so") else 0o644) << 16
    return info


def pack(platform: Platform, module: Path, out: Path) -> Path:
    """The wheel of a platform, around its extension module."""
    files = {
        f"netpoll/{path.relative_to(PACKAGE).as_posix()}": path.read_bytes()
        for path in PACKAGE.rglob("*")
        if path.suffix in {".py", ".pyi", ".h"}
    }
    files["netpoll/py.typed"] = b""
    files[f"netpoll/{module.name}"] = module.read_bytes()
    files |= (info := metadata())
    folder = next(iter(info)).partition("/")[0]
    files[f"{folder}/WHEEL"] = wheel_lines(platform)
    record = "".join(record_line(name, data) for name, data in sorted(files.items()))
    files[f"{folder}/RECORD"] = f"{record}{folder}/RECORD,,\n".encode()

    wheel = out / file_name(folder.removesuffix(".dist-info"), platform)
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, data in files.items():
            archive.writestr(entry(name), data)
    return wheel
