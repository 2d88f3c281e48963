import sqlite3
from typing import Any, Dict, List

import pytest

from jd import protocol as p
from jd.protocol import ProtocolError
from jd.server.creation.batch import from_grid, from_list
from jd.server.store.operators import batches
from jd.server.store.pages import joblist
from jd.server.store.transaction import Transaction
from tests.server.store_support import Desk, ordered


def rows(desk: Desk) -> List[Dict[str, Any]]:
    page = desk.read(lambda db: joblist.select(db, joblist.JobQuery(per_page=1000)))
    return [job["parameters"] for job in page.jobs]


def test_the_last_name_varies_fastest(desk: Desk) -> None:
    batch = from_grid({"a": [1, 2], "b": ["x", "y"]})
    created = desk.add(batch)
    assert created[:3] == (1, 4, "Created")
    assert rows(desk) == [{"a": 1, "b": "x"}, {"a": 1, "b": "y"},
                          {"a": 2, "b": "x"}, {"a": 2, "b": "y"}]


def test_values_come_back_as_they_were(desk: Desk) -> None:
    job = {"f": 0.1, "big": 2 ** 70, "s": "ü\n\"'\\ ☃", "e": "", "n": None, "t": True,
           "l": [1, [2]], "o": {"k": {"z": []}}, "minus": "-x"}
    desk.add(from_list([job]))
    assert rows(desk) == [job]


def test_ids_are_contiguous_and_appended(desk: Desk) -> None:
    desk.create(3)
    created = desk.add(from_grid({"y": [1, 2]}))
    assert created[:3] == (4, 2, "Appended")


def test_replace_takes_the_place_of_what_is_pending(desk: Desk) -> None:
    desk.create(3)
    desk.beat()
    created = desk.add(from_grid({"y": [1]}), replace=batches.REPLACE_PENDING)
    assert created.start_id == 4
    assert desk.counts() == {"SERVED": 1, "DELETED": 2, "PENDING": 1}
    assert desk.job(2)["message"][0]["reason"] == "replaced by new jobs"


def test_a_batch_cannot_be_claimed_before_it_is_whole(desk: Desk) -> None:
    start_id = desk.write(batches.begin)
    desk.write(lambda t: batches.add(t, start_id, ['{"x": 1}']))
    assert desk.beat().reply.job is None
    desk.write(lambda t: batches.add(t, start_id + 1, ['{"x": 2}']))
    changes = "SELECT n FROM changes WHERE topic = 'jobs'"
    before = desk.sql(changes)
    desk.write(lambda t: batches.publish(t, start_id, 2))
    assert desk.sql(changes) == before + 1
    assert desk.claim().job_id == start_id


def test_the_status_of_jobs_is_checked_again_after_many_were_written(desk: Desk) -> None:
    start_id = desk.write(batches.begin)
    texts = ['{"x": 1}'] * batches.MANY
    desk.write(lambda t: batches.add(t, start_id, texts))
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        desk.write(lambda t: batches.add(t, start_id, texts))
    with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        desk.write(lambda t: t.db.execute("UPDATE jobs SET status = 'LOST'"))
    desk.write(lambda t: batches.publish(t, start_id, len(texts)))
    assert desk.counts() == {"PENDING": batches.MANY}


def test_a_batch_that_was_not_published_leaves_nothing(desk: Desk) -> None:
    desk.create(1)
    start_id = desk.write(batches.begin)
    desk.write(lambda t: batches.add(t, start_id, ['{"x": 1}'] * 3))
    desk.write(batches.abandon)
    assert desk.counts() == {"PENDING": 1}
    desk.write(batches.abandon)
    assert desk.counts() == {"PENDING": 1}
    assert desk.add(from_grid({"y": [1]})).start_id == start_id


def test_to_give_a_batch_up_costs_the_same_however_many_jobs_were_replaced_before(desk: Desk) -> None:
    """In each of many steps: a step takes as few jobs as can be changed in a time, and would end at one."""
    desk.create(1000)
    desk.add(from_list([{"x": 1}]), replace=batches.REPLACE_ALL)
    start_id = desk.write(batches.begin)
    steps: List[int] = []

    def abandon(t: Transaction) -> None:
        t.db.set_progress_handler(lambda: steps.append(100), 100)
        try:
            batches.abandon(t, 1)
        finally:
            t.db.set_progress_handler(None, 0)
    desk.write(lambda t: batches.add(t, start_id, ['{"x": 2}']))
    desk.write(abandon)
    assert sum(steps) <= 2000


@pytest.mark.parametrize("body, says", [
    ([], "an object with parameters or jobs"),
    ({}, "exactly one of"),
    ({"parameters": {"a": [1]}, "jobs": [{"a": 1}]}, "exactly one of"),
    ({"parameters": {}}, "parameters is empty"),
    ({"parameters": [1]}, "parameters must be an object"),
    ({"parameters": {"a": []}}, "'a': a non-empty list"),
    ({"parameters": {"a": {"b": [1]}}}, "'a': a non-empty list.*put it into a list"),
    ({"parameters": {"a b": [1]}}, "'a b' cannot be a --flag"),
    ({"parameters": {"": [1]}}, "'' cannot be a --flag"),
    ({"parameters": {"-x": [1]}}, "'-x' cannot be a --flag"),
    ({"parameters": {"a=b": [1]}}, "cannot be a --flag"),
    ({"parameters": {"x" * 129: [1]}}, "cannot be a --flag"),
    ({"parameters": {"help": [1]}}, "--help makes a script exit"),
    ({"parameters": {"a": ["\0"]}}, "NUL"),
    ({"parameters": {"a": ["\ud800"]}}, "half a surrogate pair"),
    ({"parameters": {"a": [float("nan")]}}, "NaN is no JSON number"),
    ({"parameters": {"a": ["x" * p.MAX_PARAMETERS_BYTES]}}, "at most 65536"),
    ({"parameters": {c: list(range(100)) for c in "abcdefghij"}}, "at most 1,000,000"),
    ({"jobs": []}, "jobs is empty"),
    ({"jobs": [{"a": 1}, {}]}, r"jobs\[1\]: a non-empty object"),
    ({"jobs": [3]}, r"jobs\[0\]: a non-empty object"),
    ({"jobs": [{"a": 1}], "idle_timeout": 0}, "idle_timeout must be from 3"),
    ({"jobs": [{"a": 1}], "idle_timeout": "x"}, "idle_timeout must be a number"),
    ({"jobs": [{"a": 1}], "aborted_job_reset_timeout": -1}, "must be from 0"),
])
def test_bad_requests_say_what_is_wrong(body: Any, says: str) -> None:
    with pytest.raises(ProtocolError, match=says):
        ordered(body)


def test_a_million_combinations_are_allowed_and_not_made_before_they_are_needed() -> None:
    batch = from_grid({c: list(range(100)) for c in "abc"})
    assert batch.total == 10 ** 6
    assert next(batch.texts()) == '{"a": 0, "b": 0, "c": 0}'
