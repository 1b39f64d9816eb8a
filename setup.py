"""The part of the build that is not data: the cffi extension.  Everything else is in pyproject.toml."""

import sys
import sysconfig

from setuptools import setup

# One wheel for every CPython from 3.10 on, except the free-threaded builds: they have no stable ABI.
stable_abi = sys.implementation.name == "cpython" and not sysconfig.get_config_var("Py_GIL_DISABLED")

setup(
    cffi_modules=["python/netpoll_build.py:ffibuilder"],
    options={"bdist_wheel": {"py_limited_api": "cp310"}} if stable_abi else {},
)
