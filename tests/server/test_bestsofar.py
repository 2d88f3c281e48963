"""The best so far of a metric, beside a plain calculation on odd data."""

import math
import random
from typing import Any, Dict, List, NamedTuple, Optional

import pytest

from jd.protocol import ProtocolError
from jd.server.store.operators import bulk
from jd.server.store.pages.history import bestsofar
from jd.server.store.pages.history.bestsofar import Asked, BestSoFar
from jd.server.store.search import values
from tests.server.store_support import Desk


def give(desk: Desk, job_id: int, number: Optional[float]) -> None:
    """What a job has measured; None: nothing."""
    if number is not None:
        word = "NaN" if math.isnan(number) else "Infinity"
        finite = math.isfinite(number)
        desk.write(lambda t: values.set_results(t, job_id, {"m": number} if finite else {},
                                                {} if finite else {"m": word}))


def best(desk: Desk, less: bool = True, text: str = "", spent: bool = False, limit: int = 5000) -> BestSoFar:
    return desk.read(lambda db: bestsofar.find(db, Asked("m", text, less, spent), limit, desk.now))


class Job(NamedTuple):
    """A job as the test itself keeps it."""

    id: int
    at: float
    spent: float
    value: Optional[float]


def plain(jobs: List[Job], less: bool) -> Dict[str, Any]:
    """The same figures, worked out by looking at all earlier jobs of each job."""
    order = sorted(jobs, key=lambda job: (job.at, job.id))
    have = [job for job in order if job.value is not None and math.isfinite(job.value)]
    sign = 1 if less else -1

    def is_best(job: Job) -> bool:
        before = have[:have.index(job)]
        return all(sign * float(job.value or 0) < sign * float(other.value or 0) for other in before)
    return {
        "finished": len(order), "total": len(have), "ids": [job.id for job in have],
        "values": [job.value for job in have], "at": [job.at for job in have],
        "place": [order.index(job) + 1 for job in have],
        "spent": [sum(other.spent for other in order[:order.index(job) + 1]) for job in have],
        "best": [place for place, job in enumerate(have) if is_best(job)],
    }


def sweep(desk: Desk) -> List[Job]:
    """60 jobs with ties, NaN, infinities and none at all: some tried twice, some of no length, some over in
    one moment. Then one runs with a value, one waits, one comes back by itself."""
    chance, took = random.Random(8), [0.0] * 64
    jobs: List[Job] = []
    desk.create(63)
    while len(jobs) < 60:
        job_id = desk.claim().job_id
        seconds = chance.choice([0.0, 0.0, 1.5, 40.0])
        desk.now += seconds
        told = chance.choice([None, seconds / 2])
        took[job_id] += seconds if told is None else told
        if chance.random() < 0.2:
            desk.finish(job_id, "ABORTED", runtime=told)
            desk.write(lambda t: bulk.act(t, bulk.RETRY, [job_id], ""))
            continue
        number = chance.choice([None, math.nan, math.inf, *(round(chance.gauss(0, 1), 1) for _ in range(9))])
        give(desk, job_id, number)
        desk.finish(job_id, chance.choice(["DONE", "DONE", "ABORTED"]), runtime=told, final=True)
        jobs.append(Job(job_id, desk.now, took[job_id], number))
    give(desk, desk.claim().job_id, -99.0)
    give(desk, desk.claim("other").job_id, -98.0)
    desk.finish(62, "ABORTED")  # which is tried again
    return jobs


@pytest.mark.parametrize("less", [True, False])
def test_the_best_is_that_of_a_plain_calculation(desk: Desk, less: bool) -> None:
    jobs = sweep(desk)
    found, wanted = best(desk, less, spent=True)._asdict(), plain(jobs, less)
    spent = found.pop("spent")
    assert spent == pytest.approx(wanted.pop("spent"))
    assert {name: found[name] for name in wanted} == wanted
    numbers = [float(job.value or 0) for job in jobs if job.value is not None]
    assert (found["nan"], found["infinite"]) == (
        sum(map(math.isnan, numbers)), sum(map(math.isinf, numbers))) != (0, 0)
    without = {job.id for job in jobs if job.value is None}
    aborted = {job_id for job_id, in desk.read(lambda db: db.execute(
        "SELECT id FROM jobs WHERE status = 'ABORTED'").fetchall())}
    assert (found["without"], found["aborted"]) == (len(without - aborted), len(without & aborted)) != (0, 0)
    assert found["finished"] == sum(
        found[name] for name in ("total", "nan", "infinite", "without", "aborted"))
    assert (found["jobs"], found["unfinished"], found["improvements"]) == (63, 2, len(wanted["best"]))
    assert found["last_finished"] == max(job.at for job in jobs)
    assert found["all_spent"] == pytest.approx(sum(job.spent for job in jobs))
    assert found["spread"].min == min(wanted["values"]) and len(wanted["best"]) > 2
    assert best(desk, less).spent is None


def test_a_filter_and_what_is_deleted(desk: Desk) -> None:
    jobs = sweep(desk)
    some = [job for job in jobs if job.id <= 30]
    assert best(desk, text="id<=30").ids == plain(some, True)["ids"]
    assert best(desk, text="id<=30").finished == 30
    assert best(desk, text="status=PENDING").finished == 0
    gone = plain(jobs, True)["ids"][0]
    desk.write(lambda t: bulk.act(t, bulk.DELETE, [gone], ""))
    left = [job for job in jobs if job.id != gone]
    assert best(desk).ids == plain(left, True)["ids"] and best(desk).finished == 59
    assert best(desk, text="status=DELETED").ids == [gone]
    assert best(desk, text="id<=30 status=DONE,ABORTED").ids == best(desk, text="id<=30").ids
    with pytest.raises(ProtocolError, match="nonsense"):
        best(desk, text="nonsense=1")


def test_of_many_jobs_a_sample_is_shown_and_all_improvements(desk: Desk) -> None:
    desk.create(400)
    for job_id in range(1, 401):
        desk.claim()
        give(desk, job_id, 1 / job_id if job_id % 50 == 0 else 2.0)
        desk.finish(job_id)
    found = best(desk, limit=20)
    assert (found.total, found.improvements) == (400, 9)
    assert [found.ids[place] for place in found.best] == [1, *range(50, 401, 50)]
    assert 20 <= len(found.ids) <= 29 and found.ids == sorted(found.ids)
    assert found.place == found.ids


def test_so_many_improvements_are_thinned(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bestsofar, "MAX_SHOWN", 10)
    desk.create(100)
    for job_id in range(1, 101):
        desk.claim()
        give(desk, job_id, -job_id)
        desk.finish(job_id)
    found = best(desk)
    steps = [found.ids[place] for place in found.best]
    assert (found.improvements, len(steps), steps[0], steps[-1]) == (100, 10, 1, 100)


def test_nothing_at_all(desk: Desk) -> None:
    found = best(desk, spent=True)
    assert (found.total, found.spread, found.last_finished, found.all_spent, found.best) == (
        0, None, None, 0.0, [])
