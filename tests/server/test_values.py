"""Values by which jobs are sorted: what they are, and that they stay in step with the jobs."""

import asyncio
import json
import sqlite3
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple, Union

import pytest

from jd.server import latervalues
from jd.server.creation.batch import from_list
from jd.server.experiment import Experiment
from jd.server.store.operators import batches, bulk
from jd.server.store.policy import Policy
from jd.server.store.queue import jobs
from jd.server.store.schema import MIGRATIONS
from jd.server.store.search import conditions, scanning, values
from tests.server.store_support import Desk


def kept(desk: Desk) -> List[Tuple[str, str, Union[float, str], int]]:
    """(kind, name, value, job) of all values."""
    return desk.read(lambda db: db.execute(
        "SELECT n.kind, n.name, v.value, v.job_id FROM job_values v JOIN value_names n ON n.id = v.name_id"
        " ORDER BY v.name_id, v.value, v.job_id").fetchall())


@pytest.mark.parametrize("value, key", [
    (1, 1), (0.5, 0.5), (True, 1), (False, 0), (None, None), (float("nan"), None),
    ("1", 1), (" -2.50 ", -2.5), ("1e3", 1000.0), (".5", 0.5), ("5.", 5.0), ("+7", 7),
    ("1_000", "1_000"), ("0x10", "0x10"), ("nan", "nan"), ("inf", "inf"), ("1e", "1e"), ("", ""),
    ("٣", "٣"),
    (2 ** 62, 2 ** 62), (2 ** 70, float(2 ** 70)), ("9" * 30, 1e30), (10 ** 400, str(10 ** 400)[:200]),
    ([64, [1, None]], "[64,[1,null]]"), ({"a": "ü"}, '{"a":"ü"}'), ("x" * 300, "x" * 200),
])
def test_what_a_value_is_sorted_by(value: Any, key: Optional[Union[float, str]]) -> None:
    found = values.key(value)
    assert found == key and type(found) is type(key)


@pytest.mark.parametrize("text", [" 1", "1\t", "1e5", "-.5", "1.", "+3", "1e", "0x1", "1_0", "--1", "1 2",
                                  "e5", "2024-01-01", "", "inf", "1" * 50])
def test_sqlite_takes_the_same_texts_for_numbers(desk: Desk, text: str) -> None:
    """Conditions compare what is in JSON by SQLite's rule, sources find it by ours."""
    theirs = desk.read(lambda db: db.execute(
        "SELECT json_extract(?, '$.\"a\"') <= CAST(9e999 AS REAL)", (json.dumps({"a": text}),)).fetchone()[0])
    assert bool(theirs) == (not isinstance(values.key(text), str))


def test_new_jobs_have_their_values(desk: Desk) -> None:
    desk.add(from_list([{"lr": 0.1, "opt": "a"}, {"opt": "a", "lr": "0.1"}, {"lr": None, "x": [1]}]))
    assert kept(desk) == [
        ("parameter", "lr", 0.1, 1), ("parameter", "lr", 0.1, 2),
        ("parameter", "opt", "a", 1), ("parameter", "opt", "a", 2), ("parameter", "x", "[1]", 3)]
    assert desk.read(lambda db: values.names(db, values.PARAMETER)) == ["lr", "opt", "x"]
    assert desk.read(lambda db: values.names(db, values.PARAMETER, 2)) == ["lr", "opt"]
    assert desk.read(lambda db: values.name_id(db, values.PARAMETER, "nope")) is None


def test_a_batch_that_was_not_published_leaves_no_values(desk: Desk) -> None:
    desk.add(from_list([{"lr": 1, "opt": "a"}]))
    before = kept(desk)
    texts = ['{"lr": %d, "opt": "a", "new": null}' % number for number in range(5)]
    start_id = desk.write(batches.begin)
    desk.write(lambda t: batches.add(t, start_id, texts))
    assert desk.counts() == {"PENDING": 1} and desk.sql("SELECT count(*) FROM jobs") == 6
    assert len(kept(desk)) == 12
    steps = 1
    while desk.write(lambda t: batches.abandon(t, 2)):
        assert desk.beat("w%d" % steps).reply.job is None or steps == 1
        steps += 1
    assert steps == 3
    assert kept(desk) == before and sum(desk.counts().values()) == 1
    assert desk.write(batches.begin) == start_id


def test_results_are_set(desk: Desk) -> None:
    desk.create(2)
    desk.write(lambda t: values.set_results(t, 1, {"acc": 0.5, "lost": 2}))
    desk.write(lambda t: values.set_results(t, 1, {"acc": 0.75, "loss": 2}))
    assert desk.read(lambda db: values.results(db, 1)) == {"acc": 0.75, "loss": 2}
    assert [row for row in kept(desk) if row[0] == "result"] == [
        ("result", "acc", 0.75, 1), ("result", "loss", 2, 1)]
    desk.write(lambda t: values.set_results(t, 1, {"loss": 3}))
    assert desk.read(lambda db: values.results(db, 1)) == {"loss": 3}
    desk.write(lambda t: values.set_results(t, 1, {}))
    assert desk.read(lambda db: values.results(db, 1)) == {} == desk.read(lambda db: values.results(db, 2))
    assert not [row for row in kept(desk) if row[0] == "result"]
    with pytest.raises(jobs.NoSuchJob):
        desk.write(lambda t: values.set_results(t, 9, {"acc": 1}))


def test_other_parameters_have_other_values(desk: Desk) -> None:
    desk.add(from_list([{"lr": 1, "opt": "a"}]))
    desk.write(lambda t: bulk.edit(t, 1, '{"lr": 2, "new": true}', ""))
    assert kept(desk) == [("parameter", "lr", 2, 1), ("parameter", "new", 1, 1)]
    assert desk.job(1)["parameters"] == {"lr": 2, "new": True}


def test_jobs_of_a_database_made_before_get_their_values(tmp_path: Path,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latervalues, "MOST_JOBS", 2)
    meta = tmp_path / "exp" / "meta"
    meta.mkdir(parents=True)
    with sqlite3.connect(str(meta / "jobs.db")) as old:
        old.executescript(MIGRATIONS[0] + "PRAGMA user_version = 1;")
        old.executemany("INSERT INTO jobs (status, parameters) VALUES (?, ?)",
                        [("DONE", '{"lr": %d}' % number) for number in range(5)])
    old.close()

    async def main() -> None:
        experiment = Experiment(tmp_path, "exp", Policy())
        try:
            found = await experiment.read(lambda db: scanning.matching(
                db, conditions.compiled(db, "lr>=0", 0.0), 0, 10))
            assert found.ids == [1, 2, 3, 4, 5] and not await experiment.read(values.are_missing)
            assert await experiment.read(lambda db: db.execute(
                "SELECT value, job_id FROM job_values").fetchall()) == [(n, n + 1) for n in range(5)]
            assert (await experiment.read(jobs.counts))["DONE"] == 5
        finally:
            await experiment.values.stop()
            experiment.close()
    for _ in range(2):
        asyncio.run(main())


@pytest.mark.parametrize("jobs", [
    [{"a": one, "b": "x"} for one in (3, 1, 2 ** 63 - 1, -2 ** 63)],
    [{"a": one} for one in (1, 2 ** 63, 10 ** 400)], [{"a": one} for one in (1, -2 ** 63 - 1)],
    [{"a": one} for one in (1, 1.0, True, None, "1", "b", "1e3", 0.5, [1], {"c": 2}, False, "b", "a" * 300)],
    [{"a": one} for one in ("b", "07", "b", "a", "0x1", " 5 ")], [{"a": one} for one in (2.5, -1e300, 2.5)],
    [{"a": None}, {"a": None}], [{"a": 2, "b": 1}, {"b": 0, "a": 5}, {"c": 1}, {"a": "x"}]])
def test_values_of_many_jobs_are_those_of_single_ones(desk: Desk, jobs: List[Dict[str, Any]]) -> None:
    gathered = values.Gathered(values.RESULT)
    gathered.take(enumerate(jobs, 1))
    while desk.write(lambda t: gathered.write(t, 2)):
        pass
    for job_id, job in enumerate(jobs, 1):
        desk.write(lambda t, one=(job_id, job): values.put(t, values.PARAMETER, [one]))  # type: ignore[misc]
    found = {kind: [(name, repr(value), job_id) for of, name, value, job_id in kept(desk) if of == kind]
             for kind in (values.RESULT, values.PARAMETER)}
    assert found[values.RESULT] == found[values.PARAMETER]
    assert len(found[values.RESULT]) == sum(one is not None for job in jobs for one in job.values())
