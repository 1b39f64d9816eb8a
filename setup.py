"""The part of the build that is not data: the cffi extension.  The rest is in pyproject.toml."""

import os
import shutil
import sys
import sysconfig
from pathlib import Path
from tempfile import TemporaryDirectory

from setuptools import setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CCompilerError, CompileError

# One wheel for every CPython from 3.10 on, but for the free-threaded builds: no stable ABI there.
free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
stable_abi = sys.implementation.name == "cpython" and not free_threaded

# The core and the types are optimized as one program, which saves a fiftieth of a round trip
# (`python -m benchmarks ping-pong-unix-100`).
OPTIMIZED = ["-O3"]
WHOLE_PROGRAM = [*OPTIMIZED, "-flto=auto", "-fno-plt"]


class BuildExtension(build_ext):
    """Optimized, and with a sentence about a C compiler that is missing."""

    def build_extensions(self) -> None:
        command = getattr(self.compiler, "compiler_so", None)  # Visual Studio's are found otherwise
        if command and shutil.which(command[0]) is None:
            raise CompileError(
                f"there is no C compiler, {command[0]}: install one (Debian: gcc and libc6-dev)"
            )
        # CFLAGS replaces the interpreter's own flags, -O3 among them.  A level that is asked for
        # there, as sanitizers and distributions do, is kept.
        chosen = os.environ.get("CFLAGS", "").split()
        if sys.platform != "win32" and not any(flag.startswith("-O") for flag in chosen):
            self._optimize()
        super().build_extensions()

    def _optimize(self) -> None:
        flags = WHOLE_PROGRAM if self._links_with(WHOLE_PROGRAM) else OPTIMIZED
        for extension in self.extensions:
            extension.extra_compile_args += flags
            extension.extra_link_args += flags

    def _links_with(self, flags: list[str]) -> bool:
        """Whether compiler and linker can: a clang may have come without a linker that can."""
        if sys.platform != "linux":
            return False
        with TemporaryDirectory() as folder:
            source = Path(folder) / "probe.c"
            source.write_text("int probe(void) { return 0; }\n", encoding="utf-8")
            try:
                objects = self.compiler.compile([str(source)], folder, extra_postargs=flags)
                self.compiler.link_shared_object(
                    objects, str(source.with_suffix(".so")), extra_postargs=flags
                )
            except CCompilerError:
                return False
            return True


setup(
    cffi_modules=["python/netpoll_build.py:ffibuilder"],
    cmdclass={"build_ext": BuildExtension},
    options={"bdist_wheel": {"py_limited_api": "cp310"}} if stable_abi else {},
)
