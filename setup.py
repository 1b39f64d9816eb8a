"""The part of the build that is not data: the cffi extension.  The rest is in pyproject.toml."""

import sys
import sysconfig

from setuptools import setup

# One wheel for every CPython from 3.10 on, but for the free-threaded builds: no stable ABI there.
free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
stable_abi = sys.implementation.name == "cpython" and not free_threaded

setup(
    cffi_modules=["python/netpoll_build.py:ffibuilder"],
    options={"bdist_wheel": {"py_limited_api": "cp310"}} if stable_abi else {},
)
