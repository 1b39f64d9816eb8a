"""In a sub-interpreter the import raises ImportError, and the main interpreter is unharmed."""

from __future__ import annotations

import sys
from textwrap import dedent

import pytest
from support import HAS_GREENLET, check_python

pytestmark = [
    pytest.mark.rule(21),
    pytest.mark.skipif(sys.implementation.name != "cpython", reason="CPython has them"),
]

COMMON = """
import sys
try:  # what a server makes that runs several programs: they share the GIL
    import _xxsubinterpreters as interpreters
    kinds = [dict(isolated=False)] + [dict(isolated=True)] * (sys.version_info >= (3, 12))
    make = lambda kind: interpreters.create(**kind)
except ImportError:
    import _interpreters as interpreters
    kinds = ["legacy", "isolated"]
    make = interpreters.create

def run(name, kind):
    sub = make(kind)
    failed = interpreters.run_string(sub, f'''if 1:
        for _ in range(2):
            try:
                import {name}
            except ImportError as error:
                assert "interpreter" in str(error), error
            else:
                raise AssertionError("imported")
    ''')
    interpreters.destroy(sub)
    assert not failed, failed

def use():
    import netpoll
    from netpoll import READ, socket
    a, b = socket.socketpair()
    with a, b, netpoll.open(a) as desc:
        assert type(desc) is netpoll.PollDesc
        desc.set_deadline(0.001)
        try:
            desc.wait(READ)
        except netpoll.DeadlineExceeded:
            pass
        b.send(b"x")
        assert a.recv(1) == b"x"
"""

NAMES = ["netpoll", "netpoll.socket", "netpoll._core"]
if HAS_GREENLET:
    NAMES.append("netpoll.green")


BODY = """
for kind in kinds:
    run(name, kind)
use()
print("ok")
"""


@pytest.mark.parametrize("name", NAMES)
def test_the_import_raises_where_it_comes_first(name: str) -> None:
    assert check_python(dedent(COMMON) + f"name = {name!r}" + BODY) == "ok\n"


@pytest.mark.parametrize("name", [name for name in NAMES if name != "netpoll._core"])
def test_the_import_raises_where_the_main_interpreter_has_it(name: str) -> None:
    """The extension's module, which CPython copies, is there."""
    assert check_python(dedent(COMMON) + f"name = {name!r}\nuse()" + BODY) == "ok\n"


@pytest.mark.skipif(not HAS_GREENLET, reason="greenlet is not installed")
def test_a_hub_works_beside_a_sub_interpreter() -> None:
    script = """
    def main():
        from netpoll import green
        job = green.spawn(green.sleep, 0.01)
        for kind in kinds:
            run("netpoll.green", kind)
        job.join()
        use()

    from netpoll import green
    green.run(main)
    print("ok")
    """
    assert check_python(dedent(COMMON) + dedent(script)) == "ok\n"
