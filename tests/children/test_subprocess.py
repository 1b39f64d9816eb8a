"""`netpoll.subprocess`: in a hub what waits for a child parks the greenlet."""

from __future__ import annotations

import io
import os
import signal
import subprocess as std
import time
from functools import partial
from typing import Any

import pytest
from netpoll import socket, subprocess
from netpoll._blocking import children
from support import (
    HAS_GREENLET,
    WINDOWS,
    Stage,
    check_python,
    needs_fork,
    needs_linux,
    never_early,
)

if HAS_GREENLET:
    from netpoll import green

pytestmark = pytest.mark.skipif(WINDOWS, reason="commands of POSIX")

Popen: Any = subprocess.Popen
MANY = 2_000_000  # bytes: more than pipes and what copies between them take


def child_states() -> str:
    """Of the children of this process, by ps: Z is a zombie.

    The libraries of sanitizers, which are loaded into all programs, hang in ps.
    """
    command = ["ps", "-o", "stat=", "--ppid", str(os.getpid())]
    env = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    return std.run(command, env=env, capture_output=True, text=True, check=False).stdout


def with_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the system has it."""


def with_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the kernel has no descriptor for the end of a process."""
    monkeypatch.setattr(children, "_open", None)


def with_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a sandbox, or when there are too many open files."""

    def refuse(pid: int) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(children, "_open", refuse)


@pytest.fixture(params=[with_descriptor, with_thread, with_refusal])
def means(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """By which the end of a child is known."""
    request.param(monkeypatch)


# --- the end of a child ---------------------------------------------------------------------------


def test_wait(stage: Stage, means: None) -> None:
    with Popen(["sh", "-c", "read x; exit 7"], stdin=std.PIPE) as child:
        task = stage.spawn(child.wait)
        stage.stays_blocked(task)
        assert child.poll() is None
        child.stdin.close()
        assert task.result() == 7
        assert child.wait() == child.wait(0) == child.poll() == 7


def test_several_wait_for_one_child(stage: Stage, means: None) -> None:
    with Popen(["cat"], stdin=std.PIPE) as child:
        tasks = [stage.spawn(child.wait) for _ in range(3)]
        tasks.append(stage.thread(child.wait))
        stage.stays_blocked(*tasks)
        child.stdin.close()
        assert [task.result() for task in tasks] == [0] * 4


def test_others_run_meanwhile(greenlets: Stage, means: None) -> None:
    r, w = os.pipe()
    tasks = [greenlets.spawn(partial(subprocess.run, ["cat"], stdin=r)) for _ in range(5)]
    for _ in range(6):
        greenlets.sleep(0.005)
        assert not any(task.done for task in tasks)
    os.close(w)
    assert all(task.result().returncode == 0 for task in tasks)
    os.close(r)


@pytest.mark.rule(5)
def test_a_timeout(stage: Stage, means: None) -> None:
    with Popen(["sleep", "60"]) as child:
        for timeout in (0.05, 0, -1):
            with never_early(max(timeout, 0)), pytest.raises(std.TimeoutExpired) as caught:
                child.wait(timeout)
            assert caught.value.timeout == timeout and caught.value.cmd == ["sleep", "60"]
        child.kill()
        assert child.wait(15) == -signal.SIGKILL


@pytest.mark.rule(19)
def test_a_timeout_around_a_wait_is_not_the_waits_own(greenlets: Stage, means: None) -> None:
    with Popen(["sleep", "60"]) as child:
        for timeout in (None, 60):
            with pytest.raises(TimeoutError), green.timeout(0.02):
                child.wait(timeout)
        child.kill()


def test_a_child_that_never_ends_is_killed_by_a_timeout(stage: Stage, means: None) -> None:
    began = time.monotonic()
    with pytest.raises(std.TimeoutExpired) as caught:
        subprocess.run(["sh", "-c", "echo some; exec sleep 60"], capture_output=True, timeout=1)
    assert caught.value.stdout == b"some\n"
    for function in (subprocess.call, subprocess.check_call):
        with pytest.raises(std.TimeoutExpired):
            function(["sleep", "60"], timeout=0.02)
    with pytest.raises(std.TimeoutExpired):
        subprocess.check_output(["sleep", "60"], timeout=0.02)
    assert time.monotonic() - began < 15
    assert "Z" not in child_states()


def test_a_kill_of_the_greenlet_kills_the_child_of_run(greenlets: Stage, means: None) -> None:
    task = greenlets.spawn(subprocess.run, ["sleep", "60"])
    greenlets.stays_blocked(task)
    task.greenlet.kill()  # type: ignore[attr-defined]
    task.raises(green.GreenletExit)
    assert "Z" not in child_states()


def test_a_kill_of_one_that_waits_leaves_the_child(greenlets: Stage, means: None) -> None:
    with Popen(["cat"], stdin=std.PIPE) as child:
        task = greenlets.spawn(child.wait)
        greenlets.stays_blocked(task)
        task.greenlet.kill()  # type: ignore[attr-defined]
        task.raises(green.GreenletExit)
        assert child.poll() is None
        child.stdin.close()
        assert child.wait() == 0


def test_a_child_that_others_have_reaped(stage: Stage, means: None) -> None:
    with Popen(["true"]) as child:
        os.waitpid(child.pid, 0)
        assert child.wait() == 0  # as in the standard class
    with Popen(["cat"], stdin=std.PIPE) as child:
        task = stage.spawn(child.wait)
        stage.stays_blocked(task)
        child.stdin.close()
        stage.until(lambda: child.poll() is not None or task.done, "the child is reaped")
        assert task.result() == 0


def test_many_children(greenlets: Stage) -> None:
    """Each waited for by a greenlet of its own, and none left as a zombie."""
    tasks = [greenlets.spawn(subprocess.call, ["sh", "-c", f"exit {i % 100}"]) for i in range(100)]
    assert [task.result() for task in tasks] == [i % 100 for i in range(100)]
    assert "Z" not in child_states()


@needs_linux
def test_there_may_be_no_descriptors_left() -> None:
    check_python(
        """
        import os, resource
        from netpoll import green, subprocess

        def main():
            children = [subprocess.Popen(["sleep", "0.2"]) for _ in range(30)]
            _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
            green.sleep(0)
            resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 5, most))
            waits = [green.spawn(child.wait) for child in children]
            assert [wait.get() for wait in waits] == [0] * 30

        green.run(main)
        """
    )


# --- pipes ----------------------------------------------------------------------------------------


def test_communicate(stage: Stage) -> None:
    data = os.urandom(MANY)
    done = subprocess.run(["cat"], input=data, capture_output=True)
    assert done.stdout == data and done.stderr == b"" and done.returncode == 0
    with Popen(["sh", "-c", "cat; echo no >&2"], **pipes()) as child:
        assert child.communicate(data) == (data, b"no\n")
    with Popen(["cat"], stdin=std.PIPE, stdout=std.DEVNULL) as child:
        assert child.communicate(data) == (None, None)


def pipes(**more: Any) -> dict[str, Any]:
    return {"stdin": std.PIPE, "stdout": std.PIPE, "stderr": std.PIPE, **more}


def test_others_run_while_one_communicates(greenlets: Stage) -> None:
    tasks = [
        greenlets.spawn(lambda: subprocess.check_output(["sh", "-c", "sleep 0.1; echo done"])),
        greenlets.spawn(lambda: subprocess.run(["sleep", "0.1"], capture_output=True, timeout=9)),
        greenlets.spawn(lambda: subprocess.getoutput("sleep 0.1")),
    ]
    ticks = 0
    while not all(task.done for task in tasks):
        greenlets.sleep(0.005)
        ticks += 1
    assert ticks > 5
    assert tasks[0].result() == b"done\n"


def test_communicate_goes_on_after_a_timeout(stage: Stage) -> None:
    with Popen(["sh", "-c", "echo one; sleep 0.3; echo two"], **pipes(text=True)) as child:
        with never_early(0.1), pytest.raises(std.TimeoutExpired) as caught:
            child.communicate(timeout=0.1)
        assert caught.value.stdout in (b"one\n", None)
        assert child.communicate(timeout=15) == ("one\ntwo\n", "")


def test_reads_and_writes_wait(stage: Stage) -> None:
    with Popen(["cat"], stdin=std.PIPE, stdout=std.PIPE) as child:
        task = stage.spawn(child.stdout.readline)
        stage.stays_blocked(task)
        child.stdin.write(b"hello\n")
        child.stdin.flush()
        assert task.result() == b"hello\n"
        child.stdin.close()
        assert child.stdout.read() == b""


def test_unbuffered_pipes_write_everything(stage: Stage) -> None:
    data = os.urandom(MANY)
    with Popen(["cat"], bufsize=0, stdin=std.PIPE, stdout=std.PIPE) as child:
        writer = stage.spawn(lambda: (child.stdin.write(data), child.stdin.close())[0])
        stage.stays_blocked(writer)
        assert child.stdout.readall() == data
        assert writer.result() == MANY


@pytest.mark.parametrize(
    "more", [{"text": True}, {"encoding": "latin-1"}, {"text": True, "bufsize": 1}]
)
def test_text(stage: Stage, more: dict[str, Any]) -> None:
    with Popen(["cat"], stdin=std.PIPE, stdout=std.PIPE, **more) as child:
        assert isinstance(child.stdin, io.TextIOWrapper)
        child.stdin.write("gr\u00fcn\nblau\r\n")
        child.stdin.flush()
        if "encoding" not in more:
            assert child.stdout.readline() == "gr\u00fcn\n"
        child.stdin.close()
        assert "".join(child.stdout).endswith("blau\n")
    done = subprocess.run(["cat"], input="gr\u00fcn\n", capture_output=True, encoding="utf-8")
    assert done.stdout == "gr\u00fcn\n"


def test_a_pipe_of_one_child_is_the_input_of_another(stage: Stage) -> None:
    """The mode of the file is not changed under the child."""
    with Popen(["sh", "-c", "sleep 0.05; echo hello"], stdout=std.PIPE) as first:
        with Popen(["cat"], stdin=first.stdout, stdout=std.PIPE) as second:
            assert second.stdout.read() == b"hello\n"
        assert second.returncode == 0


# --- as the standard module -----------------------------------------------------------------------


def test_a_socket_as_the_streams_of_a_child(stage: Stage) -> None:
    here, there = socket.socketpair()
    with here, there:
        child = Popen(["cat"], stdin=there, stdout=there, stderr=subprocess.PIPE)
        there.close()
        time.sleep(0.1)  # a cat that may not wait has given up by then
        here.sendall(b"hello")
        here.shutdown(socket.SHUT_WR)
        with here.makefile("rb") as file:
            assert file.read() == b"hello"
        assert child.communicate(timeout=20) == (None, b"")


def test_a_socket_is_ours_again_if_there_is_no_child(stage: Stage) -> None:
    here, there = socket.socketpair()
    with here, there:
        with pytest.raises(FileNotFoundError):
            Popen(["there is no such program"], stdin=here)
        assert not os.get_blocking(here.fileno())


def test_functions_and_errors_are_the_standard_ones(stage: Stage) -> None:
    assert subprocess.check_output("echo hello", shell=True, text=True) == "hello\n"
    assert subprocess.getstatusoutput("echo no; exit 3") == (3, "no")
    assert subprocess.call(["sh", "-c", "exit 3"]) == 3
    assert subprocess.check_call(["true"]) == 0
    with pytest.raises(std.CalledProcessError) as caught:
        subprocess.run(["sh", "-c", "echo no; exit 3"], check=True, capture_output=True)
    assert caught.value.returncode == 3 and caught.value.stdout == b"no\n"
    with pytest.raises(FileNotFoundError):
        Popen(["/no/such/program"], **pipes())
    with pytest.raises(TypeError):
        Popen(["true"], bufsize="1")
    with pytest.raises(ValueError):
        subprocess.run(["true"], input=b"", stdin=std.PIPE)
    assert isinstance(subprocess.run(["true"]), std.CompletedProcess)


def test_every_public_name_is_there() -> None:
    assert set(subprocess.__all__) == set(std.__all__)
    assert [name for name in vars(std) if not hasattr(subprocess, name)] == []
    assert issubclass(subprocess.Popen, std.Popen)
    changed = {"Popen", "run", "call", "check_call", "check_output", "getoutput", "getstatusoutput"}
    same = set(std.__all__) - changed
    assert all(getattr(subprocess, name) is getattr(std, name) for name in same)
    assert not hasattr(std, "netpoll") and std.Popen is not subprocess.Popen


@needs_fork
@pytest.mark.rule(14)
def test_fork() -> None:
    """A child that is another process's is at its end for a fork of that."""
    check_python(
        """
        import os
        from netpoll import green, subprocess

        def main():
            child = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
            waiter = green.spawn(child.wait)
            green.sleep(0.02)
            forked = os.fork()
            if forked == 0:
                assert subprocess.run(["true"]).returncode == 0
                assert child.wait() == 0
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1]) == 0
            child.stdin.close()
            assert waiter.get() == 0

        green.run(main)
        """
    )


@pytest.mark.rule(13)
def test_ctrl_c_ends_a_wait() -> None:
    check_python(
        """
        import os, signal, sys, threading, time
        from netpoll import green, subprocess

        def main():
            with subprocess.Popen(["sleep", "60"]) as child:
                threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
                try:
                    child.wait()
                except KeyboardInterrupt:
                    child.kill()
                    assert child.wait() == -signal.SIGKILL
                    return "interrupted"

        assert main() == "interrupted"
        assert green.run(main) == "interrupted"
        """
    )


@pytest.mark.rule(15)
def test_exit_while_a_greenlet_waits() -> None:
    check_python(
        """
        import os, signal
        from netpoll import green, subprocess

        def main():
            child = subprocess.Popen(["sleep", "60"])
            green.spawn(child.wait)
            green.sleep(0.02)
            os.kill(child.pid, signal.SIGKILL)  # the greenlet does not run any more
            child.returncode = 0  # and so there is no warning

        green.run(main)
        """
    )
