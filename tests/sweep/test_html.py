"""What a notebook shows."""

import sys
from types import SimpleNamespace
from typing import Any, Callable, List

import pytest

from jd.sweep import html
from jd.sweep.rows import Row, Rows
from jd.sweep.session import Session
from jd.sweep.sweeps import Sweep
from jd.sweep.waiting import Question, Standing
from tests.script.stub_server import Answer, StubServer
from tests.sweep.test_results import told
from tests.sweep.test_sweeps import standing

Begun = Callable[..., Session]


def test_results_are_a_table_without_other_files() -> None:
    rows = Rows([Row(told(1, parameters={"<b>": "<script>"}, acc=0.25)),
                 Row(told(2, parameters={"<b>": "y"}, acc=0.75))])
    shown = rows.ordered("acc", "max")._repr_html_()
    assert "<script>" not in shown and "&lt;script&gt;" in shown and "&lt;b&gt;" in shown
    assert shown.count("font-weight:bold") == 1
    assert ">0.75</td>" in shown.partition("font-weight:bold")[2].partition("</tr>")[0]
    assert "http" not in shown and "src=" not in shown and "batch" not in shown
    assert "font-weight:bold" not in rows._repr_html_()
    assert "50 of 51 rows are shown" in Rows([Row(told(n)) for n in range(51)])._repr_html_()
    Rows().ordered("acc", "max")._repr_html_()


def test_a_sweep_is_a_bar(stub: StubServer, begun: Begun) -> None:
    one = Sweep(begun("drive"), [1, 2, 3, 4])
    stub.will_answer(standing(False, DONE=2, PENDING=2))
    shown = one._repr_html_()
    assert "<b>exp</b> 2 of 4 jobs finished" in shown and "width:50.00%" in shown and "http" not in shown
    stub.will_answer(Answer(400, {"error": "<no>"}))
    assert "&lt;no&gt;" in one._repr_html_()
    found = html.progress("x", Question([1, 2]), Standing(False, {"DONE": 1, "SERVED": 1}, eta=60.0))
    assert repr(found) == "x: 1 of 2 jobs finished (1 DONE, 1 SERVED, ETA 1m 00s)"
    assert "ETA 1m 00s" in found._repr_html_()


def test_waiting_moves_one_bar_in_a_notebook(stub: StubServer, begun: Begun,
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    seen: List[Any] = []

    def display(what: Any, display_id: bool) -> Any:
        seen.append(("shown", repr(what), display_id))
        return SimpleNamespace(update=lambda what: seen.append(("moved", repr(what))))
    kernel = SimpleNamespace(kernel=object(), execution_count=7)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(
        get_ipython=lambda: kernel, display=SimpleNamespace(display=display)))
    one = Sweep(begun("drive"), [1, 2])
    stub.will_answer(standing(False, DONE=1, PENDING=1), standing(True, DONE=2))
    one.wait()
    assert seen == [("shown", "exp: 1 of 2 jobs finished (1 DONE, 1 PENDING)", True),
                    ("moved", "exp: 2 of 2 jobs finished (2 DONE)")]
    one._ipython_display_()  # the last line of that cell: nothing is shown again
    kernel.execution_count = 8
    with pytest.raises(NotImplementedError):  # so IPython asks for the HTML
        one._ipython_display_()
    kernel.kernel = None  # IPython in a terminal
    assert html.live() is None


def test_a_sweep_that_nobody_has_waited_for_is_shown(begun: Begun) -> None:
    with pytest.raises(NotImplementedError):
        Sweep(begun("drive"), [1])._ipython_display_()
