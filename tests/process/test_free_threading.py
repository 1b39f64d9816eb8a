"""What several threads share has to hold together without the GIL too; and the audit in
docs/freethreading.md names all of it."""

from __future__ import annotations

import ast
import gc
import random
import re
import sysconfig
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import netpoll
import pytest
from netpoll import READ, WRITE, BusyError, ClosedError, Poller
from support import LONG, ROOT, Sockets, check_python, drain

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))

needs_no_gil = pytest.mark.skipif(not FREE_THREADED, reason="this interpreter has a GIL")


@pytest.mark.rule(20)
@needs_no_gil
def test_importing_it_does_not_bring_the_gil_back() -> None:
    script = "import sys, netpoll; print(sys._is_gil_enabled())"
    assert check_python(script) == "False\n"


def _in_threads(count: int, function: Callable[[int], None]) -> None:
    """All start together; what one raises is raised."""
    barrier = threading.Barrier(count)
    errors: list[BaseException] = []

    def run(number: int) -> None:
        barrier.wait(LONG)
        try:
            function(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(3 * LONG)
        assert not thread.is_alive(), "it hangs"
    if errors:
        raise errors[0]


def test_a_hubs_queue_belongs_to_its_thread() -> None:
    green = pytest.importorskip("netpoll.green")
    if netpoll._engine.PURE:
        pytest.skip("the hub in Python cannot be called")
    errors = []

    def trespass(hub: Any) -> None:
        with pytest.raises(RuntimeError) as error:
            hub()
        errors.append(str(error.value))

    def with_a_hub(number: int) -> None:
        thread = threading.Thread(target=trespass, args=(green.get_hub(),))
        thread.start()
        thread.join(LONG)

    _in_threads(1, with_a_hub)  # a hub goes with its thread
    assert errors == ["a hub runs in its own greenlet only"]


@pytest.mark.rule(9, 17, 20)
def test_descriptors_come_and_go_on_one_poller_from_many_threads(
    poller: Poller, sockets: Sockets
) -> None:
    """The list that a poller has of its descriptors, beside the garbage collector that walks it."""
    pairs = [sockets.pair() for _ in range(8)]

    def open_and_drop(number: int) -> None:
        for i in range(300):
            desc = poller.open(pairs[number][0])
            desc.park(READ, [desc])  # a cycle, which only the collector takes apart
            if i % 3:
                desc.cancel(READ)
            desc.close()
            if number == 0 and i % 30 == 0:
                gc.collect()

    _in_threads(len(pairs), open_and_drop)
    poller.poll(0)
    assert poller.stats().open == 0


@pytest.mark.rule(2, 17, 20)
def test_each_token_comes_out_or_is_withdrawn_exactly_once_whoever_does_it(
    poller: Poller, sockets: Sockets
) -> None:
    """Threads that share two descriptors, and know nothing of each other."""
    a, b = sockets.pair()
    descs = poller.open(a), poller.open(b)
    parked: list[list[int]] = [[] for _ in range(4)]
    out: list[list[int]] = [[] for _ in range(4)]
    withdrawn = [0] * 4

    def meddle(number: int, chance: random.Random, token: int) -> None:
        desc, mode, what = chance.choice(descs), chance.choice((READ, WRITE)), chance.random()
        if what < 0.5:
            if desc.park(mode, token):
                parked[number].append(token)
        elif what < 0.7:
            out[number] += poller.poll(0)
        elif what < 0.8:
            desc.resume(mode)
        elif what < 0.9:
            withdrawn[number] += desc.cancel(mode)
        elif what < 0.91:
            gc.collect(0)
        else:
            chance.choice((a, b)).send(b"x")
            drain(chance.choice((a, b)).fileno())

    def work(number: int) -> None:
        chance = random.Random(number)
        for i in range(1500):
            with suppress(BusyError, ClosedError, BlockingIOError):
                meddle(number, chance, number * 10_000 + i)
            if (number, i) == (3, 1400):
                descs[0].unblock()

    _in_threads(4, work)
    poller.close()
    with pytest.raises(ClosedError) as closed:
        poller.poll(0)
    came = [token for tokens in (*out, closed.value.tokens) for token in tokens]
    went_in = [token for tokens in parked for token in tokens]
    assert len(went_in) > 100
    assert len(came) == len(set(came)), "one came out twice"
    assert set(came) <= set(went_in), "one was never parked"
    assert len(went_in) == len(came) + sum(withdrawn), "one was lost"


@pytest.mark.rule(17, 20)
def test_locks_queues_and_locals_of_hubs_and_threads_hold_together() -> None:
    """Two hubs with four greenlets each, and two threads."""
    green = pytest.importorskip("netpoll.green")
    sync = pytest.importorskip("netpoll.sync")
    lock, again, mine = sync.Lock(), sync.RLock(), sync.local()
    few, many = sync.Queue(3), sync.SimpleQueue()
    rounds, count, got = 60, [0, 0], []

    def work(number: int) -> None:
        for i in range(rounds):
            with lock:
                count[0] += 1
            with again, again:
                count[1] += 1
            mine.value = number, i
            few.put(i)
            many.put(few.get())
            assert mine.value == (number, i)
        got.extend(many.get() for _ in range(rounds))

    def hub(number: int) -> None:
        greenlets = [green.spawn(work, 10 * number + i) for i in range(4)]
        for greenlet in greenlets:
            greenlet.get()

    _in_threads(4, lambda number: green.run(hub, number) if number < 2 else work(number))
    assert count == [10 * rounds, 10 * rounds]
    assert sorted(got) == sorted(list(range(rounds)) * 10)
    assert few.empty() and many.empty()


# --- the audit ------------------------------------------------------------------------------------


TABLES = {"PyMethodDef", "PyGetSetDef", "PyMemberDef", "PyType_Slot", "PyType_Spec", "PyModuleDef"}


def _variables_in_c() -> set[str]:
    """Variables that outlive a call, without constants and tables that nobody writes to."""
    found = set()
    for path in (ROOT / "python" / "ext").glob("*.c"):
        text = re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        text = re.sub(r"EXT_SHARED\(([^)]*)\)", r"\1", text)
        text = re.sub(r"^(?:typedef|extern) .*", "", text, flags=re.MULTILINE)
        for line in re.findall(r"^(?:\s*static |(?=\w))([^;{}()=]*)[;=]", text, re.MULTILINE):
            words = re.findall(r"\w+", line)
            if "const" in words or words[0] in TABLES or words[-1] == "names":
                continue
            found.update(
                f"{path.name}: {re.findall(r'[a-z_]+', one)[-1]}" for one in line.split(",")
            )
    return found


def _variables_in_python() -> set[str]:
    """Names of modules that a function assigns to, here or from another module."""
    found = set()
    package = ROOT / "python" / "netpoll"
    for path in package.rglob("*.py"):
        file = path.relative_to(package).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Global):
                found.update(f"{file}: {name}" for name in node.names)
            elif isinstance(node, ast.Assign):
                for target in node.targets:
                    if (
                        isinstance(target, ast.Attribute)
                        and isinstance(target.value, ast.Name)
                        and target.value.id == "_hooks"
                    ):
                        found.add(f"_hooks.py: {target.attr}")
    return found


def test_the_audit_names_everything_that_threads_share() -> None:
    audit = (ROOT / "docs" / "freethreading.md").read_text(encoding="utf-8")
    named = {
        f"{file}: {name}"
        for file, names in re.findall(r"^\| `([\w/]+\.\w+)` \| ([^|]*) \|", audit, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", names)
    }
    shared = _variables_in_c() | _variables_in_python()
    assert len(shared) > 12, shared
    assert sorted(shared - named) == [], "not in docs/freethreading.md"


WEAKER = re.compile(
    r"memory_order_(?!seq_cst)|atomic_\w+_explicit|__atomic_|__sync_|_weak\("
    r"|Interlocked\w+(?:NoFence|Acquire|Release)|(?:Read|Write)(?:NoFence|Acquire|Release)"
)


def _lines_of_c() -> dict[str, str]:
    """By file and number."""
    sources = [
        path
        for folder in ("csrc", "python/ext", "python/plain")
        for path in sorted((ROOT / folder).rglob("*.[ch]"))
    ]
    assert len(sources) > 40
    return {
        f"{path.relative_to(ROOT).as_posix()}:{number}": line.strip()
        for path in sources
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    }


def test_no_atomic_is_weaker_than_its_argument() -> None:
    """sync.h has the few operations that are weaker; docs/proof.md argues for each store with
    release order, line by line."""
    lines = _lines_of_c()
    weaker = [place for place, line in lines.items() if WEAKER.search(line)]
    assert {place.partition(":")[0] for place in weaker} == {"csrc/sys/sync.h"}
    assert len(weaker) == 3, weaker
    proof = (ROOT / "docs" / "proof.md").read_text(encoding="utf-8")
    for place, line in lines.items():
        for call in re.findall(r"^np_store_release\(.*\)", line):
            assert f"`{call}` in `{Path(place).name.partition(':')[0]}`" in proof, place
