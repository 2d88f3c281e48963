"""The commands that drive a sweep, against a real server; and against one that knows only the base."""

import csv
import io
import json
import math
import os
import re
import sys
import threading
from pathlib import Path
from typing import Any, Iterator
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from jd import protocol, terminal
from jd.cli import main
from jd.cli.commands.sweep import wait
from jd.errors import JdError, ServerUnreachable, UsageError
from jd.net.multipart import encode_upload
from jd.server.store.policy import Policy
from jd.sweep import jobs, session
from jd.sweep.errors import NotOffered
from jd.sweep.waiting import Standing
from tests.cli.info_support import Machine, Stub, closed_port
from tests.e2e.processes import Calls
from tests.server.servedhere import ServedHere


class Shell:
    """Types commands for the experiment of a server."""

    def __init__(self, server: Calls, machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
        self.server = server
        self.environ = machine.environ
        self._capsys = capsys
        self.notes = ""

    def run(self, *words: str, status: int = 0) -> str:
        """What a command prints."""
        assert main.main(["expId=exp", "server=" + self.server.url, *words], self.environ) == status
        printed = self._capsys.readouterr()
        self.notes = printed.err
        return printed.out

    def facts(self, *words: str, status: int = 0) -> Any:
        """What it prints for programs: one document and nothing else."""
        return json.loads(self.run(*words, "json=true", status=status))

    def upload(self, job_id: int, name: str, content: bytes) -> None:
        """A file of a job that runs."""
        frame = encode_upload({"job_id": str(job_id)}, "file", name, len(content))
        request = Request(self.server.url + "/upload", frame.prefix + content + frame.suffix,
                          {"Content-Type": frame.content_type})
        build_opener(ProxyHandler({})).open(request, timeout=60).close()

    def end(self, status: str = "DONE", results: Any = None, **fields: Any) -> int:
        """A worker takes the next job, which ends so; gives its id."""
        answer = self.server.call("/worker/heartbeat", {
            "exp_id": "exp", "worker_id": "node_exp_0", "session": "s", "machine_type": "worker",
            "status": "idle"})
        job_id = int(answer["job"]["job_id"])
        if results is not None:
            self.upload(job_id, "result.json", json.dumps(results).encode())
        self.server.call("/update_job_status", dict(
            {"job_id": job_id, "status": status, "worker_id": "node_exp_0", "session": "s",
             "attempt": answer["job"]["attempt"]}, **fields))
        return job_id


@pytest.fixture(autouse=True)
def no_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_current", None)


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Shell]:
    with ServedHere(tmp_path, Policy(max_attempts=1)) as server:
        yield Shell(server, Machine(tmp_path), capsys)


@pytest.fixture
def base(stub: Stub, tmp_path: Path) -> Machine:
    """Where the server is one that knows only the base."""
    return Machine(tmp_path, JD_SERVER=stub.url)


# ---- submit

def test_submit_makes_all_combinations(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(shell.environ, "JD_TAGS", "gpu")  # of a worker, as in a Slurm job that submits
    assert shell.run("submit", "param.lr=0.1,1e-2", 'param.name=a,"b,c",true') == "created 6 jobs: 1 to 6\n"
    assert [job["parameters"] for job in shell.server.jobs()][:3] == [
        {"lr": 0.1, "name": "a"}, {"lr": 0.1, "name": "b,c"}, {"lr": 0.1, "name": True}]
    again = ("submit", "param.lr=0.1,0.5", "param.name=a", "unique=true", "priority=7", "timeout=2h",
             "needs=gpu,big", "tags=fine,round-2", "after=1-2,4")
    assert shell.run(*again) == "created 1 job: 7; 1 existed already\n"
    assert shell.run(*again) == "created no jobs: all of them exist already\n"
    made = shell.server.jobs()[-1]
    assert (made["priority"], made["timeout"], made["needs"]) == (7, 7200.0, ["big", "gpu", "after 1-2,4"])
    assert shell.server.jobs()[0]["tags"] is None
    assert made["tags"] == ["fine", "round-2"] and "fine,round-2" in shell.run("jobs", "where=tag=fine")
    assert "fine,round-2" in shell.run("job", "7") and "TAGS" in shell.run("results", "where=id=7")
    assert "TAGS" not in shell.run("results", "where=id=1")
    assert shell.facts("submit", "param.x=1")["start_id"] == 8


def test_submit_reads_files_as_the_server_does(shell: Shell, tmp_path: Path) -> None:
    table = tmp_path / "jobs.csv"
    table.write_text("lr,name\n0.1,a\n0.2,NaN\n")
    assert shell.run("submit", str(table)) == "created 2 jobs: 1 to 2\n"
    assert [job["parameters"] for job in shell.server.jobs()] == [
        {"lr": 0.1, "name": "a"}, {"lr": 0.2, "name": "NaN"}]
    listed = tmp_path / "jobs.json"
    listed.write_text('{"parameters": {"x": [1, 2, 3]}}')
    assert shell.run("submit", str(listed)) == "created 3 jobs: 3 to 5\n"
    lines = tmp_path / "jobs.jsonl"
    lines.write_text('{"x": 4, "s": "a\u2028b"}\n\n{"y": [1]}\n', encoding="utf-8")
    assert shell.run("submit", str(lines)) == "created 2 jobs: 6 to 7\n"
    assert [job["parameters"] for job in shell.server.jobs()][5:] == [{"x": 4, "s": "a\u2028b"}, {"y": [1]}]


@pytest.mark.parametrize("words, says", [
    ([], "either a file or param"), (["jobs.csv", "param.x=1"], "either a file or param"),
    (["a.csv", "b.csv"], "unexpected word"), (["param.x="], "param.x= has no value"),
    (["param.=1"], "unknown argument"),
    (["lr=0.1,1"], "unknown argument lr=; a parameter is param.lr=0.1,1"),
    ([os.devnull], "must end in .json"),
    (["after=2-1", "param.x=1"], "numbers of jobs and ranges of them, as 1-64,70"),
    (["after=1-20000", "param.x=1"], "at most 10000 jobs"),
    (["tags=a b", "param.x=1"], "^tags=: 'a b' cannot be a tag"),
    (["priority=high"], "priority=: 'high' is not allowed")])
def test_what_submit_does_not_take(base: Machine, words: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        base.run("expId=exp", "submit", *words)


def test_parameters_are_for_submit_alone(base: Machine) -> None:
    with pytest.raises(UsageError, match="param.x= goes with submit"):
        base.run("expId=exp", "param.x=1")


def test_a_server_of_the_base_is_not_sent_what_it_does_not_know(base: Machine) -> None:
    for word, says in (("unique=true", "create only jobs"), ("tags=a", "know tags"),
                       ("after=1", "have jobs wait")):
        with pytest.raises(NotOffered, match="this server does not " + says):
            base.run("expId=exp", "submit", "param.x=1", word)


def test_nobody_waits_for_a_server_that_is_away(tmp_path: Path) -> None:
    url = closed_port()
    with pytest.raises(ServerUnreachable) as caught:
        Machine(tmp_path).run("expId=exp", "submit", "param.x=1", "server=" + url)
    assert url in str(caught.value)


# ---- jobs

def test_jobs_tell_why_they_failed_and_when_they_are_tried_again(tmp_path: Path,
                                                                 capsys: pytest.CaptureFixture[str]) -> None:
    with ServedHere(tmp_path) as server:
        shell = Shell(server, Machine(tmp_path), capsys)
        shell.run("submit", "param.lr=0.1,0.25", "param.name=some\u001btext")
        shell.end("ABORTED", message="exit status 1\nTraceback", exit_code=1,
                  output_tail="Traceback\nModuleNotFoundError: No module named 'torch'\nleaving\n")
        shown = shell.run("jobs").splitlines()
        assert shown[0].split() == ["ID", "STATUS", "TRIES", "RUNTIME", "WORKER", "TAGS", "PARAMETERS",
                                    "WHY"]
        assert shown[1].split()[:3] == ["1", "ABORTED", "1"] and "lr=0.1 name=some?text" in shown[1]
        assert re.search(r"  tried again in \d\ds; attempt 1 failed on node_exp_0 \(failure 1 of at most 3"
                         r"\): ModuleNotFoundError: No module named 'torch'$", shown[1])
        assert shown[2].split()[:6] == ["2", "PENDING", "0", "-", "-", "-"]
        assert len({line.index(word) for line, word in zip(shown, ("PARAMETERS", "lr=", "lr="))}) == 1
        assert [job["id"] for job in shell.facts("jobs", "where=status=PENDING lr>0.2")["jobs"]] == [2]


def test_many_jobs_come_page_by_page(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.server.create(25)
    assert len(shell.run("jobs", "lines=10").splitlines()) == 11
    assert shell.notes == "10 of 25 jobs; lines=25 shows all\n"
    monkeypatch.setattr(jobs, "_WHOLE_PAGE", 4)
    for where in ("", "x>=0", "x>=0 status=PENDING"):
        told = shell.facts("jobs", "where=" + where)
        assert [job["id"] for job in told["jobs"]] == list(range(1, 26)) and told["total_count"] == 25
        assert len(shell.run("jobs", "where=" + where, "lines=6").splitlines()) == 7
    assert shell.run("jobs", "where=x>90") == "" and shell.notes == "no job matches\n"
    with pytest.raises(JdError, match="no job has.*nothing|nothing"):
        shell.run("jobs", "where=nothing>1")


def test_jobs_of_a_server_of_the_base(base: Machine, stub: Stub, capsys: pytest.CaptureFixture[str]) -> None:
    stub.answers["/api/jobs?page=1&per_page=50"] = (200, {"total_count": 1, "total_pages": 1, "jobs": [
        {"id": 1, "status": "ABORTED", "parameters": {"x": 1}, "message": "it broke"}]})
    assert base.run("expId=exp", "jobs") == 0
    assert capsys.readouterr().out.splitlines()[1].split(maxsplit=7)[-1] == "it broke"
    with pytest.raises(NotOffered, match="this server does not list the jobs of a filter"):
        base.run("expId=exp", "jobs", "where=x=1")


# ---- results

def finished(shell: Shell) -> None:
    """Five jobs: four ended with a loss, of which one is NaN, and one failed."""
    shell.server.create(5)
    for loss in (0.5, 0.25, math.nan, 0.75):
        shell.end(results={"val": {"loss": loss}, "name": "x", "course": [1, 0.5]})
    shell.end("ABORTED", message="broken")


def test_results_and_which_are_best(shell: Shell) -> None:
    finished(shell)
    shown = [line.split() for line in shell.run("results").splitlines()]
    assert shown[0] == ["ID", "STATUS", "VERDICT", "RUNTIME", "x", "val.loss"]
    assert [line[0] for line in shown[1:]] == ["1", "2", "3", "4", "5"] and shown[2][-1] == "0.25"
    assert shown[3][-1] == "NaN" and shown[5][1:3] == ["ABORTED", "failed"]
    assert shell.run("results", "where=status=DONE").split()[:3] == ["ID", "STATUS", "RUNTIME"]
    best = ("results", "metric=val.loss", "goal=min")
    shown = [line.split() for line in shell.run(*best).splitlines()]
    assert [line[:2] for line in shown] == [["ID", "val.loss"], ["2", "0.25"], ["1", "0.5"], ["4", "0.75"]]
    assert [line[-1] == "best" for line in shown] == [False, True, False, False]
    points = {line.index(".", 2) for line in shell.run(*best).splitlines()[1:]}
    assert len(points) == 1
    assert [row["id"] for row in shell.facts(*best, "lines=1")["rows"]] == [2]
    assert [row["id"] for row in shell.facts("results", "metric=val.loss", "where=x>0")["rows"]] == [4, 2]
    told = shell.facts("results")["rows"]
    assert [row.get("val.loss") for row in told] == [0.5, 0.25, "NaN", 0.75, None]
    # Numbers of a list would fill the table: they are where they are asked for.
    assert [row.get("course.1") for row in told] == [0.5] * 4 + [None]
    assert shell.run("results", "metric=course.1").split()[:4] == ["ID", "course.1", "STATUS", "RUNTIME"]
    assert len(shell.run("results", "lines=2").splitlines()) == 3
    assert shell.notes == "these are the first 2 jobs; lines=N shows N\n"


def test_a_metric_that_no_job_has(shell: Shell) -> None:
    finished(shell)
    with pytest.raises(JdError, match="none of 5 jobs has a number loss; .* have: val.loss, course.0, "):
        shell.run("results", "metric=loss")


def test_results_as_a_table_for_other_programs(shell: Shell, tmp_path: Path) -> None:
    finished(shell)
    path = tmp_path / "results.csv"
    assert shell.run("results", "csv=%s" % path, "where=x<4") == "wrote 4 jobs to %s\n" % path
    with open(str(path), newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["val.loss"] for row in table] == ["0.5", "0.25", "NaN", "0.75"]
    assert list(table[0])[:2] == ["id", "status"] and list(table[0])[-2:] == ["course.0", "course.1"]
    assert [one.name for one in tmp_path.glob("*results.csv*")] == ["results.csv"]


@pytest.mark.parametrize("words, says", [
    (["goal=min"], "goal= says which metric"), (["metric=x", "csv=a.csv"], "give one of them"),
    (["goal=least", "metric=x"], "one of min, max"), (["best"], "unexpected word")])
def test_what_results_does_not_take(base: Machine, words: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        base.run("expId=exp", "results", *words)


def test_a_server_of_the_base_lists_no_results(base: Machine) -> None:
    with pytest.raises(NotOffered, match="this server does not list results"):
        base.run("expId=exp", "results")


# ---- job

def test_one_job_with_all_that_is_known(shell: Shell) -> None:
    shell.server.create(2)
    shell.end("ABORTED", message="it broke", exit_code=3)
    shell.end(results={"loss": 0.5}, runtime=61)
    failed, done = shell.run("job", "1"), shell.run("job", "2")
    assert re.search(r"^status +ABORTED$", failed, re.M)
    assert re.search(r"^ +1  failed .* 3  node_exp_0 .*it broke", failed, re.M)
    assert re.search(r"^results +loss=0.5$", done, re.M) and re.search(r"^result.json +0 +13$", done, re.M)
    assert shell.facts("job", "2")["results"] == {"loss": 0.5}
    with pytest.raises(UsageError, match="there is no job 9 at http"):
        shell.run("job", "9")


@pytest.mark.parametrize("command", ["job", "job-logs", "retry", "fetch"])
@pytest.mark.parametrize("word", ["x", "0", "-1", "١", "9" * 17, "9" * 5000], ids=lambda word: word[:20])
def test_what_is_no_number_of_a_job(base: Machine, command: str, word: str) -> None:
    with pytest.raises(UsageError, match="%s needs the number of a job, not '%s" % (command, word[:9])):
        base.run("expId=exp", command, word, *(["dest=here"] if command == "fetch" else []))


def test_one_job_of_a_server_of_the_base(base: Machine, stub: Stub,
                                         capsys: pytest.CaptureFixture[str]) -> None:
    job = {"id": 1, "status": "ABORTED", "parameters": {"x": 1}, "message": "it broke"}
    stub.answers["/api/jobs?ids=1&page=1&per_page=1000"] = (200, {"total_pages": 1, "jobs": [job]})
    stub.answers["/api/jobs/1/uploads"] = (200, {"uploads": [
        {"filename": "a.pt", "version": 2, "size_bytes": 7}]})
    assert base.run("expId=exp", "job", "1") == 0
    shown = capsys.readouterr().out
    assert re.search(r"^why +it broke$", shown, re.M) and re.search(r"^a.pt +2 +7$", shown, re.M)


# ---- wait

def test_wait_waits_for_jobs_that_are_being_loaded(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [Standing(False, {"PENDING": 0}), Standing(False, {"PENDING": 1}), Standing(True, {"DONE": 1})]
    monkeypatch.setattr(wait, "_standings", lambda *_: iter(found))
    assert shell.run("wait") == "1 job: 1 DONE\n"


def test_wait_tells_how_jobs_have_ended(shell: Shell) -> None:
    with pytest.raises(JdError, match="no jobs to wait for"):
        shell.run("wait")
    shell.server.create(3)
    shell.end()
    assert shell.run("wait", "where=x=0") == "1 job: 1 DONE\n"
    assert shell.run("wait", "timeout=0", status=3) == "3 jobs: 2 PENDING, 1 DONE\n"
    assert "2 of 3 jobs are not finished" in shell.notes
    later = threading.Timer(0.2, lambda: [shell.end(), shell.end("ABORTED", message="fatal: no data")])
    later.start()
    assert shell.facts("wait", status=1) == {"finished": True, "will_retry": 0,
                                             "by_status": {"DONE": 2, "ABORTED": 1},
                                             "errors": [{"error": "fatal: no data", "jobs": 1}]}
    later.join()
    assert shell.run("wait", status=1) == "3 jobs: 2 DONE, 1 ABORTED\n  1 job: fatal: no data\n"
    assert shell.run("wait", "where=x=0") == "1 job: 1 DONE\n"


def test_wait_tells_how_jobs_have_ended_if_the_server_cannot_be_asked_why(
        shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def listed(*_: Any) -> Iterator[Any]:
        raise ServerUnreachable("the server has ended")
        yield
    monkeypatch.setattr(wait, "_standings", lambda *_: iter([Standing(True, {"DONE": 1, "ABORTED": 1})]))
    monkeypatch.setattr(jobs, "listed", listed)
    assert shell.run("wait", status=1) == "2 jobs: 1 DONE, 1 ABORTED\n"
    assert shell.notes == "why jobs have failed cannot be told: the server has ended\n"


def test_ctrl_c_ends_the_waiting_and_no_job(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt
    shell.server.create(2)
    monkeypatch.setattr(terminal.Progress, "update", interrupted)
    assert shell.run("wait", status=130) == ""
    assert shell.notes == "the sweep goes on; the same command waits again\n"
    assert [job["status"] for job in shell.server.jobs()] == ["PENDING"] * 2


def test_a_job_that_is_tried_again_has_not_ended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with ServedHere(tmp_path) as server:
        shell = Shell(server, Machine(tmp_path), capsys)
        server.create(1)
        shell.end("ABORTED")
        assert shell.facts("wait", "timeout=0", status=3)["will_retry"] == 1


def test_wait_at_a_server_of_the_base(base: Machine, stub: Stub, capsys: pytest.CaptureFixture[str]) -> None:
    assert base.facts(capsys, "expId=exp", "wait", "timeout=0", status=3)["finished"] is False
    stub.answers[protocol.JOB_COUNTS] = (200, {"PENDING": 0, "SERVED": 0, "DONE": 2, "DELETED": 7})
    assert base.facts(capsys, "expId=exp", "wait")["by_status"] == {"DONE": 2}
    with pytest.raises(NotOffered, match="this server does not wait for the jobs of a filter"):
        base.run("expId=exp", "wait", "where=x=1")


# ---- retry, cancel

def test_jobs_are_cancelled_and_tried_again(shell: Shell) -> None:
    shell.server.create(6)
    shell.end("ABORTED")
    shell.end()
    assert shell.run("cancel", "where=x>4") == "1 job canceled\n"
    assert shell.facts("cancel", "4", "2", "99") == {"changed": 1, "skipped": 2}
    assert shell.server.counts() == {"PENDING": 2, "DONE": 1, "ABORTED": 3}
    assert shell.run("retry", "4") == "1 job tried again\n"
    assert shell.run("retry") == "2 jobs tried again\n"  # those that failed, and not what is DONE
    assert shell.run("cancel", "all") == "5 jobs canceled; 1 job skipped, by their state or not there\n"
    assert shell.server.counts() == {"DONE": 1, "ABORTED": 5}


@pytest.mark.parametrize("answer, left", [("yes\n", {"ABORTED": 3}), ("Y\n", {"ABORTED": 3}),
                                          ("no\n", {"PENDING": 3}),
                                          ("", {"PENDING": 3})])
def test_on_a_terminal_it_asks(shell: Shell, monkeypatch: pytest.MonkeyPatch, answer: str, left: Any) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    shell.server.create(3)
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    if "ABORTED" in left:
        assert shell.run("cancel", "all") == "3 jobs canceled\n"
        assert "experiment exp: of 3 jobs (3 PENDING) 3 will be canceled\nType yes to go on" in shell.notes
        assert shell.run("retry", "yes=true") == "3 jobs tried again\n" and "Type" not in shell.notes
        assert shell.run("retry") == "0 jobs tried again\n" and "Type" not in shell.notes
    else:
        with pytest.raises(JdError, match="that was not yes: nothing was changed"):
            shell.run("cancel", "all")
        assert shell.server.counts() == left


@pytest.mark.parametrize("words, says", [
    (["cancel"], "which jobs: numbers, where= or all"), (["cancel", "where="], "which jobs: numbers"),
    (["retry", "1", "where=x=1"], "numbers of jobs or where=, not both"),
    (["cancel", "all", "where=x=1"], "not both|number of a job"),
    (["retry", "all"], "number of a job, not 'all'")])
def test_which_jobs_are_meant_must_be_clear(base: Machine, words: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        base.run("expId=exp", *words)


def test_a_server_of_the_base_changes_no_jobs(base: Machine) -> None:
    with pytest.raises(NotOffered, match="this server does not change jobs"):
        base.run("expId=exp", "retry")


# ---- pause, resume, fetch

def test_a_sweep_is_paused_and_goes_on(shell: Shell) -> None:
    assert shell.run("pause") == "exp is paused: no job is handed out, those that run go on\n"
    assert shell.server.call("/api/sweep")["paused"] is True
    assert shell.facts("resume")["paused"] is False
    assert shell.server.call("/api/sweep")["paused"] is False


def test_files_of_jobs_are_fetched(shell: Shell, tmp_path: Path) -> None:
    shell.server.create(3)
    for loss in (0.5, 0.25):
        shell.end(results={"loss": loss})
    dest = tmp_path / "got"
    assert shell.run("fetch", "dest=%s" % dest) == "2 files in %s\n" % dest
    assert json.loads((dest / "2" / "result.json").read_text()) == {"loss": 0.25}
    assert shell.facts("fetch", "2", "3", "dest=%s" % dest)["files"] == [str(dest / "2" / "result.json")]
    assert shell.run("fetch", "where=x=0", "files=*.pt, *.csv", "dest=%s" % dest) == "0 files in %s\n" % dest


@pytest.mark.parametrize("words, error, says", [
    (["fetch"], UsageError, "dest= is missing"), (["pause", "now"], UsageError, "unexpected word"),
    (["pause"], NotOffered, "this server does not pause a sweep"),
    (["fetch", "dest=/nowhere"], NotOffered, "this server does not")])
def test_what_pause_and_fetch_refuse(base: Machine, words: Any, error: Any, says: str) -> None:
    with pytest.raises(error, match=says):
        base.run("expId=exp", *words)
