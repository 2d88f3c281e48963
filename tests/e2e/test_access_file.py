"""jd_server writes an access file when it is ready, and takes it back."""

import json
import signal
from pathlib import Path
from typing import Any, Dict

import pytest

from jd.net import accessfile
from tests.e2e.processes import Server
from tests.support import wait_until


def access_file(directory: Path, name: str = "exp") -> Path:
    return directory / "home" / ".jd" / "servers" / (name + ".json")


def content(directory: Path) -> Dict[str, Any]:
    """The file, once it is there."""
    path = access_file(directory)
    wait_until(path.exists, message="the access file")
    return dict(json.loads(path.read_text()))


def bearer(token: str) -> Dict[str, str]:
    return {"Authorization": "Bearer " + token}


def test_it_stands_there_while_the_server_runs(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        told = content(tmp_path)
        assert told["urls"] == [server.url] and told["pid"] == server.popen.pid and told["hub"] is None
        kept = server.workspace / "exp" / "meta" / "token"
        assert kept.read_text().strip() == told["token"] and kept.stat().st_mode & 0o777 == 0o600
        assert server.stop() == 0
        assert not access_file(tmp_path).exists()
        assert server.errors == ""
    with Server(tmp_path):
        again = content(tmp_path)
        assert (again["token"], again["server_id"]) == (told["token"], told["server_id"])


def test_other_machines_need_its_token(tmp_path: Path) -> None:
    with Server(tmp_path, "--host", "0.0.0.0", "--port", "0") as server:
        told = content(tmp_path)
        server.url = told["urls"][0]
        assert server.url.startswith("http://127.0.0.1:") and len(told["urls"]) > 1
        status, answer = server.call("/job_counts", Host="192.0.2.7")  # as from another machine
        assert status == 401 and "access file" in answer["error"] and told["token"] not in answer["error"]
        assert server.call("/job_counts", Host="192.0.2.7", **bearer("x" * 20))[0] == 401
        assert server.call("/job_counts", Host="192.0.2.7", **bearer(told["token"]))["DONE"] == 0


def test_a_token_file_stands_in_it_as_well(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("t" * 20 + "\n")
    token.chmod(0o600)
    with Server(tmp_path, "--token-file", token) as server:
        assert content(tmp_path)["token"] == "t" * 20
        assert not (server.workspace / "exp" / "meta" / "token").exists()


def test_one_of_a_killed_server_goes_when_its_successor_begins(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        first = content(tmp_path)
        server.stop(signal.SIGKILL)
    assert accessfile.Seat(first["machine"], first["pid_namespace"], first["pid"], first["started"]).is_over()
    with Server(tmp_path) as server:
        wait_until(lambda: content(tmp_path)["pid"] == server.popen.pid)
        assert server.stop() == 0 and server.errors == ""


def test_the_place_of_another_server_is_taken_with_a_warning(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    shared = {"JD_ACCESS_DIR": tmp_path / "servers"}
    path = tmp_path / "servers" / "exp.json"
    with Server(one, **shared) as first:
        wait_until(path.exists)
        with Server(two, **shared) as second:
            wait_until(lambda: json.loads(path.read_text())["urls"] == [second.url])
            assert "access file of another server" in second.errors and first.url in second.errors
            first.stop()
            assert json.loads(path.read_text())["urls"] == [second.url]
            second.stop()
        assert not path.exists()


@pytest.mark.parametrize("home", ["/dev/null/home", "file"])
def test_a_home_that_cannot_be_written_is_a_warning(tmp_path: Path, home: str) -> None:
    (tmp_path / "file").write_text("")
    with Server(tmp_path, HOME=str(tmp_path / home) if home == "file" else home) as server:
        wait_until(lambda: "no access file" in server.errors)
        assert "JD_ACCESS_DIR" in server.errors and server.errors.count("\n") == 1
        assert server.call("/healthz")["status"] == "ok"
        assert server.stop() == 0
