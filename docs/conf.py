"""The documentation site: `make docs`.

The reference of the Python API comes from the docstrings.  The engine in Python is read for it
(NETPOLL_PURE=1), because its signatures have types; the one in C does the same, call by call.
"""

from __future__ import annotations

import os
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


#: Of the page that `make bench` writes, where it has.
BENCHMARKS = {
    "<!-- benchmarks -->\n": "| [Benchmarks](benchmarks.md) | beside gevent, asyncio, Go and C |\n",
    "proof\ntesting\n": "proof\nbenchmarks\ntesting\n",  # the table of contents
}


def gather_the_rest(app: Any, docname: str, source: list[str]) -> None:
    """Pages of docs/ that no table of contents names stand under "More" on the front page."""
    if docname != "index":
        return
    if "benchmarks" in app.project.docnames:
        for place, text in BENCHMARKS.items():
            source[0] = source[0].replace(place, text)
    named = "\n".join(path.read_text(encoding="utf-8") for path in HERE.rglob("index.md"))
    rest = sorted(
        name
        for name in app.project.docnames
        if name not in ("index", "benchmarks")
        and f"\n{name}\n" not in named
        and f"<{name}>" not in named
    )
    more = (
        "\n".join(["```{toctree}", ":caption: More", ":hidden:", "", *rest, "```"]) if rest else ""
    )
    source[0] = source[0].replace("<!-- the rest -->", more)


def setup(app: Any) -> None:
    app.connect("source-read", gather_the_rest)
