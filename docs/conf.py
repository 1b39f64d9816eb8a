"""The documentation site: `make docs`.

The reference of the Python API comes from the docstrings.  The engine in Python is read for it
(NETPOLL_PURE=1), because its signatures have types; the one in C does the same, call by call.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))
os.environ["NETPOLL_PURE"] = "1"

import netpoll  # noqa: E402

project = "netpoll"
author = "the netpoll authors"
project_copyright = author
release = version = netpoll.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.intersphinx", "c_header"]
exclude_patterns = ["_build", "_ext"]
html_theme = "furo"
html_title = f"netpoll {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

#: In docstrings `name` is a name of Python's, of this package or another.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
add_module_names = False
intersphinx_mapping: dict[str, Any] = {}  # the build needs no network

# Addresses are checked by nobody here; an unknown reference inside the site is an error.
suppress_warnings = ["myst.xref_missing"] if os.environ.get("NETPOLL_DOCS_LAX") else []


def shorten(*event: Any) -> tuple[str | None, str | None]:
    """Of a signature: names without their modules, which autodoc leaves at type variables."""

    def short(text: str | None) -> str | None:
        text = text and text.replace("[[~P]", "[P").replace("~typing.~P", "P")
        text = text and re.sub(r"~(?:\w+\.)*", "", text)
        return text and text.replace("<class 'greenlet.GreenletExit'>", "GreenletExit")

    *_, arguments, result = event
    return short(arguments), short(result)


def setup(app: Any) -> None:
    app.connect("autodoc-process-signature", shorten)
