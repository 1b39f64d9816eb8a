"""fileno(): a poller nests in any other loop, deadlines included."""

from __future__ import annotations

import asyncio
import select
import selectors

import pytest
from netpoll import READ, WRITE, DeadlineExceeded, Poller
from support import (
    LONG,
    PAUSE,
    Sockets,
    Stage,
    blocked,
    needs_fileno,
    never_early,
    park_surely,
    take_tokens,
)

pytestmark = needs_fileno


def readable(poller: Poller, timeout: float = LONG) -> bool:
    return bool(select.select([poller], [], [], timeout)[0])


def comes_to_rest(poller: Poller) -> bool:
    """Not readable, after at most one poll that found nothing: no loop is kept busy."""
    if readable(poller, 0):
        assert poller.poll(0) == []
    return not readable(poller, PAUSE)


@pytest.mark.rule(12)
def test_an_idle_poller_is_not_readable(poller: Poller, sockets: Sockets) -> None:
    assert poller.fileno() == poller.fileno() >= 0
    assert not readable(poller, 0)
    desc, _ = blocked(poller.open, sockets, READ)
    poller.poll(0)
    with desc:
        desc.park(READ, "token")
        desc.set_deadline(100)
        poller.poll(0)
        assert not readable(poller, PAUSE)


@pytest.mark.rule(12)
def test_a_ready_token_makes_it_readable_until_it_is_polled(
    poller: Poller, sockets: Sockets, mode: int
) -> None:
    desc, make_ready = blocked(poller.open, sockets, mode)
    with desc:
        poller.fileno()
        for _ in range(3):
            desc.reset(mode)
            if not desc.park(mode, "token"):
                continue
            make_ready()
            assert readable(poller)
            assert take_tokens(poller, 1) == ["token"]
            assert comes_to_rest(poller)
            desc.resume(mode)
            if mode == WRITE:
                return  # it stays writable


@pytest.mark.rule(5, 12)
def test_a_due_deadline_makes_it_readable(poller: Poller, sockets: Sockets, mode: int) -> None:
    desc, _ = blocked(poller.open, sockets, mode)
    with desc:
        poller.fileno()
        poller.poll(0)
        desc.park(mode, "token")
        for _ in range(3):
            with never_early(0.01):
                desc.set_deadline(0.01)
                assert readable(poller)
            assert take_tokens(poller, 1) == ["token"]
            with pytest.raises(DeadlineExceeded):
                desc.resume(mode)
            assert comes_to_rest(poller)
            desc.set_deadline(None)
            assert desc.park(mode, "token")


@pytest.mark.rule(4, 12)
def test_its_readability_follows_a_deadline_that_is_moved(poller: Poller, sockets: Sockets) -> None:
    desc, _ = blocked(poller.open, sockets, READ)
    with desc:
        desc.park(READ, "token")
        poller.fileno()
        poller.poll(0)
        desc.set_deadline(0.02)
        desc.set_deadline(100)  # later: the old instant may wake the loop, but only once
        readable(poller, PAUSE)
        assert comes_to_rest(poller)
        with never_early(0.01):
            desc.set_deadline(0.01)  # earlier
            assert readable(poller)
        assert take_tokens(poller, 1) == ["token"]
        desc.set_deadline(None)
        assert comes_to_rest(poller)


@pytest.mark.rule(5, 12)
def test_a_deadline_from_before_fileno_was_asked_for_counts(
    poller: Poller, sockets: Sockets
) -> None:
    desc, _ = blocked(poller.open, sockets, READ)
    with desc:
        desc.park(READ, "token")
        desc.set_deadline(0.01)
        assert readable(poller)
        assert take_tokens(poller, 1) == ["token"]


@pytest.mark.rule(5, 12)
@pytest.mark.parametrize("timeout", [0, -1, 1e-9])
def test_a_deadline_at_once_makes_it_readable(
    poller: Poller, sockets: Sockets, timeout: float
) -> None:
    desc, _ = blocked(poller.open, sockets, READ)
    with desc:
        poller.fileno()
        desc.park(READ, "token")
        desc.set_deadline(timeout)
        assert readable(poller)
        assert take_tokens(poller, 1) == ["token"]
        assert comes_to_rest(poller)


@pytest.mark.rule(8, 12)
@pytest.mark.parametrize("ending", ["close", "unblock"])
def test_a_token_made_ready_by_a_call_makes_it_readable(
    threads: Stage, sockets: Sockets, ending: str
) -> None:
    poller = threads.poller
    poller.fileno()
    desc = threads.open(sockets.pair()[0])
    desc.park(READ, "token")
    poller.poll(0)
    looking = threads.spawn(readable, poller)
    threads.stays_blocked(looking)
    getattr(desc, ending)()
    assert looking.result() is True
    assert take_tokens(poller, 1) == ["token"]


@pytest.mark.rule(12)
def test_events_without_a_token_do_not_keep_it_readable(poller: Poller, sockets: Sockets) -> None:
    """A loop that polls whenever the poller is readable must come to rest."""
    a, b = sockets.pair()
    with poller.open(a):
        poller.fileno()
        b.send(b"x")
        readable(poller, PAUSE)
        assert comes_to_rest(poller)


@pytest.mark.rule(12)
def test_wakes_do_not_keep_it_readable_for_ever(poller: Poller) -> None:
    poller.fileno()
    poller.wake()
    if readable(poller, 0):
        poller.poll(PAUSE)  # one that may block takes the wake-up
    assert comes_to_rest(poller)


@pytest.mark.rule(12)
def test_it_works_in_selectors(poller: Poller, sockets: Sockets) -> None:
    a, b = sockets.pair()
    with poller.open(a) as desc, selectors.DefaultSelector() as selector:
        selector.register(poller, selectors.EVENT_READ)
        assert selector.select(0) == [] or poller.poll(0) == []
        for i in range(10):
            assert desc.park(READ, i)
            b.send(b"x")
            assert selector.select(LONG)
            assert take_tokens(poller, 1) == [i]
            assert desc.resume(READ)
            assert a.recv(10) == b"x"
            desc.reset(READ)


@pytest.mark.rule(5, 12)
def test_it_works_in_asyncio(poller: Poller, sockets: Sockets) -> None:
    a, b = sockets.pair()
    c, _ = sockets.pair()

    async def main() -> list[object]:
        loop, tokens = asyncio.get_running_loop(), []
        done = loop.create_future()

        def look() -> None:
            tokens.extend(poller.poll(0))
            if len(tokens) == 2 and not done.done():
                done.set_result(None)

        loop.add_reader(poller.fileno(), look)
        ready, late = poller.open(a), poller.open(c)
        with ready, late:
            ready.park(READ, "data")
            late.park(READ, "deadline")
            late.set_deadline(0.5)
            loop.call_later(0.01, b.send, b"x")
            await asyncio.wait_for(done, LONG)
            loop.remove_reader(poller.fileno())
        return tokens

    assert asyncio.run(main()) == ["data", "deadline"]


@pytest.mark.rule(11, 12)
def test_a_poller_nests_in_another_poller(stage: Stage, sockets: Sockets) -> None:
    """The inner one is a descriptor like any other to the outer one."""
    a, b = sockets.pair()
    inner = stage.new_poller()
    inside = stage.open(a, inner)
    outside = stage.open(inner)
    out: list[object] = []

    def serve() -> None:
        while len(out) < 11:
            outside.reset(READ)
            if tokens := inner.poll(0):
                out.extend(tokens)
            else:
                outside.wait(READ)

    server = stage.spawn(serve)
    for i in range(10):
        inside.reset(READ)
        park_surely(inside, READ, i)
        b.send(b"x")
        stage.until(lambda i=i: i in out, f"token {i} through both pollers")
        assert inside.resume(READ)
        assert a.recv(10) == b"x"
    inside.reset(READ)
    park_surely(inside, READ, "deadline")
    inside.set_deadline(0.01)
    server.result()
    assert out == [*range(10), "deadline"]


@pytest.mark.rule(12)
def test_it_wakes_a_nested_loop_while_threads_wait_on_the_same_poller(
    threads: Stage, sockets: Sockets
) -> None:
    (a, b), (c, d) = sockets.pair(), sockets.pair()
    poller, mine = threads.poller, threads.open(a)
    poller.fileno()
    waiter = threads.spawn(threads.open(c).wait, READ)
    threads.until_parked(readers=1)
    for i in range(20):
        park_surely(mine, READ, i)
        b.send(b"x")
        assert readable(poller)
        assert take_tokens(poller, 1) == [i]
        assert mine.resume(READ)
        a.recv(10)
        mine.reset(READ)
    d.send(b"x")
    waiter.result()
