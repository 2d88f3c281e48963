"""`jd_hub serve` as a process, and commands beside it."""

import json
import os
import signal
import stat
import subprocess
from pathlib import Path
from typing import Any, Dict, List

import pytest

from tests.e2e.processes import Process
from tests.hub.hub_support import ALICE, BOB, EXPERIMENTS, TOKEN, HubProcess, mentions
from tests.support import free_env, python


def jd_hub(tmp_path: Path, *words: Any, **environ: Any) -> "subprocess.CompletedProcess[str]":
    """Run a command beside the Hub."""
    return subprocess.run(python("-m", "jd.hub", *words, "--data", tmp_path / "data"), timeout=60,
                          env=free_env(tmp_path, **environ), capture_output=True, text=True)


def facts(tmp_path: Path, *words: Any) -> Dict[str, Any]:
    done = jd_hub(tmp_path, *words, "--json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def member(tmp_path: Path, email: str) -> str:
    """A new user with a key."""
    facts(tmp_path, "user", "add", email)
    return str(facts(tmp_path, "key", "create", "--user", email, "--name", "laptop")["key"])


def test_ready_line_first_link_and_clean_stop(tmp_path: Path) -> None:
    with HubProcess(tmp_path) as hub:
        assert hub.ready == {"event": "ready", "hub_url": hub.url, "pid": hub.popen.pid}
        signup = hub.event()
        assert signup == {"event": "signup", "signup_file": str(hub.data / "signup")}
        assert (hub.data / "signup").read_text().startswith(hub.url + "/signup?token=")
        assert stat.S_IMODE((hub.data / "signup").stat().st_mode) == 0o600
        published = json.loads((hub.data / "hub.json").read_text())
        assert (published["hub_url"], published["pid"]) == (hub.url, hub.popen.pid)
        assert hub.call("GET", "/healthz")[1]["status"] == "ok"
        assert hub.stop(signal.SIGINT) == 0
        assert hub.event() == {"event": "stopping"} and hub.errors == ""
        assert not (hub.data / "hub.json").exists()
    facts(tmp_path, "user", "add", ALICE, "--admin")
    with HubProcess(tmp_path, "--base-url", "https://hub.example") as hub:
        assert hub.url == "https://hub.example"
        link = facts(tmp_path, "user", "link", ALICE)["signup_url"]
        assert link.startswith("https://hub.example/signup?token=")
        assert hub.stop(signal.SIGTERM) == 0
        assert hub.event() == {"event": "stopping"}  # and no second link: there is an administrator
    assert not (hub.data / "signup").exists()


def test_commands_beside_a_running_hub_work_at_once(tmp_path: Path) -> None:
    with HubProcess(tmp_path) as hub:
        key = member(tmp_path, ALICE)
        assert hub.call("POST", TOKEN, key, {"experiment_name": "exp"})[0] == 404
        made = facts(tmp_path, "experiment", "create", "exp", "--user", ALICE)
        status, shown = hub.call("GET", EXPERIMENTS + "/exp", key)
        assert status == 200 and shown["id"] == made["experiment_id"]
        assert hub.call("POST", EXPERIMENTS + "/exp/register", key, {"server_url": "http://n:1"})[0] == 200
        assert hub.call("POST", TOKEN, key, {"experiment_name": "exp"})[0] == 200
        other = member(tmp_path, BOB)
        assert hub.call("POST", TOKEN, other, {"experiment_name": "exp"})[0] == 404
        facts(tmp_path, "experiment", "share", "exp", BOB)
        assert hub.call("POST", TOKEN, other, {"experiment_name": "exp"})[0] == 200
        facts(tmp_path, "user", "suspend", BOB)
        assert hub.call("POST", TOKEN, other, {"experiment_name": "exp"})[0] == 403
        assert len(hub.call("GET", EXPERIMENTS + "/exp/revoked-tokens", key)[1]["revoked_jtis"]) == 1
        facts(tmp_path, "experiment", "delete", "exp")
        assert hub.call("POST", EXPERIMENTS + "/exp/heartbeat", key, {})[0] == 403
        copy = facts(tmp_path, "backup", tmp_path / "copy.db")
        assert copy["size_bytes"] > 0
        facts(tmp_path, "key", "revoke", 1)
        assert hub.call("GET", EXPERIMENTS + "/exp", key)[0] == 401
        assert hub.stop() == 0
        assert mentions(hub.errors, [key, other]) == []


def test_kill_9_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    with HubProcess(tmp_path) as hub:
        key = member(tmp_path, ALICE)
        made = [hub.call("POST", EXPERIMENTS, key, {"name": "exp-%d" % n}) for n in range(5)]
        assert [status for status, _ in made] == [201] * 5
        hub.call("POST", EXPERIMENTS + "/exp-0/register", key, {"server_url": "http://n:1"})
        assert hub.call("POST", TOKEN, key, {"experiment_name": "exp-0"})[0] == 200
        hub.call("DELETE", EXPERIMENTS + "/exp-1", key)
        hub.stop(signal.SIGKILL)
    with HubProcess(tmp_path) as hub:
        shown = [hub.call("GET", EXPERIMENTS + "/exp-%d" % n, key)[1] for n in range(5)]
        assert [one["id"] for one in shown] == [one["experiment_id"] for _, one in made]
        assert [one["status"] for one in shown] == ["active", "deleted"] + ["active"] * 3
        assert shown[0]["server_url"] == "http://n:1"
        assert hub.stop() == 0


def test_a_second_hub_on_the_same_data_is_refused(tmp_path: Path) -> None:
    with HubProcess(tmp_path) as hub:
        second = jd_hub(tmp_path, "serve", "--port", "0")
        assert (second.returncode, second.stdout) == (1, "")
        assert str(hub.popen.pid) in second.stderr and hub.url in second.stderr
        assert second.stderr.count("\n") == 1
        assert hub.call("GET", "/healthz")[0] == 200


def test_a_hub_and_commands_that_start_together_on_new_data(tmp_path: Path) -> None:
    with HubProcess(tmp_path, JD_HUB_BASE_URL="http://here") as hub:
        commands = [python("-m", "jd.hub", "user", "add", "u%d@x" % n, "--data", tmp_path / "new")
                    for n in range(4)]
        running = [subprocess.Popen(command, env=free_env(tmp_path), stdout=subprocess.PIPE,
                                    stderr=subprocess.STDOUT) for command in commands]
        said = [process.communicate(timeout=60)[0] for process in running]
        assert [process.returncode for process in running] == [0] * 4, said
        assert hub.url == "http://here"


def test_other_machines_are_let_in_with_a_warning(tmp_path: Path) -> None:
    with HubProcess(tmp_path, "--host", "0.0.0.0") as hub:
        assert hub.stop() == 0
        assert hub.errors.startswith("warning: --host 0.0.0.0") and "TLS" in hub.errors
    with HubProcess(tmp_path, "--host", "0.0.0.0", "--base-url", "https://hub.example") as hub:
        assert hub.stop() == 0
    assert hub.errors.count("warning") == 1  # the first one's: both write to this file


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with HubProcess(tmp_path) as hub:
        port = hub.url.rpartition(":")[2]
        done = subprocess.run(python("-m", "jd.hub", "serve", "--port", port, "--data", tmp_path / "b"),
                              env=free_env(tmp_path), capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout) == (1, "") and "choose another port" in done.stderr


def test_what_people_see_when_it_starts(tmp_path: Path) -> None:
    arguments = python("-m", "jd.hub", "serve", "--port", "0", "--data", tmp_path / "data")
    with Process(arguments, free_env(tmp_path), tmp_path / "hub.err") as process:
        lines = [process.stdout.readline().decode().split() for _ in range(5)]
        assert process.stop() == 0
    assert [line[0] for line in lines[:3]] == ["jd_hub", "hub", "data"]
    assert lines[3][:2] == ["sign", "up"] and lines[4][-2:] == ["7", "days"]


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_data_of_another_user(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o500)
    done = jd_hub(tmp_path, "user", "add", ALICE)
    assert done.returncode == 1 and "as the user that the Hub runs as" in done.stderr


@pytest.mark.parametrize("words", [["user", "list"], ["--help"]])
def test_a_reader_that_leaves_is_no_traceback(tmp_path: Path, words: List[str]) -> None:
    facts(tmp_path, "user", "add", ALICE)
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(python("-m", "jd.hub", "--data", tmp_path / "data", *words), stdout=write,
                          stderr=subprocess.PIPE, env=free_env(tmp_path), timeout=60)
    os.close(write)
    assert b"Traceback" not in done.stderr
