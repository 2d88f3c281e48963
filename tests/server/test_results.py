"""result.json and metrics.json: from an upload to columns and CSV."""

import csv
import io
import json
from pathlib import Path
from typing import Callable, Dict, List, Optional, Union
from unittest.mock import Mock

import pytest

from jd.server.creation.batch import from_list
from jd.server.store.files import resultfile
from jd.server.store.operators import batches
from jd.server.store.pages import export
from jd.server.store.pages.results import resultcolumns
from tests.server.parts_bench import Answer, PartsBench, Run, run_bench
from tests.server.store_support import put


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return lambda scenario: run_bench(tmp_path, scenario)


# ---- what a file says

@pytest.mark.parametrize("content, numbers", [
    ('{"loss": 0.25, "epochs": 3}', {"loss": 0.25, "epochs": 3}),
    ('{"ok": true, "bad": false}', {"ok": 1, "bad": 0}),
    ('{"val": {"loss": [0.2, {"x": 1}]}, "top": 5}', {"top": 5, "val.loss.0": 0.2, "val.loss.1.x": 1}),
    ('{"acc": "0.93", "n": " 3 ", "big": "%s"}' % ("9" * 30),
     {"acc": 0.93, "n": 3, "big": 10 ** 30 - 1}),
    ('{"val/acc": 1, "top-5 %": 2, ".x": 3}', {"val/acc": 1, "top-5__": 2, "_x": 3}),
    ('{"big": 123456789012345678901234567890}', {"big": 123456789012345678901234567890}),
    ('\ufeff{"a": 1}', {"a": 1}),
    ('{"%s": 1}' % ("n" * 500), {"n" * 128: 1}),
])
def test_numbers_of_a_file(content: str, numbers: Dict[str, float]) -> None:
    assert resultfile.parse(content.encode()) == (numbers, "")


@pytest.mark.parametrize("content, says", [
    (b"", "not JSON"), (b"{'a': 1}", "line 1 column 2"), (b"[1]", "an object|object"), (b"\xff", "UTF-8"),
    (b'{"a": "one"}', "no number in it; 1 text (a)"), (b"[" * 100_000, "deep"),
    (b'{"a": 1' + b" " * 100, "not JSON"),
])
def test_what_is_no_result_says_why(content: bytes, says: str) -> None:
    found = resultfile.parse(content)
    assert found.numbers is None
    assert any(word in found.remark for word in says.split("|"))


@pytest.mark.parametrize("content, numbers, remark", [
    ('{"a": 1, "note": "text", "none": null, "more": ["x", "y", "z"]}', {"a": 1},
     "4 texts (note, more.0, more.1, …); 1 null (none)"),
    ('{"a": NaN, "b": Infinity, "c": -1e999, "d": -1}',
     {"a": "NaN", "b": "Infinity", "c": "-Infinity", "d": -1}, "1 is NaN (a); 2 are infinite (b, c)"),
    ('{"a": "nan", "b": "-inf", "c": "+Infinity", "d": "1e999"}',
     {"a": "NaN", "b": "-Infinity", "c": "Infinity", "d": "Infinity"},
     "1 is NaN (a); 3 are infinite (b, c, d)"),
    ('{"huge": -%s, "a": 1}' % ("9" * 100_000), {"huge": "-Infinity", "a": 1}, "1 is infinite (huge)"),
    ('{"a": 1, "a": 2}', {"a": 2}, "1 name is there twice, and the last counts (a)"),
    ('{"a b": 1, "a_b": 2}', {"a_b": 2}, "1 becomes a name that was there (a_b)"),
    # Python writes a file name that is no text so, and no database holds half a surrogate pair.
    ('{"data/\\udcff.csv": "x", "a": 1}', {"a": 1}, "1 text (data/\\udcff.csv)"),
])
def test_what_is_left_out_or_no_number_is_told(content: str, numbers: Dict[str, Union[float, str]],
                                               remark: str) -> None:
    assert resultfile.parse(content.encode()) == (numbers, remark)


@pytest.mark.parametrize("text", ["", "0x10", "1_000", "nano", "-+inf", "1,5", "12:30", "true"])
def test_texts_that_are_no_numbers(text: str) -> None:
    found = resultfile.parse(json.dumps({"a": 1, "b": text}).encode())
    assert found == ({"a": 1}, "1 text (b)")


def test_a_long_list_does_not_crowd_out_the_rest() -> None:
    found = resultfile.parse(json.dumps({"curve": list(range(1000)), "best": 7}).encode())
    assert found.numbers is not None
    assert len(found.numbers) == resultfile.MAX_NUMBERS and found.numbers["best"] == 7
    assert "801 numbers more" in found.remark


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    assert "at most" in resultfile.read(tmp_path / "not-there", resultfile.MAX_FILE + 1).remark


# ---- what becomes of it

def results_of(bench: PartsBench, job_id: int = 1) -> Optional[Dict[str, float]]:
    text = bench.sql("SELECT results FROM jobs WHERE id = ?", job_id)[0][0]
    by_value = dict(bench.sql("SELECT n.name, v.value FROM job_values v JOIN value_names n"
                              " ON n.id = v.name_id WHERE n.kind = 'result' AND v.job_id = ?", job_id))
    found: Optional[Dict[str, float]] = None if text is None else json.loads(text)
    assert by_value == (found or {})
    return found


def test_an_upload_becomes_results_and_a_newer_one_replaces_its_names(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await bench.create({"x": 1})
        await bench.beat()
        await bench.upload(1, "other.json", '{"loss": 9}')
        assert results_of(bench) is None
        await bench.upload(1, "result.json", '{"loss": 0.5, "old": 1}')
        assert results_of(bench) == {"loss": 0.5, "old": 1}
        await bench.upload(1, "metrics.json", '{"loss": 0.4, "speed": 7}')
        assert results_of(bench) == {"loss": 0.4, "old": 1, "speed": 7}
        await bench.upload(1, "result.json", '{"loss": 0.3, "new": 2}')
        assert results_of(bench) == {"loss": 0.3, "new": 2, "speed": 7}
    run(scenario)


def test_a_broken_file_is_stored_and_noted_and_changes_no_result(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await bench.create({"x": 1})
        await bench.beat()
        await bench.upload(1, "result.json", '{"loss": 0.5}')
        await bench.upload(1, "result.json", '{"loss": ')
        assert results_of(bench) == {"loss": 0.5}
        job = (await bench.get("/web/job?id=1")).json
        assert [file["version"] for file in job["files"]] == [1, 0]
        assert job["message"].startswith("result.json is not taken as a result: not JSON")
    run(scenario)


def test_what_is_left_out_is_told_once_in_an_attempt(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await bench.create({"x": 1})
        line = "result.json is taken in part: 1 text (note)"
        for attempt in (1, 2):
            await bench.beat()
            for loss in (3, 2, 1):
                await bench.upload(1, "result.json", '{"loss": %d, "note": "x"}' % loss)
            history = [entry["reason"] for entry in (await bench.get("/web/job?id=1")).json["history"]]
            assert history.count(line) == attempt
            await bench.finish(1, "ABORTED")
            bench.now += 10_000
            await change(bench, "UPDATE jobs SET status = 'PENDING', retry_at = NULL")
    run(scenario)


async def change(bench: PartsBench, text: str) -> None:
    await bench.experiment.write(lambda t: t.db.execute(text))


def test_nan_takes_the_place_of_an_older_number(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await bench.create({"x": 1})
        await bench.beat()
        await bench.upload(1, "result.json", '{"loss": 0.5, "acc": 1}')
        await bench.upload(1, "result.json", '{"loss": NaN, "acc": 1}')
        assert results_of(bench) == {"acc": 1}
        await bench.upload(1, "metrics.json", '{"loss": 0.25}')
        assert results_of(bench) == {"acc": 1, "loss": 0.25}
        found = (await bench.get("/web/results/columns?metric=loss")).json
        assert (found["total"], found["nan"]) == (1, 0)
    run(scenario)


def test_columns_count_the_jobs_whose_metric_is_no_number(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await bench.create(*[{"x": number} for number in range(6)])
        for number, text in enumerate(('{"loss": 1}', '{"loss": NaN}', '{"loss": "-inf"}', '{"acc": 1}', "")):
            await bench.beat()
            if text:
                await bench.upload(number + 1, "result.json", text)
            await bench.finish(number + 1)

        async def counts(query: str) -> List[int]:
            found = (await bench.get("/web/results/columns?metric=" + query)).json
            return [found[name] for name in ("total", "jobs", "nan", "infinite", "without")]

        assert await counts("loss") == [1, 6, 1, 1, 2]
        assert await counts("loss&filter=x%3C3") == [1, 3, 1, 1, 0]
        assert await counts("loss&filter=status%3DPENDING") == [0, 1, 0, 0, 0]
        assert await counts("none") == [0, 6, 0, 0, 5]
        await bench.experiment.write(lambda t: put(t, "DELETED", 2))
        assert await counts("loss") == [1, 5, 0, 1, 2]
    run(scenario)


def test_columns_count_the_jobs_with_the_metric_that_are_not_done(run: Run) -> None:
    """They have reported it, and run still or have failed since."""
    async def scenario(bench: PartsBench) -> None:
        await bench.create(*[{"x": number} for number in range(4)])
        for number, end in enumerate(("DONE", "ABORTED", None)):
            await bench.beat()
            await bench.upload(number + 1, "result.json", '{"loss": %d}' % number)
            if end is not None:
                await bench.finish(number + 1, end)

        async def counts(filter_text: str) -> List[int]:
            found = (await bench.get("/web/results/columns?metric=loss&filter=" + filter_text)).json
            return [found[name] for name in ("total", "not_done")]

        assert await counts("") == [3, 2]
        assert await counts("x%3C2") == [2, 1]
        assert await counts("status%3DDONE") == [1, 0]
    run(scenario)


def test_a_metric_that_is_nan_everywhere_is_there_to_be_chosen(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await bench.create({"x": 1})
        await bench.beat()
        await bench.upload(1, "result.json", '{"loss": NaN}')
        assert (await bench.get("/web/results/names")).json["results"] == [{"name": "loss", "n": 0}]
    run(scenario)


def test_results_stay_until_the_next_attempt_uploads(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await bench.create({"x": 1})
        await bench.beat()
        await bench.upload(1, "result.json", '{"loss": 0.5}')
        await bench.finish(1, "ABORTED")
        assert results_of(bench) == {"loss": 0.5}
    run(scenario)


def test_a_result_of_a_lost_attempt_is_refused(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await bench.create({"x": 1})
        await bench.beat()
        await bench.upload(1, "result.json", '{"a": 1}', status=409, attempt="7")
        assert results_of(bench) is None
    run(scenario)


# ---- names and columns

async def sweep(bench: PartsBench, n: int,
                result: Callable[[int], Optional[Dict[str, float]]] = lambda i: {"loss": i / 10}) -> None:
    await bench.create(*[{"lr": i % 4, "opt": "adam" if i % 2 else "sgd", "i": i} for i in range(n)])
    for i in range(n):
        await bench.beat()
        if result(i) is not None:
            await bench.upload(i + 1, "result.json", json.dumps(result(i)))


def test_names_say_what_can_be_plotted(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(bench: PartsBench) -> None:
        await sweep(bench, 8, lambda i: {"loss": i, "rare": 1} if i == 3 else {"loss": i})
        found = (await bench.get("/web/results/names")).json
        assert found == {
            "parameters": [{"name": "lr", "numeric": True, "distinct": 4},
                           {"name": "opt", "numeric": False, "distinct": 2},
                           {"name": "i", "numeric": True, "distinct": 8}],
            "results": [{"name": "loss", "n": 8}, {"name": "rare", "n": 1}]}
        monkeypatch.setattr(resultcolumns, "MAX_DISTINCT", 7)
        found = (await bench.get("/web/results/names?again")).json
        assert [p["distinct"] for p in found["parameters"]] == [4, 2, None]
    run(scenario)


def test_columns_have_the_jobs_with_the_metric(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await sweep(bench, 5, lambda i: None if i == 2 else {"loss": i, "acc": 1 - i} if i else {"loss": 0})
        found = (await bench.get("/web/results/columns?metric=loss")).json
        assert found == {
            "jobs": 5, "nan": 0, "infinite": 0, "without": 0, "not_done": 4, "metric": "loss", "total": 4,
            "shown": 4,
            "spread": {"min": 0, "low": pytest.approx(0.15), "median": 2, "high": pytest.approx(3.85),
                       "max": 4, "mean": 2},
            "utmost": [], "ids": [1, 2, 4, 5], "values": [0, 1, 3, 4],
            "parameters": {"lr": [0, 1, 3, 0], "opt": ["sgd", "adam", "adam", "sgd"], "i": [0, 1, 3, 4]},
            "results": {"acc": [None, 0, -2, -3]}}
        assert (await bench.get("/web/results/columns?metric=nothing")).json["ids"] == []
    run(scenario)


def test_columns_leave_deleted_jobs_out_and_take_a_filter(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await sweep(bench, 6)
        await bench.experiment.write(lambda t: put(t, "DELETED", 2))

        async def ids(text: str) -> List[int]:
            return list((await bench.get("/web/results/columns?metric=loss&filter=" + text)).json["ids"])
        assert await ids("") == [1, 3, 4, 5, 6]
        assert await ids("opt%3Dadam") == [4, 6]
        assert await ids("status%3DDELETED") == [2]
        answer = await bench.get("/web/results/columns?metric=loss&filter=nonsense%3D1")
        assert answer.status == 400 and "nonsense" in answer.json["error"]
    run(scenario)


def test_of_more_jobs_than_may_be_shown_are_a_sample_and_the_utmost(
        run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resultcolumns, "UTMOST", 2)

    async def scenario(bench: PartsBench) -> None:
        # Jobs 1 to 40: 8, 16 … have the least, which is 0, 7, 15 … the most, and the lowest ids count.
        await sweep(bench, 40, lambda i: {"loss": (i + 1) % 8})
        found = (await bench.get("/web/results/columns?metric=loss&limit=10")).json
        sample = sorted(set(found["ids"]) - set(found["utmost"]))
        assert (found["total"], found["shown"], len(sample)) == (40, len(found["ids"]), 10)
        assert {7, 15, 8, 16} <= set(found["ids"]) and set(found["utmost"]) <= {7, 15, 8, 16}
        assert found["ids"] == sorted(found["ids"])
        assert found["values"] == [job % 8 for job in found["ids"]]
        assert found["parameters"]["i"] == [job - 1 for job in found["ids"]]
        # What all jobs span does not depend on the sample.
        assert (found["spread"]["min"], found["spread"]["max"], found["spread"]["mean"]) == (0, 7, 3.5)
        monkeypatch.setattr(resultcolumns, "MAX_CELLS", 40)  # four columns: ten jobs
        found = (await bench.get("/web/results/columns?metric=loss")).json
        assert found["shown"] - len(found["utmost"]) == 10
    run(scenario)


def test_lists_are_texts_in_columns_and_columns_are_limited(run: Run,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(bench: PartsBench) -> None:
        await bench.create({"layers": [64, 32], "flag": True}, {"layers": None, "third": 1})
        for job_id in (1, 2):
            await bench.beat()
            await bench.upload(job_id, "result.json", '{"loss": 1}')
        found = (await bench.get("/web/results/columns?metric=loss")).json
        assert found["parameters"] == {"layers": ["[64, 32]", None], "flag": [True, None],
                                       "third": [None, 1]}
        monkeypatch.setattr(resultcolumns, "MAX_COLUMNS", 1)
        found = (await bench.get("/web/results/columns?metric=loss&again")).json
        assert list(found["parameters"]) == ["layers"]
    run(scenario)


def test_an_answer_is_worked_out_once_until_something_changes(run: Run,
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    columns = Mock(wraps=resultcolumns.columns)
    monkeypatch.setattr(resultcolumns, "columns", columns)

    async def scenario(bench: PartsBench) -> None:
        await sweep(bench, 3)
        for _ in range(3):
            assert (await bench.get("/web/results/columns?metric=loss")).json["total"] == 3
        assert columns.call_count == 1
        await bench.upload(1, "result.json", '{"loss": 99}')
        assert (await bench.get("/web/results/columns?metric=loss")).json["values"][0] == 99
        assert columns.call_count == 2
    run(scenario)


@pytest.mark.parametrize("target, says", [
    ("/web/results/columns", "metric is missing"),
    ("/web/results/columns?metric=a&limit=5001", "limit must be"),
    ("/web/results/columns?metric=" + "a" * 200, "at most 128"),
    ("/web/results/boxes?metric=a", "by is missing"),
    ("/web/results/boxes?metric=a&by=nothing", "there is no 'nothing' to search or sort by"),
    ("/web/results/cells?metric=a&across=b", "down is missing"),
    ("/web/results/cells?metric=a&across=b&down=c&less=2", "less must be 0 or 1"),
    ("/web/results/leaders?metric=a", "limit is missing"),
    ("/web/results/leaders?metric=a&limit=501", "limit must be"),
    ("/web/results/leaders?metric=a&limit=9&sort=nothing", "there is no 'nothing' to search or sort by"),
    ("/web/completions?unit=year", "minute, hour, day"),
    ("/web/export.csv?filter=" + "a" * 501, "at most 500"),
    ("/web/export.csv?filter=nonsense%3D1", "nonsense"),
])
def test_what_cannot_be_asked(run: Run, target: str, says: str) -> None:
    async def scenario(bench: PartsBench) -> None:
        answer = await bench.get(target)
        assert answer.status == 400 and says in answer.json["error"]
    run(scenario)


def test_completions_of_a_finished_job(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await bench.create({"x": 1})
        await bench.beat(host="node1")
        await bench.finish(1)
        found = (await bench.get("/web/completions?unit=minute&host=node1")).json
        assert (found["unit"], found["step"], len(found["done"]), found["done"][-1], found["hosts"]) == (
            "minute", 60, 60, 1, ["node1"])
        assert sum((await bench.get("/web/completions?host=elsewhere")).json["done"]) == 0
    run(scenario)


# ---- CSV

def table(answer: Answer) -> List[List[str]]:
    assert answer.content_type == "text/csv; charset=utf-8"
    return list(csv.reader(io.StringIO(answer.content.decode())))


def test_everything_as_csv(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await bench.create({"lr": 0.1, "name": 'a "b", c\nd', "loss": 1, "id": 7},
                           {"lr": -2, "layers": [1, {"a": 2}]})
        await bench.beat("node1_abc_0")
        await bench.upload(1, "result.json", '{"loss": 0.5, "acc": 1e-9}')
        bench.now += 1.5
        await bench.finish(1, runtime=1.25)
        answer = await bench.get("/web/export.csv")
        assert answer.headers["Content-Disposition"] == 'attachment; filename="exp-20231114T221321Z.csv"'
        assert table(answer) == [
            ["id", "status", "attempts", "worker", "started", "finished", "runtime",
             "verdict", "exit_code", "error", "message", "batch", "code", "tags",
             "lr", "name", "param.loss", "param.id", "layers", "result.loss", "acc"],
            ["1", "DONE", "1", "node1_abc_0", "2023-11-14T22:13:20.000Z", "2023-11-14T22:13:21.500Z", "1.25",
             "done", "", "", "", "1", "", "", "0.1", 'a "b", c\nd', "1", "7", "", "0.5", "1e-09"],
            ["2", "PENDING", "0", "", "", "", "", "", "", "", "", "1", "", "",
             "-2", "", "", "", '[1, {"a": 2}]', "", ""]]
    run(scenario)


@pytest.mark.parametrize("value, cell", [
    ("=1+2", "'=1+2"), ("@SUM(A1)", "'@SUM(A1)"), ("-cmd", "'-cmd"), ("+x", "'+x"), ("\t=1", "'\t=1"),
    ("\r=1", "'\r=1"), ("\n=1", "'\n=1"), ("  =1+2", "'  =1+2"), ("\u00a0@x", "'\u00a0@x"),
    ("\uff1d1+2", "'\uff1d1+2"), ("\ufeff=1", "'\ufeff=1"), ("\u200b\u2060 +x", "'\u200b\u2060 +x"),
    ("\u00ad\U000e0041@x", "'\u00ad\U000e0041@x"), ("\x01=1", "'\x01=1"), ("\u3164-cmd", "'\u3164-cmd"),
    ("\ufeffa=1", "\ufeffa=1"), ("-1+1", "'-1+1"), ("- 1", "'- 1"), ("a\n=1", "a\n=1"), ("-1.5", "-1.5"),
    ("-1.5e3", "-1.5e3"), ("+2", "+2"), (-3, "-3"), (True, "true"), ("", ""), ("a=b", "a=b"),
])
def test_formulas_are_kept_from_running_and_numbers_as_they_are(run: Run, value: Union[int, str],
                                                                cell: str) -> None:
    async def scenario(bench: PartsBench) -> None:
        await bench.create({"x": value})
        assert table(await bench.get("/web/export.csv"))[1][-1] == cell
    run(scenario)


def test_csv_goes_through_pages_with_a_filter_and_without_deleted_or_unfinished_batches(
        run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "PAGE", 3)

    async def scenario(bench: PartsBench) -> None:
        await bench.create(*[{"x": i} for i in range(10)])
        await bench.experiment.write(
            lambda t: t.db.execute("UPDATE jobs SET status = 'DELETED' WHERE id IN (1, 5)"))

        async def ids(text: str = "") -> List[int]:
            return [int(row[0]) for row in table(await bench.get("/web/export.csv?filter=" + text))[1:]]
        assert await ids() == [2, 3, 4, 6, 7, 8, 9, 10]
        assert await ids("x>=8") == [9, 10]
        batch = from_list([{"x": 100}])
        await bench.experiment.write(batches.begin)
        await bench.experiment.write(lambda t: batches.add(t, 11, list(batch.texts())))
        assert await ids() == [2, 3, 4, 6, 7, 8, 9, 10]
    run(scenario)


def test_csv_tells_how_jobs_ended_and_which_were_created_together(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await bench.create({"x": 1}, {"x": 2})
        await bench.create({"x": 3})
        await bench.beat()
        await bench.upload(1, "result.json", '{"loss": NaN, "low": -Infinity, "top": Infinity, "a": 1.0}')
        await bench.finish(1, "ABORTED", message="=out of memory", exit_code=-9, verdict="oom")
        head, first, *others = table(await bench.get("/web/export.csv"))
        row = dict(zip(head, first))
        assert {name: row[name] for name in ("verdict", "exit_code", "message", "batch", "loss", "low", "top",
                                             "a")} == {
            "verdict": "oom", "exit_code": "-9", "message": "'=out of memory", "batch": "1", "loss": "NaN",
            "low": "-Infinity", "top": "Infinity", "a": "1.0"}
        assert [dict(zip(head, one))["batch"] for one in others] == ["1", "3"]
        assert [dict(zip(head, one))["loss"] for one in others] == ["", ""]
    run(scenario)


def test_results_can_be_filtered_by_the_names_that_they_keep(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await bench.create({"x": 1}, {"x": 2})
        await bench.beat()
        await bench.upload(1, "result.json", '{"val/acc": 0.5, "m": {"f1": 3}}')
        for text in ("val/acc%3C1", "m.f1%3D3"):
            found = table(await bench.get("/web/export.csv?filter=" + text))
            assert [row[0] for row in found[1:]] == ["1"]
    run(scenario)
