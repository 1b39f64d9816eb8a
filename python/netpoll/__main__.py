"""The command line.

`python -m netpoll` says what this build can do on this machine and checks that it really does;
`python -m netpoll echo` serves a TCP port until Ctrl-C.
"""

from __future__ import annotations

import argparse
import math
import os
import sys

from netpoll import backends


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
    commands = top.add_subparsers(dest="command", metavar="{echo}")
    echo = commands.add_parser("echo", help="serve echo over TCP until Ctrl-C")
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
    return top


def main(arguments: list[str] | None = None) -> int:
    top = parser()
    chosen = top.parse_args(arguments)
    backend = os.environ.get("NETPOLL_BACKEND")
    if backend and backend not in backends():
        top.error(f"NETPOLL_BACKEND={backend} is not usable here; usable: {', '.join(backends())}")
    if chosen.command == "echo":
        from netpoll import _echo

        return _echo.serve(chosen.host, chosen.port, chosen.read_deadline)
    from netpoll import _selfcheck

    return _selfcheck.report()


if __name__ == "__main__":
    sys.exit(main())
