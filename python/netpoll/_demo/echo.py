"""`python -m netpoll echo`: an echo server, in greenlets where greenlet is installed, else threads.

The code that serves a connection is the same for both: a wait parks whoever calls it.
"""

from __future__ import annotations

import signal
import socket
import sys
import threading
import time
from collections.abc import Callable

from netpoll import READ, WRITE, ClosedError, DeadlineExceeded, PollDesc
from netpoll import open as open_desc

try:  # now: a Ctrl-C during an import may come where Python ignores exceptions
    from netpoll import green
except ImportError:
    green = None  # type: ignore[assignment]

RETRY = 0.1  # seconds between attempts to accept when the process is out of descriptors


class Clients:
    """Who is connected, and what is said of those who come and go."""

    def __init__(self, *, quiet: bool) -> None:
        self.all: set[PollDesc] = set()
        self._quiet = quiet

    def came(self, desc: PollDesc, name: str) -> None:
        self.all.add(desc)
        self._say(f"{name} came")

    def went(self, desc: PollDesc, name: str, why: str) -> None:
        self.all.discard(desc)
        self._say(f"{name} went: {why}")

    def _say(self, what: str) -> None:
        if not self._quiet:
            print(f"{what}; {len(self.all)} connected", flush=True)


def serve(host: str, port: int, read_deadline: float | None, quiet: bool) -> int:
    """Serve until Ctrl-C or SIGTERM; the exit status."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        listener = listen(host, port)
    except OSError as error:
        print(f"cannot listen on {host} port {port}: {error}", file=sys.stderr)
        return 1
    clients = Clients(quiet=quiet)
    try:
        with listener:
            listener.setblocking(False)
            address = listener.getsockname()
            where = f"{address[0]} port {address[1]}"
            print(f"listening on {where} (Ctrl-C or SIGTERM stops)", flush=True)
            run(listener, read_deadline, clients)
    except KeyboardInterrupt:
        print("stopped", flush=True)
    return 0


def listen(host: str, port: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    return socket.create_server(address[:2], family=family, backlog=1024)


def run(listener: socket.socket, read_deadline: float | None, clients: Clients) -> None:
    if green is None:
        accept(listener, read_deadline, clients, spawn_thread, time.sleep)
    else:
        green.run(accept, listener, read_deadline, clients, green.spawn, green.sleep)


def spawn_thread(function: Callable[..., None], *args: object) -> None:
    threading.Thread(target=function, args=args, daemon=True).start()


def accept(
    listener: socket.socket,
    read_deadline: float | None,
    clients: Clients,
    spawn: Callable[..., object],
    sleep: Callable[[float], object],
) -> None:
    with open_desc(listener) as listening:
        try:
            while True:
                listening.reset(READ)
                try:
                    client, address = listener.accept()
                except BlockingIOError:
                    listening.wait(READ)
                except OSError as error:
                    print(f"accept: {error}", file=sys.stderr)
                    sleep(RETRY)
                else:
                    spawn(echo, client, f"{address[0]} port {address[1]}", read_deadline, clients)
        finally:
            for desc in list(clients.all):
                desc.unblock()


def echo(client: socket.socket, name: str, read_deadline: float | None, clients: Clients) -> None:
    """Send back whatever the client sends, until it hangs up or is silent for too long."""
    client.setblocking(False)
    with client, open_desc(client) as desc:
        why = "it hung up"
        clients.came(desc, name)
        try:
            while True:
                desc.set_deadline(read_deadline, READ)
                data = receive(client, desc)
                if not data:
                    return
                send(client, desc, data)
        except (DeadlineExceeded, ClosedError, ConnectionError) as error:
            why = str(error)
        finally:
            clients.went(desc, name, why)


def receive(client: socket.socket, desc: PollDesc) -> bytes:
    while True:
        desc.reset(READ)
        try:
            return client.recv(65536)
        except BlockingIOError:
            desc.wait(READ)


def send(client: socket.socket, desc: PollDesc, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        desc.reset(WRITE)
        try:
            rest = rest[client.send(rest) :]
        except BlockingIOError:
            desc.wait(WRITE)
