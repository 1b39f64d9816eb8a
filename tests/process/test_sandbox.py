"""A sandbox that does not know a system call answers EPERM, where an old kernel says ENOSYS."""

from __future__ import annotations

import platform
from textwrap import dedent

import pytest
from support import check_python, needs_linux

pytestmark = [
    needs_linux,
    pytest.mark.skipif(
        platform.machine() not in {"x86_64", "aarch64"}, reason="the number of the call there"
    ),
]

#: epoll_pwait2 is refused from here on, in this process.
REFUSE = """
    import ctypes, errno, os, struct

    def refuse(number, error):
        code = [
            (0x20, 0, 0, 0),  # load the number of the call
            (0x15, 0, 1, number),  # if it is that one ...
            (0x06, 0, 0, 0x00050000 | error),  # ... this error
            (0x06, 0, 0, 0x7FFF0000),  # else allow
        ]
        filters = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in code))
        program = struct.pack("HxxxxxxP", len(code), ctypes.addressof(filters))
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, program, 0, 0):
            raise SystemExit("no seccomp")

    refuse(441, errno.{error})
"""

USE = """
    import threading, time
    import netpoll
    from netpoll import READ, Poller, socket

    poller = Poller("epoll")
    for seconds in 0.0005, 0.05:
        before = time.monotonic()
        assert poller.poll(seconds) == []
        assert time.monotonic() - before >= seconds
    a, b = socket.socketpair()
    desc = poller.open(a)
    desc.set_deadline(0.01)
    try:
        desc.wait(READ)
    except netpoll.DeadlineExceeded:
        print("deadline")
    desc.set_deadline(10)
    threading.Timer(0.01, b.send, (b"x",)).start()
    desc.wait(READ)
    print(a.recv(1))
    desc.close(), a.close(), b.close(), poller.close()
"""


@pytest.mark.rule(5, 17)
@pytest.mark.parametrize("error", ["EPERM", "ENOSYS"])
def test_a_kernel_without_epoll_pwait2(error: str) -> None:
    script = dedent(REFUSE).replace("{error}", error) + dedent(USE)
    printed = check_python(script)
    if printed == "no seccomp\n":
        pytest.skip("no filter can be installed here")
    assert printed == "deadline\nb'x'\n"
