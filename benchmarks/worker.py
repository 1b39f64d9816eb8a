"""One subject in a process of its own: for each line read, do one round and print its result."""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import threading

from .model import Round


def main() -> None:
    rival, workload, args = json.loads(sys.argv[1])
    module = importlib.import_module(f"benchmarks.rivals.{rival}")
    one_round: Round = getattr(module, workload)(**args)
    threading.excepthook = end_in_failure
    # As timeit does: a collection belongs to nobody, and a million descriptors make one long.
    gc.collect()
    gc.disable()
    for _ in sys.stdin:
        print(repr(one_round()), flush=True)
        gc.collect(0)
    os._exit(0)  # a million descriptors need no orderly farewell


def end_in_failure(args: threading.ExceptHookArgs) -> None:
    """A thread has failed: its partner would wait for ever."""
    sys.excepthook(args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback)
    os._exit(1)


if __name__ == "__main__":
    main()
