"""What relay.c does: a thread pumps one socket into another, until its deadline or a close."""

from __future__ import annotations

import socket
import threading

import netpoll
import relay
from netpoll import READ


def pair() -> tuple[socket.socket, socket.socket]:
    here, there = socket.socketpair()
    here.setblocking(False)
    return here, there


def pump(source: netpoll.PollDesc, sink: netpoll.PollDesc) -> None:
    try:
        print("copied", relay.pump(source, sink), "bytes")
    except netpoll.PollError as error:
        print(f"{type(error).__name__}: {error}")


def main() -> None:
    left, client = pair()
    right, server = pair()
    with left, client, right, server, netpoll.open(left) as source, netpoll.open(right) as sink:
        source.set_deadline(0.1, READ)
        pump(source, sink)  # nothing comes: DeadlineExceeded

        source.set_deadline(None)
        thread = threading.Thread(target=pump, args=(source, sink))
        thread.start()
        for _ in range(1000):
            client.sendall(b"x" * 1000)
            server.recv(1000, socket.MSG_WAITALL)
        client.close()
        thread.join()


main()
