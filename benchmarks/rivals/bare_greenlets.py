"""Greenlets without a hub: the switch that every hub is made of, from Python and from C."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable
from functools import partial
from importlib.machinery import ExtensionFileLoader
from time import perf_counter
from types import ModuleType

from greenlet import greenlet

from benchmarks import build
from benchmarks.bout import Bout
from benchmarks.pairs import TURNS, Timed


def take(turns: int, following: greenlet) -> None:
    switch = following.switch
    for _ in range(turns):
        switch()


def turns(tasks: int, in_c: bool = False) -> Bout:
    """A ring of greenlets, each giving way to the next; one alone does so to another and back."""
    loop: Callable[[int, greenlet], None] = extension("switches").take if in_c else take

    def run(times: int) -> float:
        ring = [greenlet(None) for _ in range(max(tasks, 2))]
        for player, following in zip(ring, itertools.chain(ring[1:], ring[:1]), strict=True):
            player.run = partial(loop, times * TURNS // tasks, following)
        start = perf_counter()
        ring[0].switch()
        elapsed = perf_counter() - start
        if [player.dead for player in ring] != [True] + [False] * (len(ring) - 1):
            raise RuntimeError("the first has not ended first")
        for player in ring[1:]:  # they have given way for the last time
            player.switch()
        return elapsed

    return Bout(run, TURNS)


def spawn(tasks: int) -> Bout:
    """So many at a time are made, and then run to their end one by one."""

    def run(times: int) -> float:
        with Timed(times * tasks, 1) as gate:
            for _ in range(times):
                for child in [greenlet(gate.done) for _ in range(tasks)]:
                    child.switch(1)
        return gate.elapsed

    return Bout(run, tasks)


def extension(name: str) -> ModuleType:
    loader = ExtensionFileLoader(name, str(build.c_extension(name)))
    spec = importlib.util.spec_from_loader(name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module
