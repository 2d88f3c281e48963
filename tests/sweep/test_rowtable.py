"""What a terminal shows of rows."""

from typing import Any, Dict

import pytest

from jd.sweep.rows import Row, Rows
from tests.sweep.test_results import told


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


def rows(*results: Any, **parameters: Any) -> Rows:
    return Rows(Row(told(at, parameters=dict(parameters, lr=10.0 ** -at), loss=loss))
                for at, loss in enumerate(results, 1))


def test_they_are_an_aligned_table_with_the_best_marked() -> None:
    found = rows(0.25, 1.5, None, opt="sgd").ordered("loss", "min")
    assert str(found) == repr(found) == "\n".join((
        "id  loss  status  runtime  opt     lr",
        " 1  0.25  DONE         3s  sgd  0.1    best",
        " 2  1.5   DONE         3s  sgd  0.01",
        " 3  -     DONE         3s  sgd  0.001"))
    assert "best" not in str(rows(0.25, 1.5)) and str(Rows()) == "no jobs"
    assert str(rows(None).ordered("loss", "max")).count("\n") == 1  # none has the number: none is the best


def test_some_of_them_are_rows_as_well() -> None:
    some = rows(3, 1, 2).ordered("loss", "min")[:2]
    assert isinstance(some, Rows) and some.best()["id"] == 2 and str(some).endswith("0.001")
    assert some[0]["id"] == 2


def test_long_and_wide_tables_are_cut_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = str(rows(*range(25))).splitlines()
    assert len(shown) == 22 and shown[-1] == "... and 5 more jobs"
    monkeypatch.setenv("COLUMNS", "40")
    shown = str(rows(0.5, aa=1, bb="x" * 90).ordered("loss", "max")).splitlines()
    assert shown == ["id  loss  status  runtime  aa", " 1   0.5  DONE         3s   1  best",
                     "2 more columns: bb, lr"]


def test_what_a_script_tells_of_its_own_parameters_is_shown_once() -> None:
    def shown(**results: Any) -> str:
        return str(Rows([Row(told(1, parameters={"lr": 0.1}, **results))])).splitlines()[0]
    assert shown(lr=0.1, acc=1).split() == ["id", "status", "runtime", "lr", "acc"]
    assert shown(lr=0.2).split() == ["id", "status", "runtime", "lr", "result.lr"]


def test_lists_do_not_fill_the_table() -> None:
    results: Dict[str, Any] = {"acc": 1, "history.0.loss": 2, "history.1.loss": 1}
    row = Row(told(1, parameters={"layer.0": 8}, **results))
    assert str(Rows([row])).splitlines()[0].split() == ["id", "status", "runtime", "layer.0", "acc"]
    shown = str(Rows([row]).ordered("history.1.loss", "min")).splitlines()[0].split()
    assert shown[1] == "history.1.loss" and "history.0.loss" not in shown


def test_what_others_have_written_moves_no_cursor() -> None:
    shown = str(rows(1, **{"a\x1b[2J": "b\nc"}))
    assert "\x1b" not in shown and "b?c" in shown and "a?[2J" in shown


def test_a_row_is_a_line() -> None:
    assert str(rows(0.5, opt="sgd")[0]) == "job 1, DONE in 3s: opt=sgd lr=0.1 loss=0.5"
    assert repr(rows(0.5)[0]).startswith("{'id': 1")
    assert "<table" in rows(0.5)[0]._repr_html_()
