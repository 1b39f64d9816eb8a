"""Servers of small protocols, in a process of their own; they answer as late as they are asked.

    python protocols.py CERTIFICATE KEY MEMCACHED_PORT

prints a dictionary of ports in JSON, and serves until it is stopped.
"""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import re
import socket
import socketserver
import ssl
import struct
import sys
import threading
import time
from contextlib import suppress
from typing import Any

import paramiko
from pika import frame, spec


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *unused: Any) -> None:
        """Clients are killed here, as a rule."""


class HTTP(http.server.BaseHTTPRequestHandler):
    """/SECONDS answers after so long; /busy/KEY/TIMES: 503 that many times, then 200."""

    protocol_version = "HTTP/1.1"
    refused: dict[str, int] = {}  # noqa: RUF012

    def do_GET(self) -> None:
        first, *rest = self.path[1:].split("/")
        status = 200
        if first == "busy":
            self.refused[rest[0]] = self.refused.get(rest[0], 0) + 1
            status = 503 if self.refused[rest[0]] <= int(rest[1]) else 200
        else:
            time.sleep(float(first))
        self.send_response(status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *unused: Any) -> None:
        pass


class Socks(socketserver.StreamRequestHandler):
    """SOCKS 5, to numeric addresses, without authentication."""

    def handle(self) -> None:
        _, methods = self.rfile.read(2)
        self.rfile.read(methods)
        self.wfile.write(b"\5\0")
        _, _, _, kind = self.rfile.read(4)
        length = 4 if kind == 1 else self.rfile.read(1)[0]
        raw = self.rfile.read(length)
        host = socket.inet_ntoa(raw) if kind == 1 else raw.decode()
        (port,) = struct.unpack(">H", self.rfile.read(2))
        with socket.create_connection((host, port)) as other:
            self.wfile.write(b"\5\0\0\1" + bytes(6))
            relay(self.connection, other)


class Delay(socketserver.BaseRequestHandler):
    """Passes on to memcached; a key that ends in "after:SECONDS" is asked for so much later."""

    target = 0

    def handle(self) -> None:
        with socket.create_connection(("127.0.0.1", self.target)) as other:
            while data := self.request.recv(65536):
                if match := re.search(rb"after:([0-9.]+)", data):
                    time.sleep(float(match[1]))
                other.sendall(data)
                self.request.sendall(other.recv(65536))


def relay(one: socket.socket, other: socket.socket) -> None:
    def copy(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    back = threading.Thread(target=copy, args=(other, one), daemon=True)
    back.start()
    copy(one, other)
    back.join()


class DNS(socketserver.BaseRequestHandler):
    """Any name is 127.0.0.1; "after-MILLISECONDS.test" is so later."""

    def handle(self) -> None:
        data, sock = self.request
        name = data[12 : data.index(0, 12)]
        if match := re.search(rb"after-([0-9]+)", name):
            time.sleep(int(match[1]) / 1000)
        question = data[12 : data.index(0, 12) + 5]
        head = data[:2] + b"\x81\x80\0\1\0\1\0\0\0\0"
        answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\0\0\1"
        sock.sendto(head + question + answer, self.client_address)


class WebSocket(socketserver.StreamRequestHandler):
    """Each message is a number of seconds; it comes back so much later."""

    def handle(self) -> None:
        key = b""
        while line := self.rfile.readline().strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"sec-websocket-key":
                key = value.strip()
        magic = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key + magic).digest())
        self.wfile.write(b"HTTP/1.1 101 Here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
        self.wfile.write(b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        while head := self.rfile.read(2):
            mask = self.rfile.read(4)
            masked = self.rfile.read(head[1] & 127)
            message = bytes(byte ^ mask[i % 4] for i, byte in enumerate(masked))
            if head[0] == 0x81:
                time.sleep(float(message))
            self.wfile.write(bytes([head[0], len(message)]) + message)
            if head[0] == 0x88:  # the end
                return


class MQTT(socketserver.StreamRequestHandler):
    """Acknowledges what is published; the payload says how many seconds later."""

    def handle(self) -> None:
        self.writing = threading.Lock()
        while head := self.rfile.read(1):
            length = self.rfile.read(1)[0]
            assert length < 128
            body = self.rfile.read(length)
            if head[0] >> 4 == 1:
                self.answer(b"\x20\2\0\0")
            elif head[0] >> 4 == 3:
                topic = int.from_bytes(body[:2], "big") + 2
                number, seconds = body[topic : topic + 2], float(body[topic + 2 :])
                threading.Timer(seconds, self.answer, [b"\x40\2" + number]).start()

    def answer(self, data: bytes) -> None:
        with self.writing, suppress(OSError, ValueError):
            self.wfile.write(data)


class AMQP(socketserver.BaseRequestHandler):
    """Whatever queue one gets from is empty, as many seconds later as its name says."""

    def handle(self) -> None:
        self.rest = b""
        while len(self.rest) < 8:
            self.rest += self.request.recv(8)
        self.rest = self.rest[8:]
        self.say(0, spec.Connection.Start(0, 9, {}, "PLAIN", "en_US"))
        self.hear(spec.Connection.StartOk)
        self.say(0, spec.Connection.Tune(0, 131072, 0))
        self.hear(spec.Connection.Open)
        self.say(0, spec.Connection.OpenOk())
        while True:
            channel, method = self.hear()
            if isinstance(method, spec.Channel.Open):
                self.say(channel, spec.Channel.OpenOk())
            elif isinstance(method, spec.Basic.Get):
                time.sleep(float(method.queue))
                self.say(channel, spec.Basic.GetEmpty())
            elif isinstance(method, spec.Channel.Close):
                self.say(channel, spec.Channel.CloseOk())
            elif isinstance(method, spec.Connection.Close):
                self.say(0, spec.Connection.CloseOk())
                return

    def say(self, channel: int, method: Any) -> None:
        self.request.sendall(frame.Method(channel, method).marshal())

    def hear(self, kind: type = object) -> tuple[int, Any]:
        while True:
            length, found = frame.decode_frame(self.rest)
            self.rest = self.rest[length:]
            if found and isinstance(found, frame.Method) and isinstance(found.method, kind):
                return found.channel_number, found.method
            if not found:
                data = self.request.recv(65536)
                if not data:
                    raise ConnectionError
                self.rest += data


class SSHSession(paramiko.ServerInterface):
    """Any user may run any command: it reads how many seconds it takes."""

    def check_auth_none(self, username: str) -> int:
        return paramiko.common.AUTH_SUCCESSFUL

    def get_allowed_auths(self, username: str) -> str:
        return "none"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.common.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: Any, command: bytes) -> bool:
        def run() -> None:
            with suppress(OSError, ValueError):
                time.sleep(float(channel.makefile().readline()))
                channel.sendall(b"done")
                channel.send_exit_status(0)
                channel.close()

        threading.Thread(target=run, daemon=True).start()
        return True


class SSH(socketserver.BaseRequestHandler):
    key: Any

    def handle(self) -> None:
        transport = paramiko.Transport(self.request)
        transport.add_server_key(self.key)
        transport.start_server(server=SSHSession())
        transport.join()


class Lines(socketserver.StreamRequestHandler):
    """A command a line, answered by `answers`; an argument "after:SECONDS" delays."""

    greeting = b""
    answers: dict[bytes, bytes] = {}  # noqa: RUF012

    def handle(self) -> None:
        self.wfile.write(self.greeting)
        while line := self.rfile.readline():
            if match := re.search(rb"after:([0-9.]+)", line):
                time.sleep(float(match[1]))
            word = line.split()[0].upper()
            self.wfile.write(self.answers.get(word, b"250 fine\r\n"))
            if word == b"QUIT":
                return


class SMTP(Lines):
    greeting = b"220 here\r\n"
    answers = {b"QUIT": b"221 bye\r\n"}  # noqa: RUF012


class FTP(Lines):
    greeting = b"220 here\r\n"
    answers = {  # noqa: RUF012
        b"QUIT": b"221 bye\r\n",
        b"USER": b"331 go on\r\n",
        b"PASS": b"230 come in\r\n",
        b"PWD": b'257 "/"\r\n',
    }


def main(certificate: str, key: str, memcached: str) -> None:
    Delay.target = int(memcached)
    SSH.key = paramiko.ECDSAKey.generate()
    local = ("127.0.0.1", 0)
    servers: dict[str, Any] = {
        "http": Server(local, HTTP),
        "https": Server(local, HTTP),
        "socks": Server(local, Socks),
        "memcached": Server(local, Delay),
        "dns": socketserver.ThreadingUDPServer(local, DNS),
        "smtp": Server(local, SMTP),
        "ftp": Server(local, FTP),
        "websocket": Server(local, WebSocket),
        "mqtt": Server(local, MQTT),
        "amqp": Server(local, AMQP),
        "ssh": Server(local, SSH),
    }
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    https = servers["https"]
    https.socket = context.wrap_socket(
        https.socket, server_side=True, do_handshake_on_connect=False
    )
    for server in servers.values():
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({name: one.server_address[1] for name, one in servers.items()}), flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
