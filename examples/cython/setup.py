"""An extension in Cython on netpoll: `make example-cython` builds it, and lets it work."""

import netpoll
from Cython.Build import cythonize
from setuptools import Extension, setup

setup(
    name="counting",
    ext_modules=cythonize(
        [Extension("counting", ["counting.pyx"], include_dirs=[netpoll.get_include()])],
        quiet=True,
    ),
)
