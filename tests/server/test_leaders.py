"""The leaderboard, beside plain sorting."""

import math
import random
from typing import Any, Dict, Iterator, List, Optional, Sequence

import pytest

from jd.protocol import ProtocolError
from jd.server.store.pages.results import leaders
from jd.server.store.pages.results.leaders import Leaders, Order
from jd.server.store.pages.results.resultgroups import Question
from jd.server.store.search import values
from tests.server.store_support import Desk, ordered, put

Job = Dict[str, Any]


def parameters() -> List[Job]:
    """Ties, a missing value, numbers and texts under one name, one value for all."""
    chance = random.Random(3)
    given: List[Job] = [{"lr": 10.0 ** -chance.randint(1, 4), "opt": chance.choice(["adam", "sgd", 8]),
                         "kept": 1} for _ in range(80)]
    given[11] = {"kept": 1}
    return given


def results() -> List[Dict[str, float]]:
    """Of loss: ties, NaN, and jobs without one; of acc likewise, of other jobs."""
    chance = random.Random(4)
    found = [{"loss": round(chance.random(), 1), "acc": round(chance.random(), 1)} for _ in range(80)]
    for at, change in ((2, "loss"), (3, "acc"), (40, "acc")):
        del found[at][change]
    found[5]["loss"], found[6]["acc"] = math.nan, math.nan
    return found


def sweep(desk: Desk, given: Sequence[Job], told: Sequence[Dict[str, float]]) -> None:
    """Jobs that are done with these results; their ids begin with 1."""
    desk.add(ordered({"jobs": list(given)}))
    for at, found in enumerate(told):
        desk.claim()
        finite = {name: value for name, value in found.items() if math.isfinite(value)}
        words = {name: "NaN" for name in found if name not in finite}
        desk.write(lambda t: values.set_results(t, at + 1, finite, words))
        desk.finish(at + 1)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A sweep for questions that change nothing."""
    made = Desk(tmp_path_factory.mktemp("swept"))
    sweep(made, parameters(), results())
    yield made
    made.database.close()


def ask(desk: Desk, order: Order, less: bool = True, limit: int = 500, columns: Sequence[str] = (),
        text: str = "") -> Leaders:
    asked = Question("loss", text, less)
    return desk.read(lambda db: leaders.leaders(db, asked, order, limit, columns, desk.now))


def sort_key(value: Any) -> Any:
    """Numbers before texts."""
    return (isinstance(value, str), value)


@pytest.mark.parametrize("less", [True, False])
@pytest.mark.parametrize("down", [True, False])
@pytest.mark.parametrize("by", [None, "result.loss", "result.acc", "param.lr", "param.opt", "param.kept"])
def test_leaders_are_those_of_plain_sorting(swept: Desk, by: Optional[str], down: bool, less: bool) -> None:
    given, told = parameters(), results()
    losses = {at + 1: found["loss"] for at, found in enumerate(told)
              if math.isfinite(found.get("loss", math.nan))}
    sign = 1 if less else -1
    wanted = sorted(losses, key=lambda job: (sign * losses[job], job))  # the better first
    kind, _, name = (by or "result.loss").partition(".")
    source: Sequence[Dict[str, Any]] = given if kind == "param" else told
    keys = {job: source[job - 1][name] for job in losses if not math.isnan(
        source[job - 1].get(name, math.nan) if kind == "result" else 0) and name in source[job - 1]}
    having = sorted((job for job in wanted if job in keys), key=lambda job: sort_key(keys[job]), reverse=down)
    wanted = having + [job for job in wanted if job not in keys]
    found = ask(swept, Order(by, down), less, columns=["param.lr", "result.acc", "result.loss"])
    assert found.total == len(losses) == 78
    assert [row.id for row in found.rows] == wanted
    for row in found.rows:
        assert row.value == losses[row.id] and row.status == "DONE"
        acc = told[row.id - 1].get("acc")
        word = "NaN" if acc is not None and math.isnan(acc) else acc
        assert row.given == [given[row.id - 1].get("lr"), word, losses[row.id]]
        if kind == "param" or name == "loss":  # how many are better, wherever it stands
            assert row.rank == 1 + sum(sign * loss < sign * row.value for loss in losses.values())
        elif row.id in keys:
            ahead = [key for key in keys.values() if (key > keys[row.id] if down else key < keys[row.id])]
            assert row.rank == 1 + len(ahead)
        else:
            assert row.rank is None
    for limit in (1, 7, 30):  # also in the middle of equal ones
        assert ask(swept, Order(by, down), less, limit, ["param.lr", "result.acc", "result.loss"]) == (
            78, found.rows[:limit])


@pytest.mark.parametrize("less", [True, False])
@pytest.mark.parametrize("down", [True, False])
@pytest.mark.parametrize("text", ["", "status=DONE", "status=DELETED", "status!=DONE", "status=ABORTED"])
def test_jobs_of_other_statuses_neither_show_nor_count(desk: Desk, text: str, down: bool, less: bool) -> None:
    sweep(desk, parameters(), results())
    moved = {job: "DELETED" if job % 5 == 0 else "SERVED" for job in range(1, 81) if job % 5 in (0, 3)}
    for job, status in moved.items():
        desk.write(lambda t: put(t, status, job))
    shown = {"": ("DONE", "SERVED"), "status!=DONE": ("SERVED", "DELETED")}.get(text, (text[7:],))
    losses = {at + 1: found["loss"] for at, found in enumerate(results())
              if math.isfinite(found.get("loss", math.nan)) and moved.get(at + 1, "DONE") in shown}
    found = ask(desk, Order(None, down), less, 9, text=text)
    assert found.total == len(losses)
    wanted = sorted(losses, key=lambda job: (-losses[job] if down else losses[job], job))[:9]
    assert [(row.id, row.value, row.status) for row in found.rows] == [
        (job, losses[job], moved.get(job, "DONE")) for job in wanted]
    assert [row.rank for row in found.rows] == [
        1 + sum(loss < losses[job] if less else loss > losses[job] for loss in losses.values())
        for job in wanted]


def test_values_are_as_they_were_given_and_a_filter_counts(desk: Desk) -> None:
    sweep(desk, [{"a": True}, {"a": [64, 32]}, {"a": "x"}], [{"loss": 2}, {"loss": 1}, {"loss": 1}])
    found = ask(desk, Order(None, False), columns=["a"])
    assert [(row.id, row.rank, row.given) for row in found.rows] == [
        (2, 1, ["[64, 32]"]), (3, 1, ["x"]), (1, 3, [True])]
    found = ask(desk, Order(None, False), text="loss>1")
    assert (found.total, [(row.id, row.rank) for row in found.rows]) == (1, [(1, 1)])
    assert ask(desk, Order(None, False), text="loss>9").rows == []


@pytest.mark.parametrize("text, names", [
    ("", []), (",,", []), ("a", ["a"]), ("param.lr,result.val.loss", ["param.lr", "result.val.loss"]),
    (r"a\,b,c\\,\d", ["a,b", "c\\", "d"]), ("a\\", ["a"])])
def test_names_between_commas(text: str, names: List[str]) -> None:
    assert leaders.listed(text) == names


def test_what_cannot_be_asked(desk: Desk) -> None:
    with pytest.raises(ProtocolError, match="columns has 61 names; at most 60"):
        leaders.listed("a," * 61)
    sweep(desk, [{"a": 1}], [{"loss": 1}])
    with pytest.raises(ProtocolError, match="there is no 'param.nothing' to search or sort by"):
        ask(desk, Order("param.nothing", False))
    with pytest.raises(ProtocolError, match="there is no 'nothing'"):
        ask(desk, Order(None, False), columns=["nothing"])


def test_a_job_that_comes_back_says_when(desk: Desk) -> None:
    """It has failed, and is not over."""
    desk.add(ordered({"jobs": [{"x": 1}, {"x": 2}]}))
    for job_id in (1, 2):
        desk.claim()
        desk.write(lambda t: values.set_results(t, job_id, {"loss": float(job_id)}, {}))
        desk.finish(job_id, "DONE" if job_id == 2 else "ABORTED")
    first, second = ask(desk, Order(None, False)).rows
    assert (first.status, second.status, second.retry_at) == ("ABORTED", "DONE", None)
    assert first.retry_at is not None and first.retry_at > desk.now
