"""Builds the extension ``netpoll._core`` from the C core in csrc/.

What cffi declares is cut out of csrc/netpoll.h, between its two "cdef" lines, so that the binding
and the core cannot drift apart.

On CPython five things are added to a plain cffi module:

* The generated calls keep the GIL.  cffi gives it back around every call, which next to a CPU-bound
  thread costs a switch interval (5 ms) a call.  Here ``Py_BEGIN_ALLOW_THREADS`` is a plain brace,
  and the core itself gives the GIL back around the system calls that block, through its blocking
  hooks.
* The module's init function is wrapped by python/ext/module.c, which sets those hooks and adds the
  types that are written in C by hand.
* A capsule with a table of the core's functions, for other extensions (python/ext/capi.c); its
  header and the core's are copied into the package, for netpoll.get_include().
* The docstrings of the types come from the engine in Python, through a header made here.
* The limited API of 3.10 is chosen explicitly (cffi's own choice is older and lacks METH_FASTCALL),
  so that one build serves every later CPython.

On PyPy the module is plain cffi, which gives the GIL back around every call.

Environment: ``NETPOLL_KQUEUE=1`` compiles the kqueue backend in on Linux too, against whatever
library CFLAGS and LDFLAGS offer for <sys/event.h>.
"""

from __future__ import annotations

import ast
import copy
import itertools
import json
import os
import re
import shutil
import sys
import sysconfig
from pathlib import Path

from cffi import FFI

ROOT = Path(__file__).resolve().parent.parent
CPYTHON = sys.implementation.name == "cpython"
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
WINDOWS = sys.platform == "win32"

BACKENDS = ("epoll", "kqueue", "iocp", "poll")
PUBLIC_HEADERS = ("csrc/netpoll.h", "csrc/netpoll_iocp.h", "python/ext/netpoll_api.h")
POSIX_ONLY = ("posixfd", "alone")  # files for Windows only are named *_win32.c

# Addresses resolved at load time and read-only from then on; no executable stack.
LINUX_LINK = ["-Wl,-z,relro", "-Wl,-z,now", "-Wl,-z,noexecstack"]

# For the engine in Python: what the core gives lands in a box that gives it back, so nothing is
# lost if memory runs out, or a signal handler raises, before an object of Python's holds it.
BOXES = "void unref_boxed_desc(np_desc **box);"
PLAIN_PREAMBLE = """#include "netpoll.h"

static void unref_boxed_desc(np_desc **box)
{
    if (*box)
        np_desc_unref(*box);
}
"""

# The generated file has Python.h included already where this text goes.
CPYTHON_PREAMBLE = (
    PLAIN_PREAMBLE
    + """
/* Calls keep the GIL; the core gives it back where it blocks. */
#undef Py_BEGIN_ALLOW_THREADS
#undef Py_END_ALLOW_THREADS
#define Py_BEGIN_ALLOW_THREADS {
#define Py_END_ALLOW_THREADS }

/* The real PyInit__core is in python/ext/module.c. */
#define PyInit__core np_cffi_init_core
"""
)


def cdef() -> str:
    """The declarations between the two "cdef" lines of the public header."""
    header = (ROOT / "csrc" / "netpoll.h").read_text(encoding="utf-8")
    found = re.search(r"/\* cdef: begin \*/(.*)/\* cdef: end \*/", header, re.DOTALL)
    if found is None:
        raise SystemExit("csrc/netpoll.h: the two cdef lines are missing")
    return found.group(1)


def backends() -> set[str]:
    """The backends to compile for this platform."""
    if WINDOWS:
        return {"iocp"}
    wanted = {"poll"}
    if sys.platform == "linux":
        wanted.add("epoll")
    has_kqueue = sys.platform.startswith(("darwin", "dragonfly")) or "bsd" in sys.platform
    if has_kqueue or os.environ.get("NETPOLL_KQUEUE") == "1":
        wanted.add("kqueue")
    return wanted


def is_for_platform(stem: str) -> bool:
    return stem not in POSIX_ONLY if WINDOWS else not stem.endswith("_win32")


def sources() -> list[str]:
    """The C files to compile, relative to the root as setuptools wants them."""
    left_out = {f"backend_{name}.c" for name in BACKENDS if name not in backends()}
    core = (ROOT / "csrc").glob("*.c")
    files = [path for path in core if path.name not in left_out and is_for_platform(path.stem)]
    if CPYTHON:
        files += (ROOT / "python" / "ext").glob("*.c")
    return sorted(path.relative_to(ROOT).as_posix() for path in files)


def headers() -> list[str]:
    """What a change of must rebuild the module for."""
    files = [*(ROOT / "csrc").glob("*.h"), *(ROOT / "python" / "ext").glob("*.h")]
    return sorted(path.relative_to(ROOT).as_posix() for path in files)


def link_arguments() -> list[str]:
    return [] if WINDOWS else ["-pthread", *(LINUX_LINK if sys.platform == "linux" else [])]


def macros() -> list[tuple[str, str | None]]:
    defined: list[tuple[str, str | None]] = []
    if CPYTHON and not FREE_THREADED:
        defined.append(("Py_LIMITED_API", "0x030a0000"))
    if "kqueue" in backends():
        defined.append(("NETPOLL_KQUEUE", "1"))
    return defined


def signature(item: ast.ClassDef | ast.FunctionDef) -> str:
    """What inspect.signature reads off the docstring of a function written in C."""
    if isinstance(item, ast.ClassDef) or item.decorator_list:
        return ""
    arguments = copy.deepcopy(item.args)
    for argument in (*arguments.posonlyargs, *arguments.args):
        argument.annotation = None
    return f"{item.name}({ast.unparse(arguments).replace('self', '$self', 1)})\n--\n\n"


def docstrings() -> str:
    """The docstrings of the engine in Python, for the types in C that do the same."""
    lines = ["/* Made by netpoll_build.py from the docstrings of the engine in Python. */"]
    sources = [ROOT / "python" / "netpoll" / name for name in ("_pure.py", "_pure_socket.py")]
    trees = [ast.parse(source.read_text(encoding="utf-8")) for source in sources]
    for owner in itertools.chain.from_iterable(tree.body for tree in trees):
        if not isinstance(owner, ast.ClassDef) or not owner.name.endswith("Base"):
            continue
        for item in (owner, *owner.body):
            if isinstance(item, (ast.ClassDef, ast.FunctionDef)) and (
                text := ast.get_docstring(item)
            ):
                name = owner.name if item is owner else f"{owner.name}_{item.name}"
                lines.append(f"#define DOC_{name} {json.dumps(signature(item) + text)}")
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
ffibuilder.cdef(cdef() + BOXES)
ffibuilder.set_source(
    "netpoll._core",
    CPYTHON_PREAMBLE if CPYTHON else PLAIN_PREAMBLE,
    sources=sources(),
    depends=headers(),
    include_dirs=["csrc"],
    define_macros=macros(),
    py_limited_api=CPYTHON and not FREE_THREADED,
    extra_compile_args=["/std:c11", "/experimental:c11atomics"]
    if WINDOWS
    else ["-std=c11", "-Wall", "-fvisibility=hidden", "-fstack-protector-strong"],
    extra_link_args=link_arguments(),
    libraries=["ws2_32"] if WINDOWS else [],
)
