"""The command line.

`python -m netpoll` says what this build can do on this machine and checks that it really does;
`python -m netpoll echo` serves a TCP port until Ctrl-C or SIGTERM; `python -m netpoll run` runs a
program whose waits park greenlets.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable
from functools import partial

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
    commands.add_parser(  # what follows is for the program
        "run",
        usage="python -m netpoll run [-m MODULE | -c CODE | SCRIPT] ARGS",
        help="run a program as python does, after patch.everything()",
    )
    return top


def main(arguments: list[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else arguments
    is_program = given[:1] == ["run"] and given[1:2] not in (["-h"], ["--help"])
    top = parser()
    chosen = top.parse_args(given[:1] if is_program else given)
    backend = os.environ.get("NETPOLL_BACKEND")
    if backend and backend not in backends():
        top.error(f"NETPOLL_BACKEND={backend} is not usable here; usable: {', '.join(backends())}")
    if chosen.command == "echo":
        from netpoll._demo import echo

        return _until_the_pipe_breaks(
            partial(echo.serve, chosen.host, chosen.port, chosen.read_deadline, chosen.quiet)
        )
    if chosen.command == "run":
        from netpoll._patch import program

        try:
            found = program.choose(given[1:])
        except ValueError as error:
            top.error(f"run: {error}")
        program.run(found)
        return 0
    from netpoll._inspect import selfcheck

    return _until_the_pipe_breaks(selfcheck.report)


def _until_the_pipe_breaks(report: Callable[[], int]) -> int:
    """The reader of our output may go: `python -m netpoll | head`."""
    try:
        status = report()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        return 1
    return status


if __name__ == "__main__":
    sys.exit(main())
