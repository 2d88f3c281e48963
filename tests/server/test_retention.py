"""What is known of workers does not grow for ever."""

from typing import List

import pytest

from jd import protocol as p
from jd.server import sweeper
from jd.server.app import STATUS_OF
from jd.server.store.fleet import presence, retention, worker_history, workers
from jd.server.store.pages import summary, workerlist
from tests.server.store_support import Desk


def known(desk: Desk) -> List[str]:
    return [row[0] for row in desk.read(lambda db: db.execute(
        "SELECT worker_id FROM workers ORDER BY worker_id").fetchall())]


def rows(desk: Desk) -> int:
    """How many rows there are of workers, in all tables."""
    return sum(desk.sql("SELECT count(*) FROM " + table)
               for table in ("workers", "worker_history", "worker_metrics"))


def leave(desk: Desk, worker_id: str) -> None:
    desk.beat(worker_id, leave=True, system_metrics={"cpu_util": 1.0})
    desk.now += 1.0


def step(desk: Desk) -> None:
    desk.write(sweeper.step)


def test_a_worker_that_left_is_forgotten_after_a_month(desk: Desk) -> None:
    desk.create(1)
    desk.beat("ran", reported_status="idle")
    desk.finish(1)
    leave(desk, "ran")
    desk.now += retention.KEPT - 60.0
    leave(desk, "later")
    step(desk)
    assert known(desk) == ["later", "ran"]
    seen = desk.read(summary.changes)["workers"]
    desk.now += 60.0
    step(desk)
    assert known(desk) == ["later"]
    assert desk.read(summary.changes)["workers"] > seen  # or pages would go on showing it
    desk.now += retention.KEPT
    step(desk)
    assert rows(desk) == 0
    assert desk.job(1)["worker_id"] == "ran"


def test_a_worker_that_was_lost_is_forgotten_too_and_a_live_one_never(desk: Desk) -> None:
    desk.beat("lost")
    desk.beat("live")
    for _ in range(3):
        desk.now += retention.KEPT / 2 + presence.SILENCE
        desk.beat("live")
        step(desk)
    assert known(desk) == ["live"]


def test_what_left_first_makes_room(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "MAX_ROWS", 3)
    for worker_id in ("b", "a", "c"):
        leave(desk, worker_id)
    desk.beat("c")
    desk.beat("new")
    assert known(desk) == ["a", "c", "new"]
    desk.beat("newer")
    assert known(desk) == ["c", "new", "newer"]
    desk.beat("new")  # who is known needs no room
    with pytest.raises(retention.TooManyWorkers, match="3 workers are active.*try again"):
        desk.beat("one too many")
    assert STATUS_OF[retention.TooManyWorkers] == 503
    assert known(desk) == ["c", "new", "newer"]
    leave(desk, "new")
    desk.beat("one too many")
    assert known(desk) == ["c", "newer", "one too many"]


def test_a_database_with_more_is_brought_down_step_by_step(desk: Desk,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(10):
        leave(desk, "w%d" % number)
    desk.beat("w0")
    monkeypatch.setattr(retention, "MAX_ROWS", 4)
    assert desk.write(lambda t: retention.prune(t, 5)) == 5
    assert known(desk) == ["w0", "w6", "w7", "w8", "w9"]
    assert desk.write(lambda t: retention.prune(t, 5)) == 1
    assert desk.write(lambda t: retention.prune(t, 5)) == 0
    assert known(desk) == ["w0", "w7", "w8", "w9"]


def test_a_worker_has_so_many_lines_of_history(desk: Desk) -> None:
    for number in range(2 * worker_history.SHOWN + 50):
        desk.now += 1.0
        desk.beat("w", applied_version=5 * (number % 2))  # a base client that seems to start anew
    desk.beat("other")
    kept = desk.read(lambda db: db.execute(
        "SELECT count(*), max(timestamp) FROM worker_history WHERE worker_id = 'w'").fetchone())
    assert kept[0] == worker_history.SHOWN == len(desk.read(lambda db: worker_history.of(db, "w")))
    assert kept[1] >= desk.now - 1.0
    assert len(desk.read(lambda db: worker_history.of(db, "other"))) == 1


def test_stopping_a_worker_that_nobody_knows_leaves_nothing(desk: Desk) -> None:
    for number in range(5):
        desk.write(lambda t: workers.stopped_by_cli(t, "w%d" % number, None, "stop", "h"))
    assert rows(desk) == 0
    desk.beat("w")
    desk.write(lambda t: workers.stopped_by_cli(t, "w", None, "stop", "h"))
    assert desk.read(lambda db: workerlist.one(db, "w"))["history"][0]["event"] == "stop from the CLI"


def test_what_a_worker_says_of_its_machine_has_a_limit(desk: Desk) -> None:
    desk.beat("w", system_metrics={"a": "x" * (workers.MAX_METRICS - 20)})
    with pytest.raises(p.ProtocolError, match="system_metrics is 2.... bytes.*at most 16384"):
        desk.beat("new", system_metrics={"a": "x" * 20_000})
    assert known(desk) == ["w"]
