"""Why attempts failed, kept with them: kinds, old databases, what is found by them."""

import json
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Callable, Iterator, List, Tuple

import pytest

from jd import messages
from jd import protocol as p
from jd.protocol import ProtocolError
from jd.server.creation.batch import from_list
from jd.server.store.operators import bulk
from jd.server.store.pages import export
from jd.server.store.queue import ending, errors
from jd.server.store.schema import MIGRATIONS
from jd.server.store.search import conditions, scanning, values
from tests.server.store_support import Desk

Found = Callable[[str], List[int]]
TRACEBACK = 'Traceback (most recent call last):\n  File "/a/t.py", line 3, in f\n    g()\n%s\n'


def fail(desk: Desk, error: str, worker: str = "node1_egg_0", **fields: Any) -> int:
    """A worker takes the next job and fails it so. The id of the job."""
    claimed = desk.claim(worker, session=worker, host=worker.partition("_")[0],
                         system_metrics={"gpus": fields.pop("gpus", "none")})
    desk.finish(claimed.job_id, "ABORTED", attempt=claimed.attempt, **dict(
        {"exit_code": 1, "message": "exit status 1", "output_tail": TRACEBACK % error}, **fields))
    return claimed.job_id


def kept(desk: Desk) -> List[Tuple[Any, ...]]:
    """(job, attempt, error, number of the kind, GPUs) of all attempts."""
    return desk.read(lambda db: db.execute(
        "SELECT job_id, number, error, error_id, gpus FROM attempts ORDER BY job_id, number").fetchall())


def forms(desk: Desk) -> List[Tuple[Any, ...]]:
    return desk.read(lambda db: db.execute(
        "SELECT form, verdict, exit_code FROM error_kinds ORDER BY id").fetchall())


def test_failures_alike_are_of_one_kind(desk: Desk) -> None:
    desk.create(6)
    fail(desk, "ValueError: lr 3 on node1", gpus="0,1")
    fail(desk, "ValueError: lr 4 on node2.lab", "node2_egg_0")
    fail(desk, "ValueError: lr 5 on node2", "node2_egg_0", exit_code=3)
    fail(desk, "x", verdict=p.VERDICT_OOM, exit_code=-9, message="killed by SIGKILL: out of memory")
    done = desk.claim("node3_egg_0", session="s")
    desk.finish(done.job_id, attempt=done.attempt, output_tail="an error of no importance")
    assert kept(desk) == [
        (1, 1, "ValueError: lr 3 on node1", 1, "0,1"), (2, 1, "ValueError: lr 4 on node2.lab", 1, None),
        (3, 1, "ValueError: lr 5 on node2", 2, None), (4, 1, "killed by SIGKILL: out of memory", 3, None),
        (5, 1, None, None, None)]
    assert forms(desk) == [("ValueError: lr <n> on <host>", "failed", 1),
                           ("ValueError: lr <n> on <host>", "failed", 3),
                           ("killed by SIGKILL: out of memory", "oom", -9)]
    assert desk.job(1)["error"] == "ValueError: lr 3 on node1" and desk.job(5)["error"] is None


def test_what_was_given_back_or_lost_says_so_and_what_a_person_stopped_has_no_error(desk: Desk) -> None:
    desk.create(3)
    given_back = desk.claim("a_egg_0", session="a")
    desk.write(lambda t: ending.release(t, messages.Release(given_back.job_id, 1, "the worker leaves")))
    lost = desk.claim("b_egg_0", session="b")
    desk.write(lambda t: ending.end(t, lost.job_id, p.VERDICT_LOST, message="no heartbeat for 600 s"))
    stopped = desk.claim("c_egg_0", session="c")
    desk.write(lambda t: ending.end(t, stopped.job_id, p.VERDICT_STOPPED, message="aborted"))
    assert [row[2] for row in kept(desk)] == ["the worker leaves", "no heartbeat for 600 s", None]


def test_what_its_worker_had_is_not_forgotten_by_last_words_that_somebody_else_says(desk: Desk) -> None:
    desk.create(1)
    desk.claim("a_egg_0", session="a", system_metrics={"gpus": "2,3"})
    desk.beat("a_egg_0", session="a", reported_status="busy", leave=True, died=1)
    assert kept(desk) == [(1, 1, "its worker was found dead on its machine", 1, "2,3")]


def test_output_that_was_told_with_a_heartbeat_counts_too(desk: Desk) -> None:
    desk.create(1)
    job = desk.claim("w", session="w")
    desk.beat("w", session="w", reported_status="busy", current_job_id=job.job_id, attempt=1,
              output_tail=TRACEBACK % "OSError: disk")
    desk.finish(job.job_id, "ABORTED", attempt=1, exit_code=1, message="exit status 1")
    assert kept(desk)[0][2] == "OSError: disk"


def test_words_that_are_always_others_make_no_kinds_without_end(desk: Desk,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "MOST_KINDS", 2)
    desk.create(6)
    for word in ("ValueError: a", "ValueError: b", "ValueError: c", "ValueError: d", "ValueError: a"):
        fail(desk, word)
    assert [row[3] for row in kept(desk)] == [1, 2, 3, 3, 1]
    assert forms(desk)[2] == (errors.OTHERS, "failed", 1)
    assert kept(desk)[3][2] == "ValueError: d"


def test_a_damaged_output_ends_an_attempt_all_the_same(desk: Desk) -> None:
    desk.create(1)
    job = desk.claim("w", session="w", system_metrics={})
    desk.write(lambda t: t.db.execute("UPDATE attempts SET output_tail = CAST(X'4552524f523aff' AS TEXT),"
                                      " system_metrics = 'no JSON'"))
    desk.finish(job.job_id, "ABORTED", attempt=1, exit_code=1, message="exit status 1")
    assert kept(desk)[0][2] == "ERROR:\ufffd"


def test_a_database_from_before_is_looked_through_by_and_by(tmp_path: Path) -> None:
    before = next(at for at, text in enumerate(MIGRATIONS) if "TABLE error_kinds" in text)
    with closing(sqlite3.connect(str(tmp_path / "jobs.db"))) as old:
        old.executescript("".join(MIGRATIONS[:before]) + "PRAGMA user_version = %d;" % before)
        old.executemany("INSERT INTO jobs (status, parameters, attempt) VALUES (?, '{}', 1)",
                        [("ABORTED",), ("DONE",), ("ABORTED",), ("ABORTED",), ("SERVED",)])
        old.executemany(
            "INSERT INTO attempts (job_id, number, worker_id, started_at, ended_at, verdict, message,"
            " exit_code, output_tail, system_metrics)"
            " VALUES (?, 1, 'fermi_egg_0', 1, 2, ?, ?, ?, ?, '{\"gpus\": \"3\"}')",
            [(1, "failed", "exit status 1", 1, TRACEBACK % "ValueError: 1 on fermi"),
             (2, "done", "", 0, "error"),
             (3, "failed", "exit status 1", 1, TRACEBACK % "ValueError: 2 on fermi"),
             (4, "stopped", "by hand", None, ""), (5, None, None, None, "error")])
        old.commit()
    desk = Desk(tmp_path)
    try:
        changes = desk.sql("SELECT n FROM changes WHERE topic = 'jobs'")
        assert kept(desk)[0][2:] == (None, None, None) and desk.read(errors.is_catching_up)
        assert desk.write(lambda t: errors.catch_up(t, 2))
        assert [row[2] for row in kept(desk)] == ["ValueError: 1 on fermi", None, None, None, None]
        assert desk.write(lambda t: errors.catch_up(t, 2)) and not desk.write(lambda t: errors.catch_up(t, 2))
        assert [row[2] for row in kept(desk)] == ["ValueError: 1 on fermi", None, "ValueError: 2 on fermi",
                                                  None, None]
        assert kept(desk)[2][3:] == (1, "3") and forms(desk) == [("ValueError: <n> on <host>", "failed", 1)]
        assert not desk.read(errors.is_catching_up) and not desk.write(lambda t: errors.catch_up(t, 2))
        assert desk.sql("SELECT n FROM changes WHERE topic = 'jobs'") == changes + 2  # pages look again
    finally:
        desk.database.close()


# ---- what is found

@pytest.fixture(scope="module", params=["few", "many"])
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Found]:
    """Ids that a filter finds, at once or step by step."""
    desk = Desk(tmp_path_factory.mktemp("found"))
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "many":
            patch.setattr(scanning, "FEW", -1)
            patch.setattr(scanning, "SCAN", 3)
        yield finder(desk)
    desk.database.close()


def finder(desk: Desk) -> Found:
    """Jobs 1, 2 and 6 fail alike; 1 then goes well. What finds the ids of a filter."""
    names = ("adam", "sgd", "Adam W", "x_y", "50%", "g", "h")
    desk.add(from_list([{"opt": name, "lr": 0.5} for name in names]))
    fail(desk, 'ValueError: lr "3" bad')
    fail(desk, 'ValueError: lr "4" bad', "node2_egg_0")
    fail(desk, "", verdict=p.VERDICT_OOM, exit_code=-9, message="killed by SIGKILL: out of memory")
    fail(desk, "RuntimeError: CUDA Out of Memory. 50% of [1, 2], x_y", "node2_egg_0")
    done = desk.claim("node1_egg_0", session="node1_egg_0")
    desk.finish(done.job_id, attempt=done.attempt, message="memory was short")
    fail(desk, 'ValueError: lr "6" bad')
    desk.write(lambda t: bulk.act(t, bulk.RETRY, [1], "again"))
    again = desk.claim("node1_egg_0", session="node1_egg_0")
    desk.finish(again.job_id, attempt=again.attempt)
    assert (done.job_id, again.job_id) == (5, 1)
    return desk.found


@pytest.mark.parametrize("text, ids", [
    ("error=E1", [1, 2, 6]),
    ("error=E1 status=ABORTED", [2, 6]),
    ("error=E1,E2", [1, 2, 3, 6]),
    ("error!=E1", [3, 4, 5, 7]),
    ("error=E99", []),
    ('error="E1"', []),
    ('error="ValueError: lr <text> bad"', [1, 2, 6]),
    (r'error="ValueError: lr \"4\" bad"', [2]),
    (r'error="ValueError: lr \"4\" bad",E2', [2, 3]),
    ("error=null", [5, 7]),
    ("error!=null", [1, 2, 3, 4, 6]),
    ("error=null,E1", [1, 2, 5, 6, 7]),
    ('error~"out of memory"', [3, 4]),
    (r'error~"\"4\""', [2]),
    ('error~value,"CUDA OUT"', [1, 2, 4, 6]),
    ("error!~value", [3, 4, 5, 7]),
    ("error~[1, message~50%", []),
    ('error~"[1, 2]" message~50% error~x_y', [4]),
    ('message~"out of memory"', [3, 4]),
    ("message~memory", [3, 4, 5]),
    ("message!~memory", [1, 2, 6, 7]),
    ("message~sigkill", [3]),
    ("message~lr=1", []),
    ("opt~adam", [1, 3]),
    ('opt~"adam w"', [3]),
    ("opt!~adam", [2, 4, 5, 6, 7]),
    ("opt~_ opt~y", [4]),
    ("opt~%", [5]),
    ("param.lr~5", [1, 2, 3, 4, 5, 6, 7]),
    ("worker~NODE2", [2, 4]),
    ("status~x", []),
    ("~/data", []),
    ("odd~", []),
])
def test_what_a_filter_finds(found: Found, text: str, ids: List[int]) -> None:
    if text == "status~x":
        with pytest.raises(ProtocolError, match="a text is looked for with ~ in message, error"):
            found(text)
    elif text.startswith("error~[1,"):
        assert found("error~[1 message~50%") == [4]
    else:
        assert found(text) == ids


@pytest.mark.parametrize("text, says", [
    ("error<3", "error can be compared with = and != only"),
    ("message=x", "message~"),
    ("nope~x", "there is no 'nope' to search"),
    ("id~3", "a text is looked for with ~"),
])
def test_a_filter_that_makes_no_sense_says_so(found: Found, text: str, says: str) -> None:
    with pytest.raises(ProtocolError, match=says):
        found(text)


@pytest.mark.parametrize("few", [5000, -1])
def test_a_job_that_failed_so_several_times_is_found_once(desk: Desk, monkeypatch: pytest.MonkeyPatch,
                                                          few: int) -> None:
    monkeypatch.setattr(scanning, "FEW", few)
    monkeypatch.setattr(scanning, "SCAN", 1000)
    found = finder(desk)
    for _ in range(3):
        desk.write(lambda t: bulk.act(t, bulk.RETRY, [2], "again"))
        assert fail(desk, 'ValueError: lr "5" bad') == 2
    for text in ("error=E1", "error~value", "error=E1,E99"):
        assert found(text) == [1, 2, 6]
        wanted = desk.read(partial(conditions.compiled, text=text, now=desk.now))
        counted = desk.read(partial(scanning.count, wanted=wanted))
        assert sum(counted.matching.values()) == 3


def test_a_result_that_is_called_error_is_compared_as_ever(desk: Desk) -> None:
    found = finder(desk)
    desk.write(lambda t: values.set_results(t, 5, {"error": 0.25}))
    assert found("error<0.5") == [5] and found("error=0.25") == [5] and found("error=E1") == [1, 2, 6]
    assert found("error~value") == [1, 2, 6]


def test_the_csv_has_the_error_of_the_latest_attempt(desk: Desk) -> None:
    finder(desk)
    table = desk.read(lambda db: export.begin(db, "", desk.now))
    heads = export.header(table).split(",")
    lines = desk.read(lambda db: export.lines(db, table, 0)).lines.splitlines()
    assert lines[1].split(",")[heads.index("error")] == '"ValueError: lr ""4"" bad"'
    assert lines[0].split(",")[heads.index("error")] == ""
    assert json.dumps(desk.job(2)["error"]) == r'"ValueError: lr \"4\" bad"'
