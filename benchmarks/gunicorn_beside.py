"""gunicorn beside a thread that computes: our worker and gevent's, the same application.

    make bench-gunicorn

prints requests a second, the 50th and 99th percentile of what a request takes, and the ratios.
The client keeps CONNECTIONS connections, each with one request at a time.
"""

from __future__ import annotations

import argparse
import os
import selectors
import signal
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
WORKERS = {"netpoll": "netpoll.adapters.gunicorn.Worker", "gevent": "gevent"}
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
START = 20.0


class Result(NamedTuple):
    rate: float
    p50: float
    p99: float


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def serve(worker: str, port: int, compute: bool) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "gunicorn", "-k", WORKERS[worker], "-b", f"127.0.0.1:{port}"]
    command += ["--no-control-socket", "--keep-alive", "60", "--log-level", "error"]
    return subprocess.Popen(
        [*command, "gunicorn_application"],
        cwd=HERE,
        env={**os.environ, "COMPUTE": "1" if compute else "0"},
    )


def wait_until_it_serves(port: int) -> None:
    end = time.monotonic() + START
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as sock:
                sock.sendall(REQUEST)
                if sock.recv(1000):
                    return
        except OSError:
            pass
        if time.monotonic() > end:
            raise SystemExit("gunicorn does not serve")
        time.sleep(0.05)


def load(port: int, connections: int, seconds: float) -> Result:
    """Ask for so long; the answers are short, and come in one piece."""
    selector = selectors.DefaultSelector()
    began: dict[socket.socket, float] = {}
    for _ in range(connections):
        sock = socket.create_connection(("127.0.0.1", port), START)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(sock, selectors.EVENT_READ)
        began[sock] = time.perf_counter()
        sock.sendall(REQUEST)
    took: list[float] = []
    start = time.perf_counter()
    while (now := time.perf_counter()) < start + seconds:
        for key, _ in selector.select(seconds):
            sock = key.fileobj  # type: ignore[assignment]
            if not sock.recv(4096):
                raise SystemExit("a connection was closed")
            now = time.perf_counter()
            took.append(now - began[sock])
            began[sock] = now
            sock.sendall(REQUEST)
    for sock in began:
        sock.close()
    # What has no answer yet has waited too.
    took += [now - one for one in began.values() if now - one > max(took, default=0)]
    cuts = statistics.quantiles(took, n=100)
    return Result(len(took) / (now - start), cuts[49], cuts[98])


def measure(worker: str, compute: bool, connections: int, seconds: float) -> Result:
    port = free_port()
    server = serve(worker, port, compute)
    try:
        wait_until_it_serves(port)
        load(port, connections, seconds / 5)  # warm
        return load(port, connections, seconds)
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(START)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    print(f"{'':24}{'requests/s':>12}{'p50 ms':>10}{'p99 ms':>10}")
    for compute in (False, True):
        results = {}
        for worker in WORKERS:
            one = results[worker] = measure(worker, compute, options.connections, options.seconds)
            name = worker + (", beside" if compute else ", alone")
            print(f"{name:24}{one.rate:12,.0f}{one.p50 * 1e3:10.1f}{one.p99 * 1e3:10.1f}")
        ours, theirs = results["netpoll"], results["gevent"]
        print(f"{'netpoll to gevent':24}{ours.rate / theirs.rate:12.1f}", end="")
        print(f"{ours.p50 / theirs.p50:10.3f}{ours.p99 / theirs.p99:10.3f}")


if __name__ == "__main__":
    main()
