"""`python -m netpoll echo`: an echo server, in greenlets where greenlet is installed, else threads.

The code that serves a connection is the same for both: a wait parks whoever calls it.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable

from netpoll import READ, WRITE, ClosedError, DeadlineExceeded, PollDesc
from netpoll import open as open_desc

RETRY = 0.1  # seconds between attempts to accept when the process is out of descriptors


def serve(host: str, port: int, read_deadline: float | None) -> int:
    """Serve until Ctrl-C; the exit status."""
    try:
        listener = listen(host, port)
    except OSError as error:
        print(f"cannot listen on {host} port {port}: {error}", file=sys.stderr)
        return 1
    listener.setblocking(False)
    address = listener.getsockname()
    print(f"listening on {address[0]} port {address[1]} (Ctrl-C stops)", flush=True)
    try:
        with listener:
            run(listener, read_deadline)
    except KeyboardInterrupt:
        print("stopped", flush=True)
    return 0


def listen(host: str, port: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    return socket.create_server(address[:2], family=family, backlog=1024)


def run(listener: socket.socket, read_deadline: float | None) -> None:
    try:
        from netpoll import green
    except ImportError:
        accept(listener, read_deadline, spawn_thread, time.sleep)
    else:
        green.run(accept, listener, read_deadline, green.spawn, green.sleep)


def spawn_thread(function: Callable[..., None], *args: object) -> None:
    threading.Thread(target=function, args=args, daemon=True).start()


def accept(
    listener: socket.socket,
    read_deadline: float | None,
    spawn: Callable[..., object],
    sleep: Callable[[float], object],
) -> None:
    clients: set[PollDesc] = set()
    with open_desc(listener) as listening:
        try:
            while True:
                listening.reset(READ)
                try:
                    client, _ = listener.accept()
                except BlockingIOError:
                    listening.wait(READ)
                except OSError as error:
                    print(f"accept: {error}", file=sys.stderr)
                    sleep(RETRY)
                else:
                    spawn(echo, client, read_deadline, clients)
        finally:
            for desc in list(clients):
                desc.unblock()


def echo(client: socket.socket, read_deadline: float | None, clients: set[PollDesc]) -> None:
    """Send back whatever the client sends, until it hangs up or is silent for too long."""
    client.setblocking(False)
    with client, open_desc(client) as desc:
        clients.add(desc)
        try:
            while True:
                desc.set_deadline(read_deadline, READ)
                data = receive(client, desc)
                if not data:
                    return
                send(client, desc, data)
        except (DeadlineExceeded, ClosedError, ConnectionError):
            pass
        finally:
            clients.discard(desc)


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
