"""The adapters of urllib3, requests and redis-py connect as these libraries do: in their order,
with their hooks, and no socket is left behind.
"""

from __future__ import annotations

import pickle
import socket as std
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from netpoll import socket
from support import check_python, needs_fd_list, needs_linux, open_fds

#: It is refused once a socket is connected.
FASTOPEN_CONNECT = (std.IPPROTO_TCP, 30, 1)
#: It is refused always.
REFUSED = (std.IPPROTO_TCP, 9999, 1)


@pytest.fixture
def port() -> Iterator[int]:
    """Of a server of HTTP that answers everything with its own greeting."""
    listener = std.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                with listener.accept()[0] as sock:
                    if sock.recv(4096):
                        sock.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello")

    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.getsockname()[1]
    with suppress(OSError):  # Windows knows no such listener; there close wakes it
        listener.shutdown(std.SHUT_RDWR)
    listener.close()
    thread.join()


# --- urllib3 --------------------------------------------------------------------------------------


def _connection(port: int, **options: Any) -> Any:
    pytest.importorskip("netpoll.adapters.urllib3", exc_type=ImportError)
    from urllib3.connection import HTTPConnection

    return HTTPConnection("127.0.0.1", port, timeout=5, **options)


@needs_linux
def test_options_of_urllib3_are_set_before_it_connects(port: int) -> None:
    connection = _connection(port, socket_options=[FASTOPEN_CONNECT])
    connection.request("GET", "/")
    assert connection.getresponse().data == b"hello"
    connection.close()


@needs_fd_list
def test_an_option_of_urllib3_that_is_refused_leaves_no_socket(port: int) -> None:
    exceptions = pytest.importorskip("urllib3").exceptions
    connection = _connection(port, socket_options=[REFUSED])
    before = open_fds()
    with pytest.raises(exceptions.NewConnectionError, match="not available"):
        connection.connect()
    assert open_fds() == before


def test_urllib3_s_own_hooks_are_called(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    util = pytest.importorskip("urllib3.util.connection")
    asked: list[str] = []

    def family() -> Any:
        asked.append("family")
        return std.AF_INET

    monkeypatch.setattr(util, "allowed_gai_family", family)
    connection = _connection(port)
    connection.connect()
    assert asked == ["family"] and isinstance(connection.sock, socket.socket)
    connection.close()

    def create(*args: Any, **options: Any) -> Any:
        asked.append("create")
        return std.create_connection(args[0])

    monkeypatch.setattr(util, "create_connection", create)
    connection.connect()
    assert asked == ["family", "create"]
    connection.close()


def test_urllib3_tells_audit_hooks_that_it_connects(port: int) -> None:
    pytest.importorskip("urllib3")
    out = check_python(f"""
        import sys
        import netpoll.adapters.urllib3
        from urllib3.connection import HTTPConnection
        def hook(event, args):
            if event == "http.client.connect":
                print(event, args[1:])
        connection = HTTPConnection("127.0.0.1", {port})
        sys.addaudithook(hook)
        connection.connect()
        connection.close()
    """)
    assert out == f"http.client.connect ('127.0.0.1', {port})\n"


def test_a_session_of_requests_can_be_pickled(port: int) -> None:
    requests = pytest.importorskip("requests")
    from netpoll.adapters.urllib3 import mount

    session = requests.Session()
    mount(session, pool_maxsize=7)
    copy = pickle.loads(pickle.dumps(session))
    copy.trust_env = False
    url = f"http://127.0.0.1:{port}/"
    assert copy.get(url).text == "hello"
    adapter = copy.get_adapter(url)
    assert adapter._pool_maxsize == 7
    connection = adapter.poolmanager.connection_from_url(url).ConnectionCls("127.0.0.1", port)
    connection.connect()
    assert isinstance(connection.sock, socket.socket)
    connection.close()
    copy.close()
    session.close()


# --- redis ----------------------------------------------------------------------------------------


def _redis(port: int, **options: Any) -> Any:
    adapter = pytest.importorskip("netpoll.adapters.redis", exc_type=ImportError)
    return adapter.Connection("127.0.0.1", port, socket_connect_timeout=5, **options)


def test_the_family_that_redis_is_told_is_the_one(port: int) -> None:
    sock = _redis(port, socket_type=std.AF_INET)._connect()
    assert isinstance(sock, socket.socket) and sock.family == std.AF_INET
    sock.close()
    with pytest.raises(std.gaierror):
        _redis(port, socket_type=std.AF_INET6)._connect()


@needs_linux
def test_options_of_redis_are_set_before_it_connects(port: int) -> None:
    options = {FASTOPEN_CONNECT[1]: FASTOPEN_CONNECT[2]}
    sock = _redis(port, socket_keepalive=True, socket_keepalive_options=options)._connect()
    sock.close()


@needs_fd_list
def test_an_option_of_redis_that_is_refused_leaves_no_socket(port: int) -> None:
    connection = _redis(port, socket_keepalive=True, socket_keepalive_options={REFUSED[1]: 1})
    before = open_fds()
    with pytest.raises(OSError, match="not available"):
        connection._connect()
    assert open_fds() == before
