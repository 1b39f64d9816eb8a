"""Builds the extension ``netpoll._core`` from the C core in csrc/.

What cffi declares is cut out of csrc/netpoll.h, between its two "cdef" lines, so that the binding
and the core cannot drift apart.

On CPython five things are added to a plain cffi module:

* The generated calls keep the GIL.  cffi releases it around every call, which next to a CPU-bound
  thread costs a switch interval (5 ms) a call.  Here ``Py_BEGIN_ALLOW_THREADS`` is a plain brace,
  and the core itself releases the GIL around the system calls that block, through its blocking
  hooks.
* The module's init function is wrapped by python/ext/module.c, which sets those hooks and adds the
  types that are written in C by hand.
* A capsule with a table of the core's functions, for other extensions (python/ext/capi.c); its
  header and the core's are copied into the package, for netpoll.get_include().
* The docstrings of the types come from the engine in Python, through a header made here.
* The limited API of 3.10 is chosen explicitly (cffi's own choice is older and lacks METH_FASTCALL),
  so that one build serves every later CPython.

On PyPy the module is plain cffi, which releases the GIL around every call.

Environment: ``NETPOLL_KQUEUE=1`` compiles the kqueue backend in on Linux too, against whatever
library CFLAGS and LDFLAGS offer for <sys/event.h>.  ``NETPOLL_DEBUG=1`` compiles the core's
assertions in (csrc/sys/assert.h).
"""

from __future__ import annotations

import ast
import copy
import itertools
import json
import os
import re
import runpy
import shutil
import sys
import sysconfig
from pathlib import Path

from cffi import FFI

ROOT = Path(__file__).resolve().parent.parent
CPYTHON = sys.implementation.name == "cpython"
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
WINDOWS = sys.platform == "win32"

INCLUDE_DIRS = ["csrc", "python/ext", "python/plain"]
PUBLIC_HEADERS = ("csrc/netpoll.h", "csrc/netpoll_iocp.h", "python/ext/netpoll_api.h")

# Addresses resolved at load time and read-only from then on; no executable stack.
LINUX_LINK = ["-Wl,-z,relro", "-Wl,-z,now", "-Wl,-z,noexecstack"]

# Numbers of python/ext/budgets.h.
BUDGETS = """
#define EXT_TOKEN_BATCH ...
#define EXT_COOP_BUDGET ...
#define EXT_MAX_EXITS ...
#define EXT_LAST_TURNS ...
"""
PLAIN_PREAMBLE = """#include "budgets.h"
#include "plain.h"
"""

#: Functions of the engine that users call as they are.
FUNCTIONS = {"get_hub", "get_ident", "sleep"}

# The generated file has Python.h included already where this text goes.
CPYTHON_PREAMBLE = (
    PLAIN_PREAMBLE
    + """
/* Calls keep the GIL; the core releases it where it blocks. */
#undef Py_BEGIN_ALLOW_THREADS
#undef Py_END_ALLOW_THREADS
#define Py_BEGIN_ALLOW_THREADS {
#define Py_END_ALLOW_THREADS }

/* The real PyInit__core is in python/ext/module.c. */
#define PyInit__core np_cffi_init_core
"""
)


def declared(header: str, name: str = "cdef") -> str:
    """The declarations between the two lines of that name."""
    text = (ROOT / header).read_text(encoding="utf-8")
    found = re.search(rf"/\* {name}: begin \*/(.*)/\* {name}: end \*/", text, re.DOTALL)
    if found is None:
        raise SystemExit(f"{header}: the two {name} lines are missing")
    return found.group(1)


def cdef() -> str:
    """What cffi makes callable: the public header, and what the engine in Python has of its own."""
    parts = [declared("csrc/netpoll.h"), declared("python/plain/plain.h"), BUDGETS]
    parts.append(declared("python/plain/plain.h", f"cdef for {'Windows' if WINDOWS else 'POSIX'}"))
    return "".join(parts)


def sources() -> list[str]:
    """The C files to compile, relative to the root as setuptools wants them."""
    files: list[Path] = runpy.run_path(str(ROOT / "csrc" / "sources.py"))["sources"](WINDOWS)
    files += (ROOT / "python" / "plain").glob("*.c")
    if CPYTHON:
        files += (ROOT / "python" / "ext").glob("*.c")
    return sorted(path.relative_to(ROOT).as_posix() for path in files)


def headers() -> list[str]:
    """What a change of must rebuild the module for."""
    files = [*(ROOT / "csrc").rglob("*.h"), *(ROOT / "python").glob("*/*.h")]
    return sorted(path.relative_to(ROOT).as_posix() for path in files)


def link_arguments() -> list[str]:
    return [] if WINDOWS else ["-pthread", *(LINUX_LINK if sys.platform == "linux" else [])]


def macros() -> list[tuple[str, str | None]]:
    defined: list[tuple[str, str | None]] = []
    if CPYTHON and not FREE_THREADED:
        defined.append(("Py_LIMITED_API", "0x030a0000"))
    if os.environ.get("NETPOLL_KQUEUE") == "1":
        defined.append(("NETPOLL_KQUEUE", "1"))
    if os.environ.get("NETPOLL_DEBUG") == "1":
        defined.append(("NP_DEBUG", "1"))
    return defined


def signature(item: ast.ClassDef | ast.FunctionDef) -> str:
    """What inspect.signature reads off the docstring of a function, or a type, written in C."""
    named = item
    if isinstance(item, ast.ClassDef):
        made = {one.name: one for one in item.body if isinstance(one, ast.FunctionDef)}
        if not {"__new__", "__init__"} & set(made):
            return f"{item.name}()\n--\n\n"
        item = made.get("__new__") or made["__init__"]
    elif not all(ast.unparse(d).startswith("in_c(") for d in item.decorator_list):
        return ""
    arguments = copy.deepcopy(item.args)
    for argument in ast.walk(arguments):
        if isinstance(argument, ast.arg):
            argument.annotation = None
    if named is not item:  # it is called without its first argument
        (arguments.posonlyargs or arguments.args).pop(0)
    listed = ast.unparse(arguments)
    if listed.startswith("self"):
        listed = listed.replace("self", "$self", 1)
    elif named is item:
        listed = f"$module, {listed}".rstrip(", ")
    return f"{named.name}({listed})\n--\n\n"


def docstrings() -> str:
    """The docstrings of the engine in Python, for the types and functions in C that do the same."""
    lines = ["/* Made by netpoll_build.py from the docstrings of the engine in Python. */"]
    package = ROOT / "python" / "netpoll"
    sources = [*sorted((package / "_cffi").glob("*.py")), package / "_deadlines.py"]
    trees = [ast.parse(source.read_text(encoding="utf-8")) for source in sources]
    for owner in itertools.chain.from_iterable(tree.body for tree in trees):
        if isinstance(owner, ast.FunctionDef) and owner.name in FUNCTIONS:
            described = signature(owner) + (ast.get_docstring(owner) or "")
            lines.append(f"#define DOC_{owner.name} {json.dumps(described)}")
        if not isinstance(owner, ast.ClassDef) or owner.name.startswith("_"):
            continue
        for item in (owner, *owner.body):
            if isinstance(item, (ast.ClassDef, ast.FunctionDef)) and (
                meaning := ast.get_docstring(item)
            ):
                name = owner.name if item is owner else f"{owner.name}_{item.name}"
                lines.append(f"#define DOC_{name} {json.dumps(signature(item) + meaning)}")
    return "\n".join(lines) + "\n"


def write_docstrings() -> None:
    made = ROOT / "python" / "ext" / "docs_made.h"
    text = docstrings()
    if not made.exists() or made.read_text(encoding="utf-8") != text:
        made.write_text(text, encoding="utf-8")


def write_public_headers() -> None:
    """What netpoll.get_include() offers, beside the package's modules."""
    include = ROOT / "python" / "netpoll" / "include"
    include.mkdir(exist_ok=True)
    for header in PUBLIC_HEADERS:
        shutil.copyfile(ROOT / header, include / Path(header).name)


write_public_headers()
if CPYTHON:
    write_docstrings()

ffibuilder = FFI()
ffibuilder.cdef(cdef())
ffibuilder.set_source(
    "netpoll._core",
    CPYTHON_PREAMBLE if CPYTHON else PLAIN_PREAMBLE,
    sources=sources(),
    depends=headers(),
    include_dirs=INCLUDE_DIRS,
    define_macros=macros(),
    py_limited_api=CPYTHON and not FREE_THREADED,
    extra_compile_args=["/std:c11", "/experimental:c11atomics"]
    if WINDOWS
    else ["-std=c11", "-Wall", "-fvisibility=hidden", "-fstack-protector-strong"],
    extra_link_args=link_arguments(),
    libraries=["ws2_32"] if WINDOWS else [],
)
