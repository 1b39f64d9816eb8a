"""An echo server in asyncio that hangs up on silent clients: on_asyncio.py [--uvloop]"""

from __future__ import annotations

import argparse
import asyncio
import socket

import netpoll
from netpoll import READ, WRITE
from netpoll.adapters.asyncio import wait

PATIENCE = 0.2  # seconds that a client may be silent


async def receive(sock: socket.socket, desc: netpoll.PollDesc) -> bytes:
    while True:
        desc.reset(READ)
        try:
            return sock.recv(4096)
        except BlockingIOError:
            await wait(desc, READ)


async def send_all(sock: socket.socket, desc: netpoll.PollDesc, data: bytes) -> None:
    while data:
        desc.reset(WRITE)
        try:
            data = data[sock.send(data) :]
        except BlockingIOError:
            await wait(desc, WRITE)


async def echo(sock: socket.socket) -> None:
    with sock, netpoll.open(sock) as desc:
        try:
            while True:
                desc.set_deadline(PATIENCE, READ)  # for whatever waits until it is moved
                data = await receive(sock, desc)
                if not data:
                    break
                await send_all(sock, desc, data)
        except netpoll.DeadlineExceeded:
            print("server: a client was silent for too long")


async def serve(listener: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    clients = set()
    while True:
        sock, _ = await loop.sock_accept(listener)
        sock.setblocking(False)
        task = loop.create_task(echo(sock))
        clients.add(task)
        task.add_done_callback(clients.discard)


async def talk(address: tuple[str, int]) -> None:
    reader, writer = await asyncio.open_connection(*address)
    for word in b"one\n", b"two\n":
        writer.write(word)
        print("client:", (await reader.readline()).decode().strip())
    assert await reader.read() == b""
    print("client: the server hung up")
    writer.close()
    await writer.wait_closed()


async def main() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        server = asyncio.ensure_future(serve(listener))
        await talk(listener.getsockname())
        server.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uvloop", action="store_true", help="run it in uvloop's loop")
    if parser.parse_args().uvloop:
        import uvloop

        uvloop.run(main())
    else:
        asyncio.run(main())
