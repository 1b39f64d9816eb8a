"""Signal handlers run promptly while the main thread waits, and Ctrl-C always works."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

import pytest
from compiling import STRICT, compile_c, needs_compiler
from netpoll import READ, ClosedError, DeadlineExceeded, PollDesc
from support import (
    LONG,
    TESTS,
    Sockets,
    Stage,
    check_python,
    drain,
    needs_greenlet,
    needs_linux,
    needs_sigint,
    never_early,
    python,
    read_exactly,
    read_some,
    until,
    write_all,
)

pytestmark = needs_sigint


class Interruption(Exception):
    """What a handler raises."""


Install = Callable[[Callable[[], object]], object]


@pytest.fixture
def on_signal() -> Iterator[Install]:
    """Install a handler for SIGUSR1 for this test."""
    yield lambda handler: signal.signal(signal.SIGUSR1, lambda *_: handler())
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # one may be late, if the test failed


def _interrupt() -> None:
    os.kill(os.getpid(), signal.SIGUSR1)


@contextmanager
def storm_of_signals(interval: float) -> Iterator[None]:
    """SIGUSR1 for the process, again and again, from a thread that does nothing else."""
    stop = threading.Event()

    def storm() -> None:
        while not stop.wait(interval):
            _interrupt()

    thread = threading.Thread(target=storm)
    thread.start()
    yield
    stop.set()
    thread.join(LONG)


WAYS_TO_BLOCK: dict[str, Callable[[PollDesc], object]] = {
    "wait": lambda desc: desc.wait(READ),
    "wait with a deadline": lambda desc: (desc.set_deadline(LONG), desc.wait(READ)),
    "wait_canceled": lambda desc: desc.wait_canceled(READ),
    "poll(None)": lambda desc: (desc.park(READ, "token"), desc.poller.poll(None)),
    "poll(seconds)": lambda desc: (desc.park(READ, "token"), desc.poller.poll(LONG)),
}


@pytest.mark.rule(13)
@pytest.mark.parametrize("way", WAYS_TO_BLOCK)
def test_a_handler_that_returns_runs_promptly(
    threads: Stage, sockets: Sockets, on_signal: Install, way: str
) -> None:
    a, b = sockets.pair()
    desc = threads.open(a)
    handled = threading.Event()
    on_signal(handled.set)

    def interrupt_then_send() -> bool:
        threads.until_parked(readers=1)
        time.sleep(0.01)
        _interrupt()
        prompt = handled.wait(LONG / 2)
        b.send(b"x")
        return prompt

    helper = threads.spawn(interrupt_then_send)
    WAYS_TO_BLOCK[way](desc)
    assert helper.result() is True, "the handler ran only when the wait was over"


@pytest.mark.rule(13, 18)
@pytest.mark.parametrize("way", WAYS_TO_BLOCK)
def test_a_handler_that_raises_ends_the_wait_and_the_descriptor_stays_usable(
    threads: Stage, sockets: Sockets, on_signal: Install, way: str
) -> None:
    a, b = sockets.pair()
    desc = threads.open(a)

    def handler() -> None:
        raise Interruption

    on_signal(handler)

    def interrupt() -> None:
        threads.until_parked(readers=1)
        time.sleep(0.01)
        _interrupt()

    helper = threads.spawn(interrupt)
    with pytest.raises(Interruption):
        WAYS_TO_BLOCK[way](desc)
    helper.result()
    desc.cancel(READ)
    threads.until_parked(readers=0)
    desc.set_deadline(None)
    b.send(b"x")
    threads.wait(desc, READ)
    assert a.recv(1) == b"x"


@pytest.mark.rule(13, 18)
def test_a_notification_that_came_with_the_signal_is_not_lost(
    threads: Stage, sockets: Sockets, on_signal: Install
) -> None:
    """Data and a raising signal at once: whichever the wait reports, the data can be waited for."""
    a, b = sockets.pair()
    desc = threads.open(a)
    interrupted, waiting = 0, False

    def handler() -> None:
        if waiting:
            raise Interruption

    on_signal(handler)

    def wait() -> None:
        nonlocal waiting
        try:
            waiting = True
            desc.wait(READ)
        finally:
            waiting = False

    def send_and_interrupt(interrupt_first: bool) -> None:
        threads.until_parked(readers=1)
        for step in (_interrupt, lambda: b.send(b"x"))[:: 1 if interrupt_first else -1]:
            step()

    for i in range(60):
        desc.reset(READ)
        helper = threads.spawn(send_and_interrupt, bool(i % 2))
        desc.set_deadline(LONG)
        while not drain(a.fileno()):
            try:
                wait()
            except Interruption:
                interrupted += 1
        helper.result()
    assert 0 < interrupted <= 60


@pytest.mark.rule(12, 13)
@pytest.mark.parametrize("main_is_first", [True, False], ids=["main drives", "another drives"])
def test_a_raising_signal_leaves_no_other_waiter_stranded(
    threads: Stage, sockets: Sockets, on_signal: Install, main_is_first: bool
) -> None:
    pairs = [sockets.pair() for _ in range(4)]
    descs = [threads.open(a) for a, _ in pairs]
    waiters = []

    def handler() -> None:
        raise Interruption

    on_signal(handler)
    if not main_is_first:
        waiters.append(threads.spawn(read_some, descs[1]))
        threads.until_parked(readers=1)

    def others_then_interrupt() -> None:
        threads.until_parked(readers=1 if main_is_first else 2)
        for i, desc in enumerate(descs[1:]):
            if main_is_first or i:
                waiters.append(threads.spawn(read_some, desc))
        threads.until_parked(readers=4)
        _interrupt()

    helper = threads.spawn(others_then_interrupt)
    with pytest.raises(Interruption):
        descs[0].wait(READ)
    helper.result()
    threads.stays_blocked(*waiters)
    for (_, b), waiter in zip(pairs[1:], waiters, strict=True):
        b.send(b"x")
        assert waiter.result() == b"x"
    pairs[0][1].send(b"x")
    assert read_some(descs[0]) == b"x"


@pytest.mark.rule(12, 13)
def test_a_returning_signal_runs_while_another_thread_drives(
    threads: Stage, sockets: Sockets, on_signal: Install
) -> None:
    """The main thread is not the one in the kernel; it must hear the signal all the same."""
    (a, b), (c, d) = sockets.pair(), sockets.pair()
    driving = threads.spawn(read_some, threads.open(a))
    threads.until_parked(readers=1)
    handled = threading.Event()
    on_signal(handled.set)

    def interrupt_then_send() -> bool:
        threads.until_parked(readers=2)
        time.sleep(0.01)
        _interrupt()
        prompt = handled.wait(LONG / 2)
        d.send(b"x")
        return prompt

    helper = threads.spawn(interrupt_then_send)
    threads.open(c).wait(READ)
    assert helper.result() is True
    b.send(b"x")
    driving.result()


@pytest.mark.rule(13, 17)
def test_a_storm_of_signals_loses_nothing(
    threads: Stage, sockets: Sockets, on_signal: Install
) -> None:
    """EINTR everywhere: in the waits of every thread, in reads and in writes."""
    a, b = sockets.pair()
    ping, pong = threads.open(a), threads.open(b)
    signals = 0

    def handler() -> None:
        nonlocal signals
        signals += 1

    on_signal(handler)

    def echo() -> None:
        for _ in range(300):
            write_all(pong, read_exactly(pong, 4))

    echoing = threads.spawn(echo)
    with storm_of_signals(0.0005):
        for i in range(300):
            word = b"%04d" % i
            write_all(ping, word)
            assert read_exactly(ping, 4) == word
            if i % 50 == 0:
                ping.set_deadline(0.002)
                with pytest.raises(DeadlineExceeded):
                    ping.wait(READ)
                ping.set_deadline(None)
    echoing.result()
    assert signals > 3


@pytest.mark.rule(5, 13)
def test_signals_do_not_prolong_or_shorten_a_deadline(
    threads: Stage, sockets: Sockets, on_signal: Install
) -> None:
    on_signal(lambda: None)
    desc = threads.open(sockets.pair()[0])
    with storm_of_signals(0.003):
        start = time.monotonic()
        with never_early(0.1):
            desc.set_deadline(0.1)
            with pytest.raises(DeadlineExceeded):
                desc.wait(READ)
        with never_early(0.1):
            threads.poller.poll(0.1)
        assert time.monotonic() - start < LONG


@pytest.mark.rule(13)
def test_wake_may_be_called_from_a_signal_handler(threads: Stage, on_signal: Install) -> None:
    on_signal(threads.poller.wake)
    timer = threading.Timer(0.05, _interrupt)
    timer.start()
    start = time.monotonic()
    assert threads.poller.poll(LONG) == []
    assert time.monotonic() - start < LONG
    timer.join(LONG)


@pytest.mark.rule(8, 13)
def test_close_may_be_called_from_a_signal_handler(
    threads: Stage, sockets: Sockets, on_signal: Install
) -> None:
    desc = threads.open(sockets.pair()[0])
    on_signal(desc.close)

    def interrupt() -> None:
        until(lambda: desc.poller.stats().parked_readers == 1, "parked")
        time.sleep(0.01)
        _interrupt()

    helper = threads.spawn(interrupt)
    with pytest.raises(ClosedError):
        desc.wait(READ)
    helper.result()


@pytest.mark.rule(13)
def test_no_signal_is_lost_between_two_sleeps_of_a_thread_that_drives_for_others(
    threads: Stage, sockets: Sockets, on_signal: Install
) -> None:
    """Each event makes the main thread drive or lead anew, and the signal comes just then."""
    rounds = 60
    (a, _), (c, d) = sockets.pair(), sockets.pair()
    desc, busy = threads.open(a), threads.open(c)
    handled = []

    def handler() -> None:
        handled.append(len(handled))
        raise Interruption

    on_signal(handler)

    def annoy() -> None:
        try:
            for i in range(rounds):
                threads.until_parked(readers=2)
                time.sleep(0.002)
                d.send(b"x")
                _interrupt()
                until(lambda: len(handled) > i, "the handler ran")  # noqa: B023
        finally:
            desc.unblock()

    helpers = [threads.spawn(annoy), threads.spawn(read_exactly, busy, rounds + 1)]
    for _ in range(rounds):
        with pytest.raises(Interruption):
            desc.wait(READ)
    d.send(b"x")
    for helper in helpers:
        helper.result()


# --- signals in the gap between the last look and the sleep ---------------------------------------

GAP = """
import ctypes, signal, socket, threading, time
import netpoll
from netpoll import READ, Poller

gap = ctypes.CDLL(None)
gap.gap_arm.argtypes = [ctypes.c_long, ctypes.c_int]
gap.gap_sleeps.restype = ctypes.c_long
handled = threading.Event()
signal.signal(signal.SIGUSR1, lambda *_: handled.set())
poller = netpoll.default_poller()

def pair(kind=socket):
    a, b = kind.socketpair()
    a.setblocking(False)
    return a, b

def end_when_handled(ends):
    "What was not handled by then is handled only because the wait ended."
    prompt.append(handled.wait(5))
    ends.send(b"x")

def in_the_gap(wait, ends):
    "The signal comes just before the first sleep of a wait, or the second, ..."
    for n in range(1, 6):
        time.sleep(0.05)  # or this wait might be taken for the last one, which goes on
        handled.clear()
        helper = threading.Thread(target=end_when_handled, args=(ends,))
        helper.start()
        gap.gap_arm(n, signal.SIGUSR1)
        wait()
        assert gap.gap_sleeps() >= n
        gap.gap_arm(0, 0)
        helper.join()

def wait_for(desc, sock):
    desc.reset(READ)
    desc.wait(READ)
    assert sock.recv(1) == b"x"

prompt = []
"""

POLL = """
        a, b = pair()
        desc = netpoll.open(a)
        def poll():
            desc.reset(READ)
            desc.park(READ, "token")
            while not poller.poll({timeout}):
                pass
            assert desc.resume(READ) and a.recv(1) == b"x"
        in_the_gap(poll, b)
"""

GAPS = {
    "a thread that drives": """
        a, b = pair()
        desc = netpoll.open(a)
        in_the_gap(lambda: wait_for(desc, a), b)
    """,
    "a thread that follows": """
        (a, b), (c, d) = pair(), pair()
        other, desc = netpoll.open(c), netpoll.open(a)
        driving = threading.Thread(target=other.wait, args=(READ,))
        driving.start()
        while not poller.stats().parked_readers:
            time.sleep(0.001)
        time.sleep(0.1)
        in_the_gap(lambda: wait_for(desc, a), b)
        d.send(b"x")
        driving.join()
    """,
    "a poll": POLL.format(timeout=None),
    "a poll with a timeout": POLL.format(timeout=20),
    "a socket": """
        from netpoll import socket as np_socket
        a, b = np_socket.socketpair()
        def receive():
            assert a.recv(1) == b"x"
        in_the_gap(receive, b)
    """,
    "a socket with a timeout": """
        from netpoll import socket as np_socket
        a, b = np_socket.socketpair()
        a.settimeout(20)
        def receive():
            assert a.recv(1) == b"x"
        in_the_gap(receive, b)
    """,
    "a hub": """
        from netpoll import green
        a, b = pair()
        def main():
            desc = netpoll.open(a)
            wait_for(desc, a)
            desc.close()
        in_the_gap(lambda: green.run(main), b)
    """,
    # The slice is not renewed by each event, or the handler would wait for the stream to end.
    "a thread that drives for a steady stream": """
        (a, b), (c, d) = pair(), pair()
        other, desc = netpoll.open(c), netpoll.open(a)
        ended = threading.Event()
        def read():
            while not ended.is_set():
                other.reset(READ)
                other.wait(READ)
                c.recv(100)
        def stream():
            while not ended.wait(0.002):
                d.send(b"x")
            d.send(b"x")
        streaming = [threading.Thread(target=read), threading.Thread(target=stream)]
        for thread in streaming:
            thread.start()
        in_the_gap(lambda: wait_for(desc, a), b)
        ended.set()
        for thread in streaming:
            thread.join()
    """,
}


@pytest.fixture(scope="module")
def gap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("gap") / "gap.so"
    source = TESTS / "faults" / "gap.c"
    compile_c(*f"{STRICT} -fPIC -shared".split(), source, "-o", library, "-ldl")
    return library


@needs_linux
@needs_compiler
@pytest.mark.rule(13)
@pytest.mark.parametrize("where", GAPS)
def test_a_signal_just_before_a_sleep_is_handled_soon(
    backend: str, where: str, gap: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "hub" in where:
        pytest.importorskip("greenlet")
    monkeypatch.setenv("LD_PRELOAD", f"{os.environ.get('LD_PRELOAD', '')} {gap}".strip())
    script = GAP + dedent(GAPS[where]) + "\nprint(prompt)\n"
    assert check_python(script, backend=backend, limit=60) == f"{[True] * 5}\n"


@needs_linux
@needs_compiler
@pytest.mark.rule(13)
def test_an_idle_thread_looks_for_signals_less_and_less(
    backend: str, gap: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_PRELOAD", f"{os.environ.get('LD_PRELOAD', '')} {gap}".strip())
    script = """
        a, b = pair()
        desc = netpoll.open(a)
        threading.Timer(2, b.send, [b"x"]).start()
        gap.gap_arm(0, 0)
        wait_for(desc, a)
        print(gap.gap_sleeps())
    """
    # 20 ms, 40, 80, ... are seven; more if the machine is so busy that it looks like the program.
    assert 2 <= int(check_python(GAP + dedent(script), backend=backend)) <= 25


@needs_linux
@pytest.mark.rule(18)
def test_a_handlers_timeout_error_is_not_the_result_of_connect_ex() -> None:
    """Nor does it make `create_connection` try the next address."""
    check_python("""
        import signal
        import socket as std
        from netpoll import socket

        def handler(*unused):
            raise TimeoutError("the handler's")

        listener = std.create_server(("127.0.0.1", 0), backlog=0)
        clients = [std.socket() for _ in range(4)]
        for client in clients:
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        sock = socket.socket()
        address = listener.getsockname()
        socket.getaddrinfo = lambda *unused: iter([(2, 1, 0, "", address)] * 2)
        signal.signal(signal.SIGALRM, handler)
        for connect in (sock.connect_ex, socket.create_connection):
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            try:
                connect(address)
            except TimeoutError as error:
                assert str(error) == "the handler's", error
            else:
                raise AssertionError("it was taken for the operation's own")
    """)


LATE = """
    import signal, threading, time
    import netpoll
    from netpoll import READ, socket, sync

    class Late(Exception):
        pass

    def handler(*unused):
        raise Late

    def raise_it():
        time.sleep(0.03)
        signal.raise_signal(signal.SIGINT)  # in this thread: it ends no sleep of another's

    def wait_and_wait_again(wait):
        signal.signal(signal.SIGINT, handler)
        began = time.monotonic()
        for _ in range(10):
            helper = threading.Thread(target=raise_it)
            helper.start()
            try:
                wait()
            except Late:
                pass
            helper.join()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        print(time.monotonic() - began < 6)

    a, b = socket.socketpair()
"""

LATE_WAITS = {
    "wait": "with netpoll.open(a) as desc: wait_and_wait_again(lambda: desc.wait(READ))",
    "poll": "wait_and_wait_again(lambda: netpoll.default_poller().poll(None))",
    "recv": "wait_and_wait_again(lambda: a.recv(1))",
    "a queue": "wait_and_wait_again(sync.Queue().get)",
    "a hub": "from netpoll import green; wait_and_wait_again(lambda: green.run(green.sleep, 60))",
}


@pytest.mark.rule(13)
@pytest.mark.parametrize("wait", LATE_WAITS)
def test_a_signal_of_another_thread_is_late_by_the_time_of_one_wait(
    backend: str, wait: str
) -> None:
    """Not of all the waits that such signals have ended: that would double with each."""
    if "green" in LATE_WAITS[wait]:
        pytest.importorskip("greenlet")
    script = dedent(LATE) + LATE_WAITS[wait]
    assert check_python(script, backend=backend, limit=40) == "True\n"


# --- Ctrl-C, each in a process of its own ---------------------------------------------------------

COMMON = """
import os, signal, socket, sys, threading, time
import netpoll
from netpoll import READ
try:
    import netpoll.green  # takes its time; Ctrl-C is for what comes after
except ImportError:
    pass

def press_ctrl_c():
    time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=press_ctrl_c, daemon=True).start()
a, b = socket.socketpair()
a.setblocking(False)
"""

CTRL_C = {
    "thread in wait": """
        desc = netpoll.open(a)
        try:
            desc.wait(READ)
        except KeyboardInterrupt:
            b.send(b"x")
            desc.wait(READ)
            print("interrupted", a.recv(1))
        desc.close()
    """,
    "thread in poll(None)": """
        poller = netpoll.default_poller()
        try:
            while True:
                poller.poll(None)
        except KeyboardInterrupt:
            print("interrupted", b"x")
    """,
    "thread in wait, others parked": """
        pairs = [socket.socketpair() for _ in range(5)]
        descs = [netpoll.open(c) for c, d in pairs]
        waiters = [threading.Thread(target=desc.wait, args=(READ,)) for desc in descs]
        for waiter in waiters:
            waiter.start()
        desc = netpoll.open(a)
        try:
            desc.wait(READ)
        except KeyboardInterrupt:
            for (c, d), waiter in zip(pairs, waiters):
                assert waiter.is_alive()
                d.send(b"x")
                waiter.join(10)
                assert not waiter.is_alive(), "stranded"
            print("interrupted", b"x")
        for d in [desc, *descs]:
            d.close()
    """,
    "hub in wait": """
        from netpoll import green
        def main():
            desc = netpoll.open(a)
            try:
                desc.wait(READ)
            except KeyboardInterrupt:
                b.send(b"x")
                desc.wait(READ)
                print("interrupted", a.recv(1))
            desc.close()
        green.run(main)
    """,
    "hub asleep": """
        from netpoll import green
        try:
            green.run(green.sleep, 20)
        except KeyboardInterrupt:
            print("interrupted", b"x")
    """,
    "hub with parked greenlets": """
        from netpoll import green
        descs = []
        def wait(sock):
            descs.append(netpoll.open(sock))
            descs[-1].wait(READ)
            return sock.recv(1)
        pairs = [socket.socketpair() for _ in range(5)]
        waiters = [green.spawn(wait, c) for c, d in pairs]
        try:
            green.run(green.sleep, 20)
        except KeyboardInterrupt:
            for c, d in pairs:
                d.send(b"x")
            for waiter in waiters:
                assert green.run(waiter.get) == b"x"
            print("interrupted", b"x")
        for desc in descs:
            desc.close()
    """,
    "hub with a greenlet that waits on a foreign poller": """
        from netpoll import Poller, green
        poller = Poller()
        desc = poller.open(a)
        waiter = green.spawn(desc.wait, READ)
        try:
            green.run(green.sleep, 20)
        except KeyboardInterrupt:
            b.send(b"x")
            waiter.get()
            print("interrupted", a.recv(1))
        desc.close()
        poller.close()
    """,
    "hub that joins for ever": """
        from netpoll import green
        def wait():
            with netpoll.open(a) as desc:
                desc.wait(READ)
            return a.recv(1)
        waiter = green.spawn(wait)
        try:
            waiter.join()
        except KeyboardInterrupt:
            b.send(b"x")
            print("interrupted", waiter.get())
    """,
    "hub that is busy": """
        from netpoll import green
        def spin():
            while True:
                green.sleep(0)
        spinner = green.spawn(spin)
        try:
            green.run(green.sleep, 20)
        except KeyboardInterrupt:
            print("interrupted", b"x")
    """,
}


@pytest.mark.rule(13, 18)
@pytest.mark.parametrize("where", CTRL_C)
def test_ctrl_c(backend: str, where: str) -> None:
    if "hub" in where:
        pytest.importorskip("greenlet")
    assert check_python(COMMON + dedent(CTRL_C[where]), backend=backend) == "interrupted b'x'\n"


@pytest.mark.rule(13)
@pytest.mark.parametrize(
    "where", ["netpoll.open(a).wait(READ)", "netpoll.default_poller().poll(None)"]
)
def test_ctrl_c_that_nobody_catches_ends_the_process_as_usual(backend: str, where: str) -> None:
    done = python(COMMON + where, backend=backend)
    assert done.returncode == -signal.SIGINT
    assert done.stderr.rstrip().endswith("KeyboardInterrupt")


@needs_greenlet
@pytest.mark.rule(13)
def test_ctrl_c_in_a_hub_that_nobody_catches_ends_the_process_as_usual(backend: str) -> None:
    script = COMMON + "from netpoll import green\ngreen.run(green.sleep, 20)\n"
    done = python(script, backend=backend)
    assert done.returncode == -signal.SIGINT
    assert done.stderr.rstrip().endswith("KeyboardInterrupt")


@needs_greenlet
@pytest.mark.rule(13)
def test_handlers_run_while_a_hub_waits(backend: str) -> None:
    """One that returns changes nothing; one that raises does so in the main greenlet."""
    script = """
        import os, signal, socket, threading, time
        import netpoll
        from netpoll import READ, green

        class Interruption(Exception):
            pass

        handled = []
        def gentle(*_):
            handled.append(time.monotonic())
        def harsh(*_):
            raise Interruption
        signal.signal(signal.SIGUSR1, gentle)
        signal.signal(signal.SIGUSR2, harsh)

        def send(number):
            time.sleep(0.1)
            os.kill(os.getpid(), number)

        def wait(sock):
            with netpoll.open(sock) as desc:
                desc.wait(READ)
            return sock.recv(1)

        a, b = socket.socketpair()
        waiter = green.spawn(wait, a)
        threading.Thread(target=send, args=(signal.SIGUSR1,)).start()
        start = time.monotonic()
        green.sleep(0.5)
        assert handled and handled[0] - start < 0.4, handled
        assert not waiter.dead
        threading.Thread(target=send, args=(signal.SIGUSR2,)).start()
        try:
            green.sleep(20)
        except Interruption:
            print("raised in main")
        assert not waiter.dead
        b.send(b"x")
        print(waiter.get())
    """
    assert check_python(script, backend=backend) == "raised in main\nb'x'\n"
