"""netpoll under other people's loops, and under libraries that bring a waiting of their own.

Each module needs its library, and nothing else of this package needs any of them:

* `gevent`, `asyncio` (uvloop too), `trio`: `wait(desc, mode)` for the tasks of these loops;
* `selectors`: a `selectors.BaseSelector` on a `Poller`, for asyncio, socketserver and the like;
* `level`: waiting by level, for code that does not read until it would block;
* `psycopg`, `psycopg2`, `redis`, `urllib3` (and requests): drivers that wait on netpoll;
* `gunicorn`, `socketserver`: servers with a greenlet for each connection.

The loops are written on the public API alone.
"""
