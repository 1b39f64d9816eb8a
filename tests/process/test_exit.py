"""The interpreter exits cleanly whatever its daemon threads are parked in."""

from __future__ import annotations

from textwrap import dedent

import pytest
from support import check_python, needs_greenlet

pytestmark = pytest.mark.rule(15)

COMMON = """
import atexit, os, random, socket, sys, threading, time
import netpoll
from netpoll import READ, WRITE, ClosedError, DeadlineExceeded, Poller

pairs = [socket.socketpair() for _ in range(20)]
for pair in pairs:
    for sock in pair:
        sock.setblocking(False)
started = []

def start(function, *args):
    thread = threading.Thread(target=function, args=args, daemon=True)
    thread.start()
    started.append(thread)

def all_are_parked():
    time.sleep(0.2)
    assert all(thread.is_alive() for thread in started)
    print("parked", len(started), flush=True)

def wait(poller, sock):
    poller.open(sock).wait(READ)

def poll(poller):
    while True:
        poller.poll(None)

def hub(sock):
    from netpoll import green
    def wait():
        netpoll.open(sock).wait(READ)
    def wait_abroad():
        netpoll.default_poller().open(copy).wait(READ)
    copy = sock.dup()
    def main():
        green.spawn(wait)
        green.spawn(wait_abroad)
        green.spawn(green.sleep, 100)
        green.sleep(100)
    green.run(main)
"""

PARKED = {
    "in wait on one poller": "poller = Poller()\nfor a, b in pairs: start(wait, poller, a)",
    "in wait on the default poller": "for a, b in pairs: start(wait, netpoll.default_poller(), a)",
    "in wait on twenty pollers": "for a, b in pairs: start(wait, Poller(), a)",
    "in poll(None) on one poller": "poller = Poller()\nfor a, b in pairs: start(poll, poller)",
    "in poll(None) on twenty pollers": "for a, b in pairs: start(poll, Poller())",
    "in hubs": "for a, b in pairs: start(hub, a)",
    "everywhere": """
poller = Poller()
for a, b in pairs[:7]: start(wait, poller, a)
for a, b in pairs[7:13]: start(poll, poller)
for a, b in pairs[13:]: start(hub, a)
""",
    "in waits with a deadline": """
def wait_long(poller, sock):
    desc = poller.open(sock)
    desc.set_deadline(1000)
    desc.wait(READ)
poller = Poller()
for a, b in pairs: start(wait_long, poller, a)
""",
}

ENDINGS = {
    "returning": "",
    "sys.exit": "sys.exit(0)",
    "closing the pollers first": (
        "import gc\nfor p in [o for o in gc.get_objects() if isinstance(o, Poller)]: p.close()"
    ),
}


@pytest.mark.parametrize("where", PARKED)
def test_exit_with_twenty_daemon_threads_parked(backend: str, where: str) -> None:
    if where in ("in hubs", "everywhere"):
        pytest.importorskip("greenlet")
    out = check_python(COMMON + PARKED[where] + "\nall_are_parked()\n", backend=backend)
    assert out == "parked 20\n"


@pytest.mark.parametrize("ending", ENDINGS)
def test_exit_however_main_ends(backend: str, ending: str) -> None:
    quiet = (
        "threading.excepthook = lambda args: None\n"  # a ClosedError in a daemon thread is right
    )
    script = (
        COMMON + quiet + PARKED["in wait on one poller"] + "\nall_are_parked()\n" + ENDINGS[ending]
    )
    assert check_python(script, backend=backend) == "parked 20\n"


@pytest.mark.rule(8)
def test_an_exit_handler_may_close_the_poller(backend: str) -> None:
    script = """
threading.excepthook = lambda args: print(args.exc_type.__name__, flush=True)
poller = Poller()
desc = poller.open(pairs[0][0])
start(desc.wait, READ)
def leave():
    poller.close()
    started[0].join(10)
atexit.register(leave)
all_are_parked()
"""
    assert check_python(COMMON + script, backend=backend) == "parked 1\nClosedError\n"


def test_exit_in_the_middle_of_a_storm(backend: str) -> None:
    """Daemon threads that open, wait, move deadlines and close as fast as they can."""
    script = """
poller = Poller()
def storm(seed):
    chance = random.Random(seed)
    while True:
        a, b = socket.socketpair()
        with a, b, poller.open(a) as desc:
            desc.set_deadline(chance.choice([1e-5, 1e-3, 1]))
            b.send(b"x")
            try:
                desc.wait(chance.choice([READ, WRITE]))
                poller.poll(0)
            except DeadlineExceeded:
                pass
for seed in range(8): start(storm, seed)
all_are_parked()
"""
    for _ in range(3):
        assert check_python(COMMON + script, backend=backend) == "parked 8\n"


@pytest.mark.rule(9)
def test_objects_that_live_until_the_end_do_no_harm(backend: str) -> None:
    """Module globals, cycles and a token die in an order that nobody chose."""
    script = """
class Cycle: pass
cycle = Cycle()
cycle.self = cycle
cycle.poller = Poller()
cycle.desc = cycle.poller.open(pairs[0][0])
cycle.desc.park(READ, cycle)
cycle.desc.set_deadline(100)
class Last:
    def __init__(self): self.desc = netpoll.open(pairs[1][0])
    def __del__(self):
        self.desc.close()
        self.desc.poller.poll(0)
last = Last()
netpoll.keep = Last.__new__(Last)
netpoll.keep.desc = netpoll.open(pairs[2][0])
print("end", flush=True)
"""
    assert check_python(COMMON + script, backend=backend) == "end\n"


def test_what_is_left_open_outlives_its_module(backend: str) -> None:
    """Without the GIL it is collected when the module has been taken apart."""
    script = """
poller = Poller()
def work():
    for _ in range(3):
        poller.open(pairs[0][0]).close()
thread = threading.Thread(target=work)
thread.start()
thread.join()
print("end", flush=True)
"""
    assert check_python(COMMON + script, backend=backend) == "end\n"


def test_a_thread_that_is_not_a_daemon_is_waited_for(backend: str) -> None:
    script = """
desc = netpoll.open(pairs[0][0])
def wait_and_say():
    desc.wait(READ)
    print("got", pairs[0][0].recv(1).decode(), flush=True)
threading.Thread(target=wait_and_say).start()
start(lambda: (time.sleep(0.2), pairs[0][1].send(b"x")))
"""
    assert check_python(COMMON + script, backend=backend) == "got x\n"


def test_leaving_a_hub_with_greenlets_parked(backend: str) -> None:
    pytest.importorskip("greenlet")
    script = dedent(
        """
        from netpoll import green
        def wait(sock):
            netpoll.open(sock).wait(READ)
        def main():
            for a, b in pairs:
                green.spawn(wait, a)
            green.spawn(green.sleep, 100)
            green.sleep(0.01)
            print("leaving", flush=True)
        green.run(main)
        """
    )
    assert check_python(COMMON + script, backend=backend) == "leaving\n"


def test_sys_exit_in_a_hub(backend: str) -> None:
    pytest.importorskip("greenlet")
    script = dedent(
        """
        from netpoll import green
        def main():
            green.spawn(green.sleep, 100)
            green.sleep(0.01)
            print("leaving", flush=True)
            sys.exit(0)
        green.run(main)
        print("not reached")
        """
    )
    assert check_python(COMMON + script, backend=backend) == "leaving\n"


ENDS = """
import atexit, sys, threading, time
from netpoll import green, socket

a, b = socket.socketpair()

def waits(how, name):
    try:
        how()
    finally:
        print(name, flush=True)

def start(name):
    green.spawn(waits, lambda: a.recv(1), f"{name}: reader")
    green.spawn(waits, lambda: green.sleep(100), f"{name}: sleeper")
    green.spawn(waits, green.spawn(green.sleep, 100).join, f"{name}: joiner")
    green.sleep(0.01)

thread = threading.Thread(target=start, args=("thread",))
thread.start()
thread.join()
start("main")
atexit.register(print, "atexit")
if sys.argv[1] == "exit":
    sys.exit(0)
elif sys.argv[1] == "in a greenlet":
    green.run(sys.exit, 0)
"""


@needs_greenlet
@pytest.mark.parametrize("how", ["return", "exit", "in a greenlet"])
def test_finally_blocks_of_greenlets_run_in_every_thread(how: str) -> None:
    lines = check_python(ENDS, how).splitlines()
    ends = ["reader", "sleeper", "joiner"]
    assert sorted(lines[:3]) == sorted(f"thread: {end}" for end in ends)
    assert lines[3] == "atexit"  # what was registered later than the import
    assert sorted(lines[4:]) == sorted(f"main: {end}" for end in ends)


@needs_greenlet
@pytest.mark.parametrize("waits", ["green.sleep(0.01)", "sync.Event().wait()", "b.recv(1)"])
@pytest.mark.parametrize("where", ["main", "thread"])
def test_a_wait_in_a_finally_block_is_ended_again_as_its_thread_ends(
    where: str, waits: str
) -> None:
    """However it was started: by the hub, whose stack refers to it, or by another greenlet."""
    printed = check_python(f"""
        import threading
        from netpoll import green, socket, sync

        a, b = socket.socketpair()

        def wait(how):
            try:
                how()
            finally:
                try:
                    {waits}
                    print("not reached")
                finally:
                    print("the outer one")

        def start():
            first = green.spawn(wait, lambda: green.sleep(100))
            green.sleep(0)
            green.spawn(wait, lambda: green.spawn(wait, lambda: a.recv(1)).join())
            green.sleep(0.01)

        if {where!r} == "main":
            start()
        else:
            thread = threading.Thread(target=start)
            thread.start()
            thread.join()
    """)
    assert printed == "the outer one\n" * 3


LAST = """
import sys, threading
from netpoll import green, sync

log = []
lock = getattr(sync, sys.argv[1])()
condition = sync.Condition()

def in_turn(name):
    try:
        green.sleep(100)
    finally:
        with lock:
            green.sleep(0)  # the others wait for the lock
            log.append(name)

def notified(name):
    try:
        with condition:
            condition.wait()
    finally:
        with condition:
            green.sleep(0)
            log.append(name)

def waits_always():
    while True:
        try:
            green.sleep(100)
        except green.GreenletExit:
            pass

def turns_always():
    while True:
        try:
            green.sleep(0)
        except green.GreenletExit:
            pass

def start():
    for target in (waits_always, turns_always):
        green.spawn(target)
    for number in range(3):
        green.spawn(in_turn, number)
        green.spawn(notified, number)
    green.sleep(0)

thread = threading.Thread(target=start)
thread.start()
thread.join()
assert sorted(log) == [0, 0, 1, 1, 2, 2], log
assert lock.acquire(timeout=0) and condition.acquire(timeout=0)
"""


@needs_greenlet
@pytest.mark.parametrize("kind", ["Lock", "RLock", "Semaphore"])
def test_finally_blocks_that_wait_for_each_other_end_and_no_lock_stays_locked(kind: str) -> None:
    """Whatever others do about GreenletExit: those are left behind."""
    assert check_python(LAST, kind) == ""
