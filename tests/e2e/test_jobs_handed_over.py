"""`jd_server --jobs` beside a server of the same data that runs."""

import json
import subprocess
from pathlib import Path
from typing import Any, Mapping

import pytest

from jd.errors import JdError
from jd.net.client import Client
from jd.server.command import handover
from jd.server.creation import jobfile
from tests.e2e.processes import EXPERIMENT, Server
from tests.support import free_env, python, wait_until


def hand_over(server: Server, directory: Path, *flags: Any,
              **environ: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        python("-m", "jd.server", "--expId", EXPERIMENT, "--workspace_path", server.workspace, *flags),
        env=free_env(directory, **environ), capture_output=True, text=True, timeout=60)


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    path = tmp_path / "sweep.json"
    path.write_text('{"lr": [0.1, 0.01]}')
    return path


def test_what_is_new_goes_to_the_server_that_runs(tmp_path: Path, sweep: Path) -> None:
    with Server(tmp_path, "--jobs", sweep) as server:
        assert server.event()["created"] == 2
        sweep.write_text(json.dumps({
            "parameters": {"lr": [0.1, 0.01, 0.001, 1e-4], "opt": None, "note": "\u00e4: "},
            "order": "random", "seed": 1, "max_attempts": 5, "needs": ["gpu"]}))
        listed = tmp_path / "list.csv"
        listed.write_text("lr,opt\n0.1,\"[1, \"\"a\"\"]\"\n0.10,\"[1, \"\"a\"\"]\"\n")
        done = hand_over(server, tmp_path, "--jobs", sweep, "--jobs", listed, "--port", 1,
                         "--max-attempts=2")
        assert done.returncode == 0, done.stderr
        assert "%s runs already (pid %d)" % (server.url, server.popen.pid) in done.stdout
        assert "jobs       4 from sweep.json\n" in done.stdout
        assert done.stderr == ("warning: --port, --max-attempts: not used, since the server that runs keeps "
                               "its own settings\n")
        made = server.jobs()[2:]
        assert [job["parameters"] for job in made] == [
            *(json.loads(text) for text in jobfile.read(sweep).texts()),  # as a start would have made them
            {"lr": 0.1, "opt": [1, "a"]}, {"lr": 0.1, "opt": [1, "a"]}]
        assert {job["parameters"]["lr"] for job in made[:4]} == {0.1, 0.01, 0.001, 1e-4}
        assert [(job["max_attempts"], job["needs"]) for job in made] == (
            [(5, ["gpu"])] * 4 + [(None, None)] * 2)

        again = hand_over(server, tmp_path, "--jobs", sweep, "--json")
        assert [json.loads(line) for line in again.stdout.splitlines()] == [
            {"event": "running", "server_url": server.url, "pid": server.popen.pid},
            {"event": "jobs", "file": "sweep.json", "created": 0, "existing": 4, "start_id": None}]
        assert (again.returncode, again.stderr, len(server.jobs())) == (0, "", 8)


def test_a_file_with_a_fault_goes_nowhere(tmp_path: Path, sweep: Path) -> None:
    with Server(tmp_path) as server:
        sweep.write_text('{"lr": [0.1,]}')
        done = hand_over(server, tmp_path, "--jobs", sweep)
        assert done.returncode == 2 and "sweep.json" in done.stderr and server.jobs() == []


def test_it_is_the_server_of_this_data_though_another_has_the_access_file(tmp_path: Path,
                                                                          sweep: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    access = tmp_path / "home" / ".jd" / "servers" / "exp.json"
    with Server(tmp_path, "--tls", "auto") as server:
        wait_until(access.exists, message="the access file")
        done = hand_over(server, tmp_path, "--jobs", sweep)
        assert done.returncode == 0 and "jobs       2 from sweep.json" in done.stdout, done.stderr
        with Server(other, HOME=str(tmp_path / "home")) as second:
            wait_until(lambda: second.url in access.read_text(), message="the other's access file")
            sweep.write_text('{"lr": [0.1, 0.001]}')
            done = hand_over(server, tmp_path, "--jobs", sweep)
            assert "1 from sweep.json: 1 of 2 exists already" in done.stdout, done.stderr
            assert second.jobs() == []


def test_with_a_hub_it_takes_the_owners_key(tmp_path: Path, sweep: Path) -> None:
    hub = ("--with-hub", "--hub-port", 0, "--hub-data", tmp_path / "hub")
    with Server(tmp_path, *hub) as server:
        facts = server.event()
        access = tmp_path / "home" / ".jd" / "servers" / "exp.json"
        wait_until(access.exists, message="the access file")
        done = hand_over(server, tmp_path, "--jobs", sweep)
        assert done.returncode == 2 and "set JD_API_KEY" in done.stderr
        done = hand_over(server, tmp_path, "--jobs", sweep, *hub)
        assert done.returncode == 0 and "jobs       2 from sweep.json" in done.stdout, done.stderr
        key = Path(facts["api_key_file"]).read_text().strip()
        sweep.write_text('{"lr": [0.1, 0.01, 0.001]}')
        done = hand_over(server, tmp_path, "--jobs", sweep, JD_API_KEY=key)
        assert done.returncode == 0 and "1 from sweep.json: 2 of 3 exist already" in done.stdout, done.stderr


def test_a_server_that_does_not_know_unique_is_given_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Old(Client):
        def call(self, method: str, route: str, *_: Any, **__: Any) -> Any:
            assert (method, route) == ("GET", "/healthz")
            return {"status": "ok", "expId": "exp", "role": "api"}

    def client(_values: Mapping[str, Any], _owner: Mapping[str, Any]) -> Client:
        return Old("http://127.0.0.1:9")

    monkeypatch.setattr(handover, "_client", client)
    with pytest.raises(JdError, match="pid 7 at http://127.0.0.1:9, is of a version that cannot be handed"):
        handover.hand_over({"expId": "exp"}, {"pid": 7}, [])
