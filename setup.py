"""The part of the build that is not data: the cffi extension.  The rest is in pyproject.toml."""

import shutil
import sys
import sysconfig

from setuptools import setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

# One wheel for every CPython from 3.10 on, but for the free-threaded builds: no stable ABI there.
free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
stable_abi = sys.implementation.name == "cpython" and not free_threaded


class BuildExtension(build_ext):
    """With a sentence about a C compiler that is missing."""

    def build_extensions(self) -> None:
        command = getattr(self.compiler, "compiler_so", None)  # Visual Studio's are found otherwise
        if command and shutil.which(command[0]) is None:
            raise CompileError(
                f"there is no C compiler, {command[0]}: install one (Debian: gcc and libc6-dev)"
            )
        super().build_extensions()


setup(
    cffi_modules=["python/netpoll_build.py:ffibuilder"],
    cmdclass={"build_ext": BuildExtension},
    options={"bdist_wheel": {"py_limited_api": "cp310"}} if stable_abi else {},
)
