"""The tables of from-gevent and from-eventlet: every name on their left is one, and every public
name is there; what stands on the right exists.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
from support import WINDOWS

pytest.importorskip("greenlet")

PAGES = Path(__file__).parents[2] / "docs" / "howto"
#: What the pages shorten.
SHORT = {"green": "netpoll.green", "sync": "netpoll.sync", "patch": "netpoll.patch"}
NAME = re.compile(r"`((?:\w+\.)*\w+)`")
#: Modules of gevent of which every public name is to be in the tables.
GEVENT = (
    *("gevent", "gevent.event", "gevent.queue", "gevent.lock", "gevent.pool", "gevent.local"),
    *("gevent.threadpool", "gevent.server", "gevent.monkey", "gevent.util", "gevent.pywsgi"),
    *("gevent.fileobject", "gevent.os", "gevent.signal", "gevent.time", "gevent.backdoor"),
)


def rows(page: str) -> list[tuple[list[str], list[str]]]:
    """Each row's names: theirs, ours."""
    text = (PAGES / page).read_text(encoding="utf-8")
    cells = [line.split("|")[1:3] for line in text.splitlines() if line.startswith("| `")]
    return [(NAME.findall(theirs), NAME.findall(ours)) for theirs, ours in cells]


def resolve(path: str) -> Any:
    first, *rest = path.split(".")
    parts = [*SHORT.get(first, first).split("."), *rest]
    for count in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for name in parts[count:]:
            found = getattr(found, name)
        return found
    raise ModuleNotFoundError(path)


@pytest.mark.skipif(WINDOWS, reason="the tables name os.fork")
@pytest.mark.parametrize("page", ["from-gevent.md", "from-eventlet.md"])
def test_counterparts_exist(page: str) -> None:
    table = rows(page)
    assert len(table) > 40
    for _, ours in table:
        for path in ours:
            if "gunicorn" in path:
                pytest.importorskip("gunicorn")
            assert resolve(path) is not None


@pytest.mark.skipif(WINDOWS, reason="the table has gevent's names for fork")
def test_names_of_gevent() -> None:
    pytest.importorskip("gevent")
    names = {name for theirs, _ in rows("from-gevent.md") for name in theirs}
    for name in names:
        resolve(name)
    for module in GEVENT:
        public = importlib.import_module(module).__all__
        missing = [
            name
            for name in public
            if not {f"gevent.{name}", f"{module}.{name}"} & names and module not in names
        ]
        assert not missing, f"{module}: {missing}"


def test_names_of_eventlet() -> None:
    eventlet = pytest.importorskip("eventlet")
    names = {name for theirs, _ in rows("from-eventlet.md") for name in theirs}
    public = [name for name, value in vars(eventlet).items() if callable(value)]
    missing = [one for one in public if one[0] != "_" and f"eventlet.{one}" not in names]
    assert not missing
