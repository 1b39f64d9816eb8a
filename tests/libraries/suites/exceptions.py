"""Tests of the libraries that need not have the same outcome on netpoll, each with the reason.

The keys are patterns of pytest's names (`[[]` is a bracket), some for one place only.  An exception
that no test needs any more is reported: see run.py.
"""

from __future__ import annotations

_METHOD = (
    "puts a mock into the standard class (`socket.socket.sendall`, `threading.Event.wait`), of "
    "which ours is none, or has a method of its own"
)

EXCEPTIONS: dict[str, dict[str, str]] = {
    "urllib3": {
        "*::TestMonkeypatchResistance::test_queue_monkeypatching": (
            "puts another class into the name `queue.Empty`, which the standard queues look up "
            "when they raise it; ours raise the one that was there when they were loaded"
        ),
    },
    "requests": {},
    "redis": {
        "*::TestMaintNotificationsPoolHandler::test_init": (
            "asks for the class of the standard `threading.RLock`; ours is another"
        ),
        "*::TestConnection::test_connect_with_retries": _METHOD,
        "*::TestPubSubTimeouts::test_get_message_not_subscribed_return_none": _METHOD,
    },
}

_NOT_ON_LOOPBACK = "asks servers that are not part of the sources"
_NOT_INSTALLED = "needs a package that only it needs"

#: Files that are not run at all, on netpoll or not.
LEFT_OUT: dict[str, dict[str, str]] = {
    "urllib3": {},
    "requests": {},
    "redis": {
        "tests/test_scenario": _NOT_ON_LOOPBACK,
        "tests/test_asyncio/test_scenario": _NOT_ON_LOOPBACK,
        "tests/test_credentials.py": _NOT_INSTALLED,
        "tests/test_asyncio/test_credentials.py": _NOT_INSTALLED,
        "tests/test_asyncio/test_search.py": _NOT_INSTALLED,
        "tests/test_asyncio/test_vsets.py": _NOT_INSTALLED,
        "tests/test_observability/test_recorder.py": _NOT_INSTALLED,
        "tests/test_search.py": _NOT_INSTALLED,
        "tests/test_vsets.py": _NOT_INSTALLED,
    },
}
