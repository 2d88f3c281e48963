"""Pages of the table of jobs: against a plain sort of all jobs, whichever way they are found."""

import base64
import json
import random
import sqlite3
from typing import Any, Dict, Iterator, List, Optional, Tuple

import pytest

from jd.protocol import ProtocolError
from jd.server.creation.batch import from_list
from jd.server.store.operators import bulk
from jd.server.store.pages import jobdetails, jobtable
from jd.server.store.queue import jobs
from jd.server.store.search import conditions, scanning, values
from tests.server.store_support import Desk

SORTS = ["id", "status", "worker", "attempts", "started", "finished", "runtime", "priority",
         "lr", "opt", "result.acc"]
FILTERS = ["", "status=PENDING,DELETED", "lr>=0.2", "opt=a", "opt=a,b status!=ABORTED", "b",
           "result.acc=null", "opt=c lr<0.3", "id>20 id<=60", "nope"]


def page(db: sqlite3.Connection, text: str = "", sort: str = "id", after: Optional[str] = None,
         limit: int = 50) -> jobtable.TablePage:
    by = jobtable.order(db, sort)
    return jobtable.page(db, conditions.compiled(db, text, 0.0), by,
                        jobtable.cursor(after, by) if after else None, limit)


def walk(desk: Desk, text: str, sort: str, limit: int) -> List[int]:
    """The ids of all pages."""
    ids, after = [], None
    for _ in range(500):
        found = desk.read(lambda db: page(db, text, sort, after, limit))
        assert len(found.jobs) <= limit
        ids += [job["id"] for job in found.jobs]
        after = found.next
        if after is None:
            return ids
    raise AssertionError("there is no end")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """80 jobs in all states, with values of all kinds, some of them missing; for reading only."""
    desk = Desk(tmp_path_factory.mktemp("sweep"))
    yield filled(desk)
    desk.database.close()


def filled(desk: Desk) -> Desk:
    chance = random.Random(5)
    rows = []
    for number in range(80):
        row: Dict[str, Any] = {"n": number}
        if chance.random() < 0.8:
            row["lr"] = chance.choice([0.1, "0.1", 0.25, 1, "1e-1", True, None, "x", -3, [1], 0.3])
        if chance.random() < 0.8:
            row["opt"] = chance.choice(["a", "b", "c", "é", "\U0001f600", "\uffee"])
        rows.append(row)
    desk.add(from_list(rows))
    for number in range(40):
        desk.now += chance.choice([0, 1])
        desk.beat("w%d" % (number % 3))
    for job_id in chance.sample(range(1, 41), 30):
        desk.now += chance.choice([0, 1])
        desk.finish(job_id, chance.choice(["DONE", "ABORTED"]), runtime=chance.choice([1, 2.5, 2.5, 9]))
        if chance.random() < 0.7:
            desk.write(lambda t: values.set_results(t, job_id, {"acc": chance.choice([0.5, 0.9, 1, -1.5])}))
    everything = list(range(1, 81))
    for action, n in ((bulk.DELETE, 10), (bulk.PRIORITISE, 20), (bulk.RETRY, 15)):
        desk.write(lambda t: bulk.act(t, action, chance.sample(everything, n), ""))
    return desk


def expected(desk: Desk, text: str, sort: str) -> List[int]:
    """The same by looking at each job."""
    matching = desk.read(lambda db: [row[0] for row in db.execute(
        "SELECT j.id FROM jobs j WHERE %s" % conditions.compiled(db, text, 0.0).where().text,
        conditions.compiled(db, text, 0.0).where().values)])
    descending, name = sort.startswith("-"), sort.lstrip("-")
    placed = []
    for row in desk.read(lambda db: jobtable.rows(db, matching)):
        if name in ("lr", "opt"):
            key = values.key(row["parameters"].get(name))
        elif name == "result.acc":
            key = (row["results"] or {}).get("acc")
        else:
            key = {"worker": row["worker_id"], "attempts": row["attempt"] or None, "id": 0,
                   "priority": row["priority"] or None}.get(name, row.get(name))
        placed.append((isinstance(key, str), key, row["id"]))
    with_key = sorted((place for place in placed if place[1] is not None), reverse=descending)
    without = sorted((place[2] for place in placed if place[1] is None), reverse=descending)
    return [place[2] for place in with_key] + without


@pytest.mark.parametrize("few, scan, limit", [(5000, 50_000, 30), (-1, 50_000, 9), (-1, 13, 100)])
@pytest.mark.parametrize("sort", SORTS + ["-" + sort for sort in SORTS])
def test_pages_are_those_of_a_plain_sort(sweep: Desk, monkeypatch: pytest.MonkeyPatch, sort: str, few: int,
                                         scan: int, limit: int) -> None:
    monkeypatch.setattr(scanning, "FEW", few)
    monkeypatch.setattr(scanning, "SCAN", scan)
    for text in FILTERS:
        assert walk(sweep, text, sort, limit) == expected(sweep, text, sort), text


def test_one_request_looks_at_no_more_than_it_may(sweep: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "FEW", -1)
    monkeypatch.setattr(scanning, "SCAN", 10)
    for sort in ("id", "lr", "-finished"):
        found = sweep.read(lambda db: page(db, "nope", sort, None, 5))
        assert found.jobs == [] and found.next is not None and found.total is None
        assert 10 <= found.scanned <= 15


def test_counts_add_up(sweep: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def counted(text: str) -> Tuple[Dict[str, int], int]:
        total: Dict[str, int] = {}
        steps = 0
        after: Optional[int] = 0
        while after is not None:
            start = after
            step = sweep.read(lambda db: scanning.count(db, conditions.compiled(db, text, 0.0), start))
            total = {status: total.get(status, 0) + n for status, n in step.matching.items()}
            steps, after = steps + 1, step.next
        return total, steps

    for text in FILTERS:
        monkeypatch.setattr(scanning, "FEW", 5000)
        at_once, _ = counted(text)
        monkeypatch.setattr(scanning, "FEW", -1)
        monkeypatch.setattr(scanning, "SCAN", 9)
        stepwise, steps = counted(text)
        assert at_once == stepwise
        assert sum(at_once.values()) == len(expected(sweep, text, "id"))
        assert steps == 1 or text
    assert counted("nope")[1] > 3


def test_totals_that_are_known(sweep: Desk) -> None:
    alive = sum(n for status, n in sweep.read(jobs.counts).items() if status != "DELETED")
    assert sweep.read(lambda db: page(db, "", "lr", None, 5)).total == alive
    found = sweep.read(lambda db: page(db, "opt=a", "lr", None, 5))
    assert found.total == len(expected(sweep, "opt=a", "lr"))


def test_a_result_that_is_no_number_is_told_and_one_that_is_not_there_is_not(desk: Desk) -> None:
    desk.create(4)
    words = {"loss": "NaN", "gap": "-Infinity"}
    desk.write(lambda t: values.set_results(t, 1, {"acc": 0.5}, words))
    desk.write(lambda t: values.set_results(t, 3, {}, {"loss": "Infinity"}))
    desk.write(lambda t: values.set_results(t, 4, {"acc": 0.25}))
    told = [row["results"] for row in desk.read(lambda db: jobtable.rows(db, [4, 3, 2, 1]))]
    assert told == [{"acc": 0.25}, {"loss": "Infinity"}, None, dict(words, acc=0.5)]
    assert desk.read(lambda db: jobdetails.job(db, 3))["results"] == {"loss": "Infinity"}


def test_what_a_row_holds(desk: Desk) -> None:
    desk.add(from_list([{"lr": 0.1, "opt": "a"}, {"new": 1}]))
    desk.beat("h_abc_0", session="s")
    started = desk.now
    desk.now += 10
    desk.finish(1, "ABORTED", message="exit status 1", runtime=9.5)
    desk.write(lambda t: values.set_results(t, 1, {"acc": 0.5}))
    first, second = desk.read(page).jobs
    assert first == {
        "id": 1, "status": "ABORTED", "parameters": {"lr": 0.1, "opt": "a"}, "results": {"acc": 0.5},
        "attempt": 1, "failures": 1, "worker_id": "h_abc_0", "priority": 0, "needs": None, "tags": None,
        "timeout": None, "max_attempts": None, "started": started, "finished": desk.now, "runtime": 9.5,
        "code": None, "error": "exit status 1", "retry_at": desk.now + 30.0,
        "message": "attempt 1 failed on h_abc_0 (failure 1 of at most 3), tried again in 30 s: exit status 1"}
    assert second["results"] is None and second["message"] is None and second["attempt"] == 0
    assert desk.read(jobtable.columns) == {"parameters": ["lr", "opt", "new"], "results": ["acc"],
                                          "needs": [], "tags": [], "failed": True}


def made(*parts: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


@pytest.mark.parametrize("cursor", [
    "x", "%%", "é", "AAAA", made(), made("id", None), made("id", None, -1), made("id", None, 2 ** 60),
    made("id", None, True), made("id", 5, 1), made("lr", None, 1), made("id", [1], 1), made("id", None, "1"),
    made("id", "\ud800", 1), "x" * 3000, base64.urlsafe_b64encode(b"[" * 1400).decode()])
def test_a_cursor_that_was_not_given_out_is_refused(sweep: Desk, cursor: str) -> None:
    with pytest.raises(ProtocolError, match="is no place in this list"):
        sweep.read(lambda db: page(db, "", "id", cursor))


@pytest.mark.parametrize("cursor", [
    made("lr", {}, 1), made("lr", 2 ** 70, 1), made("lr", True, 1), made("-lr", 1, 1),
    made("lr", "\ud800", 1)])
def test_a_cursor_of_another_order_is_refused(sweep: Desk, cursor: str) -> None:
    with pytest.raises(ProtocolError, match="is no place in this list"):
        sweep.read(lambda db: page(db, "", "lr", cursor))


@pytest.mark.parametrize("sort", ["nope", "--id", "", "host"])
def test_an_order_by_what_is_not_there_is_refused(sweep: Desk, sort: str) -> None:
    with pytest.raises(ProtocolError, match="to search or sort by"):
        sweep.read(lambda db: page(db, "", sort))


def test_a_page_needs_no_sorting(sweep: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "FEW", -1)
    statements: List[str] = []

    def traced(db: sqlite3.Connection, sort: str, after: Optional[str]) -> jobtable.TablePage:
        db.set_trace_callback(statements.append)
        try:
            return page(db, "n>=0", sort, after, 5)
        finally:
            db.set_trace_callback(None)

    for sort in SORTS:
        for text in (sort, "-" + sort):
            after = sweep.read(lambda db: traced(db, text, None)).next
            sweep.read(lambda db: traced(db, text, after))
    assert len(statements) > 50
    for statement in statements:
        if "d CROSS JOIN" in statement:
            statement = statement.replace("-Inf", "-1e999")
            plan = [row[-1] for row in sweep.read(
                lambda db: db.execute("EXPLAIN QUERY PLAN " + statement).fetchall())]
            assert not [step for step in plan if "TEMP B-TREE" in step], (statement, plan)
