"""From which size on a receive should give the interpreter's lock back.

To give it back is worth while if the copy takes longer than it takes to hand the lock to a thread
that waits for it, and to get it again.
"""

from __future__ import annotations

from benchmarks.harness import alone
from benchmarks.model import Column, Entry, Python, Table
from benchmarks.table import seconds

KIB = 1024
SIZES = [16, 64, 128, 256, 512, 1024]  # KiB


def hand_over(cores: int) -> Python:
    return Python("interpreter", "hand_over", {"cores": cores}, cores=cores)


TABLES = [
    Table(
        "copies",
        "the GIL handed over, and a receive of bytes that are there",
        (
            Entry("the GIL there and back, two cores", hand_over(2)),
            Entry("the GIL there and back, one core", hand_over(1)),
            *(
                Entry(
                    f"{size:,} KiB received", Python("interpreter", "receive", {"size": size * KIB})
                )
                for size in SIZES
            ),
        ),
        (Column("time", "time", seconds),),
        alone,
        rounds=5,
        note="Where a receive takes as long as it takes to hand the GIL over and to get it again, "
        "it costs the receiver as much to give it back as the others can gain meanwhile. netpoll "
        "gives it back from 256 KiB on.",
        ratios="as long as the first row",
    )
]
