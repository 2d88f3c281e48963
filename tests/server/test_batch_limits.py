"""What a batch says of its jobs: how long they may run, how often they are tried, which go out first."""

import io
from typing import Any, Dict, Optional

import pytest

from jd import protocol as p
from jd.messages import Assignment
from jd.server import sweeper
from jd.server.creation import jobtext
from jd.server.store import jobfields
from jd.server.store.operators import batches
from jd.server.store.pages import jobtable
from jd.server.store.queue import overrun, timeleft
from tests.server.store_support import Desk, ordered
from tests.server.test_jobs_store import work


def swept(desk: Desk, after: float) -> Optional[str]:
    """The status of job 1 when the sweeper has looked so much later."""
    desk.now += after
    desk.write(lambda t: t.db.execute("UPDATE jobs SET lease_until = ?", (desk.now + 1,)))  # it is heard of
    desk.write(sweeper.step)
    return desk.status(1)


@pytest.mark.parametrize("said, message", [
    ({"timeout": 0}, "timeout must be from 1 to"),
    ({"timeout": "1h"}, "timeout must be a number"),
    ({"max_attempts": 0}, "max_attempts must be a whole number from 1 to 1000, not 0"),
    ({"max_attempts": 1001}, "max_attempts must be a whole number from 1 to 1000, not 1001"),
    ({"max_attempts": 2.5}, "max_attempts must be a whole number from 1 to 1000, not 2.5"),
    ({"max_attempts": True}, "max_attempts must be a whole number"),
    ({"flags": "yaml"}, "flags must be one of json, switches, python, hydra, env, none, not 'yaml'"),
    ({"flags": ["json"]}, "flags must be one of"),
    ({"priority": -1001}, "priority must be a whole number from -1000 to 1000, not -1001"),
    ({"priority": "high"}, "priority must be a whole number")])
def test_what_cannot_be_is_refused(said: Any, message: str) -> None:
    with pytest.raises(p.ProtocolError, match=message):
        ordered(dict({"parameters": {"x": [1]}}, **said))


def test_a_jobs_file_says_it_as_a_request_does() -> None:
    text = b'{"jobs": [{"x": 1}], "timeout": 60, "max_attempts": 1, "priority": -5}'
    assert jobtext.parse(io.BytesIO(text), "json").terms == batches.Terms(
        timeout=60.0, max_attempts=1, priority=-5)
    assert ordered({"parameters": {"x": [1]}, "priority": 1000}).terms.priority == 1000


def test_a_job_carries_its_timeout_also_when_it_is_told_again(desk: Desk) -> None:
    desk.create(1, timeout=60)
    assert desk.claim(session="s").timeout == 60.0
    again = desk.claim(session="s")
    assert (again.job_id, again.attempt, again.timeout) == (1, 1, 60.0)
    desk.create(1)
    assert "timeout" not in desk.claim("other", session="t").to_json()


def test_a_job_carries_how_its_script_gets_parameters(desk: Desk) -> None:
    desk.create(2, flags="hydra")
    desk.create(1)
    first, again = desk.claim(session="s"), desk.claim(session="s")
    assert (first.flags, again.flags, again.attempt) == ("hydra", "hydra", 1)
    assert Assignment.from_json(first.to_json()).flags == "hydra"
    assert desk.claim("other", session="t").flags == "hydra"
    assert "flags" not in desk.claim("third", session="u").to_json()


@pytest.mark.parametrize("session, margin", [(None, 60.0), ("s", 600.0)])
def test_the_server_ends_what_its_worker_does_not(desk: Desk, session: Optional[str], margin: float) -> None:
    desk.create(1, timeout=5)
    desk.claim(**({"session": session} if session else {}))
    assert swept(desk, 5 + margin - 1) == "SERVED"
    assert swept(desk, 1) == "ABORTED"
    assert desk.happened.taken_away == [1]
    assert desk.sql("SELECT verdict || ': ' || message FROM attempts") == (
        "timeout: it runs for longer than its timeout of 5 s, and its worker has not ended it")
    assert desk.sql("SELECT failures FROM jobs") == 1
    assert desk.sql("SELECT retry_at FROM jobs") == desk.now + 30


def test_a_worker_that_says_when_the_script_ends_has_that_time(desk: Desk) -> None:
    """It restores a checkpoint first, or gives the script half an hour to stop."""
    desk.create(1, timeout=5)
    desk.claim(session="s")
    busy: Dict[str, Any] = dict(session="s", reported_status="busy", current_job_id=1, attempt=1)
    desk.beat(**busy, ends_in=1805.0)
    desk.beat(**busy, ends_in=3.0)  # what was said before holds
    for _ in range(4):
        assert swept(desk, 500) == "SERVED"
        desk.beat(**busy)
    assert swept(desk, 404) == "SERVED"
    assert swept(desk, 1) == "ABORTED"
    assert desk.sql("SELECT verdict FROM attempts") == "timeout"


def test_an_attempt_has_the_whole_time_of_its_own(desk: Desk) -> None:
    desk.create(1, timeout=5)
    desk.claim()
    assert swept(desk, 65) == "ABORTED"
    assert swept(desk, 31) == "PENDING"
    desk.claim()
    assert swept(desk, 64) == "SERVED"


def test_without_a_timeout_a_job_runs_for_as_long_as_it_is_heard_of(desk: Desk) -> None:
    desk.create(1)
    desk.claim()
    assert swept(desk, 1e7) == "SERVED"


def test_while_a_server_is_away_nobody_can_report(desk: Desk) -> None:
    desk.create(1, timeout=5)
    desk.claim()
    desk.now += 3600
    desk.write(overrun.restart)
    assert swept(desk, 599) == "SERVED"
    assert swept(desk, 1) == "ABORTED"


def test_looking_for_what_is_due_costs_nothing(desk: Desk) -> None:
    desk.create(500, timeout=5)
    desk.claim()
    assert work(desk, lambda db: db.execute(overrun.DUE, (desk.now, 1000)).fetchall()) < 10


@pytest.mark.parametrize("said, failures", [(1, 1), (5, 5), (None, 3)])
def test_how_often_a_job_is_tried_says_its_batch_else_the_server(desk: Desk, said: Optional[int],
                                                                 failures: int) -> None:
    desk.create(1, **({"max_attempts": said} if said else {}))
    while desk.status(1) != "ABORTED" or desk.sql("SELECT retry_at FROM jobs") is not None:
        desk.write(lambda t: t.db.execute("UPDATE jobs SET status = 'PENDING', retry_at = NULL"))
        desk.finish(1, "ABORTED", attempt=desk.claim().attempt)
    assert desk.sql("SELECT failures FROM jobs") == failures


def test_jobs_of_a_higher_priority_go_out_first(desk: Desk) -> None:
    desk.create(1, priority=-3)
    desk.create(1)
    desk.create(2, priority=7)
    assert [desk.claim("w%d" % number).job_id for number in range(4)] == [3, 4, 2, 1]


def test_a_batch_of_a_high_priority_that_is_being_written_hides_nothing(
        desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeleft, "LOOKED_THROUGH", 10)
    desk.create(1, min_time=900)
    desk.create(1)
    start_id = desk.write(batches.begin)
    desk.write(lambda t: batches.add(t, start_id, ['{"x": 1}'] * 50, batches.Terms(priority=5)))
    assert desk.claim(time_left=100.0).job_id == 2
    assert desk.beat("v", time_left=100.0).reply.needs == 900.0


def test_pages_show_what_a_batch_has_said(desk: Desk) -> None:
    desk.create(1, timeout=60, max_attempts=2, priority=4)
    shown = [field.name for field in jobfields.shown(jobfields.Where.DETAILS)]
    assert {"timeout", "max_attempts", "priority"} <= set(shown)
    row = desk.read(lambda db: jobtable.rows(db, [1]))[0]
    assert (row["timeout"], row["max_attempts"], row["priority"]) == (60.0, 2, 4)
