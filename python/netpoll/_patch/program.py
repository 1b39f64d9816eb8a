"""`python -m netpoll run`: what `python` does with a program, after `patch.everything`.

The program has a module `__main__` of its own, which stays in `sys.modules`: its threads and exit
handlers outlive its code, and pickle finds its classes there.  Its tracebacks begin with it.
"""

from __future__ import annotations

import builtins
import os
import pkgutil
import runpy
import sys
import types
from collections.abc import Callable
from importlib.machinery import SourceFileLoader, SourcelessFileLoader
from typing import Any, NamedTuple

from netpoll import patch

__all__ = ["Program", "choose", "run"]

#: What `python -m` calls: the public functions of `runpy` take the module away at the end.
_run_module: Any = vars(runpy)["_run_module_as_main"]

#: There is no folder of the program in `sys.path`: `python -P`.
_is_safe = bool(getattr(sys.flags, "safe_path", sys.flags.isolated))


class Program(NamedTuple):
    """What to run."""

    begin: Callable[[str], object]
    what: str
    argv: list[str]


def choose(arguments: list[str]) -> Program:
    """That of ``python ARGUMENTS``.

    :raises ValueError: there is none.
    """
    first, *rest = arguments or [""]
    begin = {"-m": _run_module, "-c": _code}.get(first[:2])
    if begin is not None and (first[2:] or rest):
        what, *rest = [first[2:], *rest] if first[2:] else rest
        return Program(begin, what, [first[:2], *rest])
    script = rest if first == "--" else [first, *rest]
    if script[:1] in ([], [""]) or (script[0].startswith("-") and first != "--"):
        raise ValueError("give a SCRIPT, -m MODULE or -c CODE")
    return Program(_script, script[0], script)


def run(program: Program) -> None:
    """Run it, patched."""
    patch.everything()
    main: Any = types.ModuleType("__main__")
    main.__builtins__ = builtins
    sys.modules["__main__"] = main
    sys.argv[:] = program.argv
    try:
        program.begin(program.what)
    except SystemExit:
        raise
    except BaseException as error:
        _begin_traceback_at_program(error)
        raise


def _code(code: str) -> None:
    _have_first("")
    exec(compile(code, "<string>", "exec"), vars(sys.modules["__main__"]))


def _script(name: str) -> None:
    path = os.path.abspath(name)
    if pkgutil.get_importer(path) is not None:  # a folder, or an archive
        sys.path[: not _is_safe] = [path]
        _run_module("__main__", False)
        return
    main: Any = sys.modules["__main__"]
    main.__file__ = path
    try:
        code = _code_of(path, main)
    except OSError as error:
        text = f"{sys.executable}: can't open file {path!r}: [Errno {error.errno}] {error.strerror}"
        print(text, file=sys.stderr)
        sys.exit(2)
    _have_first(os.path.dirname(os.path.realpath(path)))
    exec(code, vars(main))


def _code_of(path: str, main: Any) -> Any:
    if path.endswith(".pyc"):
        main.__loader__ = SourcelessFileLoader("__main__", path)
        return main.__loader__.get_code("__main__")
    loader = main.__loader__ = SourceFileLoader("__main__", path)
    return loader.source_to_code(loader.get_data(path), path)


def _have_first(path: str) -> None:
    """Look there for modules first, not in the current folder, where `python -m netpoll` does."""
    if not _is_safe:
        sys.path[0] = path


def _begin_traceback_at_program(error: BaseException) -> None:
    """For whichever hook the program has set.  What raises the error adds frames of ours again."""
    trace = error.__traceback__
    trace = trace and trace.tb_next  # that of `run`
    while trace is not None and trace.tb_frame.f_globals.get("__name__") in _OURS:
        trace = trace.tb_next
    hook = sys.excepthook
    sys.excepthook = lambda kind, value, _: hook(kind, value.with_traceback(trace), trace)


_OURS = frozenset(
    {__name__, "runpy", "importlib._bootstrap", "importlib._bootstrap_external", "zipimport"}
)
