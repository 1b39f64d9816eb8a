"""Numbers that were closed, duplicated or reused behind the poller's back.

A PollDesc is to be closed before its file; what happens otherwise is bounded: the number can be
opened again, whatever has it now, and a loop around the poller comes to rest.
"""

from __future__ import annotations

import array
import os
import select
import socket
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from netpoll import READ, ClosedError, NotPollableError, Poller
from support import (
    LONG,
    PAUSE,
    Sockets,
    Stage,
    needs_fileno,
    needs_fork,
    needs_linux,
    needs_pipe,
    no_tokens,
    not_on_libkqueue,
    read_some,
    take_tokens,
)

pytestmark = [
    needs_pipe,  # dup2 of what a poller takes
    not_on_libkqueue("reports a number that was closed"),
]


class Ends(NamedTuple):
    fd: int
    make_readable: Callable[[], object]


def _duplicate(sockets: Sockets, fd: int) -> int:
    return sockets.keep_fd(os.dup(fd))


def _socket(sockets: Sockets, folder: Path) -> Ends:
    here, there = sockets.pair()
    return Ends(sockets.keep_fd(os.dup(here.fileno())), lambda: there.send(b"x"))


def _pipe(sockets: Sockets, folder: Path) -> Ends:
    r, w = sockets.pipe()
    return Ends(r, lambda: os.write(w, b"x"))


def _eventfd(sockets: Sockets, folder: Path) -> Ends:
    fd = sockets.keep_fd(os.eventfd(0, os.EFD_NONBLOCK))
    twin = _duplicate(sockets, fd)
    return Ends(fd, lambda: os.eventfd_write(twin, 1))


def _fifo(sockets: Sockets, folder: Path) -> Ends:
    path = folder / f"fifo{len(os.listdir(folder))}"
    os.mkfifo(path)
    fd = sockets.keep_fd(os.open(path, os.O_RDWR | os.O_NONBLOCK))
    twin = _duplicate(sockets, fd)
    return Ends(fd, lambda: os.write(twin, b"x"))


def _tty(sockets: Sockets, folder: Path) -> Ends:
    main, second = os.openpty()
    sockets.keep_fd(second)
    os.set_blocking(main, False)
    return Ends(sockets.keep_fd(main), lambda: os.write(second, b"x"))


KINDS = {"socket": _socket, "pipe": _pipe, "fifo": _fifo, "tty": _tty}
if hasattr(os, "eventfd"):
    KINDS["eventfd"] = _eventfd


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest, sockets: Sockets, tmp_path: Path) -> Callable[[], Ends]:
    return lambda: KINDS[str(request.param)](sockets, tmp_path)


def _is_ready_for(poller: Poller, ends: Ends) -> None:
    """A new PollDesc of the number works."""
    with poller.open(ends.fd) as desc:
        assert desc.park(READ, "token")
        ends.make_readable()
        assert take_tokens(poller, 1) == ["token"]
        assert desc.resume(READ)


@pytest.mark.parametrize("inheritable", [True, False], ids=["dup2", "dup3"])
@pytest.mark.rule(9, 17)
def test_a_number_that_was_another_files_as_it_was_closed_is_opened_again(
    poller: Poller, sockets: Sockets, make: Callable[[], Ends], inheritable: bool
) -> None:
    """As a program redirects 0, 1 and 2 for a while."""
    ends, other = make(), make()
    desc = poller.open(ends.fd)
    saved = _duplicate(sockets, ends.fd)
    os.dup2(other.fd, ends.fd, inheritable)
    desc.close()
    os.dup2(saved, ends.fd, inheritable)
    _is_ready_for(poller, ends)
    _is_ready_for(poller, ends)


@pytest.mark.rule(9, 17)
def test_a_number_that_goes_back_and_forth_and_is_opened_each_time(
    poller: Poller, sockets: Sockets, make: Callable[[], Ends]
) -> None:
    ends, other = make(), make()
    files = [_duplicate(sockets, other.fd), _duplicate(sockets, ends.fd)]
    descs = [poller.open(ends.fd)]
    for turn in range(6):
        os.dup2(files[turn % 2], ends.fd)
        descs.append(poller.open(ends.fd))
        assert [desc.closed for desc in descs] == [True] * (turn + 1) + [False]
        with pytest.raises(FileExistsError):
            poller.open(ends.fd)
        assert not descs[-1].closed
    assert descs[-1].park(READ, "token")
    no_tokens(poller, 0.01)
    ends.make_readable()
    assert take_tokens(poller, 1) == ["token"]
    for desc in descs:
        desc.close()
    assert poller.stats().open == 0


@pytest.mark.rule(17)
def test_the_same_number_twice_is_refused_also_where_registrations_outlived_their_numbers(
    stage: Stage, sockets: Sockets
) -> None:
    lost, _ = sockets.pair()
    old = stage.poller.open(lost)
    sockets.keep(lost.dup())
    lost.close()
    old.close()
    here, there = sockets.pair()
    desc = stage.open(here)
    reader = stage.spawn(read_some, desc)
    stage.until_parked(readers=1)
    for _ in range(3):
        with pytest.raises(FileExistsError):
            stage.poller.open(here)
        stage.stays_blocked(reader, seconds=0.01)
    there.send(b"x")
    assert reader.result() == b"x"


@pytest.mark.rule(9, 17)
def test_a_number_whose_file_was_closed_and_is_another_of_the_kind_now(
    poller: Poller, sockets: Sockets, make: Callable[[], Ends]
) -> None:
    ends, other = make(), make()
    old = poller.open(ends.fd)
    os.dup2(other.fd, ends.fd)  # closes the file, unless something else has it
    with poller.open(ends.fd) as new:
        assert old.closed
        assert new.park(READ, "token")
        other.make_readable()
        assert take_tokens(poller, 1) == ["token"]
        with pytest.raises(ClosedError):
            old.reset(READ)
    old.close()


@pytest.mark.rule(9)
def test_the_other_end_of_a_pipe_is_another_file(poller: Poller, sockets: Sockets) -> None:
    r, w = sockets.pipe()
    old = poller.open(r)
    saved = _duplicate(sockets, r)
    os.dup2(w, r)
    with poller.open(r):
        assert old.closed
    os.dup2(saved, r)
    old.close()


@pytest.mark.rule(9)
def test_a_fifo_that_was_reopened_under_its_number(poller: Poller, tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    old = poller.open(fd)
    os.close(fd)
    assert os.open(path, os.O_RDWR | os.O_NONBLOCK) == fd
    with poller.open(fd) as new:
        assert old.closed and not new.closed
        os.write(fd, b"x")
        new.wait(READ)
    old.close()
    os.close(fd)


@pytest.mark.rule(9, 17)
def test_a_socket_that_comes_back_from_elsewhere(poller: Poller, sockets: Sockets) -> None:
    """Sent away (SCM_RIGHTS), closed here before its PollDesc, and received under its number."""
    a, b = sockets.pair()
    here, there = sockets.pair()
    fd = os.dup(here.fileno())
    desc = poller.open(fd)
    a.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])
    os.close(fd)
    desc.close()
    _, ancillary, _, _ = b.recvmsg(1, socket.CMSG_SPACE(4))
    back = int.from_bytes(ancillary[0][2], "little")
    assert back == sockets.keep_fd(fd)
    _is_ready_for(poller, Ends(back, lambda: there.send(b"x")))


@needs_fork
@pytest.mark.rule(14, 17)
def test_a_file_that_lives_on_in_a_child(poller: Poller, sockets: Sockets) -> None:
    here, there = sockets.pair()
    r, w = sockets.pipe()
    fd = os.dup(here.fileno())
    desc = poller.open(fd)
    child = os.fork()
    if child == 0:
        os.close(w)
        select.select([r], [], [])  # until the parent closes its end, or ends
        os._exit(0)
    os.closerange(fd, fd + 1)
    desc.close()
    os.dup2(here.fileno(), fd)
    sockets.keep_fd(fd)
    _is_ready_for(poller, Ends(fd, lambda: there.send(b"x")))
    os.close(w)
    os.waitpid(child, 0)


@needs_fileno
@pytest.mark.rule(12)
def test_a_loop_around_the_poller_comes_to_rest(
    poller: Poller, sockets: Sockets, make: Callable[[], Ends]
) -> None:
    """The file lost its number while a token was parked, and is ready for ever under another."""
    loop = select.poll()
    loop.register(poller.fileno(), select.POLLIN)
    lost, kept, other = make(), make(), make()
    desc, bystander = poller.open(lost.fd), poller.open(kept.fd)
    assert desc.park(READ, "lost") and bystander.park(READ, "kept")
    _duplicate(sockets, lost.fd)
    os.dup2(other.fd, lost.fd)
    desc.close()
    lost.make_readable()
    assert take_tokens(poller, 1) == ["lost"]
    for _ in range(3):  # a wake-up an edge may come, and no more
        loop.poll(0)
        poller.poll(0)
    assert not loop.poll(PAUSE * 1000)
    kept.make_readable()
    assert loop.poll(10_000)
    assert take_tokens(poller, 1) == ["kept"]
    bystander.close()
    poller.poll(0)


@needs_linux
@pytest.mark.rule(17)
def test_a_file_that_stat_calls_regular_and_that_has_events(poller: Poller) -> None:
    """As those of /proc, of cgroups (pressure), and message queues."""
    with open("/proc/self/mounts", "rb") as mounts, poller.open(mounts) as desc:
        desc.set_deadline(LONG)
        desc.wait(READ)


@needs_linux
@pytest.mark.rule(17)
def test_what_the_kernel_cannot_poll_is_refused_by_every_backend(poller: Poller) -> None:
    """/dev/null is always ready, and no event comes of it."""
    with open("/dev/null", "rb") as null, pytest.raises(NotPollableError):
        poller.open(null)
