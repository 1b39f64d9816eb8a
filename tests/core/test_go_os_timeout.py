"""The scenarios of Go's os/timeout_test.go, on pipes and FIFOs."""

from __future__ import annotations

import os
import random
import threading
import time
from pathlib import Path

import pytest
from go_conn import File
from netpoll import BusyError, ClosedError, DeadlineExceeded, NotPollableError, PollDesc
from support import Sockets, Stage, needs_fifo, needs_linux, needs_pipe, never_early
from test_go_timeout import PAST, _fluctuation, _read_until_expired

pytestmark = [pytest.mark.rule(3), needs_pipe]


@pytest.fixture(params=["pipe", pytest.param("fifo", marks=needs_fifo)])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def ends(stage: Stage, sockets: Sockets, kind: str, folder: Path) -> tuple[File, File]:
    """(reading end, writing end)"""
    if kind == "pipe":
        r, w = os.pipe()
        os.set_blocking(r, False)
        os.set_blocking(w, False)
    else:
        path = str(folder / "fifo")
        os.mkfifo(path)
        r = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        w = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    return File(stage, sockets.keep_fd(r)), File(stage, sockets.keep_fd(w))


@needs_linux
def test_nonpollable_deadline(stage: Stage, tmp_path: Path) -> None:
    """A regular file has no deadlines because it cannot be opened on a poller at all."""
    with (tmp_path / "file").open("w") as file, pytest.raises(NotPollableError):
        stage.open(file)


@pytest.mark.parametrize("timeout", [PAST, 0.05])
def test_read_timeout(
    stage: Stage, sockets: Sockets, kind: str, tmp_path: Path, timeout: float
) -> None:
    r, w = ends(stage, sockets, kind, tmp_path)
    text = b"READ TIMEOUT TEST"
    w.write_all(text)
    r.set_read_deadline(timeout)
    _read_until_expired(stage, r.read, timeout, len(text))


def test_read_timeout_must_not_return(
    stage: Stage, sockets: Sockets, kind: str, tmp_path: Path
) -> None:
    r, w = ends(stage, sockets, kind, tmp_path)
    r.set_deadline(PAST)
    r.set_write_deadline(PAST)
    r.set_read_deadline(None)
    reading = stage.spawn(r.read)
    stage.stays_blocked(reading, seconds=0.1)
    w.close()
    assert reading.result() == b""


@pytest.mark.parametrize("timeout", [PAST, 0.01])
def test_write_timeout(
    stage: Stage, sockets: Sockets, kind: str, tmp_path: Path, timeout: float
) -> None:
    _, w = ends(stage, sockets, kind, tmp_path)
    w.set_write_deadline(timeout)
    _read_until_expired(stage, lambda: w.write(b"WRITE TIMEOUT TEST"), timeout, 100)


def test_write_timeout_must_not_return(
    stage: Stage, sockets: Sockets, kind: str, tmp_path: Path
) -> None:
    r, w = ends(stage, sockets, kind, tmp_path)
    w.set_deadline(PAST)
    w.set_read_deadline(PAST)
    w.set_write_deadline(None)

    def write_for_ever() -> None:
        while True:
            w.write(b"w" * 1024)

    writing = stage.spawn(write_for_ever)
    stage.stays_blocked(writing, seconds=0.1)
    r.close()
    with pytest.raises(BrokenPipeError):
        writing.result()


def test_read_timeout_fluctuation(
    stage: Stage, sockets: Sockets, kind: str, tmp_path: Path
) -> None:
    r, _ = ends(stage, sockets, kind, tmp_path)
    stage.spawn(_fluctuation, r.set_read_deadline, r.read).result(30)


def test_write_timeout_fluctuation(
    stage: Stage, sockets: Sockets, kind: str, tmp_path: Path
) -> None:
    _, w = ends(stage, sockets, kind, tmp_path)
    stage.spawn(
        _fluctuation, w.set_write_deadline, lambda: w.write(b"TIMEOUT TRANSMITTER" * 100)
    ).result(30)


@pytest.mark.rule(5)
@pytest.mark.parametrize("timeout", [1e-9, 5e-8, 7.5e-7, 5e-6, 2.5e-4, 1e-3, 5e-3, 0.05])
def test_various_deadlines(
    stage: Stage, sockets: Sockets, kind: str, tmp_path: Path, timeout: float
) -> None:
    """The reader expires although a writer without deadlines sends as fast as it can."""
    r, w = ends(stage, sockets, kind, tmp_path)

    def write_for_ever() -> None:
        while True:
            w.write(b"a" * 4096)

    def read_until_expired() -> None:
        while True:
            r.read(4096)
            stage.sleep(0)

    writing = stage.spawn(write_for_ever)
    with never_early(timeout):
        r.set_deadline(timeout)
        stage.spawn(read_until_expired).raises(DeadlineExceeded)
    r.close()
    with pytest.raises((BrokenPipeError, ClosedError)):
        writing.result()


@pytest.mark.rule(4, 17)
def test_read_write_deadline_race(
    stage: Stage, sockets: Sockets, kind: str, tmp_path: Path
) -> None:
    r, w = ends(stage, sockets, kind, tmp_path)
    end = time.monotonic() + 0.3

    def set_deadlines() -> None:
        while time.monotonic() < end:
            r.set_read_deadline(2e-6)
            w.set_write_deadline(2e-6)
            stage.sleep(2e-6)

    def read_on() -> None:
        while time.monotonic() < end:
            try:
                r.read()
            except DeadlineExceeded:
                stage.sleep(0)

    def write_on() -> None:
        while time.monotonic() < end:
            try:
                w.write(b"w")
            except DeadlineExceeded:
                stage.sleep(0)

    for task in [stage.spawn(actor) for actor in (set_deadlines, read_on, write_on)]:
        task.result()


class Turns:
    """Go's fdMutex for these ports: readers of one descriptor take turns, none is busy."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def take(self, stage: Stage) -> None:
        while not self._lock.acquire(blocking=False):
            stage.sleep(0.0002)

    def give(self) -> None:
        self._lock.release()


@pytest.mark.rule(2, 17)
@pytest.mark.parametrize("side", ["read", "write"])
def test_racy_reads_and_writes(
    stage: Stage, sockets: Sockets, kind: str, tmp_path: Path, side: str
) -> None:
    """Ten actors on one end, each giving it a new deadline whenever it has expired."""
    r, w = ends(stage, sockets, kind, tmp_path)
    end = time.monotonic() + 0.3
    turns = Turns()
    mine, other = (r, w) if side == "read" else (w, r)
    chance = random.Random(10)

    def serve_other() -> None:
        while time.monotonic() < end:
            try:
                other.set_deadline(0.05)
                other.write(b"o" * 512) if side == "read" else other.read(512)
            except DeadlineExceeded:
                pass

    def race() -> int:
        count = 0
        while time.monotonic() < end:
            turns.take(stage)
            try:
                mine.read(1024) if side == "read" else mine.write(b"m" * 1024)
                count += 1
            except DeadlineExceeded:
                mine.set_deadline(0.001)
            finally:
                turns.give()
            if chance.random() < 0.5:
                stage.sleep(0)
        return count

    mine.set_deadline(0.001)
    serving = stage.spawn(serve_other)
    racing = [stage.spawn(race) for _ in range(10)]
    assert sum(task.result(30) for task in racing) > 0
    serving.result()


@pytest.mark.rule(2, 17)
def test_racy_reads_without_turns_meet_busy_errors_only(
    stage: Stage, sockets: Sockets, kind: str, tmp_path: Path
) -> None:
    r, w = ends(stage, sockets, kind, tmp_path)
    end = time.monotonic() + 0.3
    desc: PollDesc = r.desc

    def race() -> None:
        while time.monotonic() < end:
            try:
                desc.set_deadline(0.001)
                r.read(16)
            except (DeadlineExceeded, BusyError):
                stage.sleep(0.0001)

    racing = [stage.spawn(race) for _ in range(6)]
    while time.monotonic() < end:
        w.write(b"x")
        stage.sleep(0.001)
    for task in racing:
        task.result()
    desc.set_deadline(None)
