"""redis-py in greenlets: with_redis.py PORT"""

from __future__ import annotations

import sys

import redis
from netpoll import green
from netpoll.adapters.redis import Connection
from redis.backoff import ExponentialBackoff
from redis.retry import Retry


def main(port: int) -> None:
    retry = Retry(ExponentialBackoff(), 3)  # its pauses park
    pool = redis.ConnectionPool(
        connection_class=Connection, host="127.0.0.1", port=port, max_connections=200, retry=retry
    )
    client = redis.Redis(connection_pool=pool)
    waiting = [green.spawn(client.blpop, f"list {i}", 20) for i in range(100)]
    for i in range(100):
        client.rpush(f"list {i}", i)
    print("greenlets that got what they waited for:", len([one.get() for one in waiting]))
    pool.disconnect()


if __name__ == "__main__":
    green.run(main, int(sys.argv[1]))
