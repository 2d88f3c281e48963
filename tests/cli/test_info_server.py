"""server-info and health, against a server that answers what a test wants."""

from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import pytest

import jd
from jd import protocol
from jd.cli.commands.look.server_info import Counts, lines
from jd.cli.sweep.jobcounts import Pace, Standstill
from jd.errors import ServerRefused, ServerUnreachable
from tests.cli.info_support import COUNTS, Machine, Stub, closed_port

BAR = 2  # the line of the bar on a terminal


def test_counts_in_the_order_of_a_jobs_life(stub: Stub, tmp_path: Path,
                                            capsys: pytest.CaptureFixture[str]) -> None:
    stub.answers[protocol.JOB_COUNTS] = (200, dict(sorted(COUNTS.items())))
    assert Machine(tmp_path).run("expId=exp", "server-info", "server=" + stub.url) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split() == ["server", stub.url]
    assert [line.split() for line in shown[2:]] == [
        ["PENDING", "5", "25", "%"], ["SERVED", "2", "10", "%"], ["DONE", "10", "50", "%"],
        ["ABORTED", "3", "15", "%"], ["DELETED", "7"], ["total", "20"]]


def test_counts_for_programs(stub: Stub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = Machine(tmp_path).facts(capsys, "expId=exp", "server-info", "server=" + stub.url)
    assert facts == {"experiment": "exp", "server": stub.url, "counts": COUNTS, "total": 20,
                     "done_share": 0.5, "paused": False, "paused_because": None, "cannot_run": [],
                     "codes": None, "stop_when": "", "max_jobs": 0, "max_hours": 0.0,
                     "per_hour": None, "eta": None, "next_retry": None, "workers": {},
                     "finished": None, "coming_back": None, "failed_in_hour": None, "workers_left": None}


def test_why_jobs_wait(stub: Stub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = {"paused": True, "paused_because": "the first 10 attempts failed: No module named 'torch'",
            "cannot_run": [{"needs": ["gpu-a100", "big"], "jobs": 12}, {"needs": "?"}, 7]}
    stub.answers[protocol.SWEEP] = (200, told)
    machine = Machine(tmp_path)
    assert machine.run("expId=exp", "server-info", "server=" + stub.url) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "paused  the first 10 attempts failed: No module named 'torch'",
        "waiting  12 jobs: no living worker has gpu-a100, big"]
    facts = machine.facts(capsys, "expId=exp", "server-info", "server=" + stub.url)
    assert facts["paused"] is True and facts["paused_because"] == told["paused_because"]
    assert facts["cannot_run"] == [{"needs": ["gpu-a100", "big"], "jobs": 12}]


def test_when_the_sweep_ends_by_itself(stub: Stub, tmp_path: Path,
                                       capsys: pytest.CaptureFixture[str]) -> None:
    rule = {"stop_when": "accuracy>0.95", "max_jobs": 500, "max_hours": 2.5}
    machine = Machine(tmp_path)

    def last_line(**told: Any) -> str:
        stub.answers[protocol.SWEEP] = (200, told)
        assert machine.run("expId=exp", "server-info", "server=" + stub.url) == 0
        return capsys.readouterr().out.splitlines()[-1]

    assert last_line(**rule) == "ends  when accuracy>0.95, or after 500 jobs, or after 2.5 hours of computing"
    assert last_line(max_jobs=1) == "ends  after 1 job"
    # What has ended it already, and somebody went on, ends it no more.
    assert last_line(**rule, has_ended_by=["stop_when", "max_hours"]) == "ends  after 500 jobs"
    facts = machine.facts(capsys, "expId=exp", "server-info", "server=" + stub.url)
    assert (facts["stop_when"], facts["max_jobs"], facts["max_hours"]) == ("", 500, 0.0)
    for nonsense in ({}, {"stop_when": 7, "max_jobs": "many", "max_hours": []}, {"max_jobs": 0.5}):
        assert last_line(**nonsense).split() == ["total", "20"]


def test_how_fast_the_sweep_goes_on(stub: Stub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = {"per_hour": 120.0, "eta": 90.0, "next_retry": 1060.0, "now": 1000.0,
            "workers": {"busy": 2, "idle": 1, "paused": 0}, "workers_left": 8, "finished": 11,
            "coming_back": 2, "failed_in_hour": 4}
    stub.answers[protocol.SWEEP] = (200, told)
    machine = Machine(tmp_path)
    assert machine.run("expId=exp", "server-info", "server=" + stub.url) == 0
    assert [line.split(None, 1) for line in capsys.readouterr().out.splitlines()[-6:]] == [
        ["rate", "120 jobs an hour"], ["ETA", "1m 30s"], ["next", "retry  in 1m 00s"],
        ["workers", "2 busy, 1 idle, 0 paused"], ["failures", "4 in the last hour"],
        ["retrying", "2 of the ABORTED"]]
    facts = machine.facts(capsys, "expId=exp", "server-info", "server=" + stub.url)
    assert (facts["per_hour"], facts["eta"], facts["next_retry"]) == (120.0, 90.0, 60.0)
    assert facts["workers"] == {"busy": 2, "idle": 1, "paused": 0}
    assert [facts[name] for name in ("finished", "coming_back", "failed_in_hour", "workers_left")] == [
        11, 2, 4, 8]
    # A server that tells nothing, or nonsense, is no fault.
    stub.answers[protocol.SWEEP] = (200, {"per_hour": "many", "workers": [1], "next_retry": None,
                                          "finished": True, "failed_in_hour": "4"})
    assert machine.facts(capsys, "expId=exp", "server-info", "server=" + stub.url)["workers"] == {}


def test_that_jobs_mix_versions_of_the_code(stub: Stub, tmp_path: Path,
                                            capsys: pytest.CaptureFixture[str]) -> None:
    stub.answers[protocol.SWEEP] = (200, {"codes": {
        "versions": [{"code": "3f2a1bc9", "jobs": 1}, {"code": "9be1d024", "jobs": 10_001}],
        "differ_in": ["the script", "numpy"], "most_counted": 10_000}})
    machine = Machine(tmp_path)
    assert machine.run("expId=exp", "server-info", "server=" + stub.url) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "code  jobs ran 2 versions: 3f2a1bc9 (1 job), 9be1d024 (more than 10000 jobs); "
        "they differ in the script and numpy")
    facts = machine.facts(capsys, "expId=exp", "server-info", "server=" + stub.url)
    assert facts["codes"]["versions"][0] == {"code": "3f2a1bc9", "jobs": 1}


@pytest.mark.parametrize("status, answer", [(200, []), (200, "login"), (200, {}), (500, {}), (404, {}),
                                            (200, {"codes": {"versions": 7}})])
def test_a_server_that_does_not_say_why_jobs_wait(stub: Stub, tmp_path: Path, status: int, answer: Any,
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    stub.answers[protocol.SWEEP] = (status, answer)
    facts = Machine(tmp_path).facts(capsys, "expId=exp", "server-info", "server=" + stub.url)
    assert (facts["total"], facts["paused"], facts["cannot_run"]) == (20, False, [])


def test_the_server_is_the_one_of_the_workers_here(stub: Stub, tmp_path: Path,
                                                   capsys: pytest.CaptureFixture[str]) -> None:
    machine = Machine(tmp_path)
    machine.enter(config={"server": stub.url})
    assert machine.facts(capsys, "expId=exp", "server-info")["server"] == stub.url


def test_a_bar_and_the_time_left_on_a_terminal() -> None:
    first = Counts("http://h", {"PENDING": 8, "SERVED": 0, "DONE": 2}, 100.0)
    later = Counts("http://h", {"PENDING": 4, "SERVED": 1, "DONE": 5}, 160.0)
    assert lines(later, first, None)[-1].split() == ["total", "10"]
    bar = lines(later, first, 60)[BAR]
    assert bar == "[#############>>>...........] 50 %  5 of 10 done  ETA 1m 40s"  # 3 in 60 s, 5 to go
    assert "ETA" not in lines(first, first, 80)[BAR]


def test_no_jobs_at_all() -> None:
    empty = Counts("http://h", dict.fromkeys(protocol.JOB_STATUSES_ALL, 0), 0.0)
    assert "0 of 0 done" in lines(empty, empty, 80)[BAR]


def test_nearly_done_is_not_done() -> None:
    nearly = Counts("http://h", {"PENDING": 1, "DONE": 999_999}, 0.0)
    assert "99 %" in lines(nearly, nearly, 80)[BAR]


def seen(jobs: Dict[str, int], columns: Optional[int], **told: Any) -> List[str]:
    counts = Counts("http://h", jobs, 0.0, Standstill(**{
        name: told.pop(name) for name in ("paused", "paused_because") if name in told}, pace=Pace(**told)))
    return lines(counts, counts, columns)


@pytest.mark.parametrize("columns", [40, 60, 80, 120, 200])
def test_what_is_shown_is_as_wide_as_the_terminal(columns: int) -> None:
    shown = seen({"PENDING": 70, "SERVED": 4, "DONE": 20, "ABORTED": 6}, columns, per_hour=1200.0, eta=900.0,
                 workers=(("busy", 4), ("idle", 0), ("paused", 2)), finished=22, coming_back=4,
                 failed_in_hour=12, paused=True, paused_because="module torch is missing " * 10)
    assert max(map(len, shown)) <= columns and len(shown[BAR]) == columns
    assert shown[BAR].endswith("] 22 %  22 of 100 finished")  # what comes back is not finished
    wide = len(shown[BAR]) - len("[] 22 %  22 of 100 finished")
    assert [shown[BAR].count(mark) for mark in "#x>"] == pytest.approx(
        [wide * share for share in (0.20, 0.02, 0.04)], abs=1)
    text = " ".join(shown)
    assert text.count("torch") == 10 and "1200 jobs an hour" in text and "12 in the last hour" in text
    beside = any("PENDING" in line and "rate" in line for line in shown)
    assert beside == (columns > 40)


def test_a_sweep_without_workers() -> None:
    nobody = (("busy", 0), ("idle", 0), ("paused", 0))
    text = " ".join(" ".join(seen({"PENDING": 2, "DONE": 1}, 80, per_hour=30.0, workers=nobody, finished=1,
                                  workers_left=8)).split())
    assert "ETA waiting for workers" in text and "none, 8 have left" in text and "an hour" not in text
    resting = nobody[:2] + (("paused", 3),)
    assert "ETA all workers are paused" in " ".join(
        " ".join(seen({"PENDING": 2}, 80, workers=resting, finished=0)).split())
    assert "ETA" not in " ".join(seen({"DONE": 2}, 80, workers=nobody, finished=2))


@pytest.mark.parametrize("answer", [[1], {"PENDING": "5"}, {"PENDING": True}, "login", {"error": None}])
def test_an_answer_that_is_no_count(stub: Stub, tmp_path: Path, answer: Any) -> None:
    stub.answers[protocol.JOB_COUNTS] = (200, answer)
    with pytest.raises(ServerUnreachable, match="no job server"):
        Machine(tmp_path).run("expId=exp", "server-info", "server=" + stub.url)


def test_a_server_that_is_away_is_one_line(tmp_path: Path) -> None:
    url = closed_port()
    with pytest.raises(ServerUnreachable) as caught:
        Machine(tmp_path).run("expId=exp", "server-info", "server=" + url, "json=true")
    assert url in str(caught.value) and "\n" not in str(caught.value)
    assert caught.value.exit_status == 1


def test_a_server_that_refuses(stub: Stub, tmp_path: Path) -> None:
    stub.answers[protocol.JOB_COUNTS] = (401, {"error": "a token is needed"})
    with pytest.raises(ServerRefused, match="a token is needed"):
        Machine(tmp_path).run("expId=exp", "server-info", "server=" + stub.url)


# ---- health

def test_all_is_well(stub: Stub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    machine = Machine(tmp_path, JD_SERVER_TOKEN="tokentokentokentoken")
    facts = machine.facts(capsys, "expId=exp", "health", "server=" + stub.url)
    server = facts["server"]
    assert facts["ok"] and facts["experiments_agree"] and server["authorized"]
    assert (server["version"], server["experiment"], server["error"]) == (jd.__version__, "exp", None)
    assert 0 <= server["seconds"] < 10
    assert facts["hub"] == {"configured": False}
    assert stub.tokens[protocol.JOB_COUNTS] == "Bearer tokentokentokentoken"
    assert machine.run("health", "server=" + stub.url) == 0
    shown = capsys.readouterr().out
    assert "reachable in" in shown and "not configured" in shown and "10 DONE" in shown
    assert "token" not in shown


def test_nothing_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = closed_port()
    facts = Machine(tmp_path).facts(capsys, "health", "server=" + url, status=1)
    assert not facts["ok"] and not facts["server"]["reachable"] and url in facts["server"]["error"]
    assert Machine(tmp_path).run("health", "server=" + url) == 1
    assert "not reachable" in capsys.readouterr().out


def test_the_token_is_refused(stub: Stub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stub.answers[protocol.JOB_COUNTS] = (401, {"error": "a token is needed"})
    facts = Machine(tmp_path).facts(capsys, "health", "server=" + stub.url, status=1)
    server = facts["server"]
    assert server["reachable"] and not server["authorized"] and "a token is needed" in server["error"]


def test_another_experiments_server(stub: Stub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = Machine(tmp_path).facts(capsys, "expId=mine", "health", "server=" + stub.url, status=1)
    assert facts["experiments_agree"] is False and not facts["ok"]
    assert Machine(tmp_path).run("expId=mine", "health", "server=" + stub.url) == 1
    assert "not mine" in capsys.readouterr().out


def test_a_server_that_has_no_health_route(stub: Stub, tmp_path: Path,
                                           capsys: pytest.CaptureFixture[str]) -> None:
    del stub.answers[protocol.HEALTH]
    facts = Machine(tmp_path).facts(capsys, "expId=exp", "health", "server=" + stub.url)
    assert facts["ok"] and facts["experiments_agree"] is None


@pytest.mark.parametrize("health", [(500, {"error": "disk"}), (200, b"<html>login</html>"), (200, [])])
def test_a_server_that_is_ill_or_none(stub: Stub, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                      health: Tuple[int, object]) -> None:
    stub.answers[protocol.HEALTH] = health
    facts = Machine(tmp_path).facts(capsys, "health", "server=" + stub.url, status=1)
    assert not facts["ok"] and facts["server"]["error"]


def test_a_named_server_leaves_the_hub_alone(stub: Stub, tmp_path: Path,
                                             capsys: pytest.CaptureFixture[str]) -> None:
    assert Machine(tmp_path, JD_API_KEY="jd_x").run("health", "server=" + stub.url) == 0
    assert "not used: a server is named" in capsys.readouterr().out
