"""A job that takes its workers down is set aside after three, and no outage makes one of an innocent job."""


import pytest

from jd import protocol as p
from jd.server.store.files import files
from jd.server.store.operators import bulk
from jd.server.store.policy import Policy
from jd.server.store.queue import lease, retry, tookdown
from tests.server.store_support import Desk


@pytest.fixture
def policy() -> Policy:
    return Policy(lease=30.0)


def lose(desk: Desk, worker: str, job_id: int = 1) -> None:
    """The worker claims the job, and is not heard of any more."""
    assert desk.claim(worker, session="of " + worker).job_id == job_id
    desk.now += 31.0
    desk.write(lambda t: lease.expire(t, 100))


def save_checkpoint(desk: Desk) -> None:
    incoming = files.Incoming(desk.data_dir)
    incoming.settle()
    desk.write(lambda t: files.add_checkpoint(t, desk.data_dir, 1, None, incoming))


def history(desk: Desk, job_id: int = 1) -> str:
    return str(desk.job(job_id)["message"][-1]["reason"])


def verdicts(desk: Desk) -> int:
    return int(desk.sql("SELECT count(*) FROM attempts WHERE verdict = 'lost' AND took_down = 1"))


def test_a_job_is_set_aside_that_took_down_three_workers(desk: Desk) -> None:
    desk.create(1)
    for worker in ("a", "b"):
        lose(desk, worker)
        assert desk.status(1) == p.PENDING
        assert history(desk).endswith("lost on %s, back to the queue: no heartbeat for 30 s" % worker)
    lose(desk, "c")
    assert desk.status(1) == p.ABORTED and desk.sql("SELECT retry_at IS NULL FROM jobs")
    assert history(desk) == ("attempt 3 lost on c, set aside and not tried again: it took down 3 workers: "
                             "a, b, c; no heartbeat for 30 s")
    assert desk.sql("SELECT message FROM attempts WHERE number = 3") == (
        "it took down 3 workers: a, b, c; no heartbeat for 30 s")
    assert desk.happened.nothing_left
    desk.now += 1e6
    assert desk.beat("d", session="d").reply.job is None


def test_one_worker_three_times_is_one_worker(desk: Desk) -> None:
    desk.create(1)
    for number in range(tookdown.MOST + 1):
        desk.now += 1000
        assert desk.claim("a", session="s%d" % number).job_id == 1
        desk.now += 31
        desk.write(lambda t: lease.expire(t, 100))
    assert desk.status(1) == p.PENDING and verdicts(desk) == 4


def test_a_worker_that_is_heard_of_again_was_only_out_of_reach(desk: Desk) -> None:
    desk.create(1)
    for worker in ("a", "b", "c"):
        lose(desk, worker)
        desk.now += 1
        if worker == "a":
            desk.beat("a", session="of a", leave=True)
    assert desk.status(1) == p.PENDING
    lose(desk, "d")
    assert "it took down 3 workers: b, c, d;" in history(desk)


def test_an_outage_blames_nobody_and_a_bad_job_among_good_ones_is_found(desk: Desk) -> None:
    desk.create(4)
    for number in range(4):
        for job_id in range(1, 5):
            desk.claim("w%d-%d" % (number, job_id), session="s")
        desk.now += 31
        desk.write(lambda t: lease.expire(t, 100))
        desk.now += 600
    assert desk.counts() == {"PENDING": 4} and verdicts(desk) == 0
    for number in range(3):
        for job_id in range(1, 5):
            desk.claim("v%d-%d" % (number, job_id), session="s")
        for _ in range(4):
            desk.now += 10
            for job_id in range(2, 5):
                desk.beat("v%d-%d" % (number, job_id), session="s", reported_status="busy",
                          current_job_id=job_id, attempt=5 + number)
            desk.write(lambda t: lease.expire(t, 100))
        if number < 2:
            for job_id in range(2, 5):
                desk.beat("v%d-%d" % (number, job_id), session="s", leave=True)
        desk.now += 600
    assert desk.status(1) == p.ABORTED and "v0-1, v1-1, v2-1" in history(desk)


def test_one_that_saves_checkpoints_gets_somewhere(desk: Desk) -> None:
    desk.create(1)
    for worker in ("a", "b", "c", "d"):
        assert desk.claim(worker, session="s").job_id == 1
        save_checkpoint(desk)
        desk.now += 31
        desk.write(lambda t: lease.expire(t, 100))
    assert desk.status(1) == p.PENDING and verdicts(desk) == 0


def test_by_hand_it_is_tried_again_and_counted_anew(desk: Desk) -> None:
    desk.create(1)
    for worker in ("a", "b", "c"):
        lose(desk, worker)
    assert desk.status(1) == p.ABORTED
    desk.write(lambda t: bulk.act(t, bulk.RETRY, [1], bulk.ON_DASHBOARD))
    for worker in ("d", "e"):
        lose(desk, worker)
        assert desk.status(1) == p.PENDING
    lose(desk, "f")
    assert "it took down 3 workers: d, e, f;" in history(desk)


def test_what_was_given_back_or_failed_counts_for_nothing(desk: Desk) -> None:
    desk.create(1)
    lose(desk, "a")
    desk.claim("b", session="s")
    desk.beat("b", session="s", leave=True)
    lose(desk, "c")
    job = desk.claim("d", session="s")
    desk.finish(1, "ABORTED", attempt=job.attempt)
    desk.now += 1e4
    desk.write(lambda t: retry.retry_due(t, 10))
    assert desk.status(1) == p.PENDING
    lose(desk, "e")
    assert "it took down 3 workers: a, c, e;" in history(desk)


@pytest.mark.parametrize("used, says", [(97.4, "; with the last one 97 % of the memory there was used"),
                                        (89.0, ""), ("much", "")])
def test_a_loss_tells_of_memory_that_was_short(desk: Desk, used: object, says: str) -> None:
    desk.create(1)
    desk.claim("a", session="s")
    desk.beat("a", session="s", reported_status="busy", current_job_id=1, attempt=1,
              system_metrics={"ram_util": used})
    desk.now += 31
    desk.write(lambda t: lease.expire(t, 100))
    assert desk.sql("SELECT message FROM attempts") == "no heartbeat for 30 s" + says


def test_workers_that_are_found_dead_count_whenever_that_is_told(desk: Desk) -> None:
    """The launch of the next worker on the same machine says the dead one's last word."""
    desk.create(1)
    assert desk.claim("a", session="s").job_id == 1
    desk.beat("a", session="s", reported_status="busy", leave=True, died=1)
    assert history(desk) == "attempt 1 lost on a, back to the queue: its worker was found dead on its machine"
    lose(desk, "b")
    desk.now += 1
    desk.beat("b", session="of b", reported_status="busy", leave=True, died=1)
    assert desk.status(1) == p.PENDING
    assert desk.claim("c", session="s").job_id == 1
    desk.beat("c", session="s", reported_status="busy", leave=True, died=1)
    assert desk.status(1) == p.ABORTED
    assert "it took down 3 workers: a, b, c; its worker was found dead on its machine" in history(desk)


def test_workers_that_died_together_did_not_die_of_one_job(desk: Desk) -> None:
    desk.create(1)
    for number in range(4):
        assert desk.claim("w%d" % number, session="s").job_id == 1
        desk.beat("w%d" % number, session="s", reported_status="busy", leave=True, died=2)
    assert desk.status(1) == p.PENDING and verdicts(desk) == 0
    assert desk.sql("SELECT count(*) FROM attempts WHERE verdict = 'lost'") == 4


@pytest.mark.parametrize("damaged", [b"{\"ram_util\": 9", b"\xff\xfe"], ids=["cut", "no text"])
def test_a_lease_ends_also_where_its_last_heartbeat_cannot_be_read(desk: Desk, damaged: bytes) -> None:
    """Else none would end any more, of no job."""
    desk.create(1)
    desk.claim("w", session="s")
    desk.write(lambda t: t.db.execute("UPDATE attempts SET system_metrics = CAST(? AS TEXT)", (damaged,)))
    desk.now += 31
    desk.write(lambda t: lease.expire(t, 100))
    assert desk.status(1) == p.PENDING
