"""Connections that carry one message there and back: accept, one exchange, close."""

from __future__ import annotations

from benchmarks import loaded
from benchmarks.model import Column, Table
from benchmarks.table import percent, rate, seconds
from benchmarks.workloads import contestants

TABLES = [
    Table(
        "churn",
        "connection churn: accept, an exchange of 64 B, close",
        contestants.echo_servers(),
        (
            Column("rate", "connections", rate, lower_is_better=False),
            Column("p50", "p50", seconds),
            Column("p99", "p99", seconds),
            Column("server", "server's core", percent),
            Column("load", "load's core", percent),
        ),
        loaded.churn(64),
        note="64 at a time, from connect to the last byte of the echo.",
    )
]
