"""netpoll's hub on its own: greenlets that only take turns, or only begin and end."""

from __future__ import annotations

from netpoll import green

from benchmarks.bout import Bout
from benchmarks.pairs import TURNS, Gate, Timed


def take(gate: Gate, turns: int) -> None:
    sleep = green.sleep
    for _ in range(turns):
        sleep(0)
    gate.done(turns)


def turns(tasks: int) -> Bout:
    """Greenlets that do nothing but let the others run."""

    def play(times: int) -> float:
        with Timed(tasks, times * TURNS // tasks) as gate:
            playing = [green.spawn(take, gate, times * TURNS // tasks) for _ in range(tasks)]
            for player in playing:
                player.join()
        return gate.elapsed

    return Bout(lambda times: green.run(play, times), TURNS)


def spawn(tasks: int) -> Bout:
    """So many at a time are spawned, do next to nothing, and are joined."""

    def play(times: int) -> float:
        with Timed(times * tasks, 1) as gate:
            for _ in range(times):
                for child in [green.spawn(gate.done, 1) for _ in range(tasks)]:
                    child.join()
        return gate.elapsed

    return Bout(lambda times: green.run(play, times), tasks)
