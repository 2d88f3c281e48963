"""Jobs are changed, looked at, and their files fetched."""

import math
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest

import jd
from jd.errors import ServerRefused
from jd.sweep import fetching
from jd.sweep.session import Session
from tests.script.stub_server import Answer, StubServer
from tests.sweep.conftest import query_of

Begun = Callable[..., Session]


class OneOfNumPy:
    """A number that is no int, as pandas gives it."""

    def __index__(self) -> int:
        return 4

    __int__ = __index__


def test_jobs_of_a_filter_or_these_are_changed(stub: StubServer, begun: Begun) -> None:
    begun("drive")
    stub.otherwise = Answer(200, {"success": True, "changed": 3, "skipped": 1})
    assert jd.retry("status=ABORTED") == {"changed": 3, "skipped": 1}
    jd.cancel([4, "5", 4])
    jd.prioritise(7, 10)
    jd.cancel("")
    assert [asked.json() for asked in stub.asked] == [
        {"action": "retry", "where": "status=ABORTED"}, {"action": "abort", "ids": [4, 5]},
        {"action": "prioritise", "ids": [7], "priority": 10}, {"action": "abort", "where": ""}]
    jd.cancel(OneOfNumPy())
    assert stub.asked.pop().json() == {"action": "abort", "ids": [4]}
    assert jd.retry(range(1, 100_002)) == {"changed": 6, "skipped": 2}
    assert [len(asked.json()["ids"]) for asked in stub.asked[4:]] == [100_000, 1]


def test_what_cannot_be_meant_is_refused(stub: StubServer, begun: Begun) -> None:
    begun("drive")
    refused: List[Callable[[], Any]] = [
        lambda: jd.retry(None), lambda: jd.cancel(["x"]), lambda: jd.prioritise("", 1001),
        lambda: jd.prioritise("", True), lambda: jd.edit(7), lambda: jd.fetch("", "d", files=[])]
    for call in refused:
        with pytest.raises((ValueError, TypeError)):
            call()
    assert not stub.asked


def test_other_parameters_stay(stub: StubServer, begun: Begun) -> None:
    begun("drive")
    jobs = [{"id": 1, "status": "PENDING", "parameters": {"lr": 1, "ids": 2}},
            {"id": 2, "status": "DONE", "parameters": {"lr": 1}},
            {"id": 3, "status": "PENDING", "parameters": {"lr": 1}}]
    stub.will_answer(Answer(200, {"jobs": jobs, "total_pages": 1}), Answer(200, {}),
                     Answer(409, {"error": "it runs"}))
    assert jd.edit([1, 2, 3, 4], lr=0.5, ids=3) == {"changed": 1, "skipped": 3}
    assert stub.asked[1].target == "/api/jobs/1/parameters"
    assert stub.asked[1].json() == {"parameters": {"lr": 0.5, "ids": 3}}
    stub.will_answer(Answer(200, {"jobs": jobs[:1], "total_pages": 1}), Answer(400, {"error": "too long"}))
    with pytest.raises(ServerRefused, match="job 1: .*too long"):
        jd.edit(1, lr=2)


def test_a_server_of_the_base_is_asked_nothing(stub: StubServer, begun: Begun, tmp_path: Path) -> None:
    begun()
    calls: List[Callable[[], Any]] = [
        lambda: jd.retry(""), lambda: jd.cancel([1]), lambda: jd.prioritise("", 1), lambda: jd.edit(1, lr=1),
        lambda: jd.output(1), lambda: jd.reports(1), jd.watch, lambda: jd.fetch("", tmp_path)]
    for call in calls:
        with pytest.raises(NotImplementedError, match="this server does not "):
            call()
    assert not stub.asked


def test_one_job_as_far_as_the_server_tells(stub: StubServer, begun: Begun) -> None:
    begun("drive")
    stub.will_answer(Answer(200, {"id": 7, "attempts": []}))
    assert jd.job(7) == {"id": 7, "attempts": []} and stub.asked[0].target == "/api/jobs/7"
    begun()
    found = {"id": 7, "message": [{"reason": "r"}]}
    stub.will_answer(Answer(200, {"jobs": [found], "total_pages": 1}), Answer(200, {"uploads": [1]}))
    assert jd.job(7) == dict(found, uploads=[1], history=[{"reason": "r"}])
    stub.otherwise = Answer(200, {"jobs": [], "total_pages": 0})
    with pytest.raises(RuntimeError, match="there is no job 8"):
        jd.job(8)


def test_output_is_read_to_its_end(stub: StubServer, begun: Begun) -> None:
    begun("log")
    part: Dict[str, Any] = {"size": 9, "attempt": 2, "left_out": 0}
    stub.will_answer(Answer(200, dict(part, output="abc", next=3)),
                     Answer(200, dict(part, output="xyz", next=9, left_out=3)))
    assert jd.output(7) == "abc\n[… 3 bytes are left out …]\nxyz"
    assert query_of(stub.asked[1]) == "attempt=2&offset=3&limit=1048576"
    stub.will_answer(Answer(200, dict(part, output="", next=0, size=0)))
    assert jd.output(7, attempt=1) == ""


def test_reports_are_lists_by_metric(stub: StubServer, begun: Begun) -> None:
    begun("report")
    stub.will_answer(
        Answer(200, {"id": 7, "attempt": 2, "metrics": [
            {"name": "loss", "n": 2, "step": [0, 1], "time": [0.5, 1.5], "value": [0.25, None]}]}),
        Answer(200, {"id": 7, "attempt": None, "metrics": []}))
    found = jd.reports("7")
    assert found["loss"]["step"] == [0, 1] and found["loss"]["time"] == [0.5, 1.5] and len(found) == 1
    assert found["loss"]["value"][0] == 0.25 and math.isnan(found["loss"]["value"][1])
    assert stub.asked[0].target == "/api/jobs/7/reports"
    assert jd.reports(7, metric="val/loss", attempt=1) == {}
    assert query_of(stub.asked[1]) == "attempt=1&metric=val%2Floss"


def test_changes_from_the_call_on(stub: StubServer, begun: Begun) -> None:
    begun("drive")
    stub.will_answer(Answer(200, {"changes": [], "cursor": "c1"}))
    changes = jd.watch()
    assert query_of(stub.asked[0]) == "wait=0"
    stub.will_answer(Answer(200, {"changes": [{"id": 1}, {"id": 2}], "cursor": "c2"}),
                     Answer(200, {"changes": [], "cursor": "c3"}),
                     Answer(200, {"changes": [{"id": 1}], "cursor": "c4"}))
    assert [next(changes)["id"] for _ in range(3)] == [1, 2, 1]
    assert [query_of(asked) for asked in stub.asked[1:]] == ["after=c%d&wait=55" % n for n in (1, 2, 3)]


# ---- files

def upload(name: str, size: int, version: int = 0, **more: Any) -> Dict[str, Any]:
    return dict(filename=name, size_bytes=size, version=version, **more)


def test_the_newest_of_each_name_is_fetched_once(stub: StubServer, begun: Begun, tmp_path: Path,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "AT_ONCE", 1)
    begun("paths")
    listed = Answer(200, {"uploads": [
        upload("b_v1.json", 3, 1, path="sub/b.json"), upload("a_v1.json", 2, 1), upload("b.json", 9),
        upload("a.json", 5), upload("model.pt", 9), upload("c_v1.json", 1)]})
    stub.will_answer(listed, *[Answer(200, content) for content in (b"bbb", b"aa", b"b" * 9, b"c")])
    found = jd.fetch([7], tmp_path / "out")
    assert [str(path.relative_to(tmp_path.resolve())) for path in found] == [
        "out/7/a.json", "out/7/b.json", "out/7/c_v1.json", "out/7/sub/b.json"]
    assert [query_of(asked) for asked in stub.asked[1:]] == [
        "filename=%s" % name for name in ("b_v1.json", "a.json", "b.json", "c_v1.json")]
    (tmp_path / "out" / "7" / "a.json").write_bytes(b"a")  # broken off by something else
    stub.will_answer(listed, Answer(200, b"aa"))
    assert jd.fetch(7, tmp_path / "out") == found and len(stub.asked) == 7
    assert (tmp_path / "out" / "7" / "a.json").read_bytes() == b"aa"


def test_whatever_one_file_meets_the_others_come(stub: StubServer, begun: Begun, tmp_path: Path,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "AT_ONCE", 1)
    begun()
    odd = [{"filename": "a.json", "size_bytes": "many"}, {"filename": "a.json", "size_bytes": -1},
           {"filename": "a.json"}, {"size_bytes": 1}, "a.json"]
    for told in [[one] for one in odd] + odd[:1]:
        stub.will_answer(Answer(200, {"uploads": told}),
                         Answer(200, {"uploads": [upload("c.json", 1)]}), Answer(200, b"c"))
        with pytest.raises(ServerRefused, match="which has no name or size of one"):
            jd.fetch([1, 2], tmp_path)
        (tmp_path / "2" / "c.json").unlink()
    stub.will_answer(Answer(200, {"uploads": odd[:1]}), Answer(200, {"uploads": [upload("c.json", 1)]}),
                     Answer(200, b"c"))
    with pytest.raises(ServerRefused, match="many"):
        jd.fetch([1, 2], tmp_path)
    assert (tmp_path / "2" / "c.json").read_bytes() == b"c"


def test_a_file_of_another_length_is_an_error_and_the_others_come(
        stub: StubServer, begun: Begun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "AT_ONCE", 1)
    begun()
    stub.will_answer(Answer(200, {"uploads": [upload("a.json", 5)]}), *[Answer(200, b"a")] * 3,
                     Answer(200, {"uploads": [upload("../b.json", 1)]}),
                     Answer(200, {"uploads": [upload("c.json", 1)]}), Answer(200, b"c"))
    with pytest.raises(ServerRefused, match="a.json has 1 bytes, and the server says 5"):
        jd.fetch([1, 2, 3], tmp_path)
    assert (tmp_path / "3" / "c.json").read_bytes() == b"c" and not (tmp_path / "b.json").exists()
