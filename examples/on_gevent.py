"""netpoll's descriptors beside gevent's sockets in one hub: python examples/on_gevent.py"""

from __future__ import annotations

import os

import gevent
import netpoll
from gevent import socket
from netpoll import READ
from netpoll.adapters.gevent import wait


def lines_of(fd: int, desc: netpoll.PollDesc) -> object:
    """A pipe, which gevent has no socket for, with a deadline for each line."""
    rest = b""
    while True:
        desc.set_deadline(0.2, READ)
        while b"\n" not in rest:
            desc.reset(READ)
            try:
                data = os.read(fd, 4096)
            except BlockingIOError:
                wait(desc, READ)
                continue
            if not data:
                return
            rest += data
        line, _, rest = rest.partition(b"\n")
        yield line.decode()


def follow(fd: int, link: socket.socket) -> None:
    """What comes through the pipe goes to a socket of gevent's."""
    with netpoll.open(fd) as desc:
        try:
            for line in lines_of(fd, desc):
                link.sendall(line.encode() + b"\n")
        except netpoll.DeadlineExceeded:
            link.sendall(b"(nothing new for a while)\n")
    link.close()


def main() -> None:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    here, there = socket.socketpair()
    follower = gevent.spawn(follow, reader, there)
    for i in range(3):
        gevent.spawn_later(i * 0.05, os.write, writer, b"line %d\n" % i)
    with here, here.makefile("r") as lines:
        for line in lines:
            print(line.strip())
    follower.join()
    for fd in (reader, writer):
        os.close(fd)


if __name__ == "__main__":
    main()
