"""What is measured, one subject matter a file. Each has `TABLES`."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.model import Table

from . import (
    beside,
    churn,
    copies,
    core,
    deadlines,
    echo,
    idle,
    ping_pong,
    registration,
    schemes,
    selector,
    threads,
    turns,
)

GROUPS: dict[str, Sequence[Table]] = {
    "ping_pong": ping_pong.TABLES,
    "beside": beside.TABLES,
    "echo": echo.TABLES,
    "churn": churn.TABLES,
    "deadlines": deadlines.TABLES,
    "idle": idle.TABLES,
    "threads": threads.TABLES,
    "turns": turns.TABLES,
    "copies": copies.TABLES,
    "schemes": schemes.TABLES,
    "registration": registration.TABLES,
    "selector": selector.TABLES,
    "core": core.TABLES,
}
