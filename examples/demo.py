"""The main job of netpoll, watched at work: `make demo`.

An echo server on a greenlet hub, one greenlet a connection, every read and write under a deadline.
The load comes from another process, `demo_client.py`, which uses nothing but blocking sockets and
threads. Most of its clients chat and leave; some let the server's buffers fill up, some go silent
until their read deadline cuts them off, some are closed by another thread of the server.

Both processes count for themselves. The table at the end has every figure, and the exit status is
0 only if the two agree and no wake-up was lost.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import random
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import netpoll
from netpoll import READ, WRITE, ClosedError, DeadlineExceeded, PollDesc, green

PATIENCE = 10.0  # seconds that a client has for a line, unless it says that none will come
WRITE_DEADLINE = 10.0  # seconds that it has to take an answer
LATENESS_LIMIT = 1.0  # seconds; more than the scheduling of a busy machine explains
SMALL_BUFFER = 64 * 1024  # bytes; a client that does not read makes us wait soon
TIME_LIMIT = 25.0  # seconds that the client process may take
GOODBYE = 2.0  # seconds that the server's greenlets have to end after it
OTHER_DESCRIPTORS = 40  # of a process: the poller, the pipes, the interpreter's own
STALL = b"stall\n"  # the last line of a client that goes silent


@dataclass(frozen=True)
class Plan:
    """How many clients of each role, how much they chat, and when a silent one is cut off."""

    leave: int
    bulk: int
    stall: int
    close: int
    lines: int
    read_deadline: float

    @property
    def clients(self) -> int:
        return self.leave + self.bulk + self.stall + self.close

    @property
    def messages(self) -> int:
        """The chat, and one line more for whoever does not just leave."""
        return self.clients * self.lines + self.bulk + self.stall + self.close


FULL = Plan(leave=420, bulk=10, stall=40, close=30, lines=60, read_deadline=3.0)
QUICK = Plan(leave=40, bulk=2, stall=5, close=5, lines=10, read_deadline=1.0)


# --- the server ---------------------------------------------------------------------------------


@dataclass
class Tally:
    """What the server saw."""

    connections: int = 0
    live: int = 0
    messages: int = 0
    bytes: int = 0
    write_waits: int = 0
    left: int = 0
    deadlines_due: int = 0  # clients that said they would stall
    deadlines_fired: int = 0  # ... and were cut off
    deadlines_early: int = 0
    wrongly_fired: int = 0  # deadlines that fired on anybody else: there was news, and it got lost
    worst_lateness: float = 0.0  # seconds
    closes_asked: int = 0
    closes_seen: int = 0


class Server:
    """The echo server, and the books that the demo keeps about it."""

    def __init__(self, read_deadline: float) -> None:
        self.tally = Tally()
        self.greenlets: list[green.Greenlet[None]] = []
        self._read_deadline = read_deadline
        self._closer: queue.SimpleQueue[PollDesc] = queue.SimpleQueue()
        threading.Thread(target=self._close_others, daemon=True).start()

    def accept(self, listener: socket.socket, desc: PollDesc) -> None:
        """Serve whoever connects, each in a greenlet, until `desc` is closed."""
        while not desc.closed:
            try:
                desc.reset(READ)
                connection, _ = listener.accept()
            except BlockingIOError:
                try:
                    desc.wait(READ)
                except ClosedError:
                    return
            else:
                connection.setblocking(False)
                self.greenlets.append(green.spawn(self._serve, connection))

    def _serve(self, connection: socket.socket) -> None:
        tally = self.tally
        tally.connections += 1
        tally.live += 1
        last_line, due = b"", 0.0
        with connection, netpoll.open(connection) as desc:
            try:
                desc.set_deadline(PATIENCE, READ)
                while line := receive(connection, desc):
                    tally.messages += line.count(b"\n")
                    tally.bytes += len(line)
                    desc.set_deadline(WRITE_DEADLINE, WRITE)
                    tally.write_waits += send(connection, desc, line)
                    limit = self._read_deadline if line == STALL else PATIENCE
                    due = time.monotonic() + limit
                    desc.set_deadline(limit, READ)
                    self._note(line, desc)
                    last_line = line
                tally.left += 1
            except DeadlineExceeded:
                self._cut_off(time.monotonic() - due, last_line)
            except ClosedError:
                tally.closes_seen += 1
        tally.live -= 1

    def _note(self, line: bytes, desc: PollDesc) -> None:
        """Some clients say what they expect of us; that is for the books, not for the echo."""
        if line == STALL:
            self.tally.deadlines_due += 1
        elif line == b"close\n":
            self.tally.closes_asked += 1
            self._closer.put(desc)

    def _cut_off(self, lateness: float, last_line: bytes) -> None:
        if last_line != STALL:
            self.tally.wrongly_fired += 1
            return
        self.tally.deadlines_fired += 1
        self.tally.deadlines_early += lateness < 0
        self.tally.worst_lateness = max(self.tally.worst_lateness, lateness)

    def _close_others(self) -> None:
        """In a thread: close descriptors under the greenlets that wait on them."""
        while True:
            desc = self._closer.get()
            time.sleep(random.random() * 0.02)
            desc.close()


def receive(connection: socket.socket, desc: PollDesc) -> bytes:
    while True:
        desc.reset(READ)
        try:
            return connection.recv(65536)
        except BlockingIOError:
            desc.wait(READ)


def send(connection: socket.socket, desc: PollDesc, data: bytes) -> int:
    """Send all of it; returns how often that had to wait."""
    rest, waits = memoryview(data), 0
    while rest:
        desc.reset(WRITE)
        try:
            rest = rest[connection.send(rest) :]
        except BlockingIOError:
            waits += 1
            desc.wait(WRITE)
    return waits


# --- the run ------------------------------------------------------------------------------------


def run(plan: Plan) -> bool:
    """Serve the load of the plan, print the table, say whether all is well."""
    started = time.perf_counter()
    server = Server(plan.read_deadline)
    poller = green.get_hub().poller
    print(
        f"netpoll {netpoll.__version__}, backend {poller.backend}: {plan.clients} clients to come"
    )
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        listener.setblocking(False)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL_BUFFER)  # of connections too
        with netpoll.open(listener) as listening:
            green.spawn(server.accept, listener, listening)
            report = drive(plan, listener.getsockname()[1], server.tally)
    give_up = time.monotonic() + GOODBYE
    for greenlet in server.greenlets:
        greenlet.join(max(0.0, give_up - time.monotonic()))
    stuck = sum(not greenlet.dead for greenlet in server.greenlets)
    lines = table(plan, server.tally, report, poller.stats(), stuck)
    print_table(lines)
    print(f"{time.perf_counter() - started:.1f} seconds")
    return all(line.ok for line in lines)


def drive(plan: Plan, port: int, tally: Tally) -> dict[str, Any]:
    """Have the other process do its part, showing progress meanwhile; its report."""
    roles = [f"--{role}={getattr(plan, role)}" for role in ("leave", "bulk", "stall", "close")]
    script = Path(__file__).with_name("demo_client.py")
    command = [sys.executable, str(script), str(port), str(plan.lines), *roles]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as load:
        assert load.stdout is not None
        progress = green.spawn(show_progress, plan, tally)
        try:
            return dict(json.loads(read_report(load.stdout, TIME_LIMIT)))
        except (ValueError, DeadlineExceeded) as error:
            raise SystemExit(f"demo: no report from the client process: {error}") from error
        finally:
            progress.kill()
            load.kill()


def read_report(pipe: IO[bytes], limit: float) -> bytes:
    if sys.platform != "win32":
        return read_all(pipe.fileno(), limit)
    # Only sockets can be polled there: a thread reads the pipe.
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(pipe.read()), daemon=True)
    reader.start()
    end = time.monotonic() + limit
    while reader.is_alive() and time.monotonic() < end:
        green.sleep(0.02)
    return b"".join(found)


def read_all(fd: int, limit: float) -> bytes:
    """Everything up to the end of file: a pipe waits like any other descriptor.

    :raises DeadlineExceeded: that takes more than `limit` seconds.
    """
    os.set_blocking(fd, False)
    chunks: list[bytes] = []
    with netpoll.open(fd) as desc:
        desc.set_deadline(limit, READ)
        while True:
            desc.reset(READ)
            try:
                chunk = os.read(fd, 65536)
            except BlockingIOError:
                desc.wait(READ)
                continue
            if not chunk:
                return b"".join(chunks)
            chunks.append(chunk)


def show_progress(plan: Plan, tally: Tally) -> None:
    """A line twice a second; on a terminal, always the same line."""
    end = "\r" if sys.stdout.isatty() else "\n"
    while True:
        print(
            f"  {tally.live:>4} connected {tally.messages:>7,} of {plan.messages:,} messages"
            f" {tally.deadlines_fired:>4} cut off {tally.closes_seen:>4} closed",
            end=end,
            flush=True,
        )
        green.sleep(0.5)


# --- the verdict --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """A line of the table: the same thing as each process saw it."""

    what: str
    server: str
    client: str
    ok: bool = True


def count(what: str, expected: int, server: int, client: int) -> Line:
    """Both must have counted what was to be expected."""
    return Line(what, f"{server:,}", f"{client:,}", server == client == expected)


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.2f} ms"


def table(
    plan: Plan, tally: Tally, report: dict[str, Any], stats: netpoll.PollerStats, stuck: int
) -> list[Line]:
    ends = report["ends"]
    silences = report["silences"]
    late_there = max(silences, default=0.0) - plan.read_deadline
    early_there = sum(silence < plan.read_deadline for silence in silences)
    forgotten_here = tally.wrongly_fired + stuck + stats.parked_readers + stats.parked_writers
    strange = {end: n for end, n in ends.items() if end not in ("left", "cut off", "closed")}
    lines = [
        count("connections", plan.clients, tally.connections, report["connections"]),
        count("messages", plan.messages, tally.messages, report["messages"]),
        count("bytes echoed", report["bytes"], tally.bytes, report["bytes"]),
        Line("round trips a second", "", f"{report['round_trips_a_second']:,.0f}"),
        Line("latency, p50", "", milliseconds(report["p50"])),
        Line("latency, p99", "", milliseconds(report["p99"])),
        count("hung up by the client", plan.leave + plan.bulk, tally.left, ends.get("left", 0)),
        count("read deadlines due", plan.stall, tally.deadlines_due, len(silences)),
        count("read deadlines fired", plan.stall, tally.deadlines_fired, ends.get("cut off", 0)),
        count("  of them too early", 0, tally.deadlines_early, early_there),
        Line(
            "  worst lateness",
            milliseconds(tally.worst_lateness),
            milliseconds(late_there),
            max(tally.worst_lateness, late_there) < LATENESS_LIMIT,
        ),
        count("fired by the poller", plan.stall, stats.deadlines_fired, ends.get("cut off", 0)),
        count("closes from a thread", plan.close, tally.closes_seen, ends.get("closed", 0)),
        Line("waits to write", f"{tally.write_waits:,}", "", tally.write_waits > 0),
        Line("descriptors left open", f"{stats.open}", "", stats.open == 0),
        count("lost wake-ups", 0, forgotten_here, ends.get("forgotten", 0)),
    ]
    return lines + [Line(f"client: {end}", "", f"{n}", ok=False) for end, n in strange.items()]


def print_table(lines: list[Line]) -> None:
    print(f"\n{'':<26}{'server':>14}{'client':>14}")
    for line in lines:
        print(f"{line.what:<26}{line.server:>14}{line.client:>14}{'' if line.ok else '  <-- OFF'}")
    print("\nAll is well." if all(line.ok for line in lines) else "\nSomething is off.")


def complaint_about_limits(plan: Plan) -> str | None:
    """Each process needs a descriptor a client; the limit is raised as far as it may be."""
    needed = plan.clients + OTHER_DESCRIPTORS
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return None
    if hard != resource.RLIM_INFINITY and hard < needed:
        return (
            f"demo: {plan.clients} clients need {needed} descriptors, and the process may have "
            f"{hard} (ulimit -n); --quick needs {QUICK.clients + OTHER_DESCRIPTORS}"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description="Watch netpoll at its main job.")
    parser.add_argument("--quick", action="store_true", help="fewer clients, shorter deadlines")
    plan = QUICK if parser.parse_args().quick else FULL
    complaint = complaint_about_limits(plan)
    if complaint:
        print(complaint, file=sys.stderr)
        return 1
    try:
        return 0 if green.run(run, plan) else 1
    except KeyboardInterrupt:
        print("\nstopped")
        return 130


if __name__ == "__main__":
    sys.exit(main())
