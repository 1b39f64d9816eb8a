"""everything(), in processes of their own: what it patches, and what goes on to work after it."""

from __future__ import annotations

import py_compile
import subprocess
import sys
import textwrap
import zipapp
from pathlib import Path

import pytest
from support import WINDOWS, needs_fork

PRELUDE = """
    import _thread, threading, time
    from netpoll import green, patch
    before = {module: dict(vars(module)) for module in (_thread, threading, time)}
    patched = patch.everything()
"""

#: As programs do that know our modules and not our patches: nothing shields what we look up late.
BY_HAND = """
    import importlib, sys, threading
    from netpoll import green
    from netpoll._patch import table, waits
    for row in table.ROWS:
        module = importlib.import_module(row.standard)
        for name, new in table.inside(row).items():
            if name != "get_ident":  # threading itself uses it
                setattr(module, name, new)
    threading.Thread.join = waits.join
"""


def run(program: str, *options: str, code: int = 0, prelude: str = PRELUDE) -> str:
    """What it prints."""
    text = textwrap.dedent(prelude) + textwrap.dedent(program)
    done = subprocess.run(
        [sys.executable, *options, "-c", text],
        check=False,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


@pytest.mark.skipif(WINDOWS, reason="it starts commands of POSIX")
@pytest.mark.parametrize("prelude", [PRELUDE, BY_HAND], ids=["everything", "by hand"])
def test_a_hub_goes_on_whatever_its_program_waits_for(prelude: str) -> None:
    program = """
        import concurrent.futures, os, queue, select, selectors, socket, subprocess, threading, time

        def tick():
            while True:
                ticks.append(1)
                time.sleep(0.005)

        def wait_for(function):
            def wait():
                del ticks[:]
                function()
                assert len(ticks) > 1, function
            return wait

        held, event, items = threading.Lock(), threading.Event(), queue.Queue()
        condition = threading.Condition()
        here, there = socket.socketpair()
        thread = threading.Thread(target=time.sleep, args=(0.1,))

        def locked():
            with held:
                time.sleep(0.1)
            with held:
                pass

        def child():
            pid = os.posix_spawnp("sleep", ["sleep", "0.1"], os.environ)
            assert os.waitpid(pid, 0) == (pid, 0)

        def any_child():
            pid = os.posix_spawnp("sleep", ["sleep", "0.1"], os.environ)
            assert os.wait() == (pid, 0)

        def joined():
            thread.start()
            thread.join()

        def result():
            with concurrent.futures.ThreadPoolExecutor(1) as executor:
                executor.submit(time.sleep, 0.1).result()

        def condition_times_out():
            with condition:
                condition.wait(0.1)

        def nothing_comes():
            try:
                items.get(timeout=0.1)
            except queue.Empty:
                pass

        def selected():
            with selectors.DefaultSelector() as selector:
                selector.register(here, selectors.EVENT_READ)
                assert not selector.select(0.1)

        def main():
            ticking = green.spawn(tick)
            for function in (
                lambda: time.sleep(0.1), locked, lambda: event.wait(0.1), condition_times_out,
                nothing_comes, lambda: select.select([here], [], [], 0.1), selected, joined, result,
                lambda: subprocess.run(["sleep", "0.1"], check=True), child, any_child,
            ):
                wait_for(function)()
            ticking.kill()

        ticks = []
        green.run(main)
    """
    run(program, prelude=prelude)


def test_each_greenlet_has_values_and_an_identity_of_its_own() -> None:
    run("""
        local = threading.local()
        idents = set()

        def use(number):
            local.number = number
            idents.add(threading.get_ident())
            time.sleep(0.01)
            assert local.number == number
            assert threading.current_thread() is threading.main_thread()
            assert _thread.get_ident() == threading.get_ident()

        def main():
            for task in [green.spawn(use, number) for number in range(5)]:
                task.get()
            assert len(idents) == 5

        green.run(main)
        assert threading.get_ident() == threading.main_thread().ident
    """)


def test_our_own_modules_see_no_patch_whenever_they_are_loaded() -> None:
    printed = run("""
        import netpoll
        import sys
        from netpoll.adapters import selectors  # loaded now

        green.run(netpoll.dump, sys.stdout)
        assert selectors.time.sleep.__module__ == "time"
    """)
    assert "MainThread" in printed.splitlines()[0]


@needs_fork
def test_real_threads_processes_and_asyncio() -> None:
    run("""
        import asyncio, logging, multiprocessing, sys
        from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

        def main():
            lock = threading.Lock()
            counts = []

            def work():
                for _ in range(100):
                    with lock:
                        counts.append(threading.get_ident())

            threads = [threading.Thread(target=work) for _ in range(4)]
            for thread in threads:
                thread.start()
            greenlets = [green.spawn(work) for _ in range(4)]
            for thread in threads:
                thread.join()
            for greenlet in greenlets:
                greenlet.get()
            assert len(counts) == 800
            assert len(set(counts)) >= 5
            with ThreadPoolExecutor(2) as executor:
                assert executor.submit(asyncio.run, asyncio.sleep(0.01, 1)).result() == 1
            for thread in [threading.Timer(0.01, counts.clear)]:
                thread.start()
                thread.join()
            assert not counts
            context = multiprocessing.get_context("fork")
            queue = context.Queue()
            process = context.Process(target=queue.put, args=(1,))
            process.start()
            assert green.call_in_thread(queue.get) == 1
            process.join()
            with ProcessPoolExecutor(1, mp_context=context) as executor:
                assert executor.submit(abs, -1).result() == 1
            logging.basicConfig(stream=sys.stdout)
            with ThreadPoolExecutor(2) as executor:
                executor.submit(logging.warning, "of a thread").result()

        green.run(main)
    """)


@pytest.mark.skipif(WINDOWS, reason="it forks")
@pytest.mark.parametrize("first", ["", "import multiprocessing.synchronize\n"])
def test_a_barrier_of_processes(first: str) -> None:
    program = """
        import multiprocessing

        def pass_through(barrier, indexes):
            indexes.put(barrier.wait(20))

        context = multiprocessing.get_context("fork")
        barrier, indexes = context.Barrier(3), context.SimpleQueue()
        children = [context.Process(target=pass_through, args=(barrier, indexes)) for _ in "ab"]
        for child in children:
            child.start()
        own = barrier.wait(20)
        assert sorted([own, indexes.get(), indexes.get()]) == [0, 1, 2]
        for child in children:
            child.join()
        assert (barrier.parties, barrier.n_waiting, barrier.broken) == (3, 0, False)
        barrier.abort()
        try:
            barrier.wait()
        except threading.BrokenBarrierError:
            print(barrier.broken)
    """
    assert run(program, prelude=first + textwrap.dedent(PRELUDE)) == "True\n"


def test_imports_in_greenlets_and_threads(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import time\ntime.sleep(0.1)\nvalue = 1\n")
    run(f"""
        import sys
        from concurrent.futures import ThreadPoolExecutor
        sys.path.insert(0, {str(tmp_path)!r})

        def load():
            import slow
            return slow.value

        with ThreadPoolExecutor(3) as executor:
            assert [task.result() for task in [executor.submit(load) for _ in range(3)]] == [1] * 3
        del sys.modules["slow"]
        green.run(load)
    """)


def test_it_is_undone() -> None:
    run("""
        def work():
            time.sleep(0)
            threading.Thread(target=time.sleep, args=(0,)).start()

        green.run(work)
        patched.undo()
        for module, values in before.items():
            assert vars(module) == values
        import socket, ssl, selectors, queue, select
        for name in ("socket", "create_connection"):
            assert getattr(socket, name).__module__ == "socket"
            assert getattr(ssl, name).__module__ == "socket"
        assert selectors.DefaultSelector.__module__ == "selectors"
        assert queue.Queue.__module__ == "queue"
        threading.Thread(target=time.sleep, args=(0,)).start()
    """)


def test_exit_with_threads_and_greenlets() -> None:
    """Threads that are no daemons end first; what greenlets wait for keeps no process alive."""
    printed = run(
        """
        import atexit, sys
        atexit.register(print, "last")
        threading.Thread(target=lambda: (time.sleep(0.1), print("thread"))).start()
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        green.spawn(threading.Event().wait)
        green.sleep(0.01)
        sys.exit(3)
        """,
        code=3,
    )
    assert printed.split() == ["thread", "last"]


@needs_fork
def test_a_child_of_fork() -> None:
    run("""
        import os

        def main():
            lock = threading.Lock()
            pid = os.fork()
            if pid == 0:
                thread = threading.Thread(target=lambda: time.sleep(0.01))
                thread.start()
                thread.join()
                assert threading.current_thread() is threading.main_thread()
                with lock:
                    os._exit(7)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7

        green.run(main)
    """)


def test_nothing_is_kept_of_a_thread_that_was_joined() -> None:
    run("""
        import gc, weakref

        def join_one():
            thread = threading.Thread(target=time.sleep, args=(0.05,))
            thread.start()
            thread.join()
            return weakref.ref(thread)

        def main():
            joined = [green.spawn(join_one) for _ in range(3)]
            threads = [one.get(10) for one in joined]
            for _ in range(100):
                gc.collect()
                if not any(thread() for thread in threads):
                    return
                time.sleep(0.05)  # the thread that joined it comes to its end
            raise AssertionError

        green.run(main)
    """)


@needs_fork
def test_a_join_ends_in_a_child_of_fork_which_has_not_the_thread() -> None:
    run("""
        import os

        def main():
            stop = threading.Event()
            thread = threading.Thread(target=stop.wait)
            thread.start()
            joins = [green.spawn(thread.join) for _ in range(3)]
            green.sleep(0.05)
            child = os.fork()
            if child == 0:
                for join in joins:
                    join.get(10)
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            assert not any(join.dead for join in joins)
            stop.set()
            for join in joins:
                join.get(10)

        green.run(main)
    """)


def outcome(*command: str, cwd: Path) -> tuple[int, str, str]:
    """The exit status, and what `python COMMAND` prints."""
    done = subprocess.run(
        [sys.executable, *command],
        check=False,
        capture_output=True,
        text=True,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        timeout=50,
    )
    return done.returncode, done.stdout, done.stderr


def test_run_is_everything(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        textwrap.dedent("""
            import pickle, socket, sys, threading

            class Thing:
                pass

            assert socket.socket.__module__ == "netpoll.socket"
            assert threading.Lock.__module__ == "netpoll.sync"
            assert type(pickle.loads(pickle.dumps(Thing()))) is Thing
            print(__name__, *sys.argv[1:])
            sys.exit(4)
        """)
    )
    for how in (["program.py"], ["-m", "program"]):
        status, printed, _ = outcome(
            "-m", "netpoll", "run", *how, "-m", "--help", "x", cwd=tmp_path
        )
        assert (status, printed.split()) == (4, ["__main__", "-m", "--help", "x"])


#: Modules, by what they do to the process that runs them.
PROGRAMS = {
    "shows": """
        import sys, __main__
        assert vars(__main__) is globals()
        print(__name__, __package__, __file__, __spec__ and __spec__.name, sys.argv, sys.path[0])
    """,
    "fails": "def fail(): raise ValueError('its own')\nfail()",
    "breaks": "raise BrokenPipeError('its own')",
    "stops": "raise KeyboardInterrupt",
    "exits": "import sys; sys.exit('a message')",
    "cannot": "def f(:",
    "hooks": """
        import sys, traceback
        sys.excepthook = lambda *error: print(len(traceback.extract_tb(error[2])))
        raise ValueError
    """,
    "outlives": """
        import atexit, pickle, threading

        class Thing:
            pass

        def copy():
            print(type(pickle.loads(pickle.dumps(Thing()))) is Thing)

        atexit.register(copy)
        threading.Timer(0.1, copy).start()
    """,
}


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    for name, text in PROGRAMS.items():
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
    for name in "package", "folder":
        (tmp_path / name).mkdir()
        (tmp_path / name / "beside.py").write_text("")
        (tmp_path / name / "__main__.py").write_text(textwrap.dedent(PROGRAMS["shows"]))
    zipapp.create_archive(tmp_path / "folder", tmp_path / "archive.pyz")
    (tmp_path / "empty").mkdir()
    py_compile.compile(str(tmp_path / "shows.py"), str(tmp_path / "compiled.pyc"))
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        *([f"{name}.py"] for name in PROGRAMS),
        *(["-m", name] for name in PROGRAMS if name not in ("fails", "breaks", "stops", "cannot")),
        *(["-m", name] for name in ("package", "empty", "absent", "package.absent")),
        *([name] for name in ("folder", "archive.pyz", "compiled.pyc", "empty", "absent.py")),
        ["--", "shows.py", "--", "a"],
        ["-m", "shows", "--", "-m", "--"],
        ["-mshows", "-h"],
        ["-c", "import sys; print(sys.argv, sys.path[0], __name__)", "-c", "a"],
        ["-c", "1 / 0"],
    ],
    ids=" ".join,
)
def test_run_does_what_python_does(programs: Path, command: list[str]) -> None:
    ours = outcome("-m", "netpoll", "run", *command, cwd=programs)
    theirs = outcome(*command, cwd=programs)
    if command == ["-m", "hooks"]:  # its traceback has no frames of runpy
        assert ours == (1, "1\n", "")
    elif command == ["-c", "1 / 0"]:  # from 3.13 on Python quotes the line
        assert (*ours[:2], ours[2].split()[-1]) == (*theirs[:2], theirs[2].split()[-1])
        assert ours[2].count("File") == 1
    else:
        assert ours == theirs


def test_run_leaves_the_folder_of_the_program_out_when_python_does(programs: Path) -> None:
    (programs / "looks.py").write_text("import sys; print(sys.path)")
    _, ours, _ = outcome("-I", "-m", "netpoll", "run", "looks.py", cwd=programs)
    _, theirs, _ = outcome("-I", "looks.py", cwd=programs)
    assert ours == theirs


@pytest.mark.parametrize("command", [[], ["--"], ["-m"], ["-c"], ["-x", "shows.py"]])
def test_run_needs_a_program(tmp_path: Path, command: list[str]) -> None:
    status, _, error = outcome("-m", "netpoll", "run", *command, cwd=tmp_path)
    assert status == 2
    assert "SCRIPT" in error


def test_a_warning_about_a_module_is_at_the_line_that_imports_it(tmp_path: Path) -> None:
    old = "import warnings; warnings.warn('old', DeprecationWarning, stacklevel=2)"
    (tmp_path / "old.py").write_text(old)
    (tmp_path / "imports.py").write_text("import old")
    ours = outcome("-m", "netpoll", "run", "imports.py", cwd=tmp_path)
    assert ours == outcome("imports.py", cwd=tmp_path)
    assert "imports.py:1: DeprecationWarning: old" in ours[2]
