"""An extension on netpoll: `make example-extension` builds it, and lets it work."""

import netpoll
from setuptools import Extension, setup

setup(
    name="relay",
    ext_modules=[Extension("relay", ["relay.c"], include_dirs=[netpoll.get_include()])],
)
