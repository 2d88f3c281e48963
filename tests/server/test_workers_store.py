"""What is kept of a worker's heartbeats."""

from typing import Any, Dict, List, Optional

from jd import messages
from jd import protocol as p
from jd.server.store.fleet import workers
from jd.server.store.pages import workerlist
from tests.server.store_support import Desk


def figures(desk: Desk) -> Dict[str, List[Optional[float]]]:
    return dict(desk.read(lambda db: workerlist.one(db, "w"))["series"])


def test_an_id_is_taken_apart_when_a_worker_comes(desk: Desk) -> None:
    desk.beat("node07_egg_12", host="node07.cluster")
    desk.beat("strange", host="")
    desk.beat("other_abc123_0")
    page = desk.read(lambda db: workerlist.page(db, workerlist.WorkerQuery()))
    rows = {row["worker_id"]: row for row in page.workers}
    assert [rows["node07_egg_12"][name] for name in ("host", "instance", "slot")] == [
        "node07.cluster", "egg", 12]
    assert [rows["strange"][name] for name in ("host", "instance", "slot")] == ["", "", None]
    assert [rows["other_abc123_0"][name] for name in ("host", "instance", "slot")] == [
        "other", "abc123", 0]


def test_ids_written_down_by_an_earlier_version_are_taken_apart(desk: Desk) -> None:
    desk.beat("node07_egg_12")
    desk.write(lambda t: t.db.execute("UPDATE workers SET instance = '', slot = NULL"))
    desk.write(workers.take_names_apart)
    row = desk.read(lambda db: workerlist.one(db, "node07_egg_12"))
    assert (row["instance"], row["slot"]) == ("egg", 12)


def test_what_a_worker_says_of_itself_is_brought_up_to_date(desk: Desk) -> None:
    desk.beat(machine_type="cpu", jd_worker_version="1.15.0")
    desk.beat(machine_type="gpu", jd_worker_version="1.29.0", host="h")
    row = desk.read(lambda db: workerlist.one(db, "w"))
    assert (row["machine_type"], row["version"], row["host"]) == ("gpu", "1.29.0", "h")


def test_figures_are_kept_once_a_minute(desk: Desk) -> None:
    for seconds in (0, 2, 30, 45, 110):
        desk.now = 1_000_020.0 + seconds  # a whole minute
        desk.beat(system_metrics={"cpu_util": seconds})
    assert figures(desk) == {"t": [1_000_020.0, 1_000_130.0], "cpu_util": [0, 110]}


def test_old_figures_give_way(desk: Desk) -> None:
    for minute in range(workers.RING + 10):
        desk.now = 1_000_000.0 + 60 * minute
        desk.beat(system_metrics={"cpu_util": minute})
    assert figures(desk)["cpu_util"] == list(range(10, workers.RING + 10))
    desk.now += 3600 * 5
    desk.beat(system_metrics={"cpu_util": 0.5})
    assert figures(desk)["cpu_util"] == [0.5]


def test_only_numbers_are_kept_and_not_too_many(desk: Desk) -> None:
    desk.beat(system_metrics=dict({"worker_type": "gpu", "ok": True, "list": [1], "big": 10 ** 400,
                                   "n" * 61: 1, "cpu_util": 1.5, "nothing": None},
                                  **{"x%d" % n: n for n in range(100)}))
    kept = figures(desk)
    assert set(kept) - {"x%d" % n for n in range(100)} == {"t", "cpu_util"}
    assert len(kept) <= workers.MAX_FIGURES + 1


def test_a_figure_that_a_sample_has_not_is_null(desk: Desk) -> None:
    desk.beat(system_metrics={"cpu_util": 1})
    desk.now += 60
    desk.beat(system_metrics={"ram_util": 2})
    assert figures(desk) == {"t": [desk.now - 60, desk.now], "cpu_util": [1, None], "ram_util": [None, 2]}


def test_a_busy_worker_may_wait_for_a_command(desk: Desk) -> None:
    desk.create(1)
    desk.beat(session="s")
    busy: Dict[str, Any] = {"session": "s", "reported_status": "busy", "current_job_id": 1, "attempt": 1}
    assert desk.beat(**busy).may_wait
    assert not desk.beat(leave=True, **busy).may_wait


def test_a_busy_worker_is_told_what_there_is_and_nothing_changes(desk: Desk) -> None:
    desk.create(1)
    desk.beat(session="s")
    beat = messages.Heartbeat.from_json(dict(worker_id="w", session="s", reported_status="busy",
                                      current_job_id=1, attempt=1))
    desk.write(lambda t: workers.heartbeat(t, beat))
    before = desk.read(lambda db: workerlist.one(db, "w"))
    told, = desk.read(lambda db: workers.told(db, [beat], desk.policy))  # a connection that cannot write
    assert told.may_wait and told.reply.interval == p.BUSY_INTERVAL and told.reply.job is None
    assert desk.read(lambda db: workerlist.one(db, "w")) == before
