"""Rows of results: read page by page, compared, written as tables."""

import csv
import json
import math
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional

import pytest

import jd
from jd.errors import StorageError
from jd.sweep.errors import Unreachable
from jd.sweep.rows import FACTS, Row, Rows, write_csv
from jd.sweep.session import Session
from tests.script.stub_server import Answer, StubServer
from tests.sweep.conftest import query_of

Begun = Callable[..., Session]


def told(job_id: int, status: str = "DONE", parameters: Optional[Dict[str, Any]] = None,
         **results: Any) -> Dict[str, Any]:
    """A row as servers tell it."""
    return {"id": job_id, "status": status, "verdict": "done", "results": results,
            "parameters": parameters or {"lr": job_id / 10},
            "runtime": 2.5, "worker": "w", "attempt": 1, "code": "c0ffee", "batch": 1,
            "started": "2026-01-01T00:00:00Z", "finished": None}


def page(rows: List[Dict[str, Any]], after: Optional[int] = None) -> Answer:
    return Answer(200, {"rows": rows, "next": after})


def test_all_pages_are_read_one_after_the_other(stub: StubServer, begun: Begun) -> None:
    begun("drive")
    stub.will_answer(page([told(1, acc=0.5), told(2, acc=0.9)], 2), page([], 40), page([told(41)]))
    rows = jd.iter_results("lr>0")
    assert not stub.asked
    assert next(rows)["id"] == 1 and len(stub.asked) == 1
    assert [row["id"] for row in rows] == [2, 41]
    assert [query_of(asked) for asked in stub.asked] == [
        "where=lr%%3E0&after=%d&limit=5000" % after for after in (0, 2, 40)]


def test_jobs_can_be_named_by_their_ids(stub: StubServer, begun: Begun) -> None:
    begun("drive")
    named: List[Any] = [([7, "9"], [7, 9]), (8, [8]), ((job_id for job_id in (9,)), [9]), ([], [])]
    for where, ids in named:
        stub.otherwise = page([told(job_id) for job_id in (7, 8, 9)])
        assert [row["id"] for row in jd.results(where)] == ids
        assert not any("where=" in asked.target for asked in stub.asked)
    asked = len(stub.asked)
    wrong: List[Any] = [3.5, ["x"]]
    for where in wrong:
        for ask in (jd.results, jd.iter_results):
            with pytest.raises((TypeError, ValueError), match="whole numbers"):
                ask(where)
    assert len(stub.asked) == asked


def test_a_row_is_flat_and_a_name_that_is_taken_gets_a_prefix() -> None:
    results: Dict[str, Any] = {"val.loss": 0.2, "lr": 5, "bad": "NaN", "up": "Infinity", "down": "-Infinity"}
    row = Row(dict(told(7, parameters={"lr": 0.1, "status": "x", "seed": 3}), results=results))
    assert list(row) == [*FACTS, "lr", "param.status", "seed", "val.loss", "result.lr", "bad", "up", "down"]
    assert row["lr"] == 0.1 and row["result.lr"] == 5 and row["status"] == "DONE"
    assert row["parameters"] == row.parameters == {"lr": 0.1, "status": "x", "seed": 3}
    assert math.isnan(row["bad"]) and row["up"] == math.inf == -row["down"]
    assert row["results"]["lr"] == 5 and "parameters" not in row
    with pytest.raises(KeyError):
        row["nothing"]


def test_the_best_is_done_and_has_the_number() -> None:
    rows = Rows(Row(job) for job in [
        told(1, acc=0.5), told(2, acc=0.9), told(3, "ABORTED", acc=1.0), told(4, acc="NaN"), told(5),
        told(6, acc=0.9), told(7, acc=True)])
    assert rows.best("acc")["id"] == 2 and rows.best("acc", "min")["id"] == 1
    assert rows.best("acc", goal="max")["id"] == 2
    with pytest.raises(ValueError, match="none of the 7 jobs is DONE and has a number loss; .*: acc"):
        rows.best("loss")
    with pytest.raises(ValueError, match="no metric is named"):
        rows.best()
    with pytest.raises(ValueError, match="give one of max, min"):
        rows.best("acc", "most")


def test_with_a_metric_the_best_come_first(stub: StubServer, begun: Begun) -> None:
    begun("drive")
    stub.otherwise = page([told(1, loss=3), told(2), told(3, loss=1), told(4, loss="Infinity")])
    rows = jd.results(metric="loss", goal="min")
    assert [row["id"] for row in rows] == [3, 1, 4, 2] and rows.best()["id"] == 3
    assert [row["id"] for row in jd.results(metric="loss")] == [4, 1, 3, 2]
    with pytest.raises(ValueError, match="has no metric"):
        jd.results(goal="min")
    with pytest.raises(ValueError, match="none of 4 jobs has a number 'los'; their results have: loss"):
        jd.results(metric="los")


def test_before_there_are_numbers_no_metric_is_wrong(stub: StubServer, begun: Begun) -> None:
    begun("drive")
    stub.otherwise = page([told(1), told(2, "PENDING")])
    assert [row["id"] for row in jd.results(metric="loss")] == [1, 2]


def test_tables(tmp_path: Path) -> None:
    rows = Rows([Row(told(1, acc=0.5)), Row(told(2, parameters={"lr": [1, 2], "b": "é,x"}, loss="NaN")),
                 Row(dict(told(3, parameters={"lr": "=1+1", "b": "-1.5"}, loss="-Infinity", acc=-1.5),
                          tags=["a", "b"]))])
    assert rows.columns() == [*FACTS, "lr", "b", "acc", "loss"]
    path = rows.to_csv(tmp_path / "r.csv")
    with open(str(path), encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert lines[0]["id"] == "1" and lines[0]["finished"] == "" and lines[0]["b"] == ""
    assert lines[1]["lr"] == "[1, 2]" and lines[1]["b"] == "é,x" and lines[1]["loss"] == "NaN"
    # As in the CSV of the dashboard: text is no formula, and a number stays one.
    assert [lines[2][name] for name in ("lr", "b", "loss", "acc", "tags")] == [
        "'=1+1", "-1.5", "-Infinity", "-1.5", "a b"]
    assert write_csv(iter(rows), tmp_path / "w.csv") == 3
    assert (tmp_path / "w.csv").read_bytes() == path.read_bytes()
    assert json.loads(rows.to_json(tmp_path / "r.json"))[1]["loss"] == "NaN"
    assert json.loads((tmp_path / "r.json").read_text())[0]["acc"] == 0.5
    with pytest.raises(StorageError, match="cannot be written") as error:
        rows.to_csv(tmp_path / "none" / "r.csv")
    assert isinstance(error.value, OSError)


def test_a_server_that_goes_away_is_no_file_that_cannot_be_written(tmp_path: Path) -> None:
    def broken() -> Iterator[Row]:
        yield Row(told(1))
        raise Unreachable("no answer")
    with pytest.raises(Unreachable, match="^no answer$"):
        write_csv(broken(), tmp_path / "r.csv")
    assert not list(tmp_path.glob("*r.csv*"))


def test_a_server_of_the_base_says_that_it_has_no_results(begun: Begun) -> None:
    begun()
    for ask in (jd.results, jd.iter_results):
        with pytest.raises(NotImplementedError, match="this server does not list results"):
            ask()
