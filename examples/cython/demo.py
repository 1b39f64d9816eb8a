"""What counting.pyx does: wait without the GIL, until a deadline, and until the end."""

from __future__ import annotations

import socket
import threading

import counting
import netpoll
from netpoll import READ


def send(sock: socket.socket) -> None:
    with sock:
        for _ in range(1000):
            sock.sendall(b"x" * 1000)


here, there = socket.socketpair()
here.setblocking(False)
with here, netpoll.open(here) as desc:
    desc.set_deadline(0.1, READ)
    try:
        counting.count(desc)
    except netpoll.DeadlineExceeded as error:
        print("nothing came:", error)

    desc.set_deadline(None)
    sender = threading.Thread(target=send, args=(there,))
    sender.start()
    print("counted", counting.count(desc), "bytes")
    sender.join()
