"""Rows in which a byte is another one, which SQLite does not notice."""

import sqlite3
from typing import Any, Callable, List

import pytest

from jd.errors import DamagedFile
from jd.server.store.pages import jobdetails, joblist, jobtable, wholejob
from jd.server.store.pages.results import resultrows
from jd.server.store.search import conditions
from tests.server.store_support import Desk


@pytest.mark.parametrize("text", [b'{"x": 1', b'{"x": "\xff"}', b"[1]", b"[" * 100_000])
def test_a_job_that_nobody_can_be_told_of_leaves_the_queue_to_others(desk: Desk, text: bytes) -> None:
    desk.create(3)
    desk.write(lambda t: t.db.execute("UPDATE jobs SET parameters = CAST(? AS TEXT) WHERE id IN (1, 2)",
                                      (text,)) and None)
    assert desk.claim().job_id == 3
    assert [said.split(" is ")[0] for said in desk.happened.said] == ["job 1", "job 2"]
    assert desk.beat("other").reply.job is None
    told = desk.read(lambda db: db.execute("SELECT status, reason FROM jobs j JOIN job_history h"
                                           " ON h.job_id = j.id WHERE j.id = 1").fetchall())
    assert told == [("ABORTED", "its parameters cannot be read: the database is damaged there")]


@pytest.mark.parametrize("text", [b'{"x": 1', b'{"x": "\xff"}', b"[" * 100_000])
def test_a_list_names_the_job_and_the_table_shows_the_others(desk: Desk, text: bytes) -> None:
    desk.create(2)
    desk.write(lambda t: t.db.execute("UPDATE jobs SET parameters = CAST(? AS TEXT) WHERE id = 1",
                                      (text,)) and None)
    everything = desk.read(lambda db: conditions.compiled(db, "", 0.0))
    asked: List[Callable[[sqlite3.Connection], Any]] = [
        lambda db: joblist.select(db, joblist.JobQuery()), lambda db: wholejob.job(db, 1),
        lambda db: jobdetails.job(db, 1), lambda db: resultrows.rows(db, everything, 0, 9)]
    for strict in asked:
        with pytest.raises(DamagedFile, match="job 1: its parameters cannot be read"):
            desk.read(strict)
        with pytest.raises(DamagedFile, match="job 1: its parameters cannot be read"):
            desk.write(lambda t: strict(t.db))
    shown = desk.read(lambda db: jobtable.page(db, everything, jobtable.order(db, "id"), None, 9)).jobs
    assert [job["parameters"] for job in shown] == [{}, {"x": 1}]
    assert shown[0]["message"].startswith("job 1: its parameters cannot be read (")
    assert shown[1]["message"] is None
