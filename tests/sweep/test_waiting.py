"""wait_for_jobs: one question that the server holds, or asking again and again; when it ends, and how."""

import threading
from typing import Any, Callable, Dict, List

import pytest

import jd
from jd.errors import JdError
from jd.sweep import waiting
from jd.sweep.session import Session
from tests.script.stub_server import Answer, StubServer

Begun = Callable[..., Session]


def standing(finished: bool = False, will_retry: int = 0, missing: int = 0, **by_status: int) -> Answer:
    return Answer(200, {"finished": finished, "by_status": by_status, "will_retry": will_retry,
                        "missing": missing, "cursor": str(sorted(by_status.items()))})


def statuses(**found: str) -> Answer:
    return Answer(200, {"statuses": {name.strip("j"): status for name, status in found.items()}})


def records(**found: str) -> Answer:
    jobs = [{"id": int(name.strip("j")), "status": status} for name, status in found.items()]
    return Answer(200, {"jobs": jobs, "total_count": len(jobs), "total_pages": 1})


def questions(stub: StubServer) -> List[Dict[str, Any]]:
    return [dict(one.json()) for one in stub.asked if one.target == "/api/jobs/wait"]


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> List[float]:
    """Pauses are noted and not made."""
    pauses: List[float] = []
    monkeypatch.setattr("jd.sweep.waiting.time.sleep", pauses.append)
    return pauses


# ---- a server that holds the question

def test_the_server_holds_one_question_for_all_jobs(stub: StubServer, begun: Begun,
                                                   hasty: List[float]) -> None:
    begun("drive")
    stub.will_answer(standing(PENDING=3), standing(DONE=1, ABORTED=2, will_retry=1),
                     standing(True, DONE=2, ABORTED=1), records(j3="ABORTED", j1="DONE", j2="DONE"))
    found = jd.wait_for_jobs(["3", 1, 2, 1])
    assert list(found) == [3, 1, 2] and found[3]["status"] == "ABORTED"
    asked = questions(stub)
    assert [one.pop("wait") for one in asked] == [0.0, 55.0, 55.0]
    assert asked == [{"status": "DONE", "include_aborted": True, "ids": [3, 1, 2]}] * 3
    assert len(hasty) == 1 and 0.0 < hasty[0] <= 1.0  # one that does not hold it is not asked all the time


def test_a_server_that_is_away_meanwhile_is_asked_again(stub: StubServer, begun: Begun,
                                                       capsys: pytest.CaptureFixture[str]) -> None:
    begun("drive")
    stub.will_answer(standing(PENDING=1), Answer(hang_up=True), Answer(hang_up=True), standing(True, DONE=1),
                     records(j1="DONE"))
    assert list(jd.wait_for_jobs([1])) == [1]
    told = capsys.readouterr().err
    assert told.startswith("jd: no answer from ") and "trying again for 10m" in told and told.count("\n") == 1


def test_what_is_waited_for_is_said(stub: StubServer, begun: Begun) -> None:
    begun("drive")
    stub.otherwise = standing(True, SERVED=1)
    stub.will_answer(standing(True, SERVED=1), records(j1="SERVED"))
    jd.wait_for_jobs([1], status=" served ", include_aborted=False)
    assert questions(stub)[0] == {"status": "SERVED", "include_aborted": False, "ids": [1], "wait": 0.0}
    with pytest.raises(ValueError, match="'finished'.*PENDING, SERVED"):
        jd.wait_for_jobs([1], status="finished")


def test_nothing_to_wait_for(stub: StubServer, begun: Begun) -> None:
    begun("drive")
    assert jd.wait_for_jobs([]) == {} and stub.asked == []


@pytest.mark.parametrize("extensions", [("drive",), ()])
def test_the_time_is_over(stub: StubServer, begun: Begun, extensions: Any) -> None:
    begun(*extensions)
    if extensions:
        stub.will_answer(standing(DONE=1, PENDING=1, SERVED=1))
    stub.otherwise = statuses(j1="DONE", j2="PENDING", j3="SERVED")
    with pytest.raises(TimeoutError, match="2 of 3 jobs are not finished: jobs 2, 3") as error:
        jd.wait_for_jobs([1, 2, 3], timeout=0)
    assert isinstance(error.value, JdError)


@pytest.mark.parametrize("extensions", [("drive",), ()])
def test_jobs_that_can_never_be_finished_are_named(stub: StubServer, begun: Begun, extensions: Any) -> None:
    begun(*extensions)
    stub.otherwise = statuses(j1="DONE", j2="DELETED")
    if extensions:
        stub.will_answer(standing(True, DONE=1, DELETED=1))
    with pytest.raises(RuntimeError, match="DELETED: job 2"):
        jd.wait_for_jobs([1, 2])
    if extensions:
        stub.will_answer(standing(PENDING=1, missing=2))
    stub.otherwise = statuses(j1="PENDING")
    with pytest.raises(RuntimeError, match="do not exist at .*: jobs 8, 9"):
        jd.wait_for_jobs([1, 8, 9])


def test_a_job_that_comes_back_is_not_finished(stub: StubServer, begun: Begun) -> None:
    begun("drive")
    stub.will_answer(standing(DONE=1, ABORTED=1, DELETED=1, will_retry=1),
                     standing(True, DONE=2, DELETED=1))
    stub.otherwise = statuses(j1="DONE", j2="DELETED", j3="DONE")
    with pytest.raises(RuntimeError, match="DELETED: job 2"):
        jd.wait_for_jobs([1, 2, 3])
    assert len(questions(stub)) == 2


def test_ctrl_c_leaves_the_sweep_running_and_says_how_to_come_back(
        stub: StubServer, begun: Begun, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str]) -> None:
    begun()

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("jd.sweep.waiting.time.sleep", interrupt)
    stub.otherwise = statuses(j4="DONE", j5="PENDING", j6="SERVED")
    for ids, typed in (([4, 5, 6], "range(4, 7)"), ([5, 4, 6], "[5, 4, 6]")):
        with pytest.raises(KeyboardInterrupt) as error:
            jd.wait_for_jobs(ids)
        assert len(error.traceback) == 2 and error.value.__suppress_context__  # the line stays in sight
        assert capsys.readouterr().err == ("jd: 1 of 3 jobs are finished, the sweep goes on; "
                                           "jd.wait_for_jobs(%s) waits for it again\n" % typed)


def test_a_server_that_has_gone_is_asked_while_there_is_time(stub: StubServer, begun: Begun) -> None:
    one = begun()
    one._extensions = None  # as when it is looked for at another place
    stub.otherwise = Answer(200, b"half", cut=2)
    tried = one.tried
    patiences: List[float] = []

    def noted(call: Any, again: bool = True, patience: float = 60.0, *more: Any) -> Any:
        patiences.append(patience)
        return tried(call, again, 0.0, *more)
    one.tried = noted  # type: ignore[method-assign,assignment]
    with pytest.raises(TimeoutError, match="the server was away"):
        jd.wait_for_jobs([1], timeout=0.1)
    assert patiences and max(patiences) <= 0.1


# ---- one that is asked again and again

def test_a_base_server_is_asked_for_what_is_not_finished(stub: StubServer, begun: Begun,
                                                        hasty: List[float]) -> None:
    begun()
    stub.will_answer(statuses(j1="DONE", j2="SERVED", j3="PENDING"), statuses(j2="ABORTED", j3="PENDING"),
                     statuses(j3="DONE"), records(j1="DONE", j2="ABORTED", j3="DONE"))
    assert list(jd.wait_for_jobs([1, 2, 3], poll_interval=0.1)) == [1, 2, 3]
    assert [one.target.partition("ids=")[2] for one in stub.asked[:3]] == ["1%2C2%2C3", "2%2C3", "3"]
    assert hasty == [1.0, 1.0]


def test_without_include_aborted_such_a_job_is_waited_for(stub: StubServer, begun: Begun) -> None:
    begun()
    stub.will_answer(statuses(j1="ABORTED"), statuses(j1="DONE"), records(j1="DONE"))
    assert list(jd.wait_for_jobs([1], include_aborted=False)) == [1]


# ---- how far it is

def test_more_ids_than_one_question_takes_are_asked_for_in_parts(
        stub: StubServer, begun: Begun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "MOST_IDS", 2)
    session = begun("drive")
    stub.will_answer(standing(DONE=1, PENDING=1), standing(True, DONE=2), standing(True, DONE=1))
    found = list(waiting.standings(session, waiting.Question([1, 2, 3])))
    assert [one.finished for one in found] == [False, False, True]
    assert [one.by_status for one in found] == [{"DONE": 1, "PENDING": 1}, {"DONE": 2}, {"DONE": 3}]
    assert [one["ids"] for one in questions(stub)] == [[1, 2], [1, 2], [3]]


def test_a_filter_is_waited_for_where_the_server_knows_them(stub: StubServer, begun: Begun) -> None:
    session = begun("drive")
    stub.will_answer(standing(PENDING=1), standing(SERVED=1, DELETED=3), standing(True, DONE=1, DELETED=3))
    found = list(waiting.standings(session, waiting.Question(None, "lr>0.1"), changes=True))
    assert len(found) == 3 and found[-1].finished
    asked = questions(stub)
    assert [one["where"] for one in asked] == ["lr>0.1"] * 3
    assert [one.get("changes_after") for one in asked] == [None, found[0].cursor, found[1].cursor]
    base = begun()
    with pytest.raises(NotImplementedError, match="does not wait for the jobs of a filter"):
        list(waiting.standings(base, waiting.Question(None, "lr>0.1")))


def test_the_answer_is_given_as_soon_as_it_is_there(stub: StubServer, begun: Begun) -> None:
    begun("drive")
    held = threading.Event()
    last = standing(True, DONE=1)
    last.meanwhile = lambda: held.wait(60) and None  # type: ignore[assignment]
    stub.will_answer(standing(PENDING=1), last, records(j1="DONE"))
    found: List[Any] = []
    thread = threading.Thread(target=lambda: found.append(jd.wait_for_jobs([1])))
    thread.start()
    held.set()
    thread.join(60)
    assert found and list(found[0]) == [1]
