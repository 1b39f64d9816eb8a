"""Opening and closing a descriptor, and asking for one that is ready."""

from __future__ import annotations

from benchmarks.harness import alone
from benchmarks.model import Arg, C, Column, Entry, Python, Ratio, Table
from benchmarks.table import seconds
from benchmarks.workloads.contestants import PLAIN

N: dict[str, Arg] = {"descriptors": 1000}

TABLES = [
    Table(
        "open-close",
        "a descriptor opened and closed",
        (
            Entry("netpoll.open, close", Python("netpoll_desc", "open_close")),
            Entry(PLAIN, Python("netpoll_desc", "open_close", plain=True)),
            Entry("select.epoll, register, unregister", Python("standard", "register_unregister")),
            Entry("C core alone", C("core", "open_close")),
            Entry("epoll_ctl, add, del", C("epoll", "open_close")),
        ),
        (Column("time", "both", seconds),),
        alone,
        (
            Ratio(
                "netpoll.open, close",
                "select.epoll, register, unregister",
                "time",
                1.0,
                "open and close: no slower than select.epoll's register and unregister",
            ),
        ),
        7,
    ),
    Table(
        "ready",
        "a wait that need not wait",
        (
            Entry("netpoll, reset and wait", Python("netpoll_desc", "ready", N)),
            Entry(PLAIN, Python("netpoll_desc", "ready", N, plain=True)),
            Entry("gevent, wait_read", Python("gevent_sockets", "ready", N)),
            Entry("select.poll, poll", Python("standard", "ready", N)),
            Entry("C core alone", C("core", "ready", (1000,))),
            Entry("poll(2)", C("epoll", "ready", (1000,))),
        ),
        (Column("time", "a wait", seconds),),
        alone,
    ),
]
