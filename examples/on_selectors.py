"""asyncio and socketserver on a netpoll poller: python examples/on_selectors.py"""

from __future__ import annotations

import asyncio
import selectors
import socket
import socketserver
import threading

from netpoll.adapters.selectors import PollerSelector


class Shout(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line.upper())


async def talk(address: tuple[str, int]) -> None:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"hello\n")
    print("asyncio:", (await reader.readline()).decode().strip())
    writer.close()
    await writer.wait_closed()


def main() -> None:
    socketserver._ServerSelector = PollerSelector  # type: ignore[attr-defined]
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Shout) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        loop = asyncio.SelectorEventLoop(PollerSelector())
        loop.run_until_complete(talk(server.server_address))
        loop.close()
        server.shutdown()

    here, there = socket.socketpair()
    with here, there, PollerSelector() as selector:
        selector.register(here, selectors.EVENT_READ, "here")
        there.send(b"xy")
        for _ in range(2):  # what is left is reported again
            for key, _ in selector.select():
                print(f"{key.data}: {here.recv(1)!r}")
        print("then:", selector.select(0))


if __name__ == "__main__":
    main()
