"""The libraries' own test suites: on netpoll each test has the outcome that it has without.

    python tests/libraries/suites/run.py SITE [LIBRARY...]

downloads the sources of the versions that are installed, as those have the tests, and runs these
as they are, then with the adapter, in threads and in hubs.  Outcomes that differ, and are not in
exceptions.py, are printed.  SITE is the folder with what requirements.txt lists.

The tests have a network of their own: every port is free, there is no Internet, and packets to the
addresses at which they time out are lost.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from exceptions import EXCEPTIONS, LEFT_OUT

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "drivers"))

import servers  # noqa: E402

TESTS = {"urllib3": "test", "requests": "tests", "redis": "tests"}
ADAPTERS = {"requests": "netpoll.adapters.urllib3"}  # the others' have the libraries' names
OPTIONS = {
    # asyncio's plugin warns where nobody uses it.
    "urllib3": ("-p", "no:asyncio", "-n", "2"),
    "requests": ("-p", "no:asyncio", "-n", "2"),
    # One process, as there is one server.
    "redis": ("-m", "not redismod and not onlycluster"),
}
#: So many pass as they are, if all that they need is there.
LEAST = {"urllib3": 2200, "requests": 600, "redis": 3200}
PLACES = ("threads", "hubs")
#: Of urllib3, and of requests.
TARPITS = ("240.0.0.0", "10.255.255.1")


class Outcome(NamedTuple):
    kind: str  #: passed, skipped, failed, missing
    text: str  #: the traceback, or the reason


Outcomes = dict[str, Outcome]
MISSING = Outcome("missing", "")


class Suite:
    """The tests of a library."""

    def __init__(self, library: str, folder: Path, site: str) -> None:
        self.library = library
        self.site = site
        (archive,) = folder.glob(f"{library}-*.tar.gz")
        self.sources = archive.with_name(archive.name.removesuffix(".tar.gz"))

    def run(self, place: str, only: Iterable[str] = ()) -> Outcomes:
        """:param place: nothing for the library as it is."""
        adapter = ADAPTERS.get(self.library, f"netpoll.adapters.{self.library}")
        with _serving(self.library), tempfile.TemporaryDirectory() as folder:
            chosen, lines = Path(folder, "chosen"), Path(folder, "outcomes")
            chosen.write_text(json.dumps([*only]))
            lines.touch()
            env = dict(
                os.environ,
                PYTHONPATH=os.pathsep.join([str(HERE), os.path.abspath(self.site)]),
                SUITE_ADAPTER=adapter if place else "",
                SUITE_HUB="1" if place == "hubs" else "",
                SUITE_CHOSEN=str(chosen),
                SUITE_OUTCOMES=str(lines),
            )
            command = [sys.executable, "-m", "pytest", "-q", "-p", "on_netpoll", "--timeout", "60"]
            command += [TESTS[self.library], "-p", "no:cacheprovider", *OPTIONS[self.library]]
            command += [part for one in LEFT_OUT[self.library] for part in ("--ignore", one)]
            done = subprocess.run(
                command,
                check=False,
                cwd=self.sources,
                env=env,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            found = _read(lines)
        assert found, done.stdout.decode(errors="replace")
        return found

    def compare(self) -> bool:
        """Is all that differs excepted, in each place?"""
        plain = self.run("")
        if (count := passed(plain)) < LEAST[self.library]:
            failed = [
                f"--- {test}\n{one.text}" for test, one in plain.items() if one.kind == "failed"
            ]
            print(*failed, f"{self.library}: only {count} tests pass without netpoll", sep="\n")
            return False
        return not [place for place in PLACES if not self._compare(place, dict(plain))]

    def _compare(self, place: str, before: Outcomes) -> bool:
        patterns = exceptions(self.library, place)
        after = self.run(place)
        if wrong := unlike(before, after, patterns):  # once more: a machine may be busy
            before |= self.run("", wrong)
            after |= self.run(place, wrong)
            wrong = unlike(before, after, patterns)
        for test in wrong:
            old, new = before.get(test, MISSING), after.get(test, MISSING)
            print(f"--- {test}: {old.kind}, on netpoll {new.kind}\n{old.text}\n{new.text}")
        differ = unlike(before, after, ())
        stale = [one for one in patterns if not any(fits(test, [one]) for test in differ)]
        if stale:
            print(f"--- no exceptions any more: {stale}")
        print(
            f"{self.library} in {place}: {passed(before)} pass plain, {passed(after)} on netpoll; "
            f"{len(differ) - len(wrong)} exceptions, {len(wrong)} other differences",
            flush=True,
        )
        return not wrong and not stale


def _read(lines: Path) -> Outcomes:
    """A test fails by any of its phases."""
    found: Outcomes = {}
    for line in lines.read_text(encoding="utf-8").splitlines():
        test, kind, text = json.loads(line)
        if test not in found or kind == "failed":
            found[test] = Outcome(kind, text)
    return found


def passed(found: Outcomes) -> int:
    return sum(one.kind == "passed" for one in found.values())


def unlike(before: Outcomes, after: Outcomes, patterns: Iterable[str]) -> list[str]:
    """The tests whose outcomes differ, but for those."""
    return [
        test
        for test in before | after
        if before.get(test, MISSING).kind != after.get(test, MISSING).kind
        and not fits(test, patterns)
    ]


def fits(test: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(test, pattern) for pattern in patterns)


def exceptions(library: str, place: str) -> list[str]:
    keys = [key.partition(" @ ") for key in EXCEPTIONS[library]]
    return [pattern for pattern, _, only in keys if only in ("", place)]


class Redis(servers.Redis):
    """Where redis-py's tests look for it."""

    def prepare(self) -> None:
        self.port, self.tls_port = 6379, 6666


@contextmanager
def _serving(library: str) -> Iterator[None]:
    if library != "redis":
        yield
        return
    with tempfile.TemporaryDirectory(prefix="netpoll-") as folder:
        server = Redis(Path(folder))
        try:
            yield
        finally:
            server.stop()


def download(library: str, folder: Path) -> None:
    """Its sources, unpacked."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:"]
    subprocess.run([*command, "-d", str(folder), f"{library}=={version(library)}"], check=True)
    (archive,) = folder.glob(f"{library}-*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")


def in_own_network(folder: str) -> int:
    """Go on there, in a process of its own."""
    rights = () if os.getuid() == 0 else ("--map-current-user", "--keep-caps")
    lines = ["ip link set lo up", *(f"ip route add {one} dev lo" for one in TARPITS), 'exec "$@"']
    shell = ["sh", "-c", " && ".join(lines), "sh"]
    command = ["unshare", "--net", *rights, *shell, sys.executable, *sys.argv]
    return subprocess.call(command, env=dict(os.environ, SUITE_SOURCES=folder))


def main(site: str, *libraries: str) -> int:
    chosen = libraries or tuple(TESTS)
    if sources := os.environ.get("SUITE_SOURCES"):
        good = [Suite(library, Path(sources), site).compare() for library in chosen]
        return not all(good)
    with tempfile.TemporaryDirectory(prefix="netpoll-suites-") as folder:
        for library in chosen:
            download(library, Path(folder))
        return in_own_network(folder)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
