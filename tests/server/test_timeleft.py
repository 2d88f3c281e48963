"""Jobs go only to workers that have the time for them; workers learn when nothing is left."""

import hashlib
import io
import json
from pathlib import Path
from typing import Any, Optional

import pytest

from jd import messages
from jd import protocol as p
from jd.server.creation import createrequest
from jd.server.creation.batch import Batch, from_grid
from jd.server.store.operators import batches
from jd.server.store.operators.batches import Terms
from jd.server.store.policy import Policy
from jd.server.store.queue import claim, runtimes, timeleft
from jd.server.store.transaction import Ended, Transaction
from tests.server.store_support import Desk, ordered
from tests.server.test_jobs_store import work


def done(desk: Desk, *seconds: float) -> None:
    """Jobs that were done and took so long; none is PENDING before or after."""
    start = 1 + sum(desk.counts().values())
    desk.create(len(seconds))
    for job_id, runtime in enumerate(seconds, start):
        desk.beat("past")
        desk.finish(job_id, attempt=1, runtime=runtime)


def given(desk: Desk, time_left: Optional[float], **fields: Any) -> Any:
    """The answer to a worker that has so much time left."""
    return desk.beat(time_left=time_left, **fields).reply


def test_a_sweep_says_what_its_jobs_need(desk: Desk) -> None:
    desk.create(1, min_time=600)
    short = desk.beat(time_left=599.0)
    assert (short.reply.job, short.reply.needs, short.may_wait) == (None, 600.0, False)
    assert given(desk, 600.0).job.min_time == 600.0


def test_a_worker_that_says_no_limit_gets_every_job(desk: Desk) -> None:
    desk.create(1, min_time=600)
    job = desk.beat().reply.job
    assert job is not None and job.job_id == 1


def test_without_a_word_of_the_sweep_recent_runtimes_count(desk: Desk) -> None:
    done(desk, *[100.0] * 9, 1000.0)
    desk.create(2)
    refused = given(desk, 99.0)
    assert (refused.job, refused.needs, refused.runtime_p90) == (None, 100.0, 100.0)
    assert given(desk, 100.0).job is not None


def test_the_worker_s_own_min_time_takes_the_place_of_the_estimate_not_of_the_sweep_s(desk: Desk) -> None:
    done(desk, 1000.0)
    desk.create(1)
    assert given(desk, 50.0, min_time=40.0).job is not None
    desk.create(1, min_time=600)
    assert given(desk, 50.0, min_time=40.0, worker_id="v").needs == 600.0


def test_before_any_job_was_done_everything_fits(desk: Desk) -> None:
    desk.create(1)
    assert given(desk, 1.0).job is not None


def test_what_fits_is_found_behind_what_does_not_and_in_the_order_of_the_queue(desk: Desk) -> None:
    desk.create(1, min_time=900)
    desk.create(1, min_time=500)
    desk.create(1, min_time=20)
    done_before = desk.write(lambda t: t.db.execute("INSERT INTO runtimes (seconds) VALUES (50)").rowcount)
    assert done_before == 1
    desk.create(1)
    assert given(desk, 60.0, worker_id="a").job.job_id == 3
    assert given(desk, 60.0, worker_id="b").job.job_id == 4
    assert given(desk, 60.0, worker_id="c").needs == 500.0
    assert given(desk, 600.0, worker_id="d").job.job_id == 2
    assert given(desk, 60.0, worker_id="e").needs == 900.0


def test_what_was_put_first_goes_first_where_it_fits(desk: Desk) -> None:
    desk.create(1, min_time=900)
    desk.create(2, min_time=20)
    desk.write(lambda t: t.db.execute("UPDATE jobs SET priority = 1 WHERE id = 3"))
    assert given(desk, 60.0).job.job_id == 3


def test_a_batch_that_is_being_written_does_not_go_out(desk: Desk) -> None:
    desk.create(1, min_time=900)
    start_id = desk.write(batches.begin)
    desk.write(lambda t: batches.add(t, start_id, ['{"x": 1}']))
    desk.write(lambda t: batches.add(t, start_id + 1, ['{"x": 1}'], Terms(min_time=10.0)))
    assert given(desk, 60.0).needs == 900.0


def test_nothing_is_said_to_be_too_long_while_the_server_is_paused(desk: Desk) -> None:
    desk.create(1, min_time=900)
    desk.policy = Policy(paused=True)
    outcome = desk.beat(time_left=60.0)
    assert (outcome.reply.needs, outcome.may_wait) == (None, True)


def test_the_cost_does_not_grow_with_the_jobs(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeleft, "LOOKED_THROUGH", 100)
    limit = timeleft.Limit(desk.now + 60.0, None)

    def refused(db: Any) -> None:
        with pytest.raises(timeleft.NothingFits):
            head = claim.next_job(db)
            assert head is not None
            timeleft.first(db, limit, head, (None,), 2 ** 62, desk.now)

    desk.create(200, min_time=900)
    few = work(desk, refused)
    desk.create(3000, min_time=900)
    assert work(desk, refused) < 1.2 * few


# ---- runtimes

def test_the_percentile_is_that_of_the_latest_jobs_that_were_done(desk: Desk) -> None:
    def fill(t: Transaction) -> None:
        for number in range(1, 1001):
            runtimes.keep(t.db, [Ended(1, "w", p.VERDICT_DONE, float(number), None, t.now)])
        runtimes.keep(t.db, [Ended(1, "w", p.VERDICT_DONE, None, None, t.now)])

    assert desk.read(runtimes.p90) is None
    desk.write(fill)
    assert desk.sql("SELECT count(*) FROM runtimes") == 500
    assert desk.read(runtimes.p90) == 950.0


def test_one_job_is_an_estimate_too(desk: Desk) -> None:
    done(desk, 30.0)
    assert desk.read(runtimes.p90) == 30.0


# ---- the end

def test_an_idle_worker_is_told_whether_a_job_may_still_come(desk: Desk) -> None:
    assert desk.beat("w").reply.empty is True
    desk.create(1)
    assert desk.beat("w", session="s1").reply.job is not None
    assert desk.beat("v").reply.empty is False  # it may come back
    desk.finish(1, "ABORTED", attempt=1)
    assert desk.beat("v").reply.empty is False  # it will be tried again
    assert desk.beat("w", reported_status="busy", current_job_id=1).reply.empty is None


def test_only_who_leaves_then_is_told_at_once(desk: Desk) -> None:
    assert desk.beat(exit_when_empty=True).may_wait is False
    assert desk.beat().may_wait is True
    desk.create(1)
    desk.beat("w", session="s1")
    assert desk.beat("v", exit_when_empty=True).may_wait is True


# ---- making jobs

@pytest.mark.parametrize("body", [{"min_time": -1}, {"min_time": "soon"}, {"min_time": 1e12},
                                  {"min_time": True}])
def test_a_min_time_that_cannot_be_is_refused(body: Any) -> None:
    with pytest.raises(p.ProtocolError, match="min_time must be"):
        ordered(dict({"parameters": {"x": [1]}}, **body))


def test_a_jobs_file_and_a_form_can_say_it(tmp_path: Path) -> None:
    def formed(body: Any) -> Batch:
        return createrequest.read_form(io.BytesIO(json.dumps(body).encode()), tmp_path).batch

    text = '{"parameters": {"x": [1]}, "min_time": 30}'
    assert formed({"text": text, "format": "json"}).terms.min_time == 30.0
    assert formed({"text": text, "format": "json", "min_time": 60}).terms.min_time == 60.0


def test_a_file_that_was_loaded_before_there_was_a_min_time_is_known_again() -> None:
    plain = from_grid({"x": [1]})
    assert plain.digest() == hashlib.sha256(b'[[["\\"x\\": 1"]], null, null]').hexdigest()
    assert plain._replace(terms=Terms(min_time=5.0)).digest() != plain.digest()


def test_the_fields_survive_the_way_over_the_wire() -> None:
    beat = messages.Heartbeat("w", time_left=5.0, min_time=2.0, exit_when_empty=True)
    assert messages.Heartbeat.from_json(beat.to_json()) == beat
    assert not {"time_left", "min_time", "exit_when_empty"} & set(messages.Heartbeat("w").to_json())
    reply = messages.HeartbeatReply(needs=3.0, runtime_p90=4.0, empty=False,
                             job=messages.Assignment(1, {}, 1, min_time=9.0))
    assert messages.HeartbeatReply.from_json(reply.to_json()) == reply
    assert not {"needs", "runtime_p90", "empty"} & set(messages.HeartbeatReply().to_json())
