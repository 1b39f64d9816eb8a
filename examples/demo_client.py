"""The load of the demo: blocking sockets, one thread each, nothing but the standard library.

`demo.py` starts this as a process of its own and reads one JSON object from its standard output.
Every client chats: it sends a line and waits for its echo, many times over. What it does after
that is its role.

    leave   hang up
    bulk    send a line of a megabyte, be slow to read it back, hang up
    stall   say so and go silent: the server must cut us off when our read deadline passes
    close   ask to be closed: the server does it from another thread
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from statistics import quantiles

PATIENCE = 8.0  # seconds; whoever waits longer than that for the server has been forgotten by it
BULK = 1 << 20  # bytes
PAUSE = 0.2  # seconds, at most, between two lines of a chat
SMALL_BUFFER = 64 * 1024  # bytes
ROLES = ("leave", "bulk", "stall", "close")


@dataclass
class Report:
    """What one client saw."""

    connected: bool = False
    messages: int = 0
    bytes: int = 0
    end: str = ""  # "left", "cut off", "closed", "forgotten", or what went wrong
    chatted: float = 0.0  # when the chat was over
    silence: float = 0.0  # seconds from the last line to being cut off
    latencies: list[float] = field(default_factory=list)


class Client:
    """One connection, driven by a thread of its own."""

    def __init__(self, number: int, role: str, lines: int) -> None:
        self.report = Report()
        roles = {
            "leave": self._leave,
            "bulk": self._bulk,
            "stall": self._stall,
            "close": self._close,
        }
        self._finish = roles[role]
        self._lines = lines
        self._dice = random.Random(number)
        self._socket = socket.socket()

    def run(self, address: tuple[str, int], everybody: threading.Barrier) -> None:
        """Connect, wait until everybody has, chat, do what the role demands."""
        try:
            self._socket.settimeout(PATIENCE)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
            self._socket.connect(address)
            self.report.connected = True
            everybody.wait(PATIENCE)
            self._chat()
            self.report.chatted = time.perf_counter()
            self.report.end = self._finish()
        except TimeoutError:
            self.report.end = "forgotten"
        except (OSError, EOFError, threading.BrokenBarrierError) as error:
            self.report.end = f"{type(error).__name__}: {error}"
        finally:
            self._socket.close()

    def _chat(self) -> None:
        for number in range(self._lines):
            time.sleep(self._dice.random() * PAUSE)
            line = f"{number} {self._dice.getrandbits(256):x}\n".encode()
            start = time.perf_counter()
            self._socket.sendall(line)
            self._receive_echo(line)
            self.report.latencies.append(time.perf_counter() - start)

    def _leave(self) -> str:
        return "left"

    def _bulk(self) -> str:
        line = b"x" * (BULK - 1) + b"\n"
        sender = threading.Thread(target=self._socket.sendall, args=(line,))
        sender.start()
        time.sleep(0.3)  # by now all buffers are full, and the server waits to write
        self._receive_echo(line)
        sender.join()
        return "left"

    def _stall(self) -> str:
        start = time.perf_counter()
        self._socket.sendall(b"stall\n")
        self._receive_echo(b"stall\n")
        self._receive_end()
        self.report.silence = time.perf_counter() - start
        return "cut off"

    def _close(self) -> str:
        self._socket.sendall(b"close\n")
        self._receive_echo(b"close\n")
        self._receive_end()
        return "closed"

    def _receive_echo(self, line: bytes) -> None:
        """:raises EOFError: the server closed the connection instead."""
        received = bytearray()
        while len(received) < len(line):
            data = self._socket.recv(65536)
            if not data:
                raise EOFError("closed before its time")
            received += data
        if received != line:
            raise OSError("the echo differs from what was sent")
        self.report.messages += 1
        self.report.bytes += len(line)

    def _receive_end(self) -> None:
        if self._socket.recv(1):
            raise OSError("an echo of nothing")


def drive(address: tuple[str, int], roles: list[str], lines: int) -> tuple[list[Report], float]:
    """Run a client for each role. Returns their reports and the seconds that the chatting took."""
    threading.stack_size(256 * 1024)
    started: list[float] = []
    everybody = threading.Barrier(len(roles), lambda: started.append(time.perf_counter()))
    clients = [Client(number, role, lines) for number, role in enumerate(roles)]
    threads = [threading.Thread(target=client.run, args=(address, everybody)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    reports = [client.report for client in clients]
    return reports, max(report.chatted for report in reports) - (started or [0.0])[0]


def summary(reports: list[Report], chatting: float) -> dict[str, object]:
    """What the demo wants to know, as JSON can say it."""
    latencies = [latency for report in reports for latency in report.latencies]
    percentiles = quantiles(latencies, n=100, method="inclusive")
    silences = [report.silence for report in reports if report.end == "cut off"]
    return {
        "connections": sum(report.connected for report in reports),
        "messages": sum(report.messages for report in reports),
        "bytes": sum(report.bytes for report in reports),
        "round_trips_a_second": len(latencies) / chatting,
        "p50": percentiles[49],
        "p99": percentiles[98],
        "ends": Counter(report.end for report in reports),
        "silences": silences,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="The load of the demo.")
    parser.add_argument("port", type=int)
    parser.add_argument("lines", type=int, help="how many each client chats")
    for role in ROLES:
        parser.add_argument(f"--{role}", type=int, default=0, help="how many clients")
    wanted = vars(parser.parse_args())
    roles = [role for role in ROLES for _ in range(wanted[role])]
    random.Random(0).shuffle(roles)
    reports, chatting = drive(("127.0.0.1", wanted["port"]), roles, wanted["lines"])
    print(json.dumps(summary(reports, chatting)))


if __name__ == "__main__":
    main()
