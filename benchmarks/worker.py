"""One Python subject in a process of its own: set up, measure, print the values as JSON.

What a rival's function returns says what it is: a `Bout` is repeated until it takes long enough to
be measured, a `Server` names its port and serves until its process is ended, values are printed as
they are.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading

from .bout import Bout, Server, measured, say
from .pairs import Gate
from .spinner import Spinner


def main() -> None:
    rival, workload, args, beside, target = json.loads(sys.argv[1])
    threading.excepthook = end_in_failure
    age_heap()
    module = importlib.import_module(f"benchmarks.rivals.{rival}")
    if beside:
        Gate.spinner = Spinner()
    subject = getattr(module, workload)(**args)
    if isinstance(subject, Server):
        say({"port": subject.port})
        if Gate.spinner is not None:
            Gate.spinner.compute()
        subject.serve()
    elif isinstance(subject, Bout):
        values = measured(subject, target)
        assert not beside or "cpu" in values, "without a Gate nothing was beside it"
        say(values)
    else:
        say(subject)
    os._exit(0)  # a million descriptors need no orderly farewell


def age_heap() -> None:
    """Free a large block once, as any program has that has lived for a while.

    glibc then stops to map and unmap every block of more than 128 KiB, such as those of 256 KiB
    that asyncio receives into: without it a fresh process of asyncio is several times as slow.
    """
    bytearray(1 << 20)


def end_in_failure(args: threading.ExceptHookArgs) -> None:
    """A thread has failed: its partner would wait for ever."""
    sys.excepthook(args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback)
    os._exit(1)


if __name__ == "__main__":
    main()
