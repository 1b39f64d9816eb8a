"""After a fork both processes go on, each with kernel objects of its own; none reaches the other.

The scripts run in processes of their own: a fork of pytest itself would carry its threads along.
"""

from __future__ import annotations

import os
from textwrap import dedent

import pytest
from netpoll import Poller
from support import check_python, needs_fileno, needs_fork, needs_greenlet, open_fds

pytestmark = [needs_fork, pytest.mark.rule(14)]

COMMON = """
import gc, os, random, select, socket, sys, threading, time
import netpoll
from netpoll import READ, WRITE, Poller, ClosedError, DeadlineExceeded
from forking import Signpost, finish, fork, in_child, start

def pair():
    a, b = socket.socketpair()
    a.setblocking(False)
    b.setblocking(False)
    return a, b

def read_some(desc, sock):
    while True:
        desc.reset(READ)
        try:
            return sock.recv(100)
        except BlockingIOError:
            desc.wait(READ)

def parked(poller, count):
    end = time.monotonic() + 10
    while poller.stats().parked_readers != count:
        assert time.monotonic() < end, poller.stats()
        time.sleep(0.001)

def tokens(poller, count):
    out, end = [], time.monotonic() + 10
    while len(out) < count:
        assert time.monotonic() < end, out
        out += poller.poll(0.1)
    return out

class Reader(threading.Thread):
    def __init__(self, desc, sock):
        super().__init__(daemon=True)
        self.desc, self.sock, self.got = desc, sock, None
        self.start()
    def run(self):
        self.got = read_some(self.desc, self.sock)
    def result(self):
        self.join(10)
        assert not self.is_alive(), "the reader is lost"
        return self.got

poller = Poller()
"""


def run(script: str, backend: str, limit: float = 40) -> None:
    assert check_python(COMMON + dedent(script), backend=backend, limit=limit) == "ok\n"


def test_a_child_waits_on_what_was_open(backend: str) -> None:
    run(
        """
        a, b = pair()
        desc = poller.open(a)
        def child():
            desc.set_deadline(0.01)
            try:
                desc.wait(READ)
                raise AssertionError
            except DeadlineExceeded:
                desc.set_deadline(10)
            b.send(b"x")
            desc.wait(READ)
            assert a.recv(1) == b"x"
            desc.wait(WRITE)
        in_child(child)
        in_child(child)
        child()
        desc.close(); poller.close()
        print("ok")
        """,
        backend,
    )


def test_a_child_opens_and_closes_as_usual(backend: str) -> None:
    run(
        """
        a, b = pair()
        desc = poller.open(a)
        def child():
            try:
                poller.open(a)
                raise AssertionError("it was registered again")
            except FileExistsError:
                pass
            desc.close()
            with poller.open(a) as again:
                b.send(b"x")
                again.set_deadline(10)
                again.wait(READ)
                a.recv(1)
            assert poller.stats().open == 0
            poller.close()
            with netpoll.open(a) as again:
                again.wait(WRITE)
        in_child(child)
        assert poller.stats().open == 1 and not desc.closed
        desc.close(); poller.close()
        print("ok")
        """,
        backend,
    )


def test_waiters_of_other_threads_are_gone_in_the_child(backend: str) -> None:
    run(
        """
        a, b = pair()
        desc = poller.open(a)
        reader = Reader(desc, a)
        parked(poller, 1)
        def child():
            assert poller.stats().parked_readers == 0, poller.stats()
            desc.set_deadline(0.01)
            try:
                desc.wait(READ)  # not BusyError
                raise AssertionError
            except DeadlineExceeded:
                pass
            poller.close()
        in_child(child)
        parked(poller, 1)
        b.send(b"x")
        assert reader.result() == b"x"
        desc.close(); poller.close()
        print("ok")
        """,
        backend,
    )


CLOSING = {
    "close": """
        for desc in descs:
            desc.unblock()
            desc.close()
    """,
    "poller.close": "poller.close()",
    "finalizers": """
        globals().update(descs=None, poller=None, readers=None)
        gc.collect()
    """,
    "exit": "sys.exit(0)  # a whole interpreter's end",
}


@pytest.mark.parametrize("how", CLOSING)
def test_what_a_child_closes_stays_open_in_the_parent(backend: str, how: str) -> None:
    script = """
        pairs = [pair() for _ in range(5)]
        descs = [poller.open(a) for a, b in pairs]
        readers = [Reader(desc, a) for desc, (a, b) in zip(descs, pairs)]
        parked(poller, 5)
        pid = fork()
        if not pid:
            exec(CLOSING)
            sys.exit(0)
        finish(pid)
        parked(poller, 5)
        for reader, (a, b) in zip(readers, pairs):
            b.send(b"x")
            assert reader.result() == b"x"
        for desc in descs:
            desc.close()
        poller.close()
        print("ok")
    """
    run(f"CLOSING = {dedent(CLOSING[how])!r}\n" + dedent(script), backend)


def test_wakes_do_not_cross(backend: str) -> None:
    run(
        """
        go, done = Signpost(), Signpost()
        def child():
            go.wait()
            for _ in range(1000):
                poller.wake()
            done.reach()
            go.wait()  # the parent has woken its own poller
            start = time.monotonic()
            poller.poll(None)  # our own wake-ups
            start = time.monotonic()
            assert poller.poll(0.2) == []
            assert time.monotonic() - start >= 0.199, "the parent's wake-up came here"
        pid = start(child)
        go.reach()
        started = time.monotonic()
        assert poller.poll(0.3) == []
        assert time.monotonic() - started >= 0.299, "the child's wake-up came here"
        done.wait()
        for _ in range(1000):
            poller.wake()
        go.reach()
        poller.poll(None)
        finish(pid)
        poller.close()
        print("ok")
        """,
        backend,
    )


def test_a_wake_from_before_the_fork_is_kept_in_the_parent(backend: str) -> None:
    run(
        """
        poller.wake()
        in_child(lambda: poller.poll(0.05))
        poller.poll(None)
        poller.close()
        print("ok")
        """,
        backend,
    )


def test_a_childs_polls_take_nothing_from_the_parent(backend: str) -> None:
    """Both know the socket; each gets its own token, once."""
    run(
        """
        a, b = pair()
        desc = poller.open(a)
        assert desc.park(READ, "token")
        ready, sent = Signpost(), Signpost()
        def child():
            poller.poll(0)
            ready.reach()
            assert tokens(poller, 1) == ["token"]
            assert desc.resume(READ)
            assert poller.poll(0.05) == []
            sent.reach()
        pid = start(child)
        ready.wait()
        b.send(b"x")
        sent.wait()
        assert tokens(poller, 1) == ["token"]
        assert desc.resume(READ)
        assert poller.poll(0.05) == []
        finish(pid)
        desc.close(); poller.close()
        print("ok")
        """,
        backend,
    )


@needs_fileno
def test_a_childs_deadlines_do_not_reach_the_parent(backend: str) -> None:
    """Nested by fileno(): the timer that both hold after the fork must be the parent's alone."""
    run(
        """
        a, b = pair()
        desc = poller.open(a)
        desc.park(READ, "token")
        poller.fileno()
        desc.set_deadline(100)
        poller.poll(0)
        def early():
            desc.set_deadline(0.01)
            assert tokens(poller, 1) == ["token"]
        in_child(early)
        assert select.select([poller], [], [], 0.1)[0] == []
        desc.set_deadline(0.2)
        def clear():
            desc.set_deadline(None)
            poller.poll(0)
            poller.close()
        in_child(clear)
        assert select.select([poller], [], [], 10)[0], "the child has stopped the parent's timer"
        assert tokens(poller, 1) == ["token"]
        desc.close(); poller.close()
        print("ok")
        """,
        backend,
    )


@needs_fileno
def test_a_parents_deadlines_do_not_reach_the_child(backend: str) -> None:
    run(
        """
        a, b = pair()
        desc = poller.open(a)
        desc.park(READ, "token")
        poller.fileno()
        desc.set_deadline(0.3)
        poller.poll(0)
        def child():
            assert select.select([poller.fileno()], [], [], 10)[0]
            assert tokens(poller, 1) == ["token"]
            assert desc.deadline(READ) < 0
        pid = start(child)
        desc.set_deadline(None)
        desc.close()
        poller.close()
        finish(pid)
        print("ok")
        """,
        backend,
    )


def test_deadlines_from_before_the_fork_fire_in_the_child(backend: str) -> None:
    run(
        """
        a, b = pair()
        desc = poller.open(a)
        started = time.monotonic()
        desc.set_deadline(0.1)
        def child():
            try:
                desc.wait(READ)
                raise AssertionError
            except DeadlineExceeded:
                assert time.monotonic() - started >= 0.0999
        pid = start(child)
        child()
        finish(pid)
        desc.close(); poller.close()
        print("ok")
        """,
        backend,
    )


def test_what_the_parent_closes_stays_open_in_the_child(backend: str) -> None:
    run(
        """
        a, b = pair()
        desc = poller.open(a)
        closed, waiting = Signpost(), Signpost()
        def child():
            closed.wait()
            waiting.reach()
            assert read_some(desc, a) == b"x"
            desc.close()
        pid = start(child)
        desc.unblock()
        desc.close()
        poller.close()
        closed.reach()
        waiting.wait()
        time.sleep(0.05)
        b.send(b"x")
        finish(pid)
        print("ok")
        """,
        backend,
    )


def test_a_fork_during_a_poll_of_another_thread(backend: str) -> None:
    run(
        """
        a, b = pair()
        desc = poller.open(a)
        polling = threading.Thread(target=poller.poll, args=(None,))
        polling.start()
        time.sleep(0.05)
        def child():
            assert poller.poll(0.01) == []
            b.send(b"x")
            assert read_some(desc, a) == b"x"
            poller.close()
        in_child(child)
        assert polling.is_alive()
        poller.wake()
        polling.join(10)
        assert not polling.is_alive()
        desc.close(); poller.close()
        print("ok")
        """,
        backend,
    )


def test_tokens_of_the_forking_thread_go_on_in_the_child(backend: str) -> None:
    run(
        """
        pairs = [pair() for _ in range(20)]
        descs = [poller.open(a) for a, b in pairs]
        for i, desc in enumerate(descs):
            desc.park(READ, i)
        def child():
            for a, b in pairs:
                b.send(b"x")
            assert sorted(tokens(poller, 20)) == list(range(20))
            for desc, (a, b) in zip(descs, pairs):
                assert desc.resume(READ)
                a.recv(1)
        in_child(child)
        for desc in descs:
            desc.close()
        assert sorted(tokens(poller, 20)) == list(range(20))
        poller.close()
        print("ok")
        """,
        backend,
    )


def test_grandchildren(backend: str) -> None:
    run(
        """
        a, b = pair()
        desc = poller.open(a)
        def use():
            b.send(b"x")
            assert read_some(desc, a) == b"x"
        def child():
            use()
            in_child(grandchild)
            use()
        def grandchild():
            use()
            in_child(use)
        in_child(child)
        use()
        desc.close(); poller.close()
        print("ok")
        """,
        backend,
    )


def test_a_fork_in_a_thread_that_is_not_the_main_one(backend: str) -> None:
    run(
        """
        a, b = pair()
        desc = poller.open(a)
        outcome = []
        def child():
            b.send(b"x")
            assert read_some(desc, a) == b"x"
            poller.close()
        def fork():
            in_child(child)
            outcome.append("fine")
        forker = threading.Thread(target=fork)
        forker.start()
        forker.join(20)
        assert outcome == ["fine"]
        child()
        print("ok")
        """,
        backend,
    )


def test_multiprocessing_with_fork(backend: str) -> None:
    run(
        """
        import multiprocessing
        a, b = pair()
        desc = poller.open(a)
        def child(queue):
            queue.send(read_some(desc, a))
        context = multiprocessing.get_context("fork")
        mine, theirs = context.Pipe()
        process = context.Process(target=child, args=(theirs,))
        process.start()
        b.send(b"x")
        assert mine.poll(10) and mine.recv() == b"x"
        process.join(10)
        assert process.exitcode == 0
        desc.close(); poller.close()
        print("ok")
        """,
        backend,
    )


@pytest.mark.rule(17)
def test_forks_beside_busy_threads(backend: str) -> None:
    """Whatever lock another thread held at the fork, the child must not wait for it."""
    run(
        """
        stop = False
        default = netpoll.default_poller()
        def busy(seed):
            chance = random.Random(seed)
            while not stop:
                a, b = pair()
                with a, b, chance.choice([poller, default]).open(a) as desc:
                    desc.set_deadline(chance.choice([0.0001, 10, None]))
                    try:
                        if chance.random() < 0.5:
                            b.send(b"x")
                        desc.set_deadline(chance.choice([0.0001, 0.001]))
                        desc.wait(READ)
                    except DeadlineExceeded:
                        pass
                    default.poll(0)
                    poller.wake()
        threads = [threading.Thread(target=busy, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        c, d = pair()
        mine = poller.open(c)
        def child():
            d.send(b"x")
            mine.set_deadline(10)
            assert read_some(mine, c) == b"x"
            for p in (poller, default):
                e, f = pair()
                with p.open(e) as desc:
                    desc.set_deadline(0.001)
                    try:
                        desc.wait(READ)
                        raise AssertionError
                    except DeadlineExceeded:
                        pass
                    desc.set_deadline(10)
                    f.send(b"x")
                    desc.wait(READ)
                p.poll(0)
                p.close()
        end = time.monotonic() + 6
        forks = 0
        while forks < 40 and time.monotonic() < end:
            in_child(child)
            forks += 1
        stop = True
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()
        assert forks >= 5, forks
        mine.close(); poller.close()
        print("ok")
        """,
        backend,
        limit=60,
    )


@needs_greenlet
def test_a_hub_goes_on_in_the_child(backend: str) -> None:
    """Greenlets that slept, waited or were ready are there in the child too."""
    run(
        """
        from netpoll import green
        a, b = pair()
        log = []
        def reads():
            with netpoll.open(a) as desc:
                log.append(read_some(desc, a))
        def sleeps():
            green.sleep(0.1)
            log.append("slept")
        def is_ready():
            green.sleep(0)
            log.append("ready")
        def main():
            greenlets = [green.spawn(f) for f in (reads, sleeps, is_ready)]
            green.sleep(0)
            # Our greenlets stand still meanwhile: the socket is the child's.
            in_child(lambda: go_on(greenlets))
            go_on(greenlets)
        def go_on(greenlets):
            fresh = green.spawn(lambda: green.sleep(0.01))
            b.send(b"x")
            for greenlet in (*greenlets, fresh):
                greenlet.join(10)
                assert greenlet.dead, log
            assert sorted(map(str, log)) == ["b'x'", "ready", "slept"], log
        green.run(main)
        poller.close()
        print("ok")
        """,
        backend,
    )


@needs_greenlet
@pytest.mark.rule(11)
def test_a_hub_with_waiters_on_a_foreign_poller_goes_on_in_the_child(backend: str) -> None:
    run(
        """
        from netpoll import green
        a, b = pair()
        desc = poller.open(a)
        def go_on(reader):
            b.send(b"x")
            reader.join(10)
            assert reader.dead and reader.get() == b"x"
            green.sleep(0.01)
        def main():
            reader = green.spawn(read_some, desc, a)
            green.sleep(0.01)
            in_child(lambda: go_on(reader))
            go_on(reader)
        green.run(main)
        desc.close(); poller.close()
        print("ok")
        """,
        backend,
    )


@needs_greenlet
def test_hubs_of_other_threads_are_gone_in_the_child(backend: str) -> None:
    run(
        """
        from netpoll import green
        a, b = pair()
        def reads():
            with netpoll.open(a) as desc:
                return read_some(desc, a)
        got = []
        other = threading.Thread(target=lambda: got.append(green.run(reads)))
        other.start()
        time.sleep(0.1)
        def child():
            green.run(green.sleep, 0.01)
            c, d = pair()
            d.send(b"y")
            with netpoll.open(c) as desc:
                assert read_some(desc, c) == b"y"
        in_child(child)
        b.send(b"x")
        other.join(10)
        assert got == [b"x"]
        poller.close()
        print("ok")
        """,
        backend,
    )


@pytest.mark.rule(17)
def test_a_child_without_descriptors_to_spare_does_not_crash(backend: str) -> None:
    run(
        """
        import resource
        a, b = pair()
        desc = poller.open(a)
        top = max(int(name) for name in os.listdir("/proc/self/fd")) + 1
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (top, hard))
        def child():
            try:
                b.send(b"x")
                assert read_some(desc, a) == b"x"
                poller.poll(0)
            except OSError:
                pass
            desc.close()
            poller.close()
        in_child(child)
        child()
        print("ok")
        """,
        backend,
    )


@pytest.mark.parametrize("taken", [0, 30])
def test_a_daemon_that_closes_what_it_has_inherited(backend: str, taken: int) -> None:
    """The numbers are free then, or other files'."""
    script = f"""
        a, b = pair()
        c, d = pair()
        own, default = poller.open(a), netpoll.open(c)
        try:
            number = poller.fileno()
        except NotImplementedError:
            number = None
        for desc in own, default:  # threads have waited
            desc.set_deadline(0.01)
            try:
                desc.wait(READ)
            except DeadlineExceeded:
                desc.set_deadline(None)

        def live():
            kept = {{sock.fileno() for sock in (a, b, c, d)}}
            for fd in set(range(3, 200)) - kept:
                try:
                    os.close(fd)
                except OSError:
                    pass
            theirs = [os.open(os.devnull, os.O_RDONLY) for _ in range({taken})]
            before = [os.fstat(fd) for fd in theirs]
            for desc, here, there in (own, a, b), (default, c, d):
                threading.Timer(0.05, there.send, (b"x",)).start()
                assert read_some(desc, here) == b"x"
            b.send(b"y")
            assert own.park(READ, "token") or own.park(READ, "token")
            assert tokens(poller, 1) == ["token"]
            assert number is None or poller.fileno() >= 0
            poller.close()
            assert [os.fstat(fd) for fd in theirs] == before

        finish(start(live))
        print("ok")
    """
    run(script, backend)


@needs_fileno
def test_no_descriptor_of_a_poller_is_inherited_by_a_program(backend: str) -> None:
    before = open_fds()
    with Poller(backend) as poller:
        poller.fileno()
        mine = open_fds() - before
        assert mine
        assert not any(os.get_inheritable(fd) for fd in mine)


EARLY = """
import os, sys, threading, time

def hook():  # as a tracer's or a logger's, which was imported first
    if "netpoll" in sys.modules:
        use()

os.register_at_fork(after_in_child=hook, before=hook, after_in_parent=hook)

import netpoll
from netpoll import READ, socket
try:
    from netpoll import green
except ImportError:
    green = None

held, _ = socket.socketpair()

def use():
    there.send(b"x")
    here.settimeout(10)
    assert here.recv(1) == b"x"
    try:
        with netpoll.default_poller().open(here) as desc:
            desc.set_deadline(0.001)
            desc.wait(READ)
    except netpoll.PollError:
        pass  # its deadline, or `busy` has closed the poller
    netpoll.Sema(1).acquire()
    if green is not None:
        green.run(lambda: green.spawn(green.sleep, 0.001).join())
        assert green.run(lambda: green.call_in_thread(int)) == 0

def busy():
    while True:
        netpoll.default_poller().close()

here, there = socket.socketpair()
for target, *args in ((there.recv, 1), (held.recv, 1), (busy,)):
    threading.Thread(target=target, args=args, daemon=True).start()
time.sleep(0.05)
"""

WAYS = {
    "os.fork": """
        for _ in range(10):
            child = os.fork()
            if child == 0:
                use()
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
    """,
    "multiprocessing": """
        import multiprocessing
        for _ in range(3):
            process = multiprocessing.get_context("fork").Process(target=use)
            process.start()
            process.join()
            assert process.exitcode == 0
    """,
    "preexec_fn": """
        import subprocess
        for _ in range(3):
            subprocess.run([sys.executable, "-c", ""], check=True, preexec_fn=use)
    """,
    "posix_spawn": """
        for _ in range(3):
            child = os.posix_spawn(sys.executable, [sys.executable, "-c", ""], os.environ)
            assert os.waitpid(child, 0)[1] == 0
            use()
    """,
}


@pytest.mark.parametrize("debug", ["0", "1"], ids=["", "debug"])
@pytest.mark.parametrize("way", WAYS)
def test_a_hook_that_was_registered_first_uses_everything(
    way: str, debug: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETPOLL_DEBUG", debug)
    script = dedent(EARLY) + dedent(WAYS[way]) + "\nprint('ok', flush=True)\nos._exit(0)\n"
    assert check_python(script) == "ok\n"
