"""Workers that know nothing but a key and a Hub: the real Hub, a job server that notes tokens."""

import json
import signal
import subprocess
from pathlib import Path
from typing import Any, Dict, Iterator, Tuple

import pytest

from jd.auth.tokenfiles import claims
from tests.e2e.node import Node
from tests.e2e.processes import EXPERIMENT, Server
from tests.hub.hub_support import ALICE, EXPERIMENTS, HubProcess
from tests.support import free_env, python, wait_until
from tests.worker.fake_server import FakeServer


def facts(tmp_path: Path, *words: str) -> Dict[str, Any]:
    done = subprocess.run(python("-m", "jd.hub", *words, "--data", tmp_path / "hub" / "data", "--json"),
                          env=free_env(tmp_path), stdout=subprocess.PIPE, timeout=60)
    assert done.returncode == 0
    return dict(json.loads(done.stdout.decode()))


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Tuple[HubProcess, str]]:
    """A Hub and the key of somebody who has an experiment there."""
    (tmp_path / "hub").mkdir()
    with HubProcess(tmp_path / "hub") as process:
        facts(tmp_path, "user", "add", ALICE)
        key = facts(tmp_path, "key", "create", "--user", ALICE, "--name", "laptop")["key"]
        facts(tmp_path, "experiment", "create", EXPERIMENT, "--user", ALICE)
        yield process, key


def register(hub: HubProcess, key: str, url: str) -> None:
    assert hub.call("POST", "%s/%s/register" % (EXPERIMENTS, EXPERIMENT), key, {"server_url": url})[0] == 200


def script(tmp_path: Path, text: str = "") -> Path:
    path = tmp_path / "train.py"
    path.write_text(text)
    return path


def test_a_key_and_a_hub_are_enough(tmp_path: Path, hub: Tuple[HubProcess, str]) -> None:
    process, key = hub
    train = script(tmp_path, "import os; print(os.environ['JD_WORKER_TOKEN'][:3], os.environ['JD_SERVER'])")
    with FakeServer() as server, Node(tmp_path, JD_API_KEY=key, JD_HUB_URL=process.url) as node:
        register(process, key, server.url)
        server.add(1)
        done = node.exp("entry_script=%s" % train, "foreground=true", "once=true")
        assert "eyJ " + server.url in done.stdout and key not in done.stdout + done.stderr
        assert [claims(str(token)[7:])["exp_name"]
                for token in server.tokens] == [EXPERIMENT] * len(server.tokens)
        node.exp("entry_script=%s" % train, "num_workers=2")
        rows = node.rows()
        assert len({row.worker_token for row in rows}) == 1 and rows[0].worker_token.startswith("eyJ")
        server.wait_for(lambda: len({body["worker_id"] for body in server.heartbeats()}) == 3)
        # Another shell, without the key: the workers' own token serves.
        before = len(server.tokens)
        node.exp("stop", rows[0].worker_id, JD_API_KEY="")
        told = [str(token) for token in server.tokens[before:]]
        assert told and all(token == "Bearer " + rows[0].worker_token for token in told)
        again = node.exp("restart", "all", JD_API_KEY="")
        assert server.url in again.stdout
        assert key not in json.dumps(server.sent)


def test_what_the_hub_has_against_a_launch_is_one_line(tmp_path: Path, hub: Tuple[HubProcess, str]) -> None:
    process, key = hub
    train = "entry_script=%s" % script(tmp_path)
    with Node(tmp_path, JD_HUB_URL=process.url, JD_API_KEY=key) as node:
        def refusal(**environ: Any) -> str:
            done = node.exp(train, status=1, **environ)
            assert done.stdout == "" and done.stderr.count("\n") == 1 and key not in done.stderr
            return done.stderr
        assert "jd_server --expId %s --hub %s" % (EXPERIMENT, process.url) in refusal()  # 503
        wrong = "jd_" + "x" * 40
        told = refusal(JD_API_KEY=wrong)
        assert "create one at %s/api-keys" % process.url in told and wrong not in told
        done = node.cli("expId=other", train, status=1)
        assert "no experiment other" in done.stderr and done.stderr.count("\n") == 1
        facts(tmp_path, "experiment", "delete", EXPERIMENT)
        assert "deleted" in refusal()
        process.stop(signal.SIGTERM)
        assert "cannot be reached" in refusal()
        assert node.rows() == []


def test_health_with_a_hub(tmp_path: Path, hub: Tuple[HubProcess, str]) -> None:
    process, key = hub
    with Node(tmp_path, JD_HUB_URL=process.url, JD_API_KEY=key) as node:
        told = json.loads(node.cli("health", "json=true").stdout)
        assert told["ok"] and told["hub"]["key_valid"] and told["server"] is None
        told = json.loads(node.exp("health", "json=true", status=1).stdout)
        assert told["hub"]["reachable"] and "jd_server --expId" in told["hub"]["error"]
        told = json.loads(node.cli("health", "json=true", status=1, JD_API_KEY="jd_" + "x" * 40).stdout)
        assert told["hub"]["key_valid"] is False and "/api-keys" in told["hub"]["error"]


def test_interactive_mode_wants_a_key_that_the_hub_knows(tmp_path: Path, hub: Tuple[HubProcess, str]) -> None:
    process, key = hub
    with Node(tmp_path, JD_HUB_URL=process.url) as node:
        assert "JD_API_KEY" in node.cli(typed="use a\n", status=2).stderr
        done = node.cli(typed="use a\n", status=1, JD_API_KEY="jd_" + "x" * 40)
        assert "does not know this key" in done.stderr and done.stdout == ""
        assert "'a'" in node.cli(typed="use a\n", JD_API_KEY=key).stdout
        assert "'a'" in node.cli("api_key=" + key, typed="use a\n").stdout
        process.stop(signal.SIGTERM)
        assert "cannot be reached" in node.cli(typed="use a\n", status=1, JD_API_KEY=key).stderr


def test_a_typed_key_is_not_in_the_list_of_processes(tmp_path: Path, hub: Tuple[HubProcess, str]) -> None:
    process, key = hub
    seen = "import subprocess,os; print(open('/proc/%d/cmdline' % os.getppid()).read())"
    with FakeServer() as server, Node(tmp_path, JD_HUB_URL=process.url) as node:
        register(process, key, server.url)
        server.add(1)
        done = node.exp("entry_script=%s" % script(tmp_path, seen), "foreground=true", "once=true",
                        "api_key=" + key)
        assert "foreground=true" in done.stdout and key not in done.stdout


def test_a_sweep_with_the_real_job_server(tmp_path: Path, hub: Tuple[HubProcess, str]) -> None:
    process, key = hub
    train = script(tmp_path,
                   "import jd, sys; p = jd.jd_job_dir() / 'r.txt'; p.write_text('1'); jd.jd_upload(p)")
    jobs = tmp_path / "jobs.json"
    jobs.write_text('[{"x": 1}, {"x": 2}]')
    with Server(tmp_path, "--hub", process.url, "--jobs", jobs, JD_API_KEY=key), \
            Node(tmp_path, JD_HUB_URL=process.url, JD_API_KEY=key) as node:
        def ready() -> bool:
            return node.exp("server-info", status=None).returncode == 0
        wait_until(ready, message="the server has registered")
        assert json.loads(node.exp("health", "json=true").stdout)["ok"]
        node.exp("entry_script=%s" % train, "num_workers=2")
        wait_until(lambda: json.loads(node.exp("server-info", "json=true").stdout)["counts"]["DONE"] == 2,
                   message="both jobs are done")
        assert node.exp("stop", "all").stderr == ""
