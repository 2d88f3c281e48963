"""create_jobs, list_jobs and get_job_statuses: what is asked, and what of the answer is given."""

from typing import Any, Callable, Dict, List
from urllib.parse import parse_qs

import pytest

import jd
from jd import protocol
from jd.errors import JdError, ServerUnreachable
from jd.sweep.session import Session
from tests.script.stub_server import Answer, StubServer
from tests.sweep.conftest import query_of

Begun = Callable[..., Session]
CREATED = {"success": True, "message": "Created", "total_jobs": 2, "action": "Created", "start_id": 1}


def asked(stub: StubServer) -> List[Dict[str, str]]:
    """The queries of all requests."""
    return [{name: values[0] for name, values in parse_qs(query_of(one), True).items()}
            for one in stub.asked]


def page(*ids: int, **more: Any) -> Answer:
    return Answer(200, dict({"jobs": [{"id": job_id, "status": "DONE"} for job_id in ids],
                             "total_count": len(ids), "total_pages": 1, "current_page": 1, "per_page": 50},
                            **more))


# ---- creating

def test_what_is_sent_to_a_base_server(stub: StubServer, begun: Begun) -> None:
    begun()
    stub.otherwise = Answer(200, CREATED)
    assert jd.create_jobs({"x": [1, 2]}) == CREATED
    jd.create_jobs([{"x": 1}], replace=True, idle_timeout=90.9, aborted_job_reset_timeout=5)
    assert [one.json() for one in stub.asked] == [
        {"parameters": {"x": [1, 2]}, "replace": False},
        {"jobs": [{"x": 1}], "replace": True, "idle_timeout": 90, "aborted_job_reset_timeout": 5}]
    assert {one.target for one in stub.asked} == {protocol.CREATE_JOBS}


def test_numbers_that_are_none_are_named(stub: StubServer, begun: Begun) -> None:
    begun()
    refused: List[Callable[[], Any]] = [
        lambda: jd.create_jobs({"x": 1}, idle_timeout="long"),
        lambda: jd.create_jobs({"x": 1}, idle_timeout=float("inf")),
        lambda: jd.create_jobs({"x": 1}, aborted_job_reset_timeout=[]),
        lambda: jd.list_jobs(page="last"), lambda: jd.list_jobs(per_page=None),
        lambda: jd.get_job_statuses(12), lambda: jd.wait_for_jobs("12"), lambda: jd.list_jobs(ids="12"),
        lambda: jd.create_jobs({"x": 1}, after="12")]
    for call in refused:
        with pytest.raises((ValueError, TypeError), match="is no number; give|whole numbers, not .*12"):
            call()
    assert stub.asked == []


def test_what_a_server_does_not_know_is_not_sent_to_it(stub: StubServer, begun: Begun) -> None:
    begun()
    for said in ({"unique": True}, {"timeout": 60}, {"max_attempts": 1}, {"priority": -1}, {"needs": ["gpu"]},
                 {"flags": "hydra"}, {"after": [1]}):
        with pytest.raises(NotImplementedError, match="this server does not .*%s=" % next(iter(said))):
            jd.create_jobs({"x": 1}, **said)
    assert stub.asked == []


def test_what_is_sent_to_a_server_that_knows_it(stub: StubServer, begun: Begun) -> None:
    begun("unique", "timeout", "needs", "flags", "drive")
    stub.otherwise = Answer(200, CREATED)
    jd.create_jobs({"x": 1}, unique=True, timeout=60, max_attempts=2, priority=0, needs="gpu, a100,",
                   flags="env")
    jd.create_jobs({"x": 1}, needs=("gpu",), after=range(3, 5))
    jd.create_jobs({"x": 1}, after=4)
    assert stub.asked[0].json() == {
        "jobs": [{"x": 1}], "replace": False, "unique": True, "timeout": 60, "max_attempts": 2, "priority": 0,
        "needs": ["gpu", "a100"], "flags": "env"}
    assert stub.asked[1].json()["needs"] == ["gpu"] and stub.asked[1].json()["after"] == [3, 4]
    assert stub.asked[2].json()["after"] == [4]


def test_jobs_are_not_created_twice(stub: StubServer, begun: Begun) -> None:
    begun("unique")
    stub.otherwise = Answer(200, CREATED)
    stub.will_answer(Answer(hang_up=True))
    with pytest.raises(ServerUnreachable, match="may have been created.*unique=True"):
        jd.create_jobs({"x": 1})
    assert len(stub.asked) == 1
    stub.will_answer(Answer(hang_up=True))
    assert jd.create_jobs({"x": 1}, unique=True) == CREATED
    stub.will_answer(Answer(400, {"success": False, "error": "no good name"}))
    with pytest.raises(RuntimeError, match="no good name"):
        jd.create_jobs({"x": 1})
    stub.will_answer(Answer(200, {"success": False, "error": "not today"}))
    with pytest.raises(RuntimeError, match="not today"):
        jd.create_jobs({"x": 1})


# ---- listing

def test_a_page_is_asked_for_as_published_clients_do(stub: StubServer, begun: Begun) -> None:
    begun()
    stub.otherwise = page(1, 2)
    assert jd.list_jobs() == page(1, 2).body
    jd.list_jobs(status="DONE", search="lr", page=0, per_page=5000)
    jd.list_jobs(ids=[3, "4"], search="lr")
    jd.list_jobs(ids=[])
    assert asked(stub) == [{"page": "1", "per_page": "50"},
                           {"status": "DONE", "search": "lr", "page": "1", "per_page": "1000"},
                           {"ids": "3,4", "page": "1", "per_page": "50"},
                           {"ids": "", "page": "1", "per_page": "50"}]
    assert "ids=3%2C4" in stub.asked[2].target


def test_all_pages_come_as_one(stub: StubServer, begun: Begun) -> None:
    begun()
    stub.will_answer(page(1, 2, total_pages=3), page(3, total_pages=3), page(4, total_pages=3))
    told = jd.list_jobs(fetch_all=True, page=7, status="DONE")
    assert [job["id"] for job in told.pop("jobs")] == [1, 2, 3, 4]
    assert told == {"total_count": 4, "total_pages": 1, "current_page": 1}
    assert [one["page"] for one in asked(stub)] == ["1", "2", "3"]


def test_many_ids_are_asked_for_in_requests_that_every_proxy_takes(stub: StubServer, begun: Begun) -> None:
    begun()
    ids = list(range(1_000_000, 1_002_000))
    stub.otherwise = Answer(200, {"statuses": {"1000001": "DONE"}})
    assert jd.get_job_statuses(iter(ids)) == {1000001: "DONE"}
    assert [job_id for one in asked(stub) for job_id in one["ids"].split(",")] == [str(n) for n in ids]
    assert all(len(one.target) < 7000 for one in stub.asked) and len(stub.asked) > 2
    stub.otherwise = page(1000002, 1000001)
    told = jd.list_jobs(ids=ids, per_page=3, page=2)
    assert (told["current_page"], told["per_page"], len(told["jobs"])) == (2, 3, 3)
    assert told["jobs"][-1]["id"] == 1000002 and told["total_pages"] == -(-told["total_count"] // 3)


def test_statuses_are_by_number(stub: StubServer, begun: Begun) -> None:
    begun()
    assert jd.get_job_statuses([]) == {} and stub.asked == []
    stub.otherwise = Answer(200, {"statuses": {"2": "DONE", "3": "PENDING"}})
    assert jd.get_job_statuses(["2", 3, 3, 9]) == {2: "DONE", 3: "PENDING"}
    assert asked(stub) == [{"ids": "2,3,9"}]
    with pytest.raises(ValueError, match="'x'"):
        jd.get_job_statuses(["x"])
    stub.otherwise = Answer(200, {"something": "else"})
    with pytest.raises(JdError):
        jd.get_job_statuses([1])
