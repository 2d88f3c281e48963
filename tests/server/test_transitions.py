import pytest

from jd import protocol as p
from jd.server.store.policy import Policy
from jd.server.store.queue import transitions
from jd.server.store.queue.transitions import IllegalTransition, after, ending

LEGAL = {
    ("PENDING", "claim"): "SERVED",
    ("PENDING", "replace"): "DELETED",
    ("PENDING", "delete"): "DELETED",
    ("PENDING", "abort"): "ABORTED",
    ("ABORTED", "retry"): "PENDING",
    ("ABORTED", "replace"): "DELETED",
    ("ABORTED", "delete"): "DELETED",
    ("DONE", "retry"): "PENDING",
    ("DONE", "replace"): "DELETED",
    ("DONE", "delete"): "DELETED",
    ("DELETED", "restore to PENDING"): "PENDING",
    ("DELETED", "restore to DONE"): "DONE",
    ("DELETED", "restore to ABORTED"): "ABORTED",
    ("SERVED", "done"): "DONE",
    ("SERVED", "failed"): "ABORTED",
    ("SERVED", "killed"): "ABORTED",
    ("SERVED", "oom"): "ABORTED",
    ("SERVED", "timeout"): "ABORTED",
    ("SERVED", "stopped"): "ABORTED",
    ("SERVED", "preempted"): "PENDING",
    ("SERVED", "lost"): "PENDING",
}
EVENTS = sorted({event for _, event in LEGAL})


@pytest.mark.parametrize("status", p.JOB_STATUSES_ALL)
@pytest.mark.parametrize("event", EVENTS)
def test_only_what_the_table_has_may_happen(status: str, event: str) -> None:
    if (status, event) in LEGAL:
        assert after(status, event) == LEGAL[status, event]
    else:
        with pytest.raises(IllegalTransition) as caught:
            after(status, event)
        assert caught.value.status == status


def test_a_job_is_restored_to_where_it_was() -> None:
    for before in ("PENDING", "DONE", "ABORTED"):
        assert after("DELETED", transitions.restore(before)) == before
    with pytest.raises(IllegalTransition):
        after("DELETED", transitions.restore("SERVED"))


def test_where_an_event_is_allowed() -> None:
    for event in EVENTS:
        assert set(transitions.allowing(event)) == {status for status, name in LEGAL if name == event}


@pytest.mark.parametrize("verdict", transitions.FAILURES)
def test_failures_come_back_until_max_attempts(verdict: str) -> None:
    policy = Policy(max_attempts=3)
    assert ending("SERVED", verdict, 0, 0, policy) == ("ABORTED", 1, 0, True)
    assert ending("SERVED", verdict, 1, 0, policy) == ("ABORTED", 2, 0, True)
    assert ending("SERVED", verdict, 2, 0, policy) == ("ABORTED", 3, 0, False)


@pytest.mark.parametrize("verdict", transitions.INTERRUPTIONS)
def test_interruptions_have_a_limit_of_their_own(verdict: str) -> None:
    policy = Policy(max_attempts=1, max_interruptions=2)
    assert ending("SERVED", verdict, 0, 0, policy) == ("PENDING", 0, 1, False)
    assert ending("SERVED", verdict, 0, 1, policy) == ("ABORTED", 0, 2, False)


def test_what_an_operator_stopped_never_comes_back() -> None:
    assert ending("SERVED", "stopped", 0, 0, Policy()) == ("ABORTED", 0, 0, False)
