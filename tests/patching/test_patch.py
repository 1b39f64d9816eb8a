"""netpoll.patch in modules made for the purpose: what it finds, and what it restores."""

from __future__ import annotations

import builtins
import importlib
import os
import socket
import subprocess as std_subprocess
import sys
import textwrap
import threading
import time
import types
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, cast
from unittest import mock

import netpoll
import netpoll.subprocess
import pytest
from netpoll import green, patch
from support import needs_fork

Make = Callable[..., types.ModuleType]


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Write the modules of a package that can be imported until the end of the test."""
    monkeypatch.syspath_prepend(tmp_path)
    names: set[str] = set()

    def write(**files: str) -> None:
        for name, text in files.items():  # "a__b" is b in the package a, "a__" is a itself
            path = tmp_path.joinpath(*(part or "__init__" for part in name.split("__")))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_suffix(".py").write_text(textwrap.dedent(text))
            names.add(path.relative_to(tmp_path).parts[0])
        importlib.invalidate_caches()

    yield write
    for name in [one for one in sys.modules if one.partition(".")[0] in names]:
        del sys.modules[name]


def in_hub(function: Callable[[], None]) -> None:
    """Run it in a hub, and end the hub."""
    with ThreadPoolExecutor(1) as threads:
        threads.submit(green.run, function).result()


def snapshot(module: types.ModuleType) -> dict[str, Any]:
    """The values in a module and in its classes and functions, by where they are."""
    found: dict[str, Any] = {}
    for name, value in vars(module).items():
        found[name] = value
        if isinstance(value, type):
            found.update({f"{name}.{key}": inner for key, inner in vars(value).items()})
            found[f"{name}.__bases__"] = value.__bases__
        if isinstance(value, types.FunctionType):
            found[f"{name}()"] = (value.__defaults__, dict(value.__kwdefaults__ or {}))
            found[f"{name}.cells"] = [cell.cell_contents for cell in value.__closure__ or ()]
    return found


CAPTURING = """
    import socket
    import time
    from socket import create_connection as connect
    from time import sleep

    def pause(seconds, how=time.sleep, *, module=socket):
        how(seconds)
        return module

    def around(function):
        def inner():
            return function
        return inner

    closure = around(sleep)

    class Client:
        module = socket
        connect = staticmethod(socket.create_connection)
        make = socket.socket

        def wait(self, seconds, how=sleep):
            how(seconds)

        class Inner:
            kind = socket.socket
"""


def test_captured_names_are_found_and_restored(library: Any) -> None:
    library(capturing=CAPTURING)
    module: Any = importlib.import_module("capturing")
    before = snapshot(module)
    with patch.modules("capturing"):
        assert module.socket.socket is netpoll.socket.socket
        assert module.connect is netpoll.socket.create_connection
        assert module.sleep is not time.sleep
        assert module.pause(0) is module.socket
        assert module.pause.__defaults__ == (module.sleep,)
        assert module.closure() is module.sleep
        assert module.Client.module is module.socket
        assert module.Client.connect is netpoll.socket.create_connection
        assert module.Client.make is module.Client.Inner.kind is netpoll.socket.socket
        assert module.Client.wait.__defaults__ == (module.sleep,)
    assert snapshot(module) == before


WRAPPING = """
    import functools
    import socket
    import time
    from dataclasses import dataclass, field
    from threading import Lock

    pause = functools.partial(time.sleep, 0)
    stream = functools.partial(socket.socket, type=socket.SOCK_STREAM)
    deferred = functools.partial(print, socket.socket, end=time.sleep)
    other = functools.partial(print, 1)
    pause.note = "kept"

    @functools.lru_cache
    def cached(how=time.sleep):
        return how

    class Client:
        pause = functools.partial(time.sleep, 0)

        @functools.cached_property
        def how(self, sleep=time.sleep):
            return sleep

    @dataclass
    class Record:
        lock: object = field(default_factory=Lock)
        kind: type = socket.socket
"""


def test_what_functools_and_dataclasses_have_captured(library: Any) -> None:
    library(wrapping=WRAPPING)
    module: Any = importlib.import_module("wrapping")
    before = snapshot(module)
    with patch.modules("wrapping"):
        ours, sleep = netpoll.socket.socket, module.time.sleep
        assert sleep is not time.sleep
        assert (module.pause.func, module.pause.args) == (sleep, (0,))
        assert module.pause.note == "kept" and module.Client.pause.func is sleep
        assert module.stream.func is ours and module.stream.keywords == {"type": 1}
        assert module.deferred.func is print and module.deferred.args == (ours,)
        assert module.deferred.keywords == {"end": sleep}
        assert module.other is before["other"]
        assert module.cached() is sleep and module.Client().how is sleep
        record = module.Record()
        assert type(record.lock) is netpoll.sync.Lock and record.kind is ours
    assert snapshot(module) == before
    module.cached.cache_clear()
    assert module.cached() is time.sleep is module.Client().how
    assert type(module.Record().lock) is type(threading.Lock())


def test_a_package_is_patched_with_what_it_loads_later(library: Any) -> None:
    library(
        wide__="import socket",
        wide__early="import time",
        wide__late="import socket\nfrom time import sleep\nclass Mine(socket.socket): pass",
        wider="import socket",
    )
    import wide  # type: ignore[import-not-found]
    import wide.early  # type: ignore[import-not-found]
    import wider  # type: ignore[import-not-found]

    with patch.package("wide"):
        import wide.late  # type: ignore[import-not-found]

        assert wide.socket is wide.late.socket
        assert wide.socket.socket is netpoll.socket.socket
        assert wide.early.time.sleep is wide.late.sleep is not time.sleep
        assert issubclass(wide.late.Mine, netpoll.socket.socket)
        assert wider.socket is socket  # another package, whose name begins in the same way
    assert wide.socket is wide.late.socket is socket
    assert wide.early.time is time
    assert wide.late.sleep is time.sleep


def test_a_package_need_not_be_loaded_and_is_not(library: Any) -> None:
    library(unloaded="from socket import socket")
    with patch.package("unloaded"):
        assert "unloaded" not in sys.modules
        import unloaded  # type: ignore[import-not-found]

        assert unloaded.socket is netpoll.socket.socket
    assert unloaded.socket is socket.socket
    with pytest.raises(ModuleNotFoundError):
        patch.package("no_such_module_at_all")


def test_imports_in_functions_are_patched(library: Any) -> None:
    library(lazy="def get():\n    import socket\n    return socket")
    import lazy  # type: ignore[import-not-found]

    standard_import = builtins.__import__
    with patch.modules("lazy"):
        assert lazy.get().socket is netpoll.socket.socket
        assert importlib.import_module("socket") is socket
    assert lazy.get() is socket
    assert builtins.__import__ is standard_import


def test_patches_are_independent(library: Any) -> None:
    library(shared="import socket")
    import shared  # type: ignore[import-not-found]

    first, second = patch.modules("shared"), patch.package("shared")
    first.undo()
    assert shared.socket.socket is netpoll.socket.socket
    first.undo()
    second.undo()
    assert shared.socket is socket


def test_what_others_have_set_meanwhile_stays(library: Any) -> None:
    library(changed="import socket")
    import changed  # type: ignore[import-not-found]

    with patch.modules("changed"):
        changed.socket = "mine"
    assert changed.socket == "mine"


def test_a_stand_in_passes_on_what_is_set(library: Any) -> None:
    library(setting="import time\nimport threading")
    import setting  # type: ignore[import-not-found]

    with patch.modules("setting"):
        assert setting.time is not time
        assert setting.time.monotonic is time.monotonic
        setting.time.of_a_test = 1
        assert time.of_a_test == 1  # type: ignore[attr-defined]
        time.set_later = 2  # type: ignore[attr-defined]
        assert setting.time.set_later == 2
        with pytest.raises(AttributeError, match="no_such_name"):
            _ = setting.time.no_such_name
    del time.of_a_test, time.set_later  # type: ignore[attr-defined]


# --- subclasses -----------------------------------------------------------------------------------

SUBCLASSES = """
    import socket

    class Old(socket.socket):
        def __init__(self):
            socket.socket.__init__(self, socket.AF_INET, socket.SOCK_STREAM)
            self.settimeout(5)

        def close(self):
            socket.socket.close(self)

    class New(socket.socket):
        def __init__(self, *args, **kwargs):
            super(New, self).__init__(*args, **kwargs)
            self.asked = 0

        def recv(self, *args):
            self.asked += 1
            return super().recv(*args)

    class Newer(New):
        pass

    class Slots(socket.socket):
        __slots__ = ("more",)
"""


def test_a_stand_in_reads_what_the_module_has_now(
    library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`time.tzset`, or a program's `threading.excepthook`: a copy would be out of date."""
    library(reads_late="import threading\nimport time\n")
    module = importlib.import_module("reads_late")
    with patch.modules(module):
        assert module.time is not time
        monkeypatch.setattr(time, "timezone", 12345)
        monkeypatch.setattr(threading, "excepthook", print)
        assert (module.time.timezone, module.threading.excepthook) == (12345, print)
        assert set(dir(time)) <= set(dir(module.time))
        module.time.of_the_test = 1
        assert time.of_the_test == 1  # type: ignore[attr-defined]
        del module.time.of_the_test
        assert not hasattr(time, "of_the_test")


def test_what_is_replaced_in_a_standard_module_later_is_seen(
    library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a test's mock, or by PySocks: as without the patch."""
    names = ["socket.socket", "socket.getaddrinfo", "socket.has_ipv6", "ssl.SSLContext"]
    names += ["time.sleep", "time.monotonic", "queue.LifoQueue", "threading.Lock", "select.select"]
    library(looks_late="import queue, select, socket, ssl, threading, time")
    with patch.package("looks_late"):
        module = importlib.import_module("looks_late")
        for path in names:
            owner, name = path.split(".")
            stand_in = getattr(module, owner)
            before = getattr(stand_in, name)
            with mock.patch(path) as replaced:
                assert getattr(stand_in, name) is replaced
            assert getattr(stand_in, name) is before
            with mock.patch.object(stand_in, name) as replaced:
                assert getattr(stand_in, name) is replaced
            assert getattr(stand_in, name) is before
        assert module.time.sleep is not time.sleep


@pytest.mark.parametrize("loaded", [False, True], ids=["proxy later", "proxy loaded"])
@pytest.mark.parametrize("how", ["package", "everything"])
def test_a_class_that_a_program_puts_in_the_place_of_sockets_is_what_all_functions_make(
    library: Any, monkeypatch: pytest.MonkeyPatch, how: str, loaded: bool
) -> None:
    """A proxy's: what goes past it is seen by others."""
    library(
        proxied="""
            import socket
            from socket import create_connection, create_server

            def make():
                with create_server(("127.0.0.1", 0)) as listener:
                    client = create_connection(listener.getsockname())
                    accepted, _ = listener.accept()
                pair = socket.socketpair()
                number = socket.fromfd(client.fileno(), client.family, client.type)
                accepted.sendall(b"x")
                assert client.recv(1) == b"x"
                return [listener, client, accepted, *pair, number, client.dup(), socket.socket()]
        """,
        proxies="""
            import socket

            class Proxy(socket.socket):
                def __init__(self, *args, **kwargs):
                    super().__init__(*args, **kwargs)
                    self.proxied = True
        """,
    )
    if loaded:
        importlib.import_module("proxies")
    changes = patch.everything() if how == "everything" else patch.package("proxied", "proxies")
    with changes:
        make = importlib.import_module("proxied").make
        monkeypatch.setattr(socket, "socket", importlib.import_module("proxies").Proxy)
        for sock in make():
            assert sock.proxied and isinstance(sock, netpoll.socket.socket)
            sock.close()
        monkeypatch.undo()
        for sock in make():
            assert type(sock) is netpoll.socket.socket
            sock.close()


@pytest.mark.parametrize("name", ["time", "select", "socket", "queue", "threading", "os"])
def test_an_import_of_all_names_gives_all(library: Any, name: str) -> None:
    library(**{f"plain_{name}": f"from {name} import *", f"star_{name}": f"from {name} import *"})
    plain = importlib.import_module(f"plain_{name}")
    with patch.package(f"star_{name}"):
        star = importlib.import_module(f"star_{name}")
        assert set(vars(plain)) <= set(vars(star))
        changed = {key for key in vars(plain) if getattr(plain, key) is not getattr(star, key)}
        assert changed - {key for key in changed if key.startswith("__")}


def test_subclasses_of_sockets_wait_in_netpoll(library: Any) -> None:
    library(subclasses=SUBCLASSES)
    import subclasses  # type: ignore[import-not-found]

    def receive(kind: Any) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener, kind() as made:
            assert isinstance(made, kind)
            assert isinstance(made, netpoll.socket.socket)
            assert type(made).__name__ == kind.__name__
            made.connect(listener.getsockname())
            peer, _ = listener.accept()
            waiting = green.spawn(made.recv, 1)
            green.sleep(0.01)  # it would hold up this greenlet
            peer.send(b"x")
            assert waiting.get() == b"x"
            assert made.asked == 1
            peer.close()

    with patch.modules("subclasses"):
        with subclasses.Old() as old:
            assert isinstance(old, netpoll.socket.socket)
            assert old.gettimeout() == 5
        for kind in (subclasses.New, subclasses.Newer):
            in_hub(partial(receive, kind))
        with subclasses.Slots() as plain:
            assert not isinstance(plain, netpoll.socket.socket)  # there is no room for ours
    with subclasses.New() as after:
        assert type(after) is subclasses.New


def test_sockets_that_exist_already_stay_what_they_are(library: Any) -> None:
    library(subclasses=SUBCLASSES)
    import subclasses

    made = subclasses.New()
    with patch.modules("subclasses"):
        made.settimeout(0.01)
        with pytest.raises(OSError, match=r"not connected|timed out"):
            made.recv(1)
        made.close()


# --- the standard modules themselves --------------------------------------------------------------


@pytest.mark.parametrize("how", [patch.modules, patch.package])
@pytest.mark.parametrize(
    "name",
    ["socket", "ssl", "select", "selectors", "threading", "queue", "subprocess", "time"],
)
def test_a_standard_module_is_patched_for_everyone(how: Any, name: str) -> None:
    module = importlib.import_module(name)
    before = dict(vars(module))
    with how(name):
        changed = {key for key, value in vars(module).items() if before.get(key) is not value}
        assert changed
    assert vars(module) == before


def test_sockets_of_a_patched_socket_module() -> None:
    with patch.modules("socket", "ssl"):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = socket.create_connection(listener.getsockname())
            server, _ = listener.accept()
        a, b = socket.socketpair()
        for sock in (client, server, a, b, socket.socket(), client.dup()):
            assert type(sock) is netpoll.socket.socket
            number = sock.detach()
            with socket.fromfd(number, socket.AF_INET, socket.SOCK_STREAM) as again:
                assert type(again) is netpoll.socket.socket
            socket.close(number)
        import ssl

        context = ssl.create_default_context()
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        assert context.minimum_version == ssl.TLSVersion.TLSv1_3


def test_a_class_that_is_set_by_hand() -> None:
    """As PySocks documents it, without netpoll.patch."""
    names = ("socket", "create_connection", "getaddrinfo", "create_server", "socketpair")
    with pytest.MonkeyPatch.context() as monkey:
        for name in names:
            monkey.setattr(socket, name, getattr(netpoll.socket, name))
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = socket.create_connection(listener.getsockname())
            accepted, _ = listener.accept()
            accepted.close()
            with client.dup() as copy:
                assert type(copy) is netpoll.socket.socket
            socket.close(client.detach())
        for sock in socket.socketpair():
            sock.close()


# --- waiting --------------------------------------------------------------------------------------


def test_sleep_and_join_park_the_greenlet(library: Any) -> None:
    library(waiting="import threading, time")
    import waiting  # type: ignore[import-not-found]

    ticks: list[int] = []

    def tick() -> None:
        while True:
            ticks.append(1)
            green.sleep(0.005)

    def main() -> None:
        ticking = green.spawn(tick)
        waiting.time.sleep(0.1)
        assert len(ticks) > 1
        del ticks[:]
        thread = waiting.threading.Thread(target=time.sleep, args=(0.1,))
        with pytest.raises(RuntimeError, match="before it is started"):
            thread.join()
        thread.start()
        thread.join(0.01)
        assert thread.is_alive()
        joiners = [green.spawn(thread.join) for _ in range(3)]
        thread.join()
        assert not thread.is_alive()
        for joiner in joiners:
            joiner.join()
        assert len(ticks) > 1
        with pytest.raises(RuntimeError, match="current thread"):
            threading.current_thread().join()
        ticking.kill()
        ticking.join()

    with patch.modules("waiting"):
        in_hub(main)


@needs_fork
def test_waitpid_outlives_the_poller_of_its_hub(library: Any) -> None:
    library(waiting="import os")
    module: Any = importlib.import_module("waiting")

    def main() -> None:
        child = os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "0.1")
        waiting = green.spawn(module.os.waitpid, child, 0)
        green.sleep(0.01)
        green.get_hub().poller.close()
        assert waiting.get() == (child, 0)

    with patch.modules("waiting"):
        in_hub(main)


@pytest.mark.parametrize("seconds", [-1, float("nan"), "1", None, 1e30])
def test_sleep_has_the_standard_errors(seconds: Any) -> None:
    with pytest.raises(Exception) as standard:
        time.sleep(seconds)
    standard_sleep = time.sleep

    def compare() -> None:
        assert time.sleep is not standard_sleep
        with pytest.raises(type(standard.value)) as ours:
            time.sleep(seconds)
        assert str(ours.value) == str(standard.value)

    with patch.modules("time"):
        in_hub(compare)


def test_a_class_of_children_that_is_older_than_the_patch_calls_its_base_by_name() -> None:
    class Child(std_subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            netpoll.subprocess.Popen.__init__(cast(Any, self), *args, **kwargs)

        def _execute_child(self, *args: Any, **kwargs: Any) -> None:
            netpoll.subprocess.Popen._execute_child(cast(Any, self), *args, **kwargs)

    with Child([sys.executable, "-c", "print(1)"], stdout=std_subprocess.PIPE) as child:
        assert child.communicate()[0].split() == [b"1"]
