"""The debug mode: leaks with their place, since when, a hub that is blocked."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import netpoll
import pytest
from netpoll import PollDesc, Poller
from support import needs_fork, needs_greenlet


def run(
    tmp_path: Path, script: str, blocked: float | None = None, debug: str = "1"
) -> tuple[str, str]:
    """In a file of its own, so that there are places to name: stdout and stderr."""
    path = tmp_path / "program.py"
    path.write_text(script)
    env = dict(os.environ, NETPOLL_DEBUG=debug, PYTHONWARNINGS="always::ResourceWarning")
    if blocked is not None:
        env["NETPOLL_DEBUG_BLOCKED"] = str(blocked)
    done = subprocess.run(
        [sys.executable, path], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


LEAK = """
import netpoll, socket

def connect():
    return netpoll.open(socks[0])

def leak():
    connect()
    netpoll.Poller()

socks = socket.socketpair()
leak()
for sock in socks:
    sock.close()
"""


def test_a_leak_is_warned_of_with_the_stack_that_opened_it(tmp_path: Path) -> None:
    _, err = run(tmp_path, LEAK)
    program = re.escape(str(tmp_path / "program.py"))
    module = rf">, opened\n  at {program}:12 in <module>\n"
    leak = rf"  at {program}:8 in leak\n  at {program}:5 in connect\n"
    assert re.search(rf"ResourceWarning: unclosed <netpoll.PollDesc .*{module}{leak}", err), err
    leak = rf"  at {program}:9 in leak\n"
    assert re.search(rf"ResourceWarning: unclosed <netpoll.Poller .*{module}{leak}", err), err


def test_a_socket_that_leaks_is_warned_of_with_its_place_too(tmp_path: Path) -> None:
    script = """
from netpoll import socket

def leak():
    here, there = socket.socketpair()
    there.close()
    with socket.socket():
        pass

leak()
"""
    _, err = run(tmp_path, script)
    program = re.escape(str(tmp_path / "program.py"))
    (places,) = re.findall(
        r"ResourceWarning: unclosed <netpoll.socket.*>, opened((?:\n  at .*)*)", err
    )
    assert re.match(
        rf"\n  at {program}:10 in <module>\n  at {program}:5 in leak(?:\n|$)", places
    ), err


def test_what_outlives_the_modules_is_no_error(tmp_path: Path) -> None:
    _, err = run(tmp_path, "import builtins, netpoll\nbuiltins.keep = netpoll.Poller()\n")
    assert "Exception ignored" not in err and "unclosed <netpoll.Poller" in err


def test_without_the_mode_the_warning_is_the_usual_one(tmp_path: Path) -> None:
    for off in ("", "0"):
        _, err = run(tmp_path, LEAK, debug=off)
        assert "unclosed <netpoll.PollDesc" in err and "opened" not in err


def test_what_is_closed_is_not_warned_of(tmp_path: Path) -> None:
    _, err = run(
        tmp_path,
        """
import netpoll, socket
here, there = socket.socketpair()
with here, there, netpoll.Poller() as poller:
    with poller.open(here):
        pass
    poller.open(there).close()
    netpoll.open(there).close()
try:
    poller.open(here)
except netpoll.ClosedError:
    pass
""",
    )
    assert err == ""


def test_the_dump_tells_since_when_and_where_it_was_opened(tmp_path: Path) -> None:
    out, _ = run(
        tmp_path,
        """
import netpoll, socket, sys, time
here, there = socket.socketpair()
with here, there, netpoll.open(here) as desc:
    assert desc.park(netpoll.READ, "token")
    time.sleep(0.2)
    netpoll.dump(sys.stdout)
    desc.cancel(netpoll.READ)
""",
    )
    (seconds,) = re.findall(r"read: token 'token', for (\d+\.\d+) s\n", out)
    assert 0.2 <= float(seconds) < 30
    assert re.search(rf"\n    opened at {re.escape(str(tmp_path))}.*:4 in <module>\n", out)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell the mode of a socket")
def test_a_wait_for_a_descriptor_in_blocking_mode_is_reported_once(tmp_path: Path) -> None:
    _, err = run(
        tmp_path,
        """
import netpoll, socket

a, b = socket.socketpair()
c, d = socket.socketpair()
c.setblocking(False)
with a, b, c, d, netpoll.open(a) as blocks, netpoll.open(c) as does_not:
    b.send(b"x"), d.send(b"x")
    for desc in (blocks, does_not):
        desc.wait(netpoll.READ)
    desc = blocks
    b.send(b"x")
    desc.wait(netpoll.READ)
""",
    )
    assert len(re.findall(r"^fd \d+ is in blocking mode: setblocking\(False\)$", err, re.M)) == 1


BLOCK = """
import time
from netpoll import green

def burn(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass

def main():
    green.spawn(green.sleep, 1)
    green.sleep(0.05)
    {culprit}
    green.sleep(0.05)

green.run(main)
"""


@needs_greenlet
def test_a_hub_that_is_blocked_is_reported_once_with_the_stack(tmp_path: Path) -> None:
    _, err = run(tmp_path, BLOCK.format(culprit="burn(1)"), blocked=0.2)
    (seconds,) = re.findall(r"hub of thread \w+ has been blocked for (\d+\.\d+) s; 1 other", err)
    assert 0.2 <= float(seconds) < 1.1
    assert re.search(r'program.py", line \d+, in main\n.*\n.*program.py", line \d+, in burn', err)


def reports_of_main(err: str) -> list[str]:
    """Those of the culprit; the start may take longer than a short threshold too."""
    reports = err.split("the hub of thread ")[1:]
    return [one for one in reports if re.search(r'program.py", line \d+, in main\n', one)]


@needs_greenlet
def test_a_hub_is_reported_too_if_the_culprit_keeps_the_gil(tmp_path: Path) -> None:
    """The watchdog hears of it only afterwards."""
    holder = """re.match(r"(a+)+$", "a" * 24 + "b") and None"""
    script = BLOCK.replace("import time", "import re, time").format(culprit=holder)
    _, err = run(tmp_path, script, blocked=0.1)
    assert len(reports_of_main(err)) == 1, err


@needs_greenlet
def test_a_hub_is_reported_too_if_the_watchdog_was_late(tmp_path: Path) -> None:
    """On a machine that is busy it may get no turn until the culprit has gone on."""
    late = "import netpoll\n    with netpoll._hooks.new_hub.__self__.lock: burn(0.4)"
    _, err = run(tmp_path, BLOCK.format(culprit=late), blocked=0.1)
    (report,) = reports_of_main(err)
    # Without a GIL the culprit may wait again by then, and is one of the others.
    assert float(re.findall(r"blocked for (\d+\.\d+) s; \d other", report)[0]) >= 0.4, report


@needs_greenlet
@pytest.mark.parametrize(
    "culprit",
    [
        "green.sleep(1)",  # the hub sleeps in its poller, which is its work
        "[(burn(0.01), green.sleep(0)) for _ in range(60)]",
        "[burn(0.01) for _ in range(5)]",
    ],
)
def test_a_hub_that_is_not_blocked_is_not_reported(tmp_path: Path, culprit: str) -> None:
    _, err = run(tmp_path, BLOCK.format(culprit=culprit), blocked=0.4)
    assert "blocked" not in err


@needs_greenlet
def test_a_greenlet_that_is_alone_keeps_nobody_from_running(tmp_path: Path) -> None:
    script = BLOCK.format(culprit="burn(0.5)").replace("green.spawn(green.sleep, 1)", "pass")
    _, err = run(tmp_path, script, blocked=0.1)
    assert "blocked" not in err


@needs_greenlet
@needs_fork
def test_the_watchdog_goes_on_in_a_forked_child(tmp_path: Path) -> None:
    script = BLOCK.format(culprit="burn(0.5)").replace(
        "green.run(main)",
        "import os\ngreen.run(green.sleep, 0.01)\npid = os.fork()\nif pid:\n"
        "    os.waitpid(pid, 0)\nelse:\n    green.run(main)",
    )
    _, err = run(tmp_path, script, blocked=0.1)
    assert err.count("has been blocked") == 1


def test_a_threshold_that_is_no_number_is_refused() -> None:
    for wrong in ("soon", "0", "-1", "nan"):
        env = dict(os.environ, NETPOLL_DEBUG="1", NETPOLL_DEBUG_BLOCKED=wrong)
        command = [sys.executable, "-c", "import netpoll"]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 1 and f"NETPOLL_DEBUG_BLOCKED='{wrong}'" in done.stderr


def test_the_mode_costs_nothing_when_it_is_off() -> None:
    """No method is wrapped, nothing is recorded, no module of it is loaded."""
    if os.environ.get("NETPOLL_DEBUG", "0") not in {"", "0"}:
        pytest.skip("the suite itself runs in the debug mode")
    assert "netpoll._inspect.debug" not in sys.modules and netpoll._hooks.new_hub is None
    assert not hasattr(PollDesc.__init__, "__wrapped__")
    assert not hasattr(Poller.__init__, "__wrapped__")
