"""The command line.

`python -m netpoll` says what this build can do on this machine and checks that it really does;
`python -m netpoll echo` serves a TCP port until Ctrl-C or SIGTERM; `python -m netpoll run` runs a
program whose waits park greenlets.
"""

from __future__ import annotations

import argparse
import math
import os
import runpy
import sys

from netpoll import __version__, backends


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of seconds")
    return value


def port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port number, 0 to 65535")
    return int(text)


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="python -m netpoll",
        description="Show version, backends and kernel features, and check that they work.",
    )
    top.add_argument("--version", action="version", version=f"netpoll {__version__}")
    commands = top.add_subparsers(dest="command", metavar="{echo,run}")
    echo = commands.add_parser("echo", help="serve echo over TCP until Ctrl-C or SIGTERM")
    echo.add_argument("--host", default="127.0.0.1", help="address or name (default %(default)s)")
    echo.add_argument(
        "--port", type=port, default=7007, help="0 takes a free one (default %(default)s)"
    )
    echo.add_argument(
        "--read-deadline",
        type=seconds,
        metavar="SECONDS",
        help="hang up on a client that is silent for so long (default: never)",
    )
    echo.add_argument("--quiet", action="store_true", help="do not say who comes and goes")
    run = commands.add_parser(
        "run",
        usage="python -m netpoll run [-m MODULE | SCRIPT] ARGS",
        help="run a program as python does, after patch.everything()",
    )
    run.add_argument("-m", dest="module", nargs=argparse.REMAINDER, help="the module to run")
    run.add_argument("script", nargs=argparse.REMAINDER, help="the file to run")
    return top


def run_program(module: list[str] | None, script: list[str]) -> None:
    """As `python -m MODULE ARGS` or `python SCRIPT ARGS` would, but patched."""
    from netpoll import patch

    patch.everything()
    if module:
        sys.argv[:] = module
        runpy.run_module(module[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv[:] = script
        sys.path[0] = os.path.dirname(os.path.realpath(script[0]))
        runpy.run_path(script[0], run_name="__main__")


def main(arguments: list[str] | None = None) -> int:
    top = parser()
    chosen = top.parse_args(arguments)
    backend = os.environ.get("NETPOLL_BACKEND")
    if backend and backend not in backends():
        top.error(f"NETPOLL_BACKEND={backend} is not usable here; usable: {', '.join(backends())}")
    if chosen.command == "echo":
        from netpoll._demo import echo

        return echo.serve(chosen.host, chosen.port, chosen.read_deadline, chosen.quiet)
    if chosen.command == "run":
        if not chosen.module and not chosen.script:
            top.error("run: give a SCRIPT, or -m MODULE")
        run_program(chosen.module, chosen.script)
        return 0
    from netpoll._inspect import selfcheck

    return selfcheck.report()


def _until_the_pipe_breaks() -> int:
    """The reader of our output may go: `python -m netpoll | head`."""
    try:
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        return 1
    return status


if __name__ == "__main__":
    sys.exit(_until_the_pipe_breaks())
