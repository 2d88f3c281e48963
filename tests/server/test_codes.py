"""Which code attempts ran: kept once, shown with the attempt, and told where a sweep mixes two."""

import json
import sqlite3
from typing import Any, List

import pytest

from jd import messages
from jd.protocol import ProtocolError
from jd.server.store.operators import bulk
from jd.server.store.pages import jobdetails, jobtable
from jd.server.store.queue import codes
from jd.server.store.search import conditions
from tests.server.store_support import Desk

A = {"script": "train.py", "hash": "aa" * 32, "commit": "c0ffee" + "0" * 34, "clean": True,
     "interpreter": "/usr/bin/python3", "version": "3.11.2", "distributions": {"numpy": "1.26.4"}}


def with_changes(**changes: Any) -> Any:
    return {name: value for name, value in dict(A, **changes).items() if value is not None}


def run(desk: Desk, *ran: Any) -> None:
    """A job for each code, DONE."""
    desk.create(len(ran))
    for code in ran:
        job = desk.claim()
        desk.finish(job.job_id, attempt=job.attempt, code=code)


def found(desk: Desk, text: str) -> List[int]:
    def look(db: sqlite3.Connection) -> List[int]:
        wanted = conditions.compiled(db, text, 0.0)
        return [job["id"] for job in jobtable.page(db, wanted, jobtable.BY_ID, None, 50).jobs]
    return desk.read(look)


def versions(desk: Desk) -> List[str]:
    return [desk.sql("SELECT code FROM jobs WHERE id = ?", job_id)
            for job_id in range(1, desk.sql("SELECT count(*) FROM jobs") + 1)]


def test_the_code_of_an_attempt_is_kept_once_and_shown_with_it(desk: Desk) -> None:
    run(desk, A, A, with_changes(interpreter="/opt/python3"))
    assert desk.sql("SELECT count(*) FROM codes") == 2
    assert len(set(versions(desk))) == 1, "the same version, wherever the interpreter lies"
    shown = [desk.read(lambda db, n=n: jobdetails.job(db, n))["attempts"][0]["code"]  # type: ignore[misc]
             for n in (1, 3)]
    assert shown[0] == dict(A, code=versions(desk)[0]) and shown[1]["interpreter"] == "/opt/python3"
    assert desk.read(codes.mix) is None


def test_a_heartbeat_tells_it_of_a_job_that_runs(desk: Desk) -> None:
    desk.create(1)
    job = desk.claim("w", session="s")
    before = desk.sql("SELECT n FROM changes WHERE topic = 'jobs'")
    desk.beat("w", session="s", reported_status="busy", current_job_id=1, attempt=job.attempt, code=A)
    assert desk.read(lambda db: jobtable.rows(db, [1]))[0]["code"] == codes.version_of(A)
    assert desk.sql("SELECT n FROM changes WHERE topic = 'jobs'") > before, "pages ask again"


def test_of_another_attempt_nothing_is_known_until_it_tells(desk: Desk) -> None:
    desk.create(1, aborted_job_reset_timeout=0)
    job = desk.claim()
    desk.finish(1, "ABORTED", attempt=job.attempt, code=A)
    desk.write(lambda t: bulk.act(t, bulk.RETRY, [1], ""))
    assert desk.claim("other").attempt == 2
    assert versions(desk) == [None]
    attempts = desk.read(lambda db: jobdetails.job(db, 1))["attempts"]
    assert [one["code"] and one["code"]["hash"] for one in attempts] == [None, A["hash"]]


def test_a_late_word_of_an_old_attempt_changes_nothing_of_the_job(desk: Desk) -> None:
    run(desk, A)
    desk.write(lambda t: codes.ran(t, 1, 7, messages.Code(hash="bb" * 32)))
    assert versions(desk) == [codes.version_of(A)]


@pytest.mark.parametrize("changes, words", [
    ({"hash": "bb" * 32}, ("the script",)),
    ({"commit": "d" * 40}, ("the commit",)),
    ({"clean": False}, ("uncommitted changes",)),
    ({"version": "3.8.18"}, ("the interpreter",)),
    ({"distributions": {"numpy": "2.0.0", "torch": "2.3.0"}}, ("numpy",)),
    ({"snapshot": "ab" * 32}, None),
    ({"hash": None, "version": "3.12.0"}, ("the interpreter",)),
    # What is not known of one of them is no difference.
    ({"hash": None}, None),
    ({"commit": None, "clean": None}, None),
    ({"distributions": None}, None),
    ({"interpreter": "/opt/python3"}, None),
])
def test_what_versions_differ_in(desk: Desk, changes: Any, words: Any) -> None:
    run(desk, A, with_changes(**changes), A)
    mix = desk.read(codes.mix)
    assert (None if mix is None else mix.differ_in) == words
    if mix is not None:
        assert [version.jobs for version in mix.versions] == [1, 2]


def test_jobs_that_were_deleted_mix_nothing(desk: Desk) -> None:
    run(desk, A, with_changes(hash="bb" * 32))
    assert desk.read(codes.mix) is not None
    desk.write(lambda t: bulk.act(t, bulk.DELETE, [1], ""))
    assert desk.read(codes.mix) is None


def test_many_jobs_and_many_differences_are_not_all_told(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codes, "MAX_COUNTED", 2)
    monkeypatch.setattr(codes, "MAX_DIFFERENCES", 2)
    names = ("a", "b", "c", "d")
    run(desk, *[with_changes(distributions=dict.fromkeys(names, "1"))] * 4,
        with_changes(distributions=dict.fromkeys(names, "2")))
    mix = desk.read(codes.mix)
    assert mix is not None and mix.differ_in == ("a", "b", "2 more")
    assert sorted(version.jobs for version in mix.versions) == [1, 3]


def test_a_script_that_changes_with_each_job_fills_no_disk(
        desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codes, "MAX_CODES", 2)
    run(desk, *(with_changes(hash=two * 32) for two in ("aa", "bb", "cc", "aa")))
    assert desk.sql("SELECT count(*) FROM codes") == 2
    assert versions(desk)[0] == versions(desk)[3] is not None
    shown = [desk.read(lambda db, n=n: jobdetails.job(db, n))["attempts"][0]["code"]  # type: ignore[misc]
             for n in (1, 2, 3, 4)]
    assert [code and code["hash"][:2] for code in shown] == [None, None, "cc", "aa"]


def test_what_is_too_long_is_cut_and_what_is_no_code_is_refused() -> None:
    code = messages.Code.from_json({
        "script": "x" * 300, "distributions": {"p%03d" % n: "1" * 300 for n in range(100)}})
    assert code.script is not None and code.distributions is not None
    assert len(code.script) == 200 and len(code.distributions) == 60
    assert max(map(len, code.distributions.values())) == 200
    assert len(json.dumps(code.to_json())) < 16_000
    for wrong in ({"hash": 7}, {"clean": "yes"}, {"distributions": ["numpy"]}, {"distributions": {"a": 1}}):
        with pytest.raises(ProtocolError):
            messages.Code.from_json(wrong)
    with pytest.raises(ProtocolError, match="code must be an object"):
        messages.Result.from_json({"job_id": 1, "status": "DONE", "code": "abc"})


def test_the_filter_word(desk: Desk) -> None:
    other = with_changes(hash="bb" * 32, commit="beef" + "0" * 36)
    run(desk, A, other, A)
    desk.create(1)
    version = codes.version_of(other)
    assert found(desk, "code=%s" % version) == found(desk, "code=%s" % version[:5]) == [2]
    assert found(desk, "code=c0ffee0") == found(desk, "code=AAAA") == [1, 3], "by commit and by hash, too"
    assert found(desk, "code=c0ffee,beef") == [1, 2, 3]
    assert found(desk, "code!=c0ffee") == [2, 4] and found(desk, "code=null") == [4]
    assert found(desk, "code=nothing") == found(desk, 'code=""') == []
    with pytest.raises(ProtocolError, match="code can be compared with = and != only"):
        found(desk, "code>3")
    desk.write(lambda t: bulk.act(t, bulk.DELETE, [1], ""))
    assert found(desk, "code=c0ffee") == [3]


def test_jobs_are_sorted_by_it(desk: Desk) -> None:
    other = with_changes(hash="bb" * 32)
    run(desk, A, other, A)
    desk.create(1)

    def ids(db: sqlite3.Connection) -> List[int]:
        wanted, by = conditions.compiled(db, "", 0.0), jobtable.order(db, "-code")
        return [job["id"] for job in jobtable.page(db, wanted, by, None, 50).jobs]
    first = [3, 1] if codes.version_of(A) > codes.version_of(other) else [2]
    assert desk.read(ids)[:len(first)] == first and desk.read(ids)[-1] == 4
