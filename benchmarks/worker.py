"""One subject in a process of its own: for each line read, do one round and print its result."""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys

from .model import Round


def main() -> None:
    rival, workload, args = json.loads(sys.argv[1])
    module = importlib.import_module(f"benchmarks.rivals.{rival}")
    one_round: Round = getattr(module, workload)(**args)
    # As timeit does: a collection belongs to nobody, and a million descriptors make one long.
    gc.collect()
    gc.disable()
    for _ in sys.stdin:
        print(repr(one_round()), flush=True)
        gc.collect(0)
    os._exit(0)  # a million descriptors need no orderly farewell


if __name__ == "__main__":
    main()
