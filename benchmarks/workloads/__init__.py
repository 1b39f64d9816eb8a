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
    freethreading,
    idle,
    ping_pong,
    registration,
    schemes,
    selector,
    sync,
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
    "sync": sync.TABLES,
    "copies": copies.TABLES,
    "schemes": schemes.TABLES,
    "registration": registration.TABLES,
    "selector": selector.TABLES,
    "core": core.TABLES,
}

# Run only if they are named, as they need an interpreter that few have.
BY_NAME: dict[str, Sequence[Table]] = {"freethreading": freethreading.TABLES}
