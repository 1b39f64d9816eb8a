"""Seeing inside: netpoll.dump, and the report that a signal writes."""

from __future__ import annotations

import io
import re
import signal
import socket
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import netpoll
import pytest
from netpoll import READ, WRITE, ClosedError, PollDesc, Poller
from support import (
    LONG,
    WINDOWS,
    Sockets,
    Stage,
    ThreadTask,
    check_python,
    needs_greenlet,
    needs_sigint,
    park_surely,
    python,
    turns,
    until,
    waits,
)

FOR = r"for \d+\.\d s"  # how long it has waited


def dumped(**options: Any) -> str:
    out = io.StringIO()
    netpoll.dump(out, **options)
    return out.getvalue()


def section(text: str, desc: PollDesc) -> str:
    """What the dump says of one descriptor."""
    (found,) = re.findall(rf"^  fd {desc.fd} .*\n(?:    .*\n)*", text, re.M)
    return str(found)


def wait_to_be_closed(desc: PollDesc, mode: int = READ) -> None:
    with pytest.raises(ClosedError):
        desc.wait(mode)


# --- what it says ---------------------------------------------------------------------------------


def test_it_names_the_thread_that_waits_where_and_until_when(
    poller: Poller, sockets: Sockets
) -> None:
    here, _ = sockets.pair()
    with poller.open(here) as desc:
        desc.set_deadline(90, READ)
        waiter = ThreadTask("the reader", wait_to_be_closed, (desc,))
        until(lambda: poller.stats().parked_readers == 1, "it waits")
        text = section(dumped(), desc)
        desc.close()
        waiter.result()
    assert re.search(
        rf"read: thread the reader \(0x\w+\), {FOR}, deadline in [5-9]\d\.\d+ s\n", text
    )
    assert re.search(rf"at {re.escape(__file__)}:\d+ in wait_to_be_closed\n", text), text


def test_it_names_the_greenlet_that_waits_and_where(greenlets: Stage, sockets: Sockets) -> None:
    here, _ = sockets.pair()
    with greenlets.poller.open(here) as desc:
        task = greenlets.spawn(wait_to_be_closed, desc)
        greenlets.until(lambda: greenlets.poller.stats().parked_readers == 1, "it waits")
        text, stacks = section(dumped(), desc), section(dumped(stacks=True), desc)
        desc.close()
        task.result()
    assert re.search(rf"read: <netpoll.Greenlet .*started>, {FOR}\n", text), text
    assert re.search(rf"at {re.escape(__file__)}:\d+ in wait_to_be_closed\n", text), text
    assert stacks.count("      at ") > text.count("      at ") == 1
    assert ", the hub's of thread the hub's thread (" in dumped()


def test_it_follows_a_token_from_park_to_resume(poller: Poller, sockets: Sockets) -> None:
    here, _ = sockets.pair()
    with poller.open(here) as desc:
        park_surely(desc, READ, ("request", 7))
        assert re.search(rf"read: token \('request', 7\), {FOR}\n", section(dumped(), desc))
        desc.set_deadline(0, READ)
        text = section(dumped(), desc)
        assert "read: token ('request', 7), ready, deadline exceeded\n" in text
        assert poller.poll() == [("request", 7)]
        assert "read: token ('request', 7), given out by poll" in section(dumped(), desc)
        with pytest.raises(netpoll.DeadlineExceeded):
            desc.resume(READ)
        assert "    read: deadline exceeded\n" in section(dumped(), desc)


def test_a_remembered_notification_is_shown(poller: Poller, sockets: Sockets) -> None:
    here, there = sockets.pair()
    with poller.open(here) as desc, poller.open(there) as other:
        park_surely(other, READ, "token")
        desc.wait(WRITE)
        assert "write: ready" not in section(dumped(), desc)
        here.send(b"x")
        assert poller.poll(LONG) == ["token"]
        assert not other.cancel(READ)  # it is out; its notification stays
        assert "    read: ready\n" in section(dumped(), other)


def test_an_evicted_descriptor_is_marked_and_a_closed_one_is_gone(
    poller: Poller, sockets: Sockets
) -> None:
    here, _ = sockets.pair()
    desc = poller.open(here)
    desc.unblock()
    assert "evicted" in section(dumped(), desc).splitlines()[0]
    desc.close()
    assert f"  fd {desc.fd} " not in dumped()


def test_a_pollers_line_counts(poller: Poller, sockets: Sockets) -> None:
    here, _ = sockets.pair()
    with poller.open(here) as desc:
        park_surely(desc, READ, "token")
        poller.wake()
        pattern = r"^(poller .*)\n(  since .*)\n  fd .*\n    read: token"
        ((line, counters),) = re.findall(pattern, dumped(), re.M)
    assert f"{poller.backend}: 1 descriptors, 0 polling, 0 threads waiting, 0 tokens ready" in line
    assert line.endswith("wake pending")
    assert re.fullmatch(r"  since it was made: \d+ polls, \d+ events, 0 stale, 0 .*", counters)


def test_the_default_poller_is_called_so(sockets: Sockets) -> None:
    here, _ = sockets.pair()
    with netpoll.default_poller().open(here):
        assert "the default poller: 1 descriptors" in dumped()


@pytest.mark.parametrize(
    ("make", "wanted"),
    [
        (lambda s: s.bind(("127.0.0.1", 0)), r"tcp 127\.0\.0\.1:\d+, not connected"),
        (lambda s: (s.bind(("127.0.0.1", 0)), s.listen()), r"tcp 127\.0\.0\.1:\d+, listening"),
    ],
)
def test_a_socket_is_shown_by_its_address(
    poller: Poller, make: Callable[[socket.socket], object], wanted: str
) -> None:
    with socket.socket() as sock:
        make(sock)
        sock.setblocking(False)
        with poller.open(sock) as desc:
            assert re.match(rf"  fd {desc.fd} {wanted}\n", section(dumped(), desc))


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_connection_is_shown_by_both_its_addresses(poller: Poller, address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        listener = socket.create_server((address, 0), family=family)
    except OSError:
        pytest.skip(f"this machine has no {address}")
    with listener, socket.create_connection(listener.getsockname()[:2]) as client:
        server, _ = listener.accept()
        with server, poller.open(server) as desc:
            text = section(dumped(), desc).splitlines()[0]
            here, there = server.getsockname()[1], client.getsockname()[1]
    shown = "[0:0:0:0:0:0:0:1]" if ":" in address else address
    assert text == f"  fd {desc.fd} tcp {shown}:{here} -> {shown}:{there}"


@pytest.mark.skipif(WINDOWS, reason="pipes are pollable on POSIX only")
def test_a_pipe_is_called_one(poller: Poller, sockets: Sockets) -> None:
    reader, _ = sockets.pipe()
    with poller.open(reader) as desc:
        assert section(dumped(), desc) == f"  fd {desc.fd} pipe\n"


# --- what it does not do --------------------------------------------------------------------------


def test_it_disturbs_nothing(poller: Poller, sockets: Sockets) -> None:
    """Dumps from a second thread while descriptors wait and turn ready: every byte arrives."""
    here, there = sockets.pair()
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            dumped(stacks=True)

    with poller.open(here) as desc:
        looker = ThreadTask("looker", look, ())
        for i in range(turns(200)):
            there.send(bytes([i]))
            while True:
                desc.reset(READ)
                try:
                    assert here.recv(10) == bytes([i])
                    break
                except BlockingIOError:
                    desc.wait(READ)
        done.set()
        looker.result()


def test_it_keeps_nothing_alive() -> None:
    check_python("""
        import gc, io, weakref, netpoll, socket
        gc.disable()
        here, there = socket.socketpair()
        with here, there:
            desc = netpoll.open(here)
            gone = weakref.ref(desc)
            netpoll.dump(io.StringIO(), stacks=True)
            desc.close()
            del desc
            assert gone() is None
    """)


class Broken:
    def __repr__(self) -> str:
        raise ZeroDivisionError


def test_a_token_whose_repr_fails_or_is_long_is_shown_all_the_same(
    poller: Poller, sockets: Sockets
) -> None:
    here, _ = sockets.pair()
    with poller.open(here) as desc:
        park_surely(desc, READ, Broken())
        assert "<Broken, whose repr raised ZeroDivisionError>" in dumped()
        assert desc.cancel(READ)
        park_surely(desc, READ, "x" * 10_000)
        assert len(section(dumped(), desc)) < 400


def test_many_pollers_and_descriptors_are_all_there(backend: str) -> None:
    socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(150)]
    for sock in socks:
        sock.bind(("127.0.0.1", 0))
    pollers = [Poller(backend) for _ in range(70)]
    descs = [pollers[-1].open(sock) for sock in socks]
    try:
        text = dumped()
        assert all(text.count(f"\n  fd {desc.fd} udp") == 1 for desc in descs)
        assert len(re.findall(r"^poller ", text, re.M)) >= 70
    finally:
        for thing in (*descs, *pollers, *socks):
            thing.close()


# --- when it works --------------------------------------------------------------------------------


def test_it_works_from_another_thread_while_the_main_one_blocks() -> None:
    out = check_python("""
        import netpoll, socket, sys, threading
        here, there = socket.socketpair()
        here.setblocking(False)
        desc = netpoll.open(here)
        def look():
            while netpoll.default_poller().stats().parked_readers == 0:
                pass
            netpoll.dump(sys.stdout)
            desc.close()
        threading.Thread(target=look).start()
        try:
            desc.wait(netpoll.READ)
        except netpoll.ClosedError:
            print("closed")
    """)
    assert "read: thread MainThread" in out and out.endswith("closed\n")


@needs_sigint
@pytest.mark.parametrize("block", ["desc.wait(netpoll.READ)", "poller.poll(None)"])
def test_it_works_in_a_signal_handler_of_a_thread_that_blocks(block: str, backend: str) -> None:
    out = check_python(
        f"""
        import netpoll, os, signal, socket, sys, threading, time
        here, there = socket.socketpair()
        here.setblocking(False)
        poller = netpoll.default_poller()
        desc = netpoll.open(here)
        def handler(*_):
            netpoll.dump(sys.stdout)
            desc.close()
            poller.close()
        signal.signal(signal.SIGUSR1, handler)
        def send():
            time.sleep(0.2)
            os.kill(os.getpid(), signal.SIGUSR1)
        threading.Thread(target=send).start()
        try:
            {block}
        except netpoll.ClosedError:
            print("closed")
        """,
        backend=backend,
    )
    assert "seen by thread MainThread" in out and out.endswith("closed\n")
    assert re.search(r"\n  fd \d+ unix ", out)


def test_a_file_that_is_being_written_to_is_written_to_all_the_same() -> None:
    class Busy(io.StringIO):
        def __init__(self, fd: int) -> None:
            super().__init__()
            self.fd = fd

        def fileno(self) -> int:
            return self.fd

        def write(self, text: str) -> int:
            raise RuntimeError("reentrant call inside <_io.BufferedWriter>")

    with tempfile.TemporaryFile("w+") as file:
        netpoll.dump(Busy(file.fileno()))
        file.seek(0)
        assert file.read().startswith("netpoll, seen by")


# --- on a signal ----------------------------------------------------------------------------------

KILL_LATER = """
import ctypes, netpoll, os, signal, socket, subprocess, sys, threading, time
def kill_later(signum=signal.SIGUSR1):
    script = f"import os, time; time.sleep(0.3); os.kill({os.getpid()}, {int(signum)})"
    return subprocess.Popen([sys.executable, "-c", script])
here, there = socket.socketpair()
here.setblocking(False)
desc = netpoll.open(here)
desc.set_deadline(60, netpoll.READ)
"""


def reported(script: str) -> str:
    """What a script's report wrote to stderr; it prints "done" at its end."""
    done = python(KILL_LATER + script)
    assert done.returncode == 0 and done.stdout == "done\n", done.stdout + done.stderr
    return done.stderr


@needs_sigint
def test_the_report_is_written_while_the_main_thread_blocks_in_the_core() -> None:
    text = reported("""
netpoll.dump_on_signal(signal.SIGUSR1)
killer = kill_later()
threading.Thread(target=lambda: (killer.wait(), time.sleep(0.3), desc.close())).start()
try:
    desc.wait(netpoll.READ)
except netpoll.ClosedError:
    print("done")
""")
    assert text.startswith("netpoll:\npoller 0x")
    assert re.search(rf"read: thread 0x\w+, {FOR}, deadline in [2-5]\d\.\d+ s\n", text), text


@needs_sigint
def test_the_report_is_written_while_c_code_holds_the_gil() -> None:
    """sleep() is cut short by the signal, and tells so; no Python runs before."""
    text = reported("""
libc = ctypes.PyDLL(None)
netpoll.dump_on_signal(signal.SIGUSR1)
killer = kill_later()
assert libc.sleep(20) > 0
killer.wait()
desc.close()
print("done")
""")
    assert re.search(r"\n    read: idle, deadline in [2-5]\d\.\d+ s\n", text), text


@needs_sigint
def test_the_report_goes_to_a_file_and_chains_to_the_handler_before() -> None:
    text = reported("""
import tempfile
seen = []
signal.signal(signal.SIGUSR1, lambda *_: seen.append("handler"))
with tempfile.TemporaryFile("w+") as file:
    netpoll.dump_on_signal(signal.SIGUSR1, file, chain=True)
    for n in (1, 2):
        os.kill(os.getpid(), signal.SIGUSR1)
        assert seen == ["handler"] * n
    netpoll.cancel_dump_on_signal(signal.SIGUSR1)
    os.kill(os.getpid(), signal.SIGUSR1)
    assert seen == ["handler"] * 3
    file.seek(0)
    assert file.read().count("poller 0x") == 2
print("done")
""")
    assert text == ""


@needs_sigint
def test_without_chaining_the_handler_before_does_not_run() -> None:
    text = reported("""
signal.signal(signal.SIGUSR1, lambda *_: print("the handler's"))
netpoll.dump_on_signal(signal.SIGUSR1)
os.kill(os.getpid(), signal.SIGUSR1)
print("done")
""")
    assert text.startswith("netpoll:\n")


@needs_sigint
@pytest.mark.parametrize("signum", [0, -1, 100_000, 9])
def test_a_signal_that_cannot_be_handled_is_a_value_error(signum: int) -> None:
    with pytest.raises((ValueError, OverflowError)):
        netpoll.dump_on_signal(signum)


@needs_sigint
def test_a_file_without_a_descriptor_is_refused() -> None:
    with pytest.raises(io.UnsupportedOperation):
        netpoll.dump_on_signal(signal.SIGUSR1, io.StringIO())


@pytest.mark.skipif(not WINDOWS, reason="elsewhere there are such signals")
def test_on_windows_it_says_that_it_cannot() -> None:
    with pytest.raises(NotImplementedError):
        netpoll.dump_on_signal(signal.SIGTERM, 2)


@needs_sigint
def test_cancelling_what_was_not_registered_is_harmless() -> None:
    netpoll.cancel_dump_on_signal(signal.SIGUSR2)
    assert signal.getsignal(signal.SIGUSR2) == signal.SIG_DFL


# --- threads that wait in poll(2), outside the pollers --------------------------------------------


def test_a_thread_in_a_sockets_operation_is_shown(tmp_path: Path) -> None:
    text = check_python("""
        import sys, threading, time
        import netpoll, netpoll.socket
        here, there = netpoll.socket.socketpair()
        def receive():
            here.recv(10)
        here.set_read_deadline(90)
        thread = threading.Thread(target=receive, name="the reader")
        thread.start()
        end = time.monotonic() + 10
        import io
        while "the reader" not in (out := io.StringIO(), netpoll.dump(out))[0].getvalue():
            assert time.monotonic() < end
        print(out.getvalue())
        there.send(b"x")
        thread.join()
        here.close()
        there.close()
        out = io.StringIO()
        netpoll.dump(out)
        assert "the reader" not in out.getvalue()
    """)
    wanted = (
        r"fd \d+ \w+ .*\n"
        rf"    read: thread the reader \(0x\w+\), {FOR}, deadline in [5-9]\d\.\d+ s\n"
    )
    assert re.search(wanted + r"      at <string>:\d+ in receive\n", text), text


# --- what waits at semaphores and timers -------------------------------------------------------


def test_threads_and_tokens_at_a_semaphore_are_shown_by_its_name(poller: Poller) -> None:
    queue = netpoll.Sema(name="queue of jobs")
    where = rf"queue of jobs at {re.search('0x[0-9a-f]+', repr(queue))[0]}"  # type: ignore[index]
    waiter = ThreadTask("the worker", queue.acquire, (90,))
    until(lambda: waits("queue of jobs") == 1, "it waits")
    token = queue.park(poller, ("job", 7))
    text = dumped()
    assert f"{poller.backend}: 0 descriptors" in text and ", 1 at semaphores and timers" in text
    assert re.search(rf"^  {where}: token \('job', 7\), {FOR}$", text, re.M), text
    assert re.search(
        rf"^threads at semaphores: 1\n  {where}: thread the worker \(0x\w+\), {FOR}, "
        r"deadline in [5-9]\d\.\d+ s$",
        text,
        re.M,
    ), text
    queue.release(2)
    assert waiter.result() is True
    text = dumped()
    assert re.search(rf"^  {where}: token \('job', 7\), ready, {FOR}$", text, re.M), text
    assert poller.poll(LONG) == [("job", 7)] and token is not None and token.resume()
    assert "queue of jobs" not in dumped()


def test_timers_are_shown_with_what_is_left(poller: Poller) -> None:
    named = netpoll.Timer(poller, "a token", 90, name="heart\x1bbeat\n")
    nameless = netpoll.Timer(poller, Broken(), None)
    text = dumped()
    assert re.search(
        rf"^  heart\?beat\?: token 'a token', {FOR}, deadline in [5-9]\d\.\d+ s$", text, re.M
    ), text
    assert re.search(r"^  timer: token <Broken, whose repr raised ZeroDiv.*$", text, re.M), text
    assert named.cancel() and nameless.cancel()


def test_a_name_that_is_cut_inside_a_character_is_shown(poller: Poller) -> None:
    timer = netpoll.Timer(poller, "token", None, name="é" * 40)
    assert re.search(r"^  é{19}: token 'token', ", dumped(), re.M), dumped()
    timer.cancel()


@needs_greenlet
def test_a_hub_that_is_deadlocked_shows_what_waits_for_what() -> None:
    text = check_python("""
        import sys, threading, time
        import netpoll
        from netpoll import green
        from support import waits
        left, right = netpoll.Sema(1, name="left"), netpoll.Sema(1, name="right")
        def take(first, second):
            first.acquire()
            green.sleep(0)
            second.acquire()
            second.release()
        def dump():
            while not (waits("left") and waits("right")):
                time.sleep(0.001)
            netpoll.dump(sys.stdout)
            left.release()
            right.release()
        thread = threading.Thread(target=dump)
        thread.start()
        def main():
            both = [green.spawn(take, left, right), green.spawn(take, right, left)]
            for one in both:
                one.join()
        green.run(main)
        thread.join()
    """)
    for name in ("left", "right"):
        wanted = rf"  {name} at 0x\w+: <netpoll.Greenlet take .*>, {FOR}\n"
        assert re.search(wanted + r" +at <string>:\d+ in take\n", text), text


@needs_greenlet
def test_a_scheduler_whose_tokens_are_greenlets_shows_where_they_wait(poller: Poller) -> None:
    import greenlet

    sema = netpoll.Sema(name="somebody")

    def body() -> None:
        waiter = sema.park(poller, greenlet.getcurrent())
        assert waiter is not None
        main.switch()
        assert waiter.resume()

    main = greenlet.getcurrent()
    child = greenlet.greenlet(body)
    child.switch()
    text = dumped()
    assert re.search(rf"  somebody at 0x\w+: <greenlet.greenlet .*, {FOR}\n", text), text
    assert re.search(rf" +at {re.escape(__file__)}:\d+ in body\n", text), text
    sema.release()
    assert poller.poll(LONG) == [child]
    child.switch()


QUEUED = """
    import contextlib, io, sys, threading, time
    import netpoll, netpoll.socket
    from support import waits
    here, there = netpoll.socket.socketpair()
    def receive():
        with contextlib.suppress(netpoll.ClosedError):
            here.recv(10)
"""


def test_a_thread_that_queues_for_a_socket_is_shown() -> None:
    text = check_python(f"""{QUEUED}
    threads = [threading.Thread(target=receive, name=name) for name in ("the first", "the second")]
    threads[0].start()
    time.sleep(0.1)
    threads[1].start()
    while not waits("turn to read"):
        time.sleep(0.001)
    netpoll.dump(sys.stdout)
    here.close()
    there.close()
    """)
    queue = r"threads at semaphores: 1\n  turn to read fd \d+ \w+ .*: "
    wanted = rf"thread the second \(0x\w+\), {FOR}\n +at <string>:\d+ in receive\n"
    assert re.search(queue + wanted, text), text


@needs_greenlet
def test_a_greenlet_that_queues_for_a_socket_is_shown() -> None:
    text = check_python(f"""{QUEUED}
    from netpoll import green
    def main():
        readers = [green.spawn(receive) for _ in range(2)]
        green.sleep(0.01)
        netpoll.dump(sys.stdout)
        for reader in readers:
            reader.kill()
            reader.join()
        here.close()
        there.close()
    green.run(main)
    """)
    wanted = rf"<netpoll.Greenlet receive .*>, {FOR}\n +at <string>:\d+ in receive\n"
    assert re.search(rf"\n  turn to read fd \d+ \w+ .*: {wanted}", text), text


@needs_sigint
def test_the_report_names_what_waits_at_semaphores_and_timers() -> None:
    text = reported("""
netpoll.dump_on_signal(signal.SIGUSR1)
poller = netpoll.default_poller()
timer = netpoll.Timer(poller, "token", 60, name="sleep")
queue = netpoll.Sema(name="queue")
killer = kill_later()
threading.Thread(target=lambda: (killer.wait(), time.sleep(0.3), queue.release())).start()
assert queue.acquire()
desc.close()
print("done")
""")
    assert re.search(rf"\n  sleep: token 0x\w+, {FOR}, deadline in [2-5]\d\.\d+ s\n", text), text
    assert re.search(rf"\n1 threads at semaphores\n  queue 0x\w+: thread 0x\w+, {FOR}\n", text), (
        text
    )
