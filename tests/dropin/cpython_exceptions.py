"""Tests of CPython that need not pass with our sockets, each with the reason.

The keys are patterns of ids.  An exception that no test needs any more is reported: see
test_cpython.py.
"""

from __future__ import annotations

_NONBLOCK = (
    "looks at O_NONBLOCK of the file: ours is in non-blocking mode whatever the timeout is, as the "
    "standard one is with a timeout"
)

EXCEPTIONS: dict[str, str] = {
    "test.test_socket.NonBlockingTCPTests.testSetBlocking": _NONBLOCK,
    "test.test_socket.NonBlockingTCPTests.testSetBlocking_overflow": _NONBLOCK,
    "test.test_socket.NonblockConstantTest.test_SOCK_NONBLOCK": _NONBLOCK,
}

#: Not run at all, with any class.
LEFT_OUT: dict[str, str] = {
    "test.test_socket.ThreadedVSOCKSocketStreamTest.*": (
        "waits for ever where the kernel knows vsock and nobody is at the other end"
    ),
}
