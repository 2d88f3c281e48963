"""A sweep as one object."""

import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest

import jd
from jd import terminal
from jd.sweep import parts, sweeps
from jd.sweep.session import Session
from jd.sweep.sweeps import Sweep
from tests.script.stub_server import Answer, StubServer
from tests.support import free_env, python

Begun = Callable[..., Session]
start: Callable[..., Sweep] = getattr(jd, "sweep")


def created(ids: List[int], **more: Any) -> Answer:
    return Answer(200, dict({"success": True, "total_jobs": len(ids), "start_id": 1, "ids": ids}, **more))


def standing(finished: bool, **by_status: int) -> Answer:
    return Answer(200, {"finished": finished, "by_status": by_status, "will_retry": 0, "missing": 0,
                        "cursor": "c"})


def test_jobs_that_exist_are_taken(stub: StubServer, begun: Begun,
                                   capsys: pytest.CaptureFixture[str]) -> None:
    begun("unique", "timeout")
    stub.will_answer(created([7, 3, 7], deleted=0))
    one = start({"lr": [1, 2, 1]}, timeout=60)
    assert one.ids == [7, 3] and len(one) == 2 and "2 jobs" in repr(one)
    assert stub.asked[0].json() == {
        "parameters": {"lr": [1, 2, 1]}, "replace": False, "unique": True, "timeout": 60}
    stub.will_answer(created([7, 3], deleted=1), Answer(200, {"statuses": {"7": "DELETED", "3": "DONE"}}))
    assert start([{"lr": 1}, {"lr": 2}]).ids == [3]
    assert "1 job is left out, being DELETED: unique=False makes new ones" in capsys.readouterr().err


@pytest.mark.parametrize("extensions, options", [((), {}), (("unique",), {"unique": False})])
def test_else_they_are_new(stub: StubServer, begun: Begun, extensions: Any, options: Dict[str, Any]) -> None:
    begun(*extensions)
    stub.will_answer(Answer(200, {"success": True, "total_jobs": 3, "start_id": 5}))
    assert start({"lr": [1, 2, 3]}, **options).ids == [5, 6, 7]
    assert "unique" not in stub.asked[0].json()


def test_a_large_sweep_is_asked_for_in_parts(stub: StubServer, begun: Begun,
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "MOST_NAMED", 2)
    begun("unique")
    stub.will_answer(created([1, 2]), created([3]))
    assert start({"a": [1, 2, 3], "b": ["x"]}).ids == [1, 2, 3]
    assert [asked.json()["jobs"] for asked in stub.asked] == [
        [{"a": 1, "b": "x"}, {"a": 2, "b": "x"}], [{"a": 3, "b": "x"}]]


def test_of_very_many_equal_jobs_ids_are_told_as_runs(stub: StubServer, begun: Begun,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "MOST_NAMED", 2)
    begun("unique")
    stub.will_answer(Answer(200, {"success": True, "total_jobs": 1, "start_id": 9, "existing": 3,
                                  "id_runs": [[4, 6], [9, 9]]}))
    assert start([{"a": 1}] * 4).ids == [4, 5, 6, 9] and len(stub.asked[0].json()["jobs"]) == 4


def test_waiting_shows_how_far_it_is(stub: StubServer, begun: Begun, monkeypatch: pytest.MonkeyPatch,
                                     capsys: pytest.CaptureFixture[str]) -> None:
    one = Sweep(begun("drive"), [1, 2, 3])
    monkeypatch.setattr(terminal, "is_terminal", lambda stream: stream is sys.stderr)
    stub.will_answer(standing(False, SERVED=2, DONE=1), standing(True, DONE=2, ABORTED=1))
    assert one.wait() is one
    assert [asked.json().get("changes_after") for asked in stub.asked] == [None, "c"]
    told = capsys.readouterr().err
    assert "33%  1/3  ETA --  2 running" in told and "100%  3/3" in told
    assert "1 of 3 jobs failed or were cancelled: jd.job(id)" in told


def test_ctrl_c_leaves_it_running_and_says_how_to_come_back(
        stub: StubServer, begun: Begun, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str]) -> None:
    one = Sweep(begun("drive"), [4, 5, 6])

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt
    monkeypatch.setattr(terminal.Progress, "update", interrupted)
    stub.will_answer(standing(False, DONE=1, PENDING=2))
    with pytest.raises(KeyboardInterrupt) as error:
        one.wait()
    assert len(error.traceback) == 2 and error.value.__suppress_context__  # the line stays in sight
    assert capsys.readouterr().err == ("jd: 1 of 3 jobs are finished, the sweep goes on; "
                                       "jd.wait_for_jobs(range(4, 7)) waits for it again\n")


def test_printed_it_tells_how_far_it_is(stub: StubServer, begun: Begun,
                                        monkeypatch: pytest.MonkeyPatch) -> None:
    one = Sweep(begun("drive"), [1, 2])
    assert repr(one) == "<sweep of exp: 2 jobs>" and not stub.asked  # debuggers call it: nobody is asked
    stub.will_answer(standing(False, DONE=1, PENDING=1))
    assert str(one) == "exp: 1 of 2 jobs finished (1 DONE, 1 PENDING)"
    assert repr(one) == "<sweep of exp: 2 jobs, 1 DONE, 1 PENDING>"
    monkeypatch.setattr(sweeps, "_GLANCE", 0.1)
    stub.otherwise = Answer(503, {"error": "not now"})
    assert str(one).startswith("exp: 1 of 2 jobs finished (1 DONE, 1 PENDING; since then: ")
    two = Sweep(one.session, [3])
    assert str(two).startswith("exp: 1 job; ") and "not now" in two._repr_html_()


def test_its_results_are_those_of_its_jobs(stub: StubServer, begun: Begun) -> None:
    one = Sweep(begun("drive"), [9001, 4, 6])
    rows = [{"id": job_id, "status": "DONE", "results": {"acc": job_id}} for job_id in (4, 5, 6, 9001)]
    answers = [Answer(200, {"rows": rows[:3], "next": None}), Answer(200, {"rows": rows[3:], "next": None})]
    stub.will_answer(*answers)
    assert [row["id"] for row in one.results()] == [4, 6, 9001]
    assert [asked.target for asked in stub.asked] == [
        "/api/results?after=3&limit=3", "/api/results?after=9000&limit=1"]
    stub.will_answer(*answers)
    assert one.best("acc")["id"] == 9001
    stub.will_answer(*answers)
    assert one.results("acc", "min")[0]["id"] == 4


def test_it_is_ended_and_tried_again_as_one(stub: StubServer, begun: Begun) -> None:
    one = Sweep(begun("drive"), [1, 2, 3])
    stub.will_answer(Answer(200, {"changed": 2, "skipped": 1}),
                     Answer(200, {"statuses": {"1": "DONE", "2": "ABORTED", "3": "ABORTED"}}),
                     Answer(200, {"changed": 2, "skipped": 0}))
    assert one.cancel() == {"changed": 2, "skipped": 1}
    assert one.retry() == {"changed": 2, "skipped": 1}
    assert stub.asked[2].json() == {"action": "retry", "ids": [2, 3]}


def test_the_room_can_be_called_whatever_was_imported_first() -> None:
    for first in ("import jd", "import jd.sweep.waiting, jd", "import jd; jd.wait_for_jobs"):
        told = subprocess.run(python("-c", first + "; print(callable(jd.sweep), jd.Sweep)"),
                              stdout=subprocess.PIPE, env=free_env(Path.cwd()), check=True).stdout
        assert told.startswith(b"True <class"), first
