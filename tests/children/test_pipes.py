"""Children that are Python programs, so they run on every system: their pipes, and their end."""

from __future__ import annotations

import io
import os
import subprocess as std
import sys
import time
from typing import Any

import pytest
from netpoll import ClosedError, DeadlineExceeded, subprocess
from support import HAS_GREENLET, LONG, Stage, never_early

if HAS_GREENLET:
    from netpoll import green

Popen: Any = subprocess.Popen
MANY = 2_000_000  # bytes: more than pipes and what copies between them take

#: Starts nothing else that may hold a pipe open.
PYTHON = [sys.executable, "-S", "-c"]
CAT = [*PYTHON, "import shutil, sys; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)"]
LINES = [
    *PYTHON,
    "for line in iter(__import__('sys').stdin.readline, ''): print(line, end='', flush=True)",
]
SLEEP = [*PYTHON, "print('some', flush=True); import time; time.sleep(60)"]


def pipes(**more: Any) -> dict[str, Any]:
    return {"stdin": std.PIPE, "stdout": std.PIPE, "stderr": std.PIPE, **more}


def test_reads_and_writes_wait(stage: Stage) -> None:
    with Popen(LINES, stdin=std.PIPE, stdout=std.PIPE) as child:
        task = stage.spawn(child.stdout.readline)
        stage.stays_blocked(task)
        child.stdin.write(b"hello\n")
        child.stdin.flush()
        assert task.result().rstrip() == b"hello"
        child.stdin.close()
        assert child.stdout.read() == b""
    assert child.returncode == 0


def test_text(stage: Stage) -> None:
    with Popen(LINES, stdin=std.PIPE, stdout=std.PIPE, text=True, bufsize=1) as child:
        assert isinstance(child.stdin, io.TextIOWrapper)
        for line in ("one\n", "two\n"):
            child.stdin.write(line)
            assert child.stdout.readline() == line
        child.stdin.close()


def test_unbuffered_pipes_write_everything(stage: Stage) -> None:
    data = os.urandom(MANY)
    with Popen(CAT, bufsize=0, stdin=std.PIPE, stdout=std.PIPE) as child:
        writer = stage.spawn(lambda: (child.stdin.write(data), child.stdin.close())[0])
        stage.stays_blocked(writer)
        assert child.stdout.readall() == data
        assert writer.result() == MANY


@pytest.mark.rule(3, 8)
def test_deadlines_and_close_of_a_pipe(stage: Stage) -> None:
    with Popen(SLEEP, stdout=std.PIPE) as child:
        assert child.stdout.readline().rstrip() == b"some"
        child.stdout.raw.set_read_deadline(0.02)
        with never_early(0.02), pytest.raises(DeadlineExceeded):
            child.stdout.read(1)
        child.stdout.raw.set_read_deadline(None)
        task = stage.spawn(child.stdout.read, 1)
        stage.stays_blocked(task)
        child.stdout.raw.close()
        task.raises(ClosedError)
        child.kill()


def test_communicate(stage: Stage) -> None:
    data = os.urandom(MANY)
    done = subprocess.run(CAT, input=data, capture_output=True)
    assert (done.stdout, done.stderr, done.returncode) == (data, b"", 0)
    assert subprocess.check_output(LINES, input="one\ntwo\n", text=True) == "one\ntwo\n"


def test_communicate_goes_on_after_a_timeout(stage: Stage) -> None:
    slow = [*PYTHON, "import time; line = input(); time.sleep(0.5); print('got', line)"]
    with Popen(slow, **pipes(text=True)) as child:
        with never_early(0.2), pytest.raises(std.TimeoutExpired):
            child.communicate("it\n", timeout=0.2)
        assert child.communicate(timeout=LONG) == ("got it\n", "")


@pytest.mark.rule(19)
def test_a_child_that_never_ends_is_killed_by_a_timeout(stage: Stage) -> None:
    began = time.monotonic()
    with pytest.raises(std.TimeoutExpired) as caught:
        subprocess.run(SLEEP, input=bytes(MANY), capture_output=True, timeout=0.5)
    assert caught.value.stdout in {b"some\n", b"some\r\n", b"", None}
    with pytest.raises(std.TimeoutExpired):
        subprocess.call(SLEEP, stdout=std.DEVNULL, timeout=0.02)
    assert time.monotonic() - began < 30


def test_others_run_meanwhile(greenlets: Stage) -> None:
    commands = [CAT, SLEEP]
    children = [Popen(command, stdin=std.PIPE, stdout=std.PIPE) for command in commands]
    children[1].stdout.readline()
    tasks = [greenlets.spawn(child.stdout.read) for child in children]
    tasks += [greenlets.spawn(child.wait) for child in children]
    for _ in range(6):
        greenlets.sleep(0.005)
        assert not any(task.done for task in tasks)
    children[0].stdin.close()
    children[1].kill()
    assert [task.result() for task in tasks[:3]] == [b"", b"", 0]
    for child in children:
        child.__exit__(None, None, None)


def test_a_kill_of_one_that_communicates(greenlets: Stage) -> None:
    """`run` has the child for itself, so that ends too."""
    tasks = [
        greenlets.spawn(lambda: subprocess.run(SLEEP, capture_output=True)),
        greenlets.spawn(lambda: subprocess.run(SLEEP, input=bytes(MANY), capture_output=True)),
    ]
    greenlets.stays_blocked(*tasks)
    for task in tasks:
        task.greenlet.kill()  # type: ignore[attr-defined]
        task.raises(green.GreenletExit)


def test_a_kill_of_one_that_reads_or_writes(greenlets: Stage) -> None:
    with Popen(LINES, bufsize=0, stdin=std.PIPE, stdout=std.PIPE) as child:
        task = greenlets.spawn(child.stdout.read, 100)
        greenlets.stays_blocked(task)
        task.greenlet.kill()  # type: ignore[attr-defined]
        task.raises(green.GreenletExit)
        child.stdin.write(b"hello\n")
        assert child.stdout.read(100).rstrip() == b"hello"
        child.stdin.close()


def test_a_child_that_cannot_be_started(stage: Stage) -> None:
    with pytest.raises(FileNotFoundError):
        Popen([os.path.join("no", "such", "program")], **pipes())


def test_a_pipe_of_one_child_is_the_input_of_another(stage: Stage) -> None:
    with Popen([*PYTHON, "print('hello')"], stdout=std.PIPE) as first:
        with Popen(CAT, stdin=first.stdout, stdout=std.PIPE) as second:
            assert second.stdout.read().rstrip() == b"hello"
        assert second.returncode == 0
