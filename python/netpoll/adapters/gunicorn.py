"""A worker of gunicorn in which each connection has a greenlet::

    gunicorn -k netpoll.adapters.gunicorn.Worker app:application

The process is patched (`netpoll.patch.everything`) before the application is loaded, with
`preload_app` too.  gunicorn's settings mean here:

* `worker_connections`: connections served at once; others wait in the listeners' backlogs.
* `keepalive`: seconds in which the head of the next request has to arrive, as a deadline.
* `timeout`: seconds that one receive from the client, or one send to it, may take; and a hub that
  runs nothing else for so long is killed by gunicorn's master, as any silent worker.
* `graceful_timeout`: on TERM, and for `max_requests`, the worker takes what has been queued in the
  backlogs, closes the listeners and serves requests for so long.  Each answer closes its
  connection.  What is still running then is killed.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from greenlet import GreenletExit, getcurrent
from gunicorn import sock as gunicorn_sock
from gunicorn.workers.base_async import AsyncWorker

from netpoll import ClosedError, Sema, green, patch, socket

__all__ = ["Worker"]

#: Seconds between two signs of life; gunicorn's other workers have the same.
_BEAT = 1.0

#: Seconds before a listener tries again, where the system is out of descriptors.
_PAUSE = 0.05


class Worker(AsyncWorker):
    """See the module."""

    @classmethod
    def setup(cls) -> None:
        """In gunicorn's master, before it loads the application, if it does."""
        patch.everything()

    def run(self) -> None:
        """The main greenlet of the worker's process."""
        self._stop = Sema(name="gunicorn")
        self._places = Sema(self.worker_connections, name="gunicorn")
        self._serving: dict[Any, Any] = {}  # each connection's greenlet, and its socket
        self._tls = gunicorn_sock.ssl_context(self.cfg) if self.cfg.is_ssl else None
        green.run(self._run)

    def _run(self) -> None:
        listeners = [_Listener(sock) for sock in self.sockets]
        accepting = [green.spawn(self._accept, listener) for listener in listeners]
        while self.alive:
            self._beat()
            self._stop.acquire(_BEAT)
        for task in accepting:
            task.kill()
        for task in accepting:
            task.join()
        for listener in listeners:
            self._drain(listener)
        self._finish()

    def _beat(self) -> None:
        self.notify()
        if self.ppid != os.getppid():
            self.log.info("Parent changed, shutting down: %s", self)
            sys.exit(0)

    # Connections.

    def _accept(self, listener: _Listener) -> None:
        while True:
            self._places.acquire()
            try:
                self._serve(listener, *listener.sock.accept())
            except ClosedError:
                return
            except OSError as error:  # the connection is gone, or there are no descriptors
                self._places.release()
                self.log.debug("accept: %s", error)
                green.sleep(_PAUSE)
            except BaseException:
                self._places.release()
                raise

    def _serve(self, listener: _Listener, client: socket.socket, address: Any) -> None:
        task = green.spawn(self.handle, listener, client, address)
        self._serving[task] = client

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """One connection."""
        task = getcurrent()
        try:
            client.settimeout(self.cfg.timeout or None)
            if self._tls is not None:
                client = self._serving[task] = self._tls.wrap_socket(
                    client,
                    server_side=True,
                    suppress_ragged_eofs=self.cfg.suppress_ragged_eofs,
                    do_handshake_on_connect=self.cfg.do_handshake_on_connect,
                )
            super().handle(listener, client, addr)
        except OSError as error:  # of the handshake
            self.log.debug("Closing connection. %s", error)
            client.close()
        finally:
            del self._serving[task]
            self._places.release()

    def timeout_ctx(self) -> _Deadline:  # type: ignore[override]
        """Around the receipt of a request's head."""
        green.sleep(0)  # one request a turn, however fast a client sends them
        return _Deadline(self._serving[getcurrent()], self.cfg.keepalive)

    def handle_request(self, *args: Any) -> Any:
        """One request, and its answer."""
        try:
            return super().handle_request(*args)
        except (GreenletExit, SystemExit):  # the application ended its greenlet, or we did
            raise StopIteration from None
        finally:
            if not self.alive:  # that was the last of max_requests
                self._stop.open()

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """A kill, by us, is no error of the application."""
        if not isinstance(exc, GreenletExit):
            super().handle_error(req, client, addr, exc)

    # The end.

    def _drain(self, listener: _Listener) -> None:
        """Take what clients have connected already, so that no request is lost."""
        listener.sock.settimeout(0)
        try:
            while self._places.try_acquire():
                self._serve(listener, *listener.sock.accept())
        except OSError:
            self._places.release()
        listener.sock.close()

    def _finish(self) -> None:
        """Serve what has begun, as long as that may take."""
        end = time.monotonic() + self.cfg.graceful_timeout
        while self._serving and time.monotonic() < end:
            self._beat()
            next(iter(self._serving)).join(min(_BEAT, end - time.monotonic()))
        if self._serving:
            self.log.warning("Worker graceful timeout (pid:%s)", self.pid)
        for task in list(self._serving):
            task.kill()
        for task in list(self._serving):
            task.join(_BEAT)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM."""
        super().handle_exit(sig, frame)
        self._stop.open()

    def handle_abort(self, sig: int, frame: Any) -> None:
        """SIGABRT: the hub was silent for too long."""
        self._stop.open()
        super().handle_abort(sig, frame)

    # What these do waits: not in a signal handler, which runs in whatever greenlet it meets.

    def handle_quit(self, sig: int, frame: Any) -> None:
        """SIGQUIT, SIGINT."""
        green.spawn(super().handle_quit, sig, frame)

    def handle_usr1(self, sig: int, frame: Any) -> None:
        """SIGUSR1."""
        green.spawn(super().handle_usr1, sig, frame)


class _Deadline:
    """A read deadline in a `with` statement, whose expiry ends the statement and no more."""

    def __init__(self, client: Any, seconds: float) -> None:
        self._client = client
        self._seconds = seconds

    def __enter__(self) -> None:
        self._client.set_read_deadline(self._seconds)

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> bool:
        if self._client.fileno() >= 0:
            self._client.set_read_deadline(None)
        return isinstance(error, TimeoutError)


class _Listener:
    """A listener of gunicorn's master, as a socket of ours; its name outlives it."""

    def __init__(self, wrapped: Any) -> None:
        sock = wrapped.sock
        if not isinstance(sock, socket.socket):
            sock = wrapped.sock = socket.socket(sock.family, sock.type, sock.proto, sock.detach())
        sock.settimeout(None)
        self.sock = sock
        self._name = sock.getsockname()

    def getsockname(self) -> Any:
        return self._name
