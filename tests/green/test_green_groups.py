"""`green.Group`: greenlets that end together; and what greenlets have: names, contexts, a hook."""

from __future__ import annotations

import contextvars
import copy
import gc
import io
import logging
import pickle
import time
import weakref
from typing import Any

import netpoll
import pytest

pytest.importorskip("greenlet")

from netpoll import green
from support import LONG, Stage, check_python, needs_sigint, never_early, python

pytestmark = pytest.mark.filterwarnings("error")


class Boom(Exception):
    pass


def fail(after: float = 0.001) -> None:
    green.sleep(after)
    raise Boom


# --- groups ---------------------------------------------------------------------------------------


def test_all_have_ended_at_the_end(greenlets: Stage) -> None:
    def work(number: int) -> int:
        green.sleep(0.001 * number)
        return number

    with green.Group() as group:
        jobs = [group.spawn(work, number) for number in range(4)]
        assert len(group) == 4
    assert all(job.dead for job in jobs) and len(group) == 0
    assert [job.get() for job in jobs] == [0, 1, 2, 3]


def test_members_spawn_members(greenlets: Stage) -> None:
    done = []

    def work(depth: int) -> None:
        green.sleep(0.001)
        if depth:
            group.spawn(work, depth - 1)
        done.append(depth)

    with green.Group() as group:
        group.spawn(work, 3)
    assert sorted(done) == [0, 1, 2, 3]


@pytest.mark.parametrize("in_block", [True, False])
def test_an_error_kills_the_rest_and_is_raised(greenlets: Stage, in_block: bool) -> None:
    ends = []

    def work() -> None:
        try:
            green.sleep(LONG)
        finally:
            ends.append("work")

    start = time.monotonic()
    with pytest.raises(Boom) as raised, green.Group() as group:
        job = group.spawn(work)
        failing = group.spawn(fail)
        if in_block:
            green.sleep(LONG)
    assert time.monotonic() - start < LONG / 2
    assert ends == ["work"] and job.dead and raised.value.__context__ is None
    with pytest.raises(Boom):
        failing.get()
    green.sleep(0.002)  # nothing is left to be raised


def test_an_error_of_the_block_kills_all(greenlets: Stage) -> None:
    with pytest.raises(KeyError), green.Group() as group:
        job = group.spawn(green.sleep, LONG)
        green.sleep(0)
        raise KeyError
    assert job.dead


def test_later_errors_are_reported(greenlets: Stage, caplog: pytest.LogCaptureFixture) -> None:
    def worse() -> None:
        try:
            green.sleep(LONG)
        finally:
            raise KeyError("on the way out")

    with pytest.raises(Boom), green.Group() as group:
        group.spawn(worse)
        group.spawn(fail)
    assert "on the way out" in caplog.text and "Boom" not in caplog.text


def test_a_kill_of_the_owner_ends_all(greenlets: Stage) -> None:
    jobs: list[green.Greenlet[None]] = []

    def own() -> None:
        with green.Group() as group:
            jobs.extend(group.spawn(green.sleep, LONG) for _ in range(3))

    owner = green.spawn(own)
    green.sleep(0.001)
    owner.kill()
    owner.join(LONG)
    assert owner.dead and len(jobs) == 3 and all(job.dead for job in jobs)


def test_a_timeout_around_it_ends_all(greenlets: Stage) -> None:
    with pytest.raises(TimeoutError), green.timeout(0.01), green.Group() as group:
        job = group.spawn(green.sleep, LONG)
    assert job.dead


def test_a_killed_member_is_no_error(greenlets: Stage) -> None:
    with green.Group() as group:
        job = group.spawn(green.sleep, LONG)
        green.sleep(0)
        job.kill()
    assert isinstance(job.get(), green.GreenletExit)


def test_no_copies() -> None:
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="pickle"):
            attempt(green.Group())


def test_wrong_use_is_refused(greenlets: Stage) -> None:
    group = green.Group()
    with pytest.raises(RuntimeError):
        group.spawn(int)
    with group, pytest.raises(TypeError):
        group.spawn(None)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError):
        group.spawn(int)
    with pytest.raises(RuntimeError):
        group.__enter__()


def test_groups_nest(greenlets: Stage) -> None:
    with pytest.raises(Boom), green.Group() as outer:
        job = outer.spawn(green.sleep, LONG)
        with green.Group() as inner:
            inner.spawn(fail)
    assert job.dead


def test_nothing_is_kept_by_a_cycle(greenlets: Stage) -> None:
    class Value:
        pass

    gc.collect()
    gc.disable()
    try:
        gone = []

        def use(value: Value) -> None:
            gone.append(weakref.ref(value))
            fail(0)

        try:
            with green.Group() as group:
                group.spawn(use, Value())
        except Boom:
            pass
        gone.append(weakref.ref(group))
        del group
        green.sleep(0)
        assert [one() for one in gone] == [None, None]
    finally:
        gc.enable()


# --- get, names, contexts -------------------------------------------------------------------------


def test_get_waits_so_long(greenlets: Stage) -> None:
    job = green.spawn(green.sleep, 0.03)
    with pytest.raises(TimeoutError), never_early(0.005):
        job.get(0.005)
    with pytest.raises(TimeoutError):
        job.get(0)
    assert not job.dead and job.get(timeout=LONG) is None
    assert job.get(0) is None


def test_an_error_after_a_get_in_vain_is_reported(
    greenlets: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    job = green.spawn(fail, 0.005)
    with pytest.raises(TimeoutError):
        job.get(0.001)
    job.join()
    assert "Boom" in caplog.text


def test_a_greenlet_has_a_name(greenlets: Stage, caplog: pytest.LogCaptureFixture) -> None:
    job = green.spawn(fail, 0.001)
    assert job.name == "fail" and "Greenlet fail at" in repr(job)
    job.name = "the failing one"
    green.sleep(0)
    text = io.StringIO()
    netpoll.dump(text)
    assert "the failing one" in text.getvalue() and "the failing one" in repr(job)
    job.join()
    assert "the failing one" in caplog.text
    with pytest.raises(TypeError):
        job.name = 7  # type: ignore[assignment]


variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def test_a_greenlet_runs_in_a_copy_of_its_spawners_context(greenlets: Stage) -> None:
    def work() -> tuple[str, str]:
        first = variable.get()
        variable.set("mine")
        green.sleep(0.001)
        return first, variable.get()

    variable.set("one")
    first = green.spawn(work)
    variable.set("two")
    second = green.spawn(work)
    variable.set("three")
    assert first.get() == ("one", "mine") and second.get() == ("two", "mine")
    assert variable.get() == "three"


def test_run_is_in_the_callers_context(greenlets: Stage) -> None:
    variable.set("before")

    def work() -> str:
        seen = variable.get()
        variable.set("after")
        green.sleep(0.001)
        return seen

    assert green.run(work) == "before"
    assert variable.get() == "after"
    assert contextvars.copy_context().run(lambda: green.run(work)) == "after"


# --- what nothing collects ------------------------------------------------------------------------


def test_the_hook_gets_what_nothing_collects(
    greenlets: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[green.ExceptHookArgs] = []
    monkeypatch.setattr(green, "excepthook", seen.append)
    job = green.spawn(fail)
    job.join()
    (args,) = seen
    assert args.exc_type is Boom and isinstance(args.exc_value, Boom)
    assert args.exc_traceback is not None and args.greenlet is job
    seen.clear()


def test_a_hook_that_fails_is_reported_too(
    greenlets: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def hook(args: Any) -> None:
        raise KeyError("in the hook")

    monkeypatch.setattr(green, "excepthook", hook)
    green.spawn(fail).join()
    assert "in the hook" in caplog.text and "Boom" in caplog.text


def test_it_is_logged_by_default(greenlets: Stage, caplog: pytest.LogCaptureFixture) -> None:
    job = green.spawn(fail)
    job.name = "worker 5"
    job.join()
    (record,) = caplog.records
    assert record.name == "netpoll.green" and record.levelno == logging.ERROR
    assert "worker 5" in record.getMessage() and record.exc_info is not None
    assert record.exc_info[0] is Boom


# --- ends of programs -----------------------------------------------------------------------------

PROGRAM = """
import os, signal, sys, threading
from netpoll import green, sync

def work(name):
    try:
        green.sleep(100)
    finally:
        print(name, flush=True)

def main():
    green.spawn(work, "other")
    try:
        green.sleep(0)
        {what}
        green.sleep(100)
    finally:
        print("main", flush=True)

green.run(main)
"""


def test_sys_exit_ends_the_program_and_finally_blocks_run() -> None:
    for what in ("sys.exit(3)", "green.spawn(sys.exit, 3)"):
        done = python(PROGRAM.format(what=what))
        assert (done.returncode, done.stdout, done.stderr) == (3, "main\nother\n", "")


@pytest.mark.rule(13)
@pytest.mark.rule(15)
@needs_sigint
def test_ctrl_c_and_a_handler_of_sigterm_end_it_too() -> None:
    term = "signal.signal(signal.SIGTERM, lambda *unused: sys.exit(4)); "
    for signum, setup, status in (("SIGINT", "", -2), ("SIGTERM", term, 4)):
        timer = f"threading.Timer(0.1, os.kill, (os.getpid(), signal.{signum})).start()"
        done = python(PROGRAM.format(what=setup + timer))
        assert (done.returncode, done.stdout) == (status, "main\nother\n"), done.stderr


@pytest.mark.rule(15)
def test_the_main_threads_greenlets_end_with_the_program() -> None:
    text = check_python(
        """
        from netpoll import green
        def work():
            try:
                green.sleep(100)
            finally:
                print("ended")
        for _ in range(2):
            green.spawn(work)
        green.sleep(0)
        """
    )
    assert text == "ended\nended\n"
