"""Workers over time, beside a plain calculation over what the test itself did with them."""

import random
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import pytest

from jd.server.store.fleet import presence
from jd.server.store.pages.history import timeline
from jd.server.store.pages.history.timeline import Asked, Timeline
from jd.server.store.pages.history.worktime import KINDS
from jd.server.store.policy import Policy
from jd.server.store.queue import ending
from tests.server.store_support import Desk

T0 = 1_000_000.0
NAMES = ["alpha_egg_0", "alpha_egg_1", "alpha_egg_10", "beta_fox_0"]
ENDINGS = {"done": 0, "failed": 1, "lost": 2, "preempted": 3}


class Attempt(NamedTuple):
    """An attempt as the test keeps it; `kind` is a place in KINDS."""

    worker: str
    start: float
    end: float
    kind: int
    job: int


class Town(NamedTuple):
    """What happened: attempts, and when each worker was there."""

    attempts: List[Attempt]
    there: Dict[str, List[Tuple[float, float]]]


@pytest.fixture
def policy() -> Policy:
    return Policy(pause_failing=False)


def beat(desk: Desk, worker: str, **fields: Any) -> Optional[int]:
    job = desk.beat(worker, session="s", host=worker.partition("_")[0], **fields).reply.job
    return None if job is None else job.job_id


def live(desk: Desk) -> Town:
    """Four workers for some hours: attempts of each kind, of no length, across each other; one worker leaves
    and comes back, one has gone at the end, and two run something then."""
    desk.create(200)
    chance = random.Random(11)
    attempts: List[Attempt] = []
    running: Dict[str, Tuple[int, float]] = {}
    there: Dict[str, List[Tuple[float, float]]] = {}
    since: Dict[str, float] = {}
    for step in range(90):
        worker = chance.choice(NAMES)
        if worker in running:
            job, start = running.pop(worker)
            verdict = chance.choice([*ENDINGS])
            desk.write(lambda t: ending.end(t, job, verdict))
            attempts.append(Attempt(worker, start, desk.now, ENDINGS[verdict], job))
        elif step == 40 or (step > 80 and worker == "beta_fox_0" and worker in since):
            if worker in since:
                beat(desk, worker, leave=True)
                there.setdefault(worker, []).append((since.pop(worker), desk.now))
        else:
            job_id = beat(desk, worker)
            since.setdefault(worker, desk.now)
            assert job_id is not None
            running[worker] = (job_id, desk.now)
        desk.now += chance.choice([0.0, 0.0, 7.0, 130.0, 900.0])
    desk.now += 60.0
    for worker, (job, start) in running.items():
        attempts.append(Attempt(worker, start, desk.now, 4, job))
    for worker, start in since.items():
        there.setdefault(worker, []).append((start, desk.now))
    assert running and len(attempts) > 25
    return Town(attempts, there)


def look(desk: Desk, start: Optional[float] = None, end: Optional[float] = None, **asked: Any) -> Timeline:
    wanted = Asked(start, end, **dict(
        {"by": None, "host": "", "sort": timeline.NAME, "first": 0, "columns": 30}, **asked))
    return desk.read(lambda db: timeline.find(db, wanted, desk.now))


def seconds(one: Tuple[float, float], start: float, end: float) -> float:
    return max(0.0, min(one[1], end) - max(one[0], start))


def plain(town: Town, workers: List[str], start: float, end: float) -> Tuple[List[float], float]:
    """Seconds that some workers were busy, by kind, and there, in a window."""
    busy = [sum(seconds((one.start, one.end), start, end) for one in town.attempts
                if one.worker in workers and one.kind == kind) for kind in range(len(KINDS))]
    return busy, sum(seconds(one, start, end) for worker in workers for one in town.there[worker])


WINDOWS = [(None, None), (T0 + 1000.0, T0 + 5000.0), (T0 + 3000.5, T0 + 3007.0), (T0 - 500.0, T0 + 900.0)]


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("by", timeline.BY)
def test_rows_are_those_of_a_plain_calculation(desk: Desk, by: str,
                                               window: Tuple[Optional[float], Optional[float]]) -> None:
    town = live(desk)
    found = look(desk, *window, by=by)
    if window[0] is None:
        assert (found.start, found.end) == (T0, desk.now)
    everything = 0.0
    for row in found.rows:
        workers = [name for name in NAMES if row.name in (name, name.partition("_")[0])]
        busy, there = plain(town, workers, found.start, found.end)
        assert row.busy == pytest.approx(busy) and row.there == pytest.approx(there)
        assert sum(row.attempts) == sum(one.start <= found.end and one.end >= found.start
                                        for one in town.attempts if one.worker in workers)
        everything += there
    busy, there = plain(town, NAMES, found.start, found.end)
    assert everything == pytest.approx(there) == found.total.there
    assert found.total.busy == pytest.approx(busy) and found.total.removed == 0


@pytest.mark.parametrize("window", WINDOWS)
def test_cells_are_those_of_a_plain_calculation(desk: Desk,
                                                window: Tuple[Optional[float], Optional[float]]) -> None:
    town = live(desk)
    found = look(desk, *window, by=timeline.HOST, columns=17)
    step = (found.end - found.start) / 17
    for row in found.rows:
        workers = [name for name in NAMES if name.startswith(row.name)]
        assert row.cells is not None and found.spans is None
        for column in range(17):
            start, end = found.start + column * step, found.start + (column + 1) * step
            busy, there = plain(town, workers, start, end)
            assert row.cells.there[column] == pytest.approx(there / step, abs=2e-3)
            for kind in range(len(KINDS)):
                told = row.cells.busy.get(kind, [0.0] * 17)[column]
                assert told == pytest.approx(busy[kind] / step, abs=2e-3)
        assert sum(row.cells.bad) == sum(found.start <= one.end <= found.end for one in town.attempts
                                         if one.worker in workers and one.kind in (1, 2))


def test_single_attempts_presence_and_marks_of_workers(desk: Desk) -> None:
    town = live(desk)
    found = look(desk)
    assert found.by == timeline.WORKER and [row.name for row in found.rows] == NAMES
    assert found.spans is not None
    told = sorted((found.rows[one.row].name, one.start, desk.now if one.end is None else one.end, one.kind,
                   one.job_id) for one in found.spans)
    assert told == sorted(town.attempts)
    for row in found.rows:
        assert row.present == [one for one in town.there[row.name] if one[1] > one[0]]
    events = [(mark.worker_id, mark.event) for mark in found.marks]
    assert ("beta_fox_0", "stopped") in events and len([one for one in events if one[1] == "started"]) >= 4
    assert look(desk, T0 + 1.0, T0 + 2.0).marks == []


def test_many_attempts_are_told_by_columns_and_rows_by_pages(desk: Desk,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    live(desk)
    monkeypatch.setattr(timeline, "MAX_SPANS", 5)
    monkeypatch.setattr(timeline, "PAGE", 3)
    found = look(desk, by=timeline.WORKER)
    assert found.spans is None and all(row.cells is not None for row in found.rows)
    assert (len(found.rows), found.rows_total) == (3, 4)
    rest = look(desk, by=timeline.WORKER, first=3)
    assert [row.name for row in rest.rows] == ["beta_fox_0"] and rest.total == found.total
    monkeypatch.setattr(timeline, "FEW", 3)
    assert look(desk).by == timeline.HOST
    assert [row.name for row in look(desk, host="alpha").rows] == NAMES[:3]


def test_order(desk: Desk) -> None:
    live(desk)
    shares = [sum(row.busy) / row.there for row in look(desk, sort=timeline.BUSY).rows]
    assert shares == sorted(shares)
    failed = [row.attempts[1] + row.attempts[2] for row in look(desk, sort=timeline.FAILED).rows]
    assert failed == sorted(failed, reverse=True)


def test_of_workers_that_are_no_longer_listed_only_attempts_are_known(desk: Desk) -> None:
    town = live(desk)
    desk.write(lambda t: t.db.execute("DELETE FROM workers WHERE worker_id = 'beta_fox_0'"))
    found = look(desk)
    busy, there = plain(town, NAMES[:3], found.start, found.end)
    assert found.total.removed == 1 and found.total.there == pytest.approx(there)
    assert found.total.busy == pytest.approx(busy)
    row = found.rows[3]
    assert (row.name, row.host, row.known, row.present) == ("beta_fox_0", "beta", 0, [])
    assert row.there == pytest.approx(sum(row.busy))


def test_a_worker_that_fell_silent_was_there_until_it_was_last_heard_of(desk: Desk) -> None:
    desk.create(1)
    beat(desk, "alpha_egg_0")
    desk.now += 100.0
    desk.write(lambda t: t.db.execute("UPDATE workers SET last_seen = ?", (desk.now,)))
    desk.now += 900.0
    desk.write(presence.drop_silent)
    found = look(desk, T0, T0 + 2000.0)
    assert found.rows[0].present == [(T0, T0 + 100.0)]
    assert found.rows[0].there == found.rows[0].busy[4] == 1000.0  # its attempt has not been given up


def test_nothing_at_all(desk: Desk) -> None:
    found = look(desk)
    assert (found.rows, found.start, found.end - found.start) == ([], desk.now, timeline.MIN_SECONDS)
