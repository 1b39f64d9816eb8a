"""asyncio: a loop in another thread, whose results greenlets wait for."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

SERVER = "none"
LATE = TimeoutError

loop = asyncio.new_event_loop()


def begin(servers: Any) -> None:
    threading.Thread(target=loop.run_forever, daemon=True).start()


def ask(seconds: float, timeout: float) -> None:
    asyncio.run_coroutine_threadsafe(asyncio.sleep(seconds), loop).result(timeout)


def a_loop_in_a_greenlet() -> None:
    async def main() -> int:
        server = await asyncio.start_server(lambda *unused: None, "127.0.0.1", 0)
        async with server:
            await asyncio.open_connection(*server.sockets[0].getsockname())
            await asyncio.sleep(0.2)
        return await asyncio.to_thread(int, 7)

    assert asyncio.run(main()) == 7
