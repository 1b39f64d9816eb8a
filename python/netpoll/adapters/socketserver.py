"""Servers of `socketserver` and what stands on it, in which each request has a greenlet::

    class Server(GreenMixIn, http.server.HTTPServer):
        pass

    with Server(("127.0.0.1", 8000), Handler) as server:
        green.run(server.serve_forever)

The same for `wsgiref.simple_server.WSGIServer`, `xmlrpc.server.SimpleXMLRPCServer` and Werkzeug's
`BaseWSGIServer`, which Flask's development server is.  The mix-in comes first, as `ThreadingMixIn`
does.  Nothing need be patched for it; what the handlers use is another matter.
"""

from __future__ import annotations

import socketserver
from typing import Any

from greenlet import getcurrent

from netpoll import ClosedError, DeadlineExceeded, Sema, green, socket

__all__ = ["GreenMixIn"]


class GreenMixIn(socketserver.BaseServer):
    """In place of `socketserver.ThreadingMixIn`, for servers of streams and of datagrams."""

    #: Does `server_close` wait until the requests that have begun have ended?
    block_on_close = True
    #: Werkzeug's name for: more requests than one at a time.
    multithread = True

    socket: Any
    _stopping = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._ended = Sema(name="serve_forever")
        self._serving: set[Any] = set()
        super().__init__(*args, **kwargs)

    def server_activate(self) -> None:
        """Listen, by a socket of ours."""
        old = self.socket
        if not isinstance(old, socket.socket):
            self.socket = socket.socket(old.family, old.type, old.proto, old.detach())
        super().server_activate()

    def serve_forever(self, poll_interval: float = 0.5) -> None:
        """Serve until `shutdown`; `service_actions` is called once in so many seconds at least."""
        self._ended.reset()
        try:
            while not self._stopping:
                self.socket.set_read_deadline(poll_interval)
                try:
                    request, address = self.get_request()
                except DeadlineExceeded:
                    pass
                except ClosedError:
                    break
                except OSError:  # the client is gone
                    pass
                else:
                    self._begin(request, address)
                self.service_actions()
        finally:
            self._stopping = False
            self._ended.open()

    def _begin(self, request: Any, address: Any) -> None:
        """As the base class does, which serves it by `process_request`."""
        try:
            if self.verify_request(request, address):
                self.process_request(request, address)
            else:
                self.shutdown_request(request)
        except Exception:
            self.handle_error(request, address)
            self.shutdown_request(request)

    def shutdown(self) -> None:
        """End `serve_forever`, from any thread or greenlet, and wait for its end."""
        self._stopping = True
        self.socket.set_read_deadline(0)
        self._ended.acquire()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve it in a greenlet."""
        self._serving.add(green.spawn(self._serve, request, client_address))

    def _serve(self, request: Any, address: Any) -> None:
        try:
            self.finish_request(request, address)
        except Exception:
            self.handle_error(request, address)
        finally:
            self.shutdown_request(request)
            self._serving.discard(getcurrent())

    def server_close(self) -> None:
        """Close the listener; see `block_on_close`."""
        super().server_close()
        for task in list(self._serving) if self.block_on_close else ():
            task.join()
