"""What is measured, one subject matter a file. Each has `ROWS`, its part of the table."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.model import Case, Figure

from . import core, deadlines, memory, ping_pong, ready, registration, threads

GROUPS: dict[str, Sequence[Case | Figure]] = {
    "ready": ready.ROWS,
    "deadlines": deadlines.ROWS,
    "registration": registration.ROWS,
    "ping_pong": ping_pong.ROWS,
    "threads": threads.ROWS,
    "memory": memory.ROWS,
    "core": core.ROWS,
}
