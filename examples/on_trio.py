"""A race in trio: who answers first wins, the others are cancelled: python examples/on_trio.py"""

from __future__ import annotations

import socket

import netpoll
import trio
from netpoll import READ
from netpoll.adapters.trio import wait


async def receive(sock: socket.socket, desc: netpoll.PollDesc) -> bytes:
    while True:
        desc.reset(READ)
        try:
            return sock.recv(4096)
        except BlockingIOError:
            await wait(desc, READ)


async def ask(
    name: str, sock: socket.socket, patience: float | None, race: trio.CancelScope
) -> None:
    with netpoll.open(sock) as desc:
        desc.set_deadline(patience, READ)
        try:
            answer = await receive(sock, desc)
        except netpoll.DeadlineExceeded:
            print(f"{name}: given up after {patience} s")
        else:
            print(f"{name}: {answer.decode()}")
            race.cancel()


async def main() -> None:
    pairs = {name: socket.socketpair() for name in ("slow", "mute", "quick")}
    for ours, _ in pairs.values():
        ours.setblocking(False)
    async with trio.open_nursery() as nursery:
        for name, (ours, _) in pairs.items():
            patience = 0.05 if name == "mute" else None
            nursery.start_soon(ask, name, ours, patience, nursery.cancel_scope)
        await trio.sleep(0.2)
        pairs["quick"][1].send(b"the answer")
        await trio.sleep(5)
        pairs["slow"][1].send(b"nobody waits for this any more")
    for pair in pairs.values():
        for end in pair:
            end.close()


if __name__ == "__main__":
    trio.run(main)
