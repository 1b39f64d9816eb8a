"""Running a program for WASI: python wheels/wasi.py PROGRAM

Its standard input and output are the two ends of a pipe, the one thing there that can be waited
for (tests/c/pipes.h).  What it says to standard error comes out here, and so does its exit status.
"""

from __future__ import annotations

import os
import sys

import wasmtime


def main() -> int:
    reader, writer = os.pipe()
    os.dup2(reader, sys.stdin.fileno())
    os.dup2(writer, sys.stdout.fileno())
    config = wasmtime.WasiConfig()
    config.inherit_stdin()
    config.inherit_stdout()
    config.inherit_stderr()
    engine = wasmtime.Engine()
    store = wasmtime.Store(engine)
    store.set_wasi(config)
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    program = linker.instantiate(store, wasmtime.Module.from_file(engine, sys.argv[1]))
    start = program.exports(store)["_start"]
    assert isinstance(start, wasmtime.Func)
    try:
        start(store)
    except wasmtime.ExitTrap as ended:
        return ended.code
    return 0


if __name__ == "__main__":
    sys.exit(main())
