"""What users may subclass, set or put in another's place: it works on our sockets, or raises."""

from __future__ import annotations

import socket as std
import ssl as std_ssl
from collections.abc import Iterator
from typing import Any

import pytest
from netpoll import DeadlineExceeded, socket
from support import Stage, check_python

pytest.importorskip("ssl", reason="this Python was built without OpenSSL")
trustme = pytest.importorskip("trustme", reason="trustme, which makes the certificates")

from netpoll import ssl  # noqa: E402

authority = trustme.CA()


class Mine(std_ssl.SSLSocket):
    """As truststore and others make one."""

    created = 0

    @classmethod
    def _create(cls, *args: Any, **kwargs: Any) -> Any:
        Mine.created += 1
        return super()._create(*args, **kwargs)  # type: ignore[misc]

    def recv(self, *args: Any) -> bytes:  # type: ignore[override]
        return b"mine: " + super().recv(*args)


class Context(std_ssl.SSLContext):
    sslsocket_class = Mine


class Slotted(std_ssl.SSLSocket):
    __slots__ = ("own",)


def contexts() -> dict[str, std_ssl.SSLContext]:
    made = std_ssl.SSLContext(std_ssl.PROTOCOL_TLS_CLIENT)
    made.sslsocket_class = Mine
    ours = ssl.SSLContext(std_ssl.PROTOCOL_TLS_CLIENT)
    ours.sslsocket_class = Mine
    return {
        "an attribute": made,
        "a context of its own": Context(std_ssl.PROTOCOL_TLS_CLIENT),
        "our context": ours,
    }


@pytest.fixture
def pair() -> Iterator[tuple[Any, Any]]:
    a, b = socket.socketpair()
    with a, b:
        yield a, b


def serve(sock: Any) -> Any:
    context = std_ssl.SSLContext(std_ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context.wrap_socket(sock, server_side=True)


@pytest.mark.parametrize("name", contexts())
def test_a_class_of_a_context_s_own_waits_in_netpoll(
    stage: Stage, pair: tuple[Any, Any], name: str
) -> None:
    context = contexts()[name]
    authority.configure_trust(context)
    serving = stage.spawn(serve, pair[1])
    before = Mine.created
    with (
        context.wrap_socket(pair[0], server_hostname="localhost") as sock,
        serving.result() as peer,
    ):
        assert isinstance(sock, Mine) and isinstance(sock, ssl.SSLSocket)
        assert type(sock).__name__ == "Mine" and Mine.created == before + 1
        peer.sendall(b"hello")
        assert sock.recv(10) == b"mine: hello"
        reader = stage.spawn(sock.recv, 10)
        stage.stays_blocked(reader, seconds=0.01)
        sock.set_read_deadline(0.01)
        reader.raises(DeadlineExceeded)


def test_the_deadline_of_the_plain_socket_goes_over(stage: Stage, pair: tuple[Any, Any]) -> None:
    pair[0].set_deadline(0.02)
    wrap = Context(std_ssl.PROTOCOL_TLS_CLIENT).wrap_socket
    stage.spawn(lambda: wrap(pair[0], server_hostname="localhost")).raises(DeadlineExceeded)


def test_one_class_is_made_of_a_user_s_and_goes_with_it() -> None:
    context = Context(std_ssl.PROTOCOL_TLS_CLIENT)
    kinds = set()
    for _ in range(2):
        with context.wrap_socket(socket.socket(), server_hostname="localhost") as sock:
            kinds.add(type(sock))
    assert len(kinds) == 1


def test_it_stays_the_user_s_class_around_a_standard_socket() -> None:
    context = Context(std_ssl.PROTOCOL_TLS_CLIENT)
    with context.wrap_socket(std.socket(), server_hostname="localhost") as sock:
        assert type(sock) is Mine


def test_a_class_that_cannot_wait_is_refused(pair: tuple[Any, Any]) -> None:
    context = std_ssl.SSLContext(std_ssl.PROTOCOL_TLS_CLIENT)
    context.sslsocket_class = Slotted
    with pytest.raises(TypeError, match=r"Slotted.*cannot wrap a socket of netpoll"):
        context.wrap_socket(pair[0], server_hostname="localhost")
    pair[1].send(b"x")
    assert pair[0].recv(1) == b"x"  # it was left alone


def test_a_class_that_waits_already_is_taken_as_it_is(pair: tuple[Any, Any]) -> None:
    class Ours(ssl.SSLSocket):
        pass

    context = std_ssl.SSLContext(std_ssl.PROTOCOL_TLS_CLIENT)
    context.sslsocket_class = Ours
    with context.wrap_socket(
        pair[0], server_hostname="localhost", do_handshake_on_connect=False
    ) as sock:
        assert type(sock) is Ours


def test_a_subclass_is_duplicated_as_the_standard_class_does_it() -> None:
    """With a number, by keyword."""
    for module in (std, socket):

        class Named(module.socket):  # type: ignore[misc, name-defined]
            def __init__(self, *args: Any, fileno: int | None = None) -> None:
                assert fileno is None or fileno >= 0
                super().__init__(*args, fileno=fileno)

        with Named() as sock, sock.dup() as copy:
            assert type(copy) is Named and copy.fileno() != sock.fileno()


def test_methods_of_a_subclass_are_what_files_call(pair: tuple[Any, Any]) -> None:
    class Loud(socket.socket):
        def recv_into(self, *args: Any) -> int:
            size = super().recv_into(*args)
            args[0][:size] = bytes(args[0][:size]).upper()
            return size

    with Loud(fileno=pair[0].detach()) as sock, sock.makefile("rb") as file:
        pair[1].send(b"line\n")
        assert file.readline() == b"LINE\n"


# --- names that are looked up late ----------------------------------------------------------------

REPLACED = {
    "socket.socket": ["socket.socket"],
    "socket.create_connection": ["socket.create_connection"],
    "all of socket": [
        f"socket.{name}"
        for name in ("socket", "create_connection", "create_server", "socketpair", "fromfd")
    ],
    "ssl.SSLContext": ["ssl.SSLContext"],
    "ssl.SSLSocket": ["ssl.SSLSocket"],
    "all of ssl": ["ssl.SSLContext", "ssl.SSLSocket", "ssl.create_default_context"],
    "methods": [f"socket.socket.{name}" for name in ("detach", "close", "dup", "accept")],
}


@pytest.mark.parametrize("names", REPLACED.values(), ids=REPLACED)
def test_ours_may_be_put_in_the_place_of_the_standard_names(names: list[str]) -> None:
    """As PySocks does it; none of ours calls itself for ever."""
    out = check_python(f"""
        import functools, os, socket, ssl, sys
        from netpoll import socket as ours, ssl as our_ssl
        for name in {names!r}:
            *path, last = name.split(".")
            places = {{"socket": (socket, ours), "ssl": (ssl, our_ssl)}}[path[0]]
            there, here = (functools.reduce(getattr, path[1:], place) for place in places)
            setattr(there, last, getattr(here, last))
        sys.setrecursionlimit(150)
        methods = "socket.socket.dup" in {names!r}  # those of ours are for ours only
        for module in (ours,) if methods else (socket, ours):
            listener = module.create_server(("127.0.0.1", 0))
            sock = module.create_connection(listener.getsockname())
            peer, _ = listener.accept()
            peer.sendall(b"x")
            assert sock.recv(1) == b"x"
            sock.dup().close()
            module.fromfd(sock.fileno(), socket.AF_INET, socket.SOCK_STREAM).close()
            with open(sys.executable, "rb") as file:
                peer.sendfile(file, count=10)
            socket.close(sock.detach())
            for one in (peer, listener, *module.socketpair()):
                one.close()
        context = our_ssl.create_default_context()
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_TICKET
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        a, b = ours.socketpair()
        with b, context.wrap_socket(a, do_handshake_on_connect=False) as sock:
            assert type(sock) is our_ssl.SSLSocket
        with our_ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).wrap_socket(
            ours.socket(), server_hostname="localhost"
        ) as sock:
            refused = sock.connect_ex(("127.0.0.1", 1))
        print("done", refused > 0)
    """)
    assert out == "done True\n"
