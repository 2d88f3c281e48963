"""The commands that drive a sweep, against a real server; and against one that knows only the base."""

import json
from pathlib import Path
from typing import Any, Iterator

import pytest

from jd.cli import main
from jd.errors import ServerUnreachable, UsageError
from jd.sweep import session
from jd.sweep.errors import NotOffered
from tests.cli.info_support import Machine, Stub, closed_port
from tests.e2e.processes import Server


class Shell:
    """Types commands for the experiment of a server."""

    def __init__(self, server: Server, machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
        self.server = server
        self._machine = machine
        self._capsys = capsys
        self.notes = ""

    def run(self, *words: str, status: int = 0) -> str:
        """What a command prints."""
        assert main.main(["expId=exp", "server=" + self.server.url, *words], self._machine.environ) == status
        printed = self._capsys.readouterr()
        self.notes = printed.err
        return printed.out

    def facts(self, *words: str, status: int = 0) -> Any:
        """What it prints for programs: one document and nothing else."""
        return json.loads(self.run(*words, "json=true", status=status))

    def end(self, status: str = "DONE", **fields: Any) -> int:
        """A worker takes the next job, which ends so; gives its id."""
        answer = self.server.call("/worker/heartbeat", {
            "exp_id": "exp", "worker_id": "node_exp_0", "session": "s", "machine_type": "worker",
            "status": "idle"})
        job_id = int(answer["job"]["job_id"])
        self.server.call("/update_job_status", dict(
            {"job_id": job_id, "status": status, "worker_id": "node_exp_0", "session": "s",
             "attempt": answer["job"]["attempt"]}, **fields))
        return job_id


@pytest.fixture(autouse=True)
def no_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_current", None)


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Shell]:
    with Server(tmp_path, "--max-attempts", 1) as server:
        yield Shell(server, Machine(tmp_path), capsys)


@pytest.fixture
def base(stub: Stub, tmp_path: Path) -> Machine:
    """Where the server is one that knows only the base."""
    return Machine(tmp_path, JD_SERVER=stub.url)


# ---- submit

def test_submit_makes_all_combinations(shell: Shell) -> None:
    assert shell.run("submit", "param.lr=0.1,1e-2", 'param.name=a,"b,c",true') == "created 6 jobs: 1 to 6\n"
    assert [job["parameters"] for job in shell.server.jobs()][:3] == [
        {"lr": 0.1, "name": "a"}, {"lr": 0.1, "name": "b,c"}, {"lr": 0.1, "name": True}]
    again = ("submit", "param.lr=0.1,0.5", "param.name=a", "unique=true", "priority=7", "timeout=2h",
             "needs=gpu,big")
    assert shell.run(*again) == "created 1 job: 7; 1 existed already\n"
    assert shell.run(*again) == "created no jobs: all of them exist already\n"
    made = shell.server.jobs()[-1]
    assert (made["priority"], made["timeout"], made["needs"]) == (7, 7200.0, ["big", "gpu"])
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


@pytest.mark.parametrize("words, says", [
    ([], "either a file or param"), (["jobs.csv", "param.x=1"], "either a file or param"),
    (["a.csv", "b.csv"], "unexpected word"), (["param.x="], "param.x= has no value"),
    (["param.=1"], "unknown argument"), (["jobs.yaml"], "must end in .json"),
    (["priority=high"], "priority=: 'high' is not allowed")])
def test_what_submit_does_not_take(base: Machine, words: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        base.run("expId=exp", "submit", *words)


def test_parameters_are_for_submit_alone(base: Machine) -> None:
    with pytest.raises(UsageError, match="param.x= goes with submit"):
        base.run("expId=exp", "param.x=1")


def test_a_server_of_the_base_is_not_sent_what_it_does_not_know(base: Machine) -> None:
    with pytest.raises(NotOffered, match="this server does not create only jobs"):
        base.run("expId=exp", "submit", "param.x=1", "unique=true")


def test_nobody_waits_for_a_server_that_is_away(tmp_path: Path) -> None:
    url = closed_port()
    with pytest.raises(ServerUnreachable) as caught:
        Machine(tmp_path).run("expId=exp", "submit", "param.x=1", "server=" + url)
    assert url in str(caught.value)
