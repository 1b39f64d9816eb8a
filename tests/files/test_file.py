"""`netpoll.File`: pipes, FIFOs, ttys and other files that can be waited for."""

from __future__ import annotations

import ctypes
import gc
import io
import itertools
import os
import pickle
import random
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import netpoll
import pytest
from netpoll import ClosedError, DeadlineExceeded, File, NotPollableError
from support import (
    HAS_GREENLET,
    WINDOWS,
    Sockets,
    Stage,
    check_python,
    close_quietly,
    name_of,
    needs_fifo,
    needs_fork,
    needs_greenlet,
    needs_linux,
    needs_pipe,
    never_early,
    turns,
)

if HAS_GREENLET:
    from netpoll import green

pty: Any = None
tty: Any = None
with suppress(ImportError):  # Windows
    import pty
    import tty

needs_tty = pytest.mark.skipif(pty is None, reason="pseudo-terminals are POSIX")

MANY = 300_000  # bytes: more than a pipe takes


@pytest.fixture
def pipe() -> Iterator[tuple[File, File]]:
    r, w = os.pipe()
    with File(r) as reader, File(w, "w") as writer:
        yield reader, writer


# --- reading and writing --------------------------------------------------------------------------


def test_a_read_waits_for_data(stage: Stage, pipe: tuple[File, File]) -> None:
    r, w = pipe
    task = stage.spawn(r.read, 100)
    stage.stays_blocked(task)
    assert w.write(b"hello") == 5
    assert task.result() == b"hello"
    buffer = bytearray(3)
    task2 = stage.spawn(r.readinto, buffer)
    stage.stays_blocked(task2)
    w.write(b"hello")
    assert task2.result() == 3 and buffer == b"hel"
    assert r.read(100) == b"lo"


def test_the_end_of_the_file(stage: Stage, pipe: tuple[File, File]) -> None:
    r, w = pipe
    task = stage.spawn(r.read)
    stage.stays_blocked(task)
    w.write(b"one")
    stage.sleep(0.01)
    w.write(b"two")
    stage.stays_blocked(task)
    w.close()
    assert task.result() == b"onetwo"
    assert r.read(1) == b"" and r.readinto(bytearray(1)) == 0


def test_a_write_waits_for_room(stage: Stage, pipe: tuple[File, File]) -> None:
    r, w = pipe
    data = os.urandom(MANY)

    def write() -> None:
        assert w.write(data) == MANY
        w.close()

    task = stage.spawn(write)
    stage.stays_blocked(task)
    assert r.read() == data
    task.result()


def test_a_write_without_a_reader_is_an_error(stage: Stage, pipe: tuple[File, File]) -> None:
    r, w = pipe

    def write() -> None:
        while True:
            w.write(bytes(1 << 16))

    task = stage.spawn(write)
    stage.stays_blocked(task)
    r.close()
    task.raises(BrokenPipeError)


def test_several_may_read_at_once(stage: Stage, pipe: tuple[File, File]) -> None:
    r, w = pipe
    tasks = [stage.spawn(r.read, 1) for _ in range(3)]
    stage.stays_blocked(*tasks)
    w.write(b"abc")
    assert sorted(task.result() for task in tasks) == [b"a", b"b", b"c"]


@needs_greenlet
def test_others_run_meanwhile(greenlets: Stage, pipe: tuple[File, File]) -> None:
    r, w = pipe
    task = greenlets.spawn(r.read, 1)
    for _ in range(3):
        greenlets.sleep(0.001)
    w.write(b"x")
    assert task.result() == b"x"


# --- limits and the end ---------------------------------------------------------------------------


@pytest.mark.rule(3, 5)
def test_a_deadline_to_read(stage: Stage, pipe: tuple[File, File]) -> None:
    r, w = pipe
    r.set_read_deadline(0.02)
    with never_early(0.02), pytest.raises(DeadlineExceeded):
        r.read(1)
    w.write(b"x")
    with pytest.raises(DeadlineExceeded):
        r.readinto(bytearray(1))
    r.set_deadline(None)
    assert r.read(1) == b"x"
    with pytest.raises(ValueError):
        r.set_deadline(float("nan"))


@pytest.mark.rule(4)
def test_a_deadline_that_is_moved_while_one_waits(stage: Stage, pipe: tuple[File, File]) -> None:
    r, w = pipe
    r.set_deadline(60)
    task = stage.spawn(r.read, 1)
    stage.stays_blocked(task)
    r.set_read_deadline(0)
    task.raises(DeadlineExceeded)
    task2 = stage.spawn(w.write, bytes(MANY))
    stage.stays_blocked(task2)
    w.set_write_deadline(0.01)
    task2.raises(DeadlineExceeded)


def fill(file: File) -> None:
    """No write is possible any more."""
    file.set_write_deadline(0.02)
    with pytest.raises(DeadlineExceeded):
        while True:
            file.write(bytes(1 << 16))
    file.set_write_deadline(None)


def test_a_closed_file(stage: Stage, pipe: tuple[File, File]) -> None:
    r, _ = pipe
    number = r.fileno()
    r.close()
    r.close()
    assert r.closed
    with pytest.raises(OSError):
        os.fstat(number)
    for use in (r.fileno, r.readall, r.readable, r.isatty, r.tell, r.flush):
        with pytest.raises(ValueError, match="closed"):
            use()
    with pytest.raises(ClosedError):
        r.set_deadline(1)


@pytest.mark.rule(8)
def test_close_ends_reads_and_writes(stage: Stage, pipe: tuple[File, File]) -> None:
    r, _ = pipe
    readers = [stage.spawn(r.read, 1), stage.spawn(r.readall)]
    stage.stays_blocked(*readers)
    number = r.fileno()
    r.close()
    for reader in readers:
        assert f"fd {number}: closed" in str(reader.raises(ClosedError))
    a, b = os.pipe()
    with File(b, "w") as full:
        writer = stage.spawn(full.write, bytes(MANY))
        stage.stays_blocked(writer)
        full.close()
        writer.raises(ClosedError)
    os.close(a)


def test_a_number_that_is_not_to_be_closed(stage: Stage, sockets: Sockets) -> None:
    r, w = sockets.pipe()
    file = File(r, closefd=False)
    task = stage.spawn(file.read, 1)
    stage.stays_blocked(task)
    file.close()
    task.raises(ClosedError)
    os.write(w, b"x")
    with File(r, closefd=False) as file:
        assert file.read(1) == b"x" and not file.closefd
    os.fstat(r)


@needs_greenlet
def test_a_kill(greenlets: Stage, pipe: tuple[File, File]) -> None:
    r, w = pipe
    task = greenlets.spawn(r.read, 1)
    greenlets.stays_blocked(task)
    task.greenlet.kill()  # type: ignore[attr-defined]
    task.raises(green.GreenletExit)
    w.write(b"x")
    assert r.read(1) == b"x"


def test_what_a_read_that_was_given_up_would_have_got_is_the_next_ones(
    stage: Stage, pipe: tuple[File, File]
) -> None:
    r, w = pipe
    r.set_read_deadline(0.02)
    with pytest.raises(DeadlineExceeded, match=f"fd {r.fileno()}: read deadline exceeded"):
        r.read(100)
    r.set_read_deadline(None)
    w.write(b"hello")
    buffer = bytearray(2)
    assert r.read(2) == b"he" and r.readinto(buffer) == 2 and buffer == b"ll" and r.read(9) == b"o"
    r.set_read_deadline(0.02)
    with pytest.raises(DeadlineExceeded):
        r.read(100)
    r.set_read_deadline(None)
    w.close()
    assert r.read() == b""


def test_no_byte_is_lost_to_reads_that_are_given_up(stage: Stage, pipe: tuple[File, File]) -> None:
    r, w = pipe
    data = bytes(range(turns(250)))

    def write() -> None:
        for byte in data:
            time.sleep(random.random() / 500)
            os.write(w.fileno(), bytes([byte]))

    writer = stage.thread(write)
    got, given_up = b"", 0
    while len(got) < len(data):
        r.set_read_deadline(random.random() / 500)
        try:
            got += r.read(random.randrange(1, 4))
        except DeadlineExceeded:
            given_up += 1
    writer.result()
    assert got == data and given_up


def test_a_write_comes_after_one_that_was_given_up(stage: Stage, pipe: tuple[File, File]) -> None:
    r, w = pipe
    w.set_write_deadline(0.02)
    with pytest.raises(DeadlineExceeded):
        w.write(bytes(MANY))
    w.set_write_deadline(None)

    def write() -> None:
        w.write(b"last")
        w.close()

    task = stage.spawn(write)
    assert r.read().strip(b"\0") == b"last"
    task.result()


@pytest.mark.rule(8)
def test_close_after_an_operation_that_was_given_up(stage: Stage) -> None:
    (r, peer_of_r), (peer_of_w, w) = os.pipe(), os.pipe()
    reader, writer = File(r), File(w, "w")
    reader.set_read_deadline(0.02)
    with pytest.raises(DeadlineExceeded):
        reader.read(1)
    fill(writer)
    for file in (reader, writer):
        file.close()
    stage.until(lambda: is_closed(r) and is_closed(w), "the numbers are closed")
    os.close(peer_of_r)
    os.close(peer_of_w)


def is_closed(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return True
    return False


def test_any_number_of_operations_may_wait(stage: Stage) -> None:
    """And those that they wait for still go on."""
    pipes = [(File(r), File(w, "w")) for r, w in (os.pipe() for _ in range(40))]
    tasks = [stage.spawn(r.read, 1) for r, _ in pipes]
    stage.stays_blocked(*tasks)
    for _, w in pipes:
        w.write(b"x")
    assert [task.result() for task in tasks] == [b"x"] * 40
    for file in itertools.chain.from_iterable(pipes):
        file.close()


@pytest.mark.skipif(not WINDOWS or sys.version_info < (3, 12), reason="elsewhere that is no matter")
def test_a_pipe_in_non_blocking_mode_is_refused(stage: Stage, pipe: tuple[File, File]) -> None:
    r, _ = pipe
    os.set_blocking(r.fileno(), False)
    with pytest.raises(NotPollableError, match="non-blocking mode"):
        r.read(1)


@needs_greenlet
def test_a_kill_of_one_that_queues_leaves_the_operation_before_it(
    greenlets: Stage, pipe: tuple[File, File]
) -> None:
    r, w = pipe
    data = os.urandom(MANY)

    def kill_second(*tasks: Any) -> Any:
        greenlets.stays_blocked(*tasks)
        tasks[1].greenlet.kill()
        tasks[1].raises(green.GreenletExit)
        return tasks[0]

    reader = kill_second(greenlets.spawn(r.read, 1), greenlets.spawn(r.read, 1))
    greenlets.stays_blocked(reader)
    w.write(b"x")
    assert reader.result() == b"x"
    writer = kill_second(greenlets.spawn(w.write, data), greenlets.spawn(w.write, b"queued"))
    rest = greenlets.spawn(r.read)
    assert writer.result() == MANY
    w.close()
    assert rest.result() == data


def test_an_unclosed_file_warns_and_is_closed() -> None:
    r, w = os.pipe()
    for leave in (File, lambda fd: netpoll.fdopen(fd, "rb")):
        number = os.dup(r)
        file: Any = leave(number)
        with pytest.warns(ResourceWarning, match="unclosed file"):
            del file
            gc.collect()
        with pytest.raises(OSError):
            os.fstat(number)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        file = File(r, closefd=False)
        del file
        gc.collect()
    os.close(r)
    os.close(w)


# --- the mode of the open file description --------------------------------------------------------


@needs_pipe
def test_the_mode_of_the_file_stays(stage: Stage, sockets: Sockets) -> None:
    r, w = sockets.pipe()
    for blocking in (True, False):
        os.set_blocking(r, blocking)
        os.set_blocking(w, blocking)
        with File(r, closefd=False) as reader, File(w, "w", closefd=False) as writer:
            task = stage.spawn(reader.read, 4)
            stage.stays_blocked(task)
            writer.write(b"data")
            assert task.result() == b"data"
            fill(writer)
            assert os.get_blocking(r) == os.get_blocking(w) == blocking
            reader.read(1 << 20)


def test_a_child_gets_a_pipe_that_blocks(stage: Stage, pipe: tuple[File, File]) -> None:
    r, w = pipe
    task = stage.spawn(r.read, 1)
    stage.stays_blocked(task)
    cat = "import sys; sys.stdout.write(sys.stdin.read())"
    command = [sys.executable, "-c", cat]
    child = subprocess.Popen(command, stdin=r.fileno(), stdout=subprocess.PIPE)
    w.write(b"x")
    w.close()
    out, _ = child.communicate()
    task.result()
    assert out in (b"", b"x") and child.returncode == 0


# --- kinds of files -------------------------------------------------------------------------------


@needs_fifo
def test_a_fifo(stage: Stage, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    r = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    w = os.open(tmp_path / "fifo", os.O_WRONLY)
    with File(r) as reader, File(w, "w") as writer:
        task = stage.spawn(reader.read, 9)
        stage.stays_blocked(task)
        writer.write(b"hello")
        assert task.result() == b"hello"


@needs_fifo
def test_a_fifo_without_a_writer_is_at_its_end(stage: Stage, tmp_path: Path) -> None:
    """As `read` says; poll has no event for it before there was a writer."""
    os.mkfifo(tmp_path / "fifo")
    with File(os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)) as reader:
        assert stage.spawn(reader.read, 9).result() == b""
        assert stage.spawn(reader.readinto, bytearray(9)).result() == 0


@needs_tty
def test_a_tty(stage: Stage) -> None:
    a, b = pty.openpty()
    tty.setraw(b)
    with File(a, "r+") as master, File(b, "r+") as slave:
        assert slave.isatty() and not slave.seekable()
        task = stage.spawn(slave.read, 9)
        stage.stays_blocked(task)
        master.write(b"hello")
        assert task.result() == b"hello"
        slave.set_write_deadline(0.05)
        with pytest.raises(DeadlineExceeded):  # nothing reads there
            while True:
                slave.write(bytes(1 << 16))
        master.read(1 << 20)
        closer = stage.spawn(master.read, 1 << 20)
        closer.result()


@needs_linux
def test_an_eventfd(stage: Stage) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    with File(libc.eventfd(0, 0), "r+") as file:
        task = stage.spawn(file.read, 8)
        stage.stays_blocked(task)
        file.write((7).to_bytes(8, sys.byteorder))
        assert int.from_bytes(task.result(), sys.byteorder) == 7


@needs_linux
def test_a_timerfd(stage: Stage) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    with File(libc.timerfd_create(1, 0)) as file:
        spec = (ctypes.c_long * 4)(0, 0, 0, 20_000_000)
        with never_early(0.02):
            assert libc.timerfd_settime(file.fileno(), 0, spec, None) == 0
            assert int.from_bytes(file.read(8), sys.byteorder) == 1


def test_a_plain_file_never_waits(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "file"
    with File(os.open(path, os.O_RDWR | os.O_CREAT), "r+") as file:
        assert file.write(bytes(MANY)) == MANY
        assert file.seekable() and file.tell() == MANY
        assert file.seek(10) == 10 and file.truncate() == 10
        assert file.seek(0) == 0 and file.read() == bytes(10)
        assert file.read(1) == b""
    with File(os.open(path, os.O_WRONLY), "a") as file:
        file.write(b"end")
    assert path.read_bytes() == bytes(10) + b"end"


def test_the_null_device(stage: Stage) -> None:
    with File(os.open(os.devnull, os.O_RDWR), "r+") as file:
        assert file.read() == b"" and file.write(b"x") == 1


@pytest.mark.parametrize("kind", ["pipe", "file", "null", pytest.param("tty", marks=needs_tty)])
@pytest.mark.parametrize("hub", [True, False], ids=["hub", "thread"])
def test_standard_input_whatever_it_is(kind: str, hub: bool, tmp_path: Path) -> None:
    if hub and not HAS_GREENLET:
        pytest.skip("greenlet is not installed")
    script = """
import netpoll, os, sys
def main():
    with netpoll.fdopen(0, closefd=False) as file:
        for line in file:
            print("got", line.strip(), flush=True)
mode = os.get_blocking if os.name == "posix" else int
before = mode(0)
if sys.argv[1] == "True":
    from netpoll import green
    green.run(main)
else:
    main()
assert mode(0) == before
"""
    text = b"one\ntwo\n"
    (tmp_path / "file").write_bytes(text)
    command = [sys.executable, "-c", script, str(hub)]
    with open(os.devnull if kind == "null" else tmp_path / "file", "rb") as plain:
        if kind == "tty":
            out = _on_a_tty(command, text)
        else:
            given: Any = {"input": text} if kind == "pipe" else {"stdin": plain}
            out = subprocess.run(command, check=True, stdout=subprocess.PIPE, **given).stdout
    assert out.splitlines() == ([] if kind == "null" else [b"got one", b"got two"])


def _on_a_tty(command: list[str], text: bytes) -> bytes:
    a, b = pty.openpty()
    child = subprocess.Popen(command, stdin=b, stdout=subprocess.PIPE)
    assert child.stdout is not None
    os.close(b)
    os.write(a, text + b"\x04")  # and the end of the file
    out, _ = child.communicate()
    os.close(a)
    assert child.returncode == 0
    return out


# --- as the io module has it ----------------------------------------------------------------------


def test_buffers_and_text_around_it(stage: Stage, sockets: Sockets) -> None:
    r, w = sockets.pipe()
    text: Any = io.TextIOWrapper(io.BufferedReader(File(r, closefd=False)), "utf-8")
    out: Any = io.TextIOWrapper(io.BufferedWriter(File(w, "w", closefd=False)), "utf-8")
    with text, out:
        task = stage.spawn(text.readline)
        stage.stays_blocked(task)
        out.write("gr\u00fcn\nblau")
        out.flush()
        assert task.result() == "gr\u00fcn\n"
        out.close()
        os.close(os.dup(w))


def test_lines_of_a_raw_file(stage: Stage, pipe: tuple[File, File]) -> None:
    r, w = pipe
    w.write(b"one\ntwo\nthree")
    w.close()
    assert r.readline() == b"one\n"
    assert r.readlines() == [b"two\n", b"three"]


@pytest.mark.parametrize("way", ["r", "rb", "rt", "w", "wb", "wt"])
@pytest.mark.parametrize("buffering", [-1, 0, 1, 100])
def test_fdopen_is_as_the_standard_one(sockets: Sockets, way: str, buffering: int) -> None:
    r, w = sockets.pipe()

    def outcome(function: Any) -> Any:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                file = function(r if "r" in way else w, way, buffering, closefd=False)
        except ValueError as error:
            return str(error)
        with file:
            kind = "raw" if isinstance(file, io.RawIOBase) else type(file)
            return kind, file.mode, getattr(file, "line_buffering", None), file.name

    assert outcome(netpoll.fdopen) == outcome(os.fdopen)


@pytest.mark.parametrize(
    "args",
    [
        ("rbt",),
        ("rb", -1, "utf-8"),
        ("rb", -1, None, "strict"),
        ("rb", -1, None, None, "\n"),
        ("r", 0),
        ("r+",),
        ("x",),
        ("",),
        ("rw",),
        ("r", -1, "no such encoding"),
    ],
    ids=name_of,
)
def test_what_fdopen_refuses(sockets: Sockets, args: tuple[Any, ...]) -> None:
    r, _ = sockets.pipe()
    number = os.dup(r)
    with pytest.raises((ValueError, LookupError)):
        netpoll.fdopen(number, *args)
    close_quietly(number)


def test_what_a_file_refuses(stage: Stage, pipe: tuple[File, File], tmp_path: Path) -> None:
    r, w = pipe
    with pytest.raises(io.UnsupportedOperation):
        r.write(b"x")
    with pytest.raises(io.UnsupportedOperation):
        w.read(1)
    with pytest.raises(io.UnsupportedOperation):
        w.readinto(bytearray(1))
    with pytest.raises(TypeError):
        w.write("text")  # type: ignore[arg-type]
    with pytest.raises(TypeError):  # as files of the io module do
        w.write(data=b"x")  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        r.read("1")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        r.readinto(b"not writable")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        pickle.dumps(r)
    with pytest.raises(OSError):
        r.seek(0)
    with pytest.raises(TypeError):
        File("name")  # type: ignore[arg-type]
    for mode in (None, 3, b"r"):
        with pytest.raises(TypeError):
            File(r.fileno(), mode)  # type: ignore[arg-type]
    with pytest.raises(OSError):
        File(99999)
    if not WINDOWS:  # where a directory cannot be opened
        number = os.open(tmp_path, os.O_RDONLY)
        with pytest.raises(IsADirectoryError):
            File(number)
        close_quietly(number)
    assert not r.seekable() and r.readable() and not r.writable() and w.writable()
    assert r.mode == "rb" and w.mode == "wb" and r.name == r.fileno()


@needs_fork
@pytest.mark.rule(14)
def test_fork() -> None:
    check_python(
        """
        import os, threading, time, netpoll

        r, w = os.pipe()
        reader = netpoll.File(r)
        thread = threading.Thread(target=reader.read, args=(1,), daemon=True)
        thread.start()
        time.sleep(0.05)
        child = os.fork()
        if child == 0:
            os.write(w, b"xx")  # the thread of the parent reads one of them, or we do
            assert reader.read(1) == b"x"
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        thread.join()
        """
    )
