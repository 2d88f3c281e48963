"""Rows in which a byte is another one, which SQLite does not notice."""

import pytest

from jd.errors import DamagedFile
from jd.server.store.pages import joblist
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


def test_a_list_says_that_the_database_is_damaged(desk: Desk) -> None:
    desk.create(2)
    desk.write(lambda t: t.db.execute("UPDATE jobs SET parameters = '{\"x\": 1' WHERE id = 1") and None)
    with pytest.raises(DamagedFile, match="a row of it cannot be read"):
        desk.read(lambda db: joblist.select(db, joblist.JobQuery()))
    with pytest.raises(DamagedFile, match="a row of it cannot be read"):
        desk.write(lambda t: joblist.select(t.db, joblist.JobQuery()))
