"""Tests of CPython that need not pass with our sockets, each with the reason.

The keys are patterns of ids, some for one place only.  An exception that no test needs any
more is reported: see test_cpython.py.
"""

from __future__ import annotations

import os
import sys

_NONBLOCK = (
    "looks at O_NONBLOCK of the file: ours is in non-blocking mode whatever the timeout is, as the "
    "standard one is with a timeout"
)
_NO_SOCKETS = "is not about sockets"
_SELECT = "the server waits in select or poll, which blocks the thread, with any class"

_CLASS = "in the standard module `poll` is a function, and the class has no name"
_TWO_POLLS = "two threads, or greenlets, may wait in one object"

_OTHER_CLASS = "the test has a subclass of the standard class"

EXCEPTIONS: dict[str, str] = {
    "test.test_subprocess.MiscTests.test_*_keyboardinterrupt_no_kill": _OTHER_CLASS,
    "test.test_subprocess.MiscTests.test__all__": "the module has imports of its own",
    "test.test_subprocess.ProcessTestCase*.test__use_vfork": "the switch is the standard module's",
    "test.test_select.SelectTestCase.test_disallow_instantiation": _CLASS,
    "test.test_poll.PollTests.test_threaded_poll @ hubs": _TWO_POLLS,
    "test.test_poll.PollTests.test_threaded_poll @ greenlets": _TWO_POLLS,
    "test.test_smtplib.DebuggingServerTests.testELHO": (
        "replaces `getfqdn` in the `socket` that it sees, which is not the server's any more"
    ),
    "sync_tests.EventTests.test_at_fork_reinit": (
        "locks `_cond`, a private attribute of the standard class"
    ),
    "test.test_socketserver.SocketWriterTest.test_write @ hubs": (
        "signals the thread `threading.get_ident()`, which is the greenlet's number in a hub"
    ),
    "test.test_ssl.ThreadedTests.test_socketserver @ greenlets": _SELECT,
    "test.test_ssl.ThreadedTests.test_asyncore_server @ greenlets": _SELECT,
    "sync_tests.ConditionTests.test_nan_timeout": (
        "counts `_waiters`, a private attribute of the standard class"
    ),
    "test.test_socket.GeneralModuleTests.testRefCountGetNameInfo": (
        "counts references while a traceback has the frame of our function, with its arguments"
    ),
    "test.test_socket.NonBlockingTCPTests.testSetBlocking": _NONBLOCK,
    "test.test_socket.NonblockConstantTest.test_SOCK_NONBLOCK": _NONBLOCK,
}
if sys.version_info[:2] == (3, 11):  # others look at the timeout alone
    EXCEPTIONS["test.test_socket.NonBlockingTCPTests.testSetBlocking_overflow"] = _NONBLOCK
if sys.version_info < (3, 14) or os.environ.get("NETPOLL_PURE") != "1":
    EXCEPTIONS["sync_tests.LocalTests.test_error"] = (
        "has a name that is no str, but says it equals `__dict__`"
    )
if sys.platform == "linux" and os.environ.get("NETPOLL_BACKEND") == "kqueue":
    for _test in (
        "test.test_socket.NetworkConnectionNoServer.test_connect",
        "test.test_socket.NetworkConnectionNoServer.test_create_connection",
        "test.test_ssl.BasicSocketTests.test_connect_ex_error",
    ):
        for _place in ("hubs", "greenlets"):
            EXCEPTIONS[f"{_test} @ {_place}"] = "libkqueue takes the socket error for itself"


def exceptions(module: str, place: str) -> list[str]:
    """The patterns for a module, where it runs there."""
    found = []
    for key in EXCEPTIONS:
        pattern, _, only = key.partition(" @ ")
        if pattern.startswith(f"{module}.") and only in ("", place):
            found.append(pattern)
    return found


#: Not run at all, with any class.
LEFT_OUT: dict[str, str] = {
    "test.test_socket.ThreadedVSOCKSocketStreamTest.*": (
        "waits for ever where the kernel knows vsock and nobody is at the other end"
    ),
    "test.test_socket.PurePythonSocketPairTest.*": "the pair is made of standard sockets",
    "test.test_ssl.ContextTests.*": _NO_SOCKETS,
    "test.test_ssl.MemoryBIOTests.*": _NO_SOCKETS,
    "test.test_ssl.SSLObjectTests.*": _NO_SOCKETS,
    "test.test_ssl.Test*Enumerations.*": _NO_SOCKETS,
}
