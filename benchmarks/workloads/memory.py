"""What a descriptor costs while nothing happens on it."""

from benchmarks.model import C, Figure

ROWS = [Figure("a pollDesc, both timers included", C("core", "size"), "bytes", 192)]
