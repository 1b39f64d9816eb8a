"""I/O over a PollDesc: what net.Conn, net.Listener and os.File are to Go's own tests.

Every operation is Go's loop: prepare (reset), try, and on EAGAIN wait.  A past deadline or a close
is met by the reset, even if there is data.
"""

from __future__ import annotations

import os
import socket
from types import TracebackType

from netpoll import READ, WRITE, PollDesc
from support import Stage, accept, read_some, write_all, write_some


class File:
    """A non-blocking descriptor with deadlines."""

    def __init__(self, stage: Stage, file: socket.socket | int) -> None:
        self.stage = stage
        self.file = file
        self.desc: PollDesc = stage.open(file)

    def read(self, size: int = 1) -> bytes:
        return read_some(self.desc, size)

    def write(self, data: bytes) -> int:
        """One write of what fits; blocks only while nothing does."""
        return write_some(self.desc, data)

    def write_all(self, data: bytes) -> None:
        write_all(self.desc, data)

    def set_deadline(self, timeout: float | None) -> None:
        self.desc.set_deadline(timeout)

    def set_read_deadline(self, timeout: float | None) -> None:
        self.desc.set_deadline(timeout, READ)

    def set_write_deadline(self, timeout: float | None) -> None:
        self.desc.set_deadline(timeout, WRITE)

    def close(self) -> None:
        """The descriptor first, then the number: nobody can be left waiting on it."""
        self.desc.close()
        if isinstance(self.file, int):
            if self.file >= 0:
                os.close(self.file)
                self.file = -1
        else:
            self.file.close()

    def __enter__(self) -> File:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Conn(File):
    """A stream or datagram socket."""

    file: socket.socket

    def recv_from(self, size: int = 64) -> tuple[bytes, object]:
        while True:
            self.desc.reset(READ)
            try:
                return self.file.recvfrom(size)
            except BlockingIOError:
                self.desc.wait(READ)

    def send_to(self, data: bytes, address: object) -> int:
        while True:
            self.desc.reset(WRITE)
            try:
                return self.file.sendto(data, address)  # type: ignore[arg-type]
            except BlockingIOError:
                self.desc.wait(WRITE)


class Listener(File):
    file: socket.socket

    def accept(self) -> Conn:
        return Conn(self.stage, accept(self.desc, self.file))


def dial(stage: Stage, address: object, timeout: float | None = None) -> Conn:
    """Connect to a TCP address, bounded by a deadline."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setblocking(False)
    conn = Conn(stage, sock)
    try:
        conn.set_write_deadline(timeout)
        conn.desc.reset(WRITE)
        try:
            sock.connect(address)  # type: ignore[arg-type]
        except BlockingIOError:
            conn.desc.wait(WRITE)
            if error := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(error, os.strerror(error)) from None
        conn.set_write_deadline(None)
    except BaseException:
        conn.close()
        raise
    return conn
