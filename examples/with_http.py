"""urllib3 and requests in greenlets: with_http.py URL"""

from __future__ import annotations

import sys

import requests
from netpoll import green
from netpoll.adapters.urllib3 import PoolManager, mount


def main(url: str) -> None:
    with PoolManager(maxsize=50) as http:
        answers = [green.spawn(http.request, "GET", url, timeout=5.0) for _ in range(50)]
        print("urllib3, fifty at once:", sum(one.get().status == 200 for one in answers))

    with requests.Session() as session:
        mount(session)
        print("requests:", session.get(url, timeout=5.0).status_code)


if __name__ == "__main__":
    green.run(main, sys.argv[1])
