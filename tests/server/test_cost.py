"""What a sweep has cost, beside a plain calculation over attempts that the test keeps itself."""

import csv
import io
import random
from collections import defaultdict
from typing import Any, Callable, Dict, List, NamedTuple, Optional

import pytest

from jd import messages
from jd.server.store.fleet import workers
from jd.server.store.operators import bulk
from jd.server.store.pages.history import cost
from jd.server.store.pages.history.worktime import KINDS
from jd.server.store.policy import Policy
from jd.server.store.queue import ending, lease
from tests.server.store_support import Desk

HOUR = 3600.0
# Of each worker: host, what it says a job of it has, and its user of a Hub. The last says nothing.
WORKERS: Dict[str, Any] = {
    "alpha_egg_0": ("alpha", {"job_cpus": 2.5, "job_gpus": 0.25}, "ann"),
    "alpha_egg_1": ("alpha", {"job_cpus": 2.5, "job_gpus": 0.25}, "ann"),
    "beta_fox_0": ("beta", {"job_cpus": 64, "job_gpus": 0}, "bob"),
    "gamma_elk_0": ("", {"cpu_threads": 8, "job_cpus": True, "job_gpus": "2"}, None),
}
ENDINGS = {"done": "done", "failed": "failed", "oom": "failed", "timeout": "failed", "killed": "failed",
           "lost": "lost", "preempted": "returned", "stopped": "returned"}


class Attempt(NamedTuple):
    """An attempt as the test keeps it; `kind` is one of KINDS."""

    job: int
    worker: str
    kind: str
    seconds: float


@pytest.fixture
def policy() -> Policy:
    return Policy(pause_failing=False)


def beat(desk: Desk, worker: str, **fields: Any) -> Optional[int]:
    """A heartbeat of a worker; the job that it is given."""
    host, has, user = WORKERS[worker]
    told = messages.Heartbeat.from_json(dict(
        {"worker_id": worker, "session": "s", "host": host, "system_metrics": has}, **fields))
    job = desk.write(lambda t: workers.heartbeat(t, told, user)).reply.job
    return None if job is None else job.job_id


def sweep(desk: Desk) -> List[Attempt]:
    """Two batches with tags; attempts that end in each way, some of no length, some tried again; two run."""
    desk.create(20, tags=["a", "b"])
    desk.create(10, tags=["b"])
    desk.create(4)
    chance = random.Random(4)
    attempts: List[Attempt] = []
    verdicts = iter([*ENDINGS, *(chance.choice([*ENDINGS, "done", "done"]) for _ in range(40))])
    for verdict in verdicts:
        worker = chance.choice([*WORKERS])
        job = beat(desk, worker)
        if job is None:
            continue
        seconds, told = chance.choice([0.0, 0.25, 1800.0]), None
        desk.now += seconds
        if verdict in ("done", "failed") and chance.random() < 0.5:
            told = seconds / 2
        if verdict == "lost":
            seconds += 7200.0
            desk.now += 7200.0
            desk.write(lambda t: lease.expire(t, 10))
        else:
            desk.write(lambda t: ending.end(t, job, verdict, runtime=told))
        attempts.append(Attempt(job, worker, ENDINGS[verdict], seconds if told is None else told))
        if ENDINGS[verdict] == "failed":
            desk.write(lambda t: bulk.act(t, bulk.RETRY, [job], ""))
    running = [(beat(desk, worker), worker) for worker in ("alpha_egg_0", "gamma_elk_0")]
    desk.now += 900.0
    assert all(job is not None for job, _ in running) and len(attempts) > 30
    return attempts + [Attempt(job or 0, worker, "running", 900.0) for job, worker in running]


def plain(attempts: List[Attempt], names: Callable[[Attempt], List[Optional[str]]]) -> Dict[Any, Any]:
    """Hours by name, worked out one by one."""
    found: Dict[Any, Any] = defaultdict(lambda: {
        "n": dict.fromkeys(KINDS, 0), "wall": dict.fromkeys(KINDS, 0.0), "cpu": dict.fromkeys(KINDS, 0.0),
        "gpu": dict.fromkeys(KINDS, 0.0), "no": 0.0})
    for one in attempts:
        for name in names(one):
            row, has, hours = found[name], WORKERS[one.worker][1], one.seconds / HOUR
            row["n"][one.kind] += 1
            row["wall"][one.kind] += hours
            if one.worker.startswith("gamma"):
                row["no"] += hours
            else:
                row["cpu"][one.kind] += hours * has["job_cpus"]
                row["gpu"][one.kind] += hours * has["job_gpus"]
    return found


def tags(attempt: Attempt) -> List[Optional[str]]:
    return ["a", "b"] if attempt.job <= 20 else ["b"] if attempt.job <= 30 else [None]


NAMES: Dict[str, Callable[[Attempt], List[Optional[str]]]] = {
    cost.SWEEP: lambda one: ["1" if one.job <= 20 else "21" if one.job <= 30 else "31"],
    cost.TAG: tags,
    cost.HOST: lambda one: [one.worker.partition("_")[0]],
    cost.USER: lambda one: [WORKERS[one.worker][2]],
}


def same(hours: cost.Hours, wanted: Dict[str, Any]) -> None:
    assert hours.attempts == tuple(wanted["n"].values())
    for name in ("wall", "cpu", "gpu"):
        assert getattr(hours, name) == pytest.approx(tuple(wanted[name].values())), name
    assert hours.no_cpus == hours.no_gpus == pytest.approx(wanted["no"])


@pytest.mark.parametrize("by", cost.BY)
def test_hours_are_those_of_a_plain_calculation(desk: Desk, by: str) -> None:
    attempts = sweep(desk)
    found, wanted = desk.read(lambda db: cost.find(db, by, desk.now)), plain(attempts, NAMES[by])
    assert {row.name for row in found.rows} == set(wanted) and (found.rest, found.users) == (0, True)
    for row in found.rows:
        same(row.hours, wanted[row.name])
        of = [one.job for one in attempts if row.name in NAMES[by](one)]
        assert (row.first, row.last) == (min(of), max(of))
    walls = [sum(row.hours.wall) for row in found.rows]
    assert walls == sorted(walls, reverse=True)
    same(found.total, plain(attempts, lambda _: [None])[None])
    ended = [one for one in attempts if one.kind != "running"]
    assert found.total.wasted == pytest.approx(
        sum(one.seconds for one in ended if one.kind != "done") / sum(one.seconds for one in ended))


def test_rows_beyond_those_shown_are_together_and_the_csv_has_all(desk: Desk) -> None:
    sweep(desk)
    whole = desk.read(lambda db: cost.find(db, cost.HOST, desk.now))
    cut = desk.read(lambda db: cost.find(db, cost.HOST, desk.now, 1))
    assert cut.rows == whole.rows[:1] and cut.rest == 2
    assert sum(cut.others.wall) == pytest.approx(sum(sum(row.hours.wall) for row in whole.rows[1:]))
    table = list(csv.DictReader(io.StringIO(cost.lines(whole, cost.HOST))))
    assert [row["host"] for row in table] == [*(row.name for row in whole.rows), "(total)"]
    for row, line in zip(whole.rows, table):
        assert float(line["hours"]) == pytest.approx(sum(row.hours.wall))
        assert float(line["gpu_hours_done"]) == pytest.approx(row.hours.gpu[0])
    last = list(csv.DictReader(io.StringIO(cost.lines(cut, cost.HOST))))
    assert [row["host"] for row in last][1:] == ["(2 others)", "(total)"]


def test_a_worker_that_is_forgotten_still_has_a_host_and_nothing_costs_nothing(desk: Desk) -> None:
    empty = desk.read(lambda db: cost.find(db, cost.SWEEP, desk.now))
    assert (empty.rows, empty.total, empty.total.wasted) == ([], cost.NOTHING, None)
    sweep(desk)
    desk.write(lambda t: t.db.execute("DELETE FROM workers"))
    found = desk.read(lambda db: cost.find(db, cost.HOST, desk.now))
    assert {row.name for row in found.rows} == {"alpha", "beta", "gamma"}


def test_what_is_told_late_counts_for_the_attempt_that_runs(desk: Desk) -> None:
    desk.create(2)
    job = desk.claim("w", session="s", system_metrics={"job_cpus": 4})
    desk.now += HOUR
    desk.beat("w", session="s", reported_status="busy", current_job_id=job.job_id, attempt=1,
              system_metrics={"job_cpus": 8, "job_gpus": 2})
    desk.now += HOUR
    found = desk.read(lambda db: cost.find(db, cost.SWEEP, desk.now)).total
    assert (found.wall[-1], found.cpu[-1], found.gpu[-1], found.no_gpus) == (2.0, 8.0, 4.0, 0.0)


def test_a_clock_that_is_set_costs_nothing(desk: Desk) -> None:
    """An attempt that seems to have ended before it began; one whose worker has told how long it took."""
    desk.create(2)
    for runtime in (None, 1800.0):
        job_id = desk.claim().job_id
        desk.now -= 5 * HOUR
        desk.finish(job_id, runtime=runtime)
    desk.write(lambda t: t.db.execute("UPDATE attempts SET runtime = NULL WHERE job_id = 1"))
    assert desk.read(lambda db: cost.find(db, cost.SWEEP, desk.now)).total.wall[0] == 0.5


def test_a_heartbeat_without_figures_takes_nothing_back(desk: Desk) -> None:
    desk.create(2)
    first = desk.claim("w", session="s", system_metrics={"job_cpus": 4, "job_gpus": 1})
    desk.finish(first.job_id, runtime=HOUR)
    desk.claim("w", session="s")
    desk.now += HOUR
    found = desk.read(lambda db: cost.find(db, cost.SWEEP, desk.now)).total
    assert (sum(found.cpu), sum(found.gpu), found.no_cpus) == (8.0, 2.0, 0.0)
