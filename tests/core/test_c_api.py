"""Other extensions reach the one core through netpoll._C_API: what netpoll_api.h promises."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import netpoll
import pytest
from compiling import build_extension, load, needs_c_api, needs_compiler
from netpoll import READ, WRITE, PollDesc, Poller
from support import LONG, ROOT, TESTS, Sockets, ThreadTask, needs_sigint, until

HEADER = Path(netpoll.get_include()) / "netpoll_api.h"
PROBE = TESTS / "capi" / "probe.c"

pytestmark = [needs_compiler, needs_c_api]

NP_OK, NP_TIMEOUT, NP_TIMED_OUT = 0, 2, 8


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    return load(build_extension(PROBE, tmp_path_factory.mktemp("probe")))


# --- what is shipped ------------------------------------------------------------------------------


def test_get_include_has_the_headers_that_the_package_was_built_from() -> None:
    include = Path(netpoll.get_include())
    names = {"netpoll.h", "netpoll_api.h", "netpoll_iocp.h"}
    assert {path.name for path in include.iterdir()} == names
    for source in (ROOT / "csrc", ROOT / "python" / "ext"):
        for name in names:
            if (source / name).exists():
                assert (include / name).read_bytes() == (source / name).read_bytes(), name


def members() -> list[str]:
    (table,) = re.findall(
        r"typedef struct netpoll_api \{(.*?)\} netpoll_api;", HEADER.read_text(), re.S
    )
    return re.findall(r"\(\*(\w+)\)\(", table)


def test_every_function_of_the_public_header_is_in_the_table() -> None:
    """A new one belongs there too, at the end once there was a release."""
    header = (HEADER.parent / "netpoll.h").read_text()
    (text,) = re.findall(r"/\* cdef: begin \*/(.*)/\* cdef: end \*/", header, re.S)
    functions = re.findall(r"\bnp_(\w+)\(", re.sub(r"/\*.*?\*/", "", text, flags=re.S))
    assert functions == members()[: len(functions)]


@pytest.mark.skipif(not (ROOT / "python" / "ext").exists(), reason="the sources are not here")
def test_each_member_of_the_table_is_the_function_of_its_name() -> None:
    """Two functions of one type may stand in each other's place, and nothing but this sees it."""
    source = (ROOT / "python" / "ext" / "capi.c").read_text()
    (text,) = re.findall(r"static const netpoll_api table = \{(.*?)\n\};", source, re.S)
    pairs = dict(re.findall(r"\.(\w+) = (\w+),", text))
    assert pairs.keys() >= set(members())
    of_the_core = [name for name in members() if pairs[name].startswith("np_")]
    without_the_gil = [name for name in members() if name.endswith("_nogil")]
    assert {"wait", "wait_canceled", "poll", "features"} <= set(of_the_core)
    for names, prefix in (of_the_core, "np_"), (without_the_gil, "ext_"):
        assert {name: pairs[name] for name in names} == {name: prefix + name for name in names}


@pytest.mark.parametrize("flags", ["", "-DPy_LIMITED_API=0x030a0000"])
def test_the_header_compiles_in_the_stable_abi_and_outside_of_it(
    tmp_path: Path, flags: str
) -> None:
    if flags and sysconfig.get_config_var("Py_GIL_DISABLED"):
        pytest.skip("a free-threaded CPython has no stable ABI")
    assert load(build_extension(PROBE, tmp_path, flags)).__name__ == "probe"


@pytest.mark.skipif(shutil.which("c++") is None, reason="there is no C++ compiler")
def test_the_header_is_c_plus_plus_too(tmp_path: Path) -> None:
    source = tmp_path / "use.cpp"
    source.write_text(
        "#include <netpoll_api.h>\nconst netpoll_api *f() { return netpoll_import(); }\n"
    )
    command = ["c++", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I", netpoll.get_include()]
    command += ["-isystem", sysconfig.get_path("include"), str(source)]
    done = subprocess.run(command, text=True, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


# --- the version ----------------------------------------------------------------------------------


def built_for(major: int, minor: int, folder: Path) -> Path:
    """The probe, compiled with the headers of another netpoll."""
    include = folder / "include"
    shutil.copytree(netpoll.get_include(), include)
    text = HEADER.read_text()
    for name, value in {"MAJOR": major, "MINOR": minor}.items():
        text, n = re.subn(rf"(#define NETPOLL_ABI_{name}) \d+", rf"\1 {value}", text)
        assert n == 1
    (include / "netpoll_api.h").write_text(text)
    return build_extension(PROBE, folder, include=include)


def abi() -> tuple[int, int]:
    found = re.search(r"ABI_MAJOR (\d+)\n#define NETPOLL_ABI_MINOR (\d+)", HEADER.read_text())
    assert found
    return int(found[1]), int(found[2])


@pytest.mark.parametrize(
    ("more_major", "more_minor", "advice"),
    [
        (1, 0, "install a later netpoll"),
        (0, 1, "compile this extension anew|install a later netpoll"),
        (-1, 0, "compile this extension anew"),
    ],
)
def test_another_abi_is_refused_with_both_versions_named(
    tmp_path: Path, more_major: int, more_minor: int, advice: str
) -> None:
    major, minor = abi()
    module = built_for(major + more_major, minor + more_minor, tmp_path)
    wanted = rf"version {major + more_major}\.{minor + more_minor} .*has version {major}\.{minor}: "
    with pytest.raises(ImportError, match=f"{wanted}({advice})"):
        load(module)


def test_without_a_capsule_the_import_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = build_extension(PROBE, tmp_path)
    monkeypatch.delattr(netpoll, "_C_API")
    with pytest.raises(ImportError, match="no C interface"):
        load(module)


# --- objects --------------------------------------------------------------------------------------


def test_objects_of_python_are_reached_from_c(
    probe: ModuleType, poller: Poller, sockets: Sockets
) -> None:
    here, _ = sockets.pair()
    with poller.open(here) as desc:
        assert probe.desc_fd(desc) == here.fileno()
        assert probe.poller_backend(poller) == poller.backend


@pytest.mark.parametrize("wrong", [None, 7, "desc", object()])
def test_other_objects_are_a_type_error(probe: ModuleType, wrong: object) -> None:
    with pytest.raises(TypeError, match="not a PollDesc"):
        probe.desc_fd(wrong)
    with pytest.raises(TypeError, match="not a Poller"):
        probe.poller_backend(wrong)


def test_objects_that_were_never_initialised_are_an_error(probe: ModuleType) -> None:
    with pytest.raises((RuntimeError, TypeError)):
        probe.desc_fd(PollDesc.__new__(PollDesc))
    with pytest.raises((RuntimeError, TypeError)):
        probe.poller_backend(Poller.__new__(Poller))


def test_what_c_made_is_wrapped_for_python(probe: ModuleType, sockets: Sockets) -> None:
    here, there = sockets.pair()
    with probe.new_poller() as poller, probe.open_desc(poller, here.fileno()) as desc:
        assert isinstance(poller, Poller) and isinstance(desc, PollDesc)
        assert desc.fd == here.fileno() and desc.poller is poller
        token = object()
        desc.reset(READ)
        assert desc.park(READ, token)
        there.send(b"x")
        assert poller.poll(LONG) == [token] and desc.resume(READ)
    assert desc.closed and poller.closed


def test_a_wrapped_descriptor_that_is_forgotten_warns_and_closes(
    probe: ModuleType, poller: Poller, sockets: Sockets
) -> None:
    here, _ = sockets.pair()
    with pytest.warns(ResourceWarning, match="unclosed"):
        probe.open_desc(poller, here.fileno())
    poller.open(here).close()


def test_the_errors_of_open_are_those_of_python(probe: ModuleType, poller: Poller) -> None:
    with pytest.raises(OSError):
        probe.open_desc(poller, 987654)


def test_a_descriptor_is_wrapped_on_its_own_poller_only(
    probe: ModuleType, poller: Poller, backend: str, sockets: Sockets
) -> None:
    here, _ = sockets.pair()
    refused = pytest.raises(ValueError, match="another poller")
    with poller.open(here) as desc, Poller(backend) as other, refused:
        probe.wrap_on(other, desc)


# --- waiting --------------------------------------------------------------------------------------

WAITS = ["wait_with_gil", "wait_without_gil", "wait_in_stranger"]


def outcome(wait: Callable[[PollDesc, int], Any], desc: PollDesc) -> object:
    """NP_OK, or the error's class; the stranger has no Python to raise it in."""
    try:
        result = wait(desc, READ)
    except netpoll.PollError as error:
        return type(error)
    return {None: NP_OK, 1: netpoll.ClosedError, NP_TIMEOUT: netpoll.DeadlineExceeded}.get(
        result, result
    )


@pytest.mark.rule(3)
def test_wait_canceled_knows_no_deadline(
    probe: ModuleType, poller: Poller, sockets: Sockets
) -> None:
    here, there = sockets.pair()
    with poller.open(here) as desc:
        desc.set_deadline(0)
        assert outcome(probe.wait_with_gil, desc) is netpoll.DeadlineExceeded
        sender = threading.Timer(0.02, there.send, (b"x",))
        sender.start()
        assert outcome(probe.wait_canceled, desc) == NP_OK
        sender.join()


@pytest.mark.parametrize("name", WAITS)
@pytest.mark.parametrize("end", ["readiness", "deadline", "close"])
def test_a_wait_in_c_ends_as_one_in_python(
    probe: ModuleType, poller: Poller, sockets: Sockets, name: str, end: str
) -> None:
    here, there = sockets.pair()
    with poller.open(here) as desc:
        act, wanted = {
            "readiness": (lambda: there.send(b"x"), NP_OK),
            "deadline": (lambda: desc.set_deadline(0.01), netpoll.DeadlineExceeded),
            "close": (desc.close, netpoll.ClosedError),
        }[end]
        waiter = ThreadTask("waiter", outcome, (getattr(probe, name), desc))
        until(lambda: poller.stats().parked_readers == 1, "it waits")
        act()
        assert waiter.result() == wanted


@needs_sigint
@pytest.mark.parametrize("name", ["wait_with_gil", "wait_without_gil"])
def test_signal_handlers_run_while_c_waits(
    probe: ModuleType, poller: Poller, sockets: Sockets, name: str
) -> None:
    here, _ = sockets.pair()

    def handler(*_: object) -> None:
        raise InterruptedError("the handler's")

    before = signal.signal(signal.SIGUSR1, handler)
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        until(lambda: poller.stats().parked_readers == 1, "it waits")
        signal.pthread_kill(main, signal.SIGUSR1)

    try:
        with poller.open(here) as desc:
            sender = ThreadTask("sender", interrupt, ())
            with pytest.raises(InterruptedError, match="the handler's"):
                getattr(probe, name)(desc, READ)
            sender.result()
            assert not desc.closed and poller.stats().parked_readers == 0
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_c_schedules_tokens_of_its_own(probe: ModuleType, sockets: Sockets) -> None:
    here, there = sockets.pair()
    assert probe.park_and_poll(here.fileno(), 10) == (12345, NP_TIMEOUT)
    there.send(b"x")
    assert probe.park_and_poll(here.fileno(), 60_000) in {(12345, NP_OK), (0, NP_OK)}


def test_c_has_files_and_semaphores_of_its_own(probe: ModuleType, sockets: Sockets) -> None:
    here, there = sockets.pair()
    number = here.detach()
    there.send(b"x")
    assert probe.read_in_stranger(os.dup(number)) == (NP_OK, "x", NP_OK, True)
    assert probe.read_in_stranger(number) == (NP_TIMED_OUT, "\0", NP_OK, True)


def test_other_threads_run_while_c_waits(
    probe: ModuleType, poller: Poller, sockets: Sockets
) -> None:
    """The core gives the GIL back, and only while it blocks."""
    here, there = sockets.pair()
    with poller.open(here) as desc:
        threading.Timer(0.05, there.send, [b"x"]).start()
        probe.wait_with_gil(desc, READ)
        probe.wait_with_gil(desc, WRITE)


# --- the example ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    source = ROOT / "examples" / "extension" / "relay.c"
    return load(build_extension(source, tmp_path_factory.mktemp("relay")))


def test_the_example_pumps_until_the_end(
    relay: ModuleType, poller: Poller, sockets: Sockets
) -> None:
    (left, client), (right, server) = sockets.pair(), sockets.pair()
    data = bytes(range(256)) * 4096  # more than the buffers of both sockets
    with poller.open(left) as source, poller.open(right) as sink:
        pump = ThreadTask("pump", relay.pump, (source, sink))
        sender = ThreadTask(
            "sender", lambda: (client.setblocking(True), client.sendall(data), client.close()), ()
        )
        server.setblocking(True)
        got = b""
        while len(got) < len(data):
            got += server.recv(65536)
        assert got == data and pump.result() == len(data)
        sender.result()


def test_the_example_obeys_deadlines_and_closing(
    relay: ModuleType, poller: Poller, sockets: Sockets
) -> None:
    (left, _), (right, _) = sockets.pair(), sockets.pair()
    with poller.open(left) as source, poller.open(right) as sink:
        source.set_deadline(0.01, READ)
        with pytest.raises(netpoll.DeadlineExceeded):
            relay.pump(source, sink)
        source.set_deadline(None)
        pump = ThreadTask("pump", relay.pump, (source, sink))
        until(lambda: poller.stats().parked_readers == 1, "it waits")
        source.close()
        with pytest.raises(netpoll.ClosedError):
            pump.result()


@pytest.mark.parametrize("name", ["extension", "cython"])
def test_the_example_builds_with_its_setup_and_its_demo_works(name: str, tmp_path: Path) -> None:
    if name == "cython":
        pytest.importorskip("Cython")
    example = tmp_path / name
    shutil.copytree(ROOT / "examples" / name, example, ignore=shutil.ignore_patterns("counting.c"))
    build = ["setup.py", "-q", "build_ext", "--inplace"]
    subprocess.run([sys.executable, *build], cwd=example, check=True, timeout=120)
    done = subprocess.run(
        [sys.executable, "demo.py"],
        cwd=example,
        text=True,
        capture_output=True,
        timeout=60,
        check=True,
    )
    deadline, end = done.stdout.splitlines()
    assert "read deadline exceeded" in deadline and end.endswith(" 1000000 bytes")
