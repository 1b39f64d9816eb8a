"""The benchmarks still run, and notice work that was not done. Nothing here looks at speed."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import ROOT, not_on_libkqueue

sys.path.insert(0, str(ROOT))

pytestmark = [
    pytest.mark.any_engine,
    pytest.mark.skipif(
        sys.platform != "linux", reason="the benchmarks tie processes to cores and run C on epoll"
    ),
]


def benchmarks(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "tables",
    [
        ("ping-pong-unix-1", "ping-pong-tcp-1"),
        ("echo-64", "churn"),
        ("turn-1", "spawn"),
        pytest.param(
            ("beside-ping-pong-unix-100",),
            marks=not_on_libkqueue("loses events when more than half a batch is ready"),
        ),
    ],
)
def test_netpoll_and_a_rival_do_all_of_the_work(tables: tuple[str, ...]) -> None:
    done = benchmarks("--quick", *tables, "--only", "netpoll,asyncio")
    assert done.returncode == 0, done.stdout + done.stderr
    for table in tables:
        assert f"[{table}]" in done.stdout
    assert "0 row(s) failed" in done.stdout and "FAILED" not in done.stdout


def test_a_contestant_that_cannot_run_is_reported_and_not_left_out() -> None:
    args = "--quick", "selector-register", "--only", "PollerSelector"
    done = benchmarks(*args, NETPOLL_BACKEND="none")
    assert done.returncode == 1
    assert "FAILED" in done.stdout and "1 row(s) failed" in done.stdout


def test_an_unknown_table_is_named() -> None:
    done = benchmarks("ping-pong-by-mail")
    assert done.returncode == 2
    assert "ping-pong-by-mail" in done.stderr


@pytest.mark.parametrize(
    ("made", "complaint"), [([3, 3], None), ([3, 2], "5 trips"), ([3], "3 trips")]
)
def test_missing_trips_are_noticed(made: list[int], complaint: str | None) -> None:
    from benchmarks.pairs import Gate

    gate = Gate(2, 3)
    for trips in made:
        gate.done(trips)
    expect(gate.check, complaint)


@pytest.mark.parametrize(("sent", "complaint"), [(b"x", None), (b"xx", "b'xx'"), (b"y", "b'y'")])
def test_bytes_too_many_are_noticed(sent: bytes, complaint: str | None) -> None:
    from benchmarks.pairs import connected_pairs, take_out

    first, second = connected_pairs(1)[0]
    with first, second:
        second.send(sent)
        expect(lambda: take_out([first.fileno()]), complaint)
        with pytest.raises(BlockingIOError):
            take_out([first.fileno()])


def expect(check: Callable[[], None], complaint: str | None) -> None:
    if complaint is None:
        check()
    else:
        with pytest.raises(RuntimeError, match=complaint):
            check()


# --- what is measured -----------------------------------------------------------------------------


def test_the_processors_time_is_of_the_interval_that_is_measured() -> None:
    from benchmarks.pairs import Gate, connected_pairs

    first, second = pair = connected_pairs(1)[0]
    with first, second:
        gate = Gate(2, 1)
        work = time.process_time() + 0.1
        while time.process_time() < work:
            pass  # not measured
        gate.start([pair])
        time.sleep(0.02)
        gate.done(1)
        gate.done(1)
        took = gate.stop()
    assert took.elapsed >= 0.02
    assert took.cpu is not None and took.cpu < took.elapsed


@pytest.mark.slow
@pytest.mark.parametrize("language", ["Python", "C"])
def test_the_setting_up_of_many_pairs_is_not_measured(language: str) -> None:
    from benchmarks import harness, model

    pairs = 1000
    subject = {
        "Python": model.Python("netpoll_sockets", "ping_pong", {"pairs": pairs}),
        "C": model.C("epoll", "ping_pong", (pairs, "unix", 0, "none")),
    }[language]
    values = harness.run(subject, 0.001)
    assert values["operations"] < 10 * pairs  # so that it would show
    assert 0 < values["cpu"] < 1.1 * values["time"]  # of one thread


@pytest.mark.parametrize("language", ["Python", "C"])
def test_a_workload_can_be_asked_for_a_number_of_times(language: str) -> None:
    from benchmarks import harness, model

    subject = {
        "Python": model.Python("netpoll_sockets", "ping_pong", {"pairs": 3}),
        "C": model.C("epoll", "ping_pong", (3, "unix", 0, "none")),
    }[language]
    values = harness.run(subject, -7)
    assert values["operations"] == values["all"] == 21


def test_system_calls_are_counted_by_name_and_those_in_vain_once_more(tmp_path: Path) -> None:
    from benchmarks import profile

    summary = tmp_path / "summary"
    summary.write_text(
        "syscall              calls    errors\n"
        "---------------- --------- ---------\n"
        "recvfrom               400       200\n"
        "sendto                 200          \n"
        "---------------- --------- ---------\n"
        "total                  600       200\n"
    )
    assert profile.counts_in(summary) == {"recvfrom": 400, "recvfrom in vain": 200, "sendto": 200}


def test_a_profile_that_cannot_be_taken_is_said_and_not_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks import __main__, profile

    monkeypatch.setattr(shutil, "which", lambda tool: None if tool == "strace" else f"/bin/{tool}")
    monkeypatch.setattr(profile, "take", lambda: pytest.fail("it was taken"))
    __main__.take_profile()
    said = capsys.readouterr().out
    assert "No profile" in said and "strace is missing" in said and "perf" not in said


def in_a_process(code: str) -> subprocess.CompletedProcess[str]:
    """A thread that computes ties this one to a core: not in the process of the tests."""
    head = "import time\nfrom benchmarks import pairs\nfrom benchmarks.spinner import Spinner\n"
    head += "both = pairs.connected_pairs(2)\npairs.LONGEST_TRIP = 0.2\n"
    head += "pairs.Gate.spinner = Spinner()\n"
    return subprocess.run(
        [sys.executable, "-c", head + code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


TRIP = """
for first, second in both[:{pairs}]:
    for end in first, second:
        end.recv(16)
        end.send(b"x")
        gate.done(1)
"""


def test_a_thread_computes_while_it_is_measured_and_not_before_or_after() -> None:
    code = f"""
def computed(until, seconds=20):
    start, end = time.process_time(), time.monotonic() + seconds
    while time.process_time() < start + until and time.monotonic() < end:
        time.sleep(0.01)
    return time.process_time() - start
gate = pairs.Gate(4, 1)
pairs.LONGEST_TRIP = 60
before = computed(1, 0.3)
gate.start(both)
meanwhile = computed(0.1)
{TRIP.format(pairs=2)}
took = gate.stop()
time.sleep(0.05)
print(before, meanwhile, computed(1, 0.3), took.cpu)
"""
    done = in_a_process(code)
    assert done.returncode == 0, done.stderr
    before, meanwhile, after, measured = map(float, done.stdout.split())
    assert measured >= meanwhile >= 0.1 > max(before, after)


def test_a_trip_that_takes_too_long_is_broken_off_and_what_was_made_counts() -> None:
    code = f"""
pairs.LONGEST_TRIP = 2  # long enough for one of them, and the other never makes it
gate = pairs.Gate(4, 1)
gate.start(both)
{TRIP.format(pairs=1)}
time.sleep(30)
"""
    done = in_a_process(code)
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)
    assert values["operations"] == 1 and 1.9 < values["time"] < 20


def test_a_trip_of_which_nothing_was_made_has_failed() -> None:
    done = in_a_process("gate = pairs.Gate(4, 1)\ngate.start(both)\ntime.sleep(30)")
    assert done.returncode == 1
    assert done.stdout == "" and "no round trip" in done.stderr


@pytest.mark.parametrize("queued", [False, True])
def test_a_part_of_a_trip_is_told_by_where_the_byte_is(queued: bool) -> None:
    from benchmarks.pairs import Gate, connected_pairs

    both = connected_pairs(2)
    gate = Gate(4, 1, queued=queued)
    gate.start(both)
    made = [gate.made_so_far()]
    for end in both[0]:
        end.recv(16)
        if queued:
            gate.done(1)
        made.append(gate.made_so_far())
        end.send(b"x")
        if not queued:
            gate.done(1)
        made.append(gate.made_so_far())
    assert made[:3] == [0, 0.25, 0.5] and made[4] == 1
    assert 0.5 <= made[3] <= 0.75  # it cannot be told from the first quarter
    for end in [end for pair in both for end in pair]:
        end.close()


def test_what_is_kept_beside_a_thread_is_a_share_of_the_speed() -> None:
    from benchmarks import harness, model

    def measure(subject: model.Subject, target: float, beside: bool) -> model.Values:
        return {"time": 4.0, "rate": 1.0} if beside else {"time": 1.0, "rate": 4.0}

    for metric in "time", "rate":
        values = harness.with_and_without(measure, metric)(model.C("epoll", "ready"), 0.1)
        assert values["kept"] == 0.25
        assert (values["beside time"], values["rate"]) == (4.0, 4.0)


# --- results and their commits --------------------------------------------------------------------

MACHINE = ["a machine"]


def outcome_of(name: str, value: float) -> Any:
    from benchmarks import harness, model, table

    entry = model.Entry("netpoll", model.C("epoll", "ready"))
    columns = (model.Column("time", "a wait", table.seconds),)
    each = model.Table(name, name, (entry,), columns, harness.alone)
    return harness.Outcome(each, 1, {"netpoll": [{"time": value}]})


def kept_at(folder: Path, patch: pytest.MonkeyPatch, commits: list[str]) -> Any:
    """Results of as many tables, kept in this order and read back."""
    from benchmarks import results

    patch.setattr(results, "FOLDER", folder)
    kept = {}
    for number, commit in enumerate(commits):
        outcome = outcome_of(f"table-{number}", 1e-6)
        results.save(outcome, MACHINE, commit)
        kept[outcome.table.name] = results.load(outcome.table, MACHINE)
        assert results.load(outcome.table, ["another machine"]) is None
    return kept


def test_the_page_says_once_that_all_tables_are_of_one_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks import page

    kept = kept_at(tmp_path, monkeypatch, ["abc1234", "abc1234"])
    whose, strays = page.commits(kept)
    assert "all" in whose and "abc1234" in whose and strays == {}
    assert "commit" not in page.one_table(kept["table-0"].outcome, None)


def test_a_table_of_another_commit_than_the_newest_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks import page

    kept = kept_at(tmp_path, monkeypatch, ["old1234", "new1234", "new1234"])
    whose, strays = page.commits(kept)
    assert "new1234" in whose and "all" not in whose
    assert strays == {"table-0": "old1234"}
    assert "of commit old1234" in page.one_table(kept["table-0"].outcome, "old1234")


def test_a_result_that_does_not_know_its_commit_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks import results

    kept = kept_at(tmp_path, monkeypatch, ["abc1234"])["table-0"]
    file = tmp_path / "table-0.json"
    stored = json.loads(file.read_text())
    del stored["commit"]
    file.write_text(json.dumps(stored))
    assert results.load(kept.outcome.table, MACHINE) is None


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_a_commit_is_dirty_if_something_differs_that_no_run_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks import build, machine

    monkeypatch.setattr(build, "ROOT", tmp_path)
    assert machine.commit() == "unknown"
    (tmp_path / "docs").mkdir()
    for file in "docs/page.md", "code.c":
        (tmp_path / file).write_text("before")
    settings = ["user.name=nobody", "user.email=nobody@example.org", "commit.gpgsign=false"]
    git = ["git", *(word for setting in settings for word in ("-c", setting))]
    for command in ("init", "-q"), ("add", "."), ("commit", "-q", "-m", "first"):
        subprocess.run([*git, *command], cwd=tmp_path, check=True)
    clean = machine.commit()
    assert int(clean, 16) > 0
    (tmp_path / "docs/page.md").write_text("after")
    assert machine.commit() == clean
    (tmp_path / "code.c").write_text("after")
    assert machine.commit() == f"{clean}-dirty"


# --- the load -------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["wrong byte", "hangs up", None])
def test_the_load_compares_every_byte(fault: str | None) -> None:
    from benchmarks import build

    with socket.create_server(("127.0.0.1", 0)) as server:
        load = subprocess.Popen(
            [build.c_program("load"), str(server.getsockname()[1]), "100", "1", "0.3", "peak"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        connection, _ = server.accept()
        with connection:
            rounds = 0
            while data := receive(connection):
                rounds += 1
                if rounds > 50 and fault == "hangs up":
                    break
                if rounds > 50 and fault == "wrong byte":
                    data = data[:-1] + bytes([data[-1] ^ 1])
                connection.sendall(data)
        said, complaint = load.communicate(timeout=20)
    if fault is None:
        assert load.returncode == 0 and json.loads(said)["rate"] > 0
    else:
        assert load.returncode != 0 and said == "" and "load.c" in complaint


def receive(connection: socket.socket) -> bytes:
    try:
        return connection.recv(100, socket.MSG_WAITALL)
    except ConnectionResetError:
        return b""


def test_a_promise_is_a_row_with_its_worst_case() -> None:
    from benchmarks import model, page, table

    def ratio(limit: float, value: float | None, promise: str = "") -> table.Verdict:
        bound = model.Ratio("ours", "theirs", "time", limit, f"at least {limit}", promise)
        return table.Verdict(bound, value, table.times)

    size = model.Limit("ours", "bytes", "at most", 400, "small")
    judged = [
        ratio(1, 1.5, "ahead"),
        ratio(0.5, 0.4, "ahead"),
        ratio(2, 2.0),
        table.Verdict(size, 500, table.size),
        ratio(3, None),
    ]
    assert page.promises(judged).splitlines()[4:9] == [
        "| ahead | 1 of 2 | 0.40x (at least 0.50x) |",
        "| at least 2 | yes | 2.00x (at least 2.00x) |",
        "| small | **no** | 500 (at most 400) |",
        "| at least 3 | **no** | no value (at least 3.00x) |",
        "",
    ]
