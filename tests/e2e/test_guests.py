"""Somebody whom an experiment is shared with: the real Hub, job server, worker and script."""

import json
import subprocess
from pathlib import Path
from typing import Any, Dict

from tests.e2e.processes import EXPERIMENT, Process, Server
from tests.e2e.test_hub_server import HubServer, member
from tests.hub.hub_support import ALICE, BOB, TOKEN, HubProcess
from tests.support import STOPPED, free_env, python, wait_until

# What a script may do with the token that its worker has.
TRAIN = """
import json, os, sys, urllib.error, urllib.request
import jd
request = urllib.request.Request(os.environ["JD_SERVER"] + "/api/jobs/create", json.dumps(
    {"jobs": [{"x": "made by a guest"}]}).encode(), {"Content-Type": "application/json",
    "Authorization": "Bearer " + os.environ["JD_WORKER_TOKEN"]})
try:
    said = urllib.request.urlopen(request).status
except urllib.error.HTTPError as error:
    said = "%d %s" % (error.code, json.load(error)["error"])
path = jd.jd_job_dir() / "said.txt"
path.write_text(str(said))
jd.jd_upload(path)
"""


def hub_command(tmp_path: Path, *words: str) -> Dict[str, Any]:
    done = subprocess.run(python("-m", "jd.hub", *words, "--data", tmp_path / "data", "--json"),
                          env=free_env(tmp_path), stdout=subprocess.PIPE, timeout=60, check=True)
    return dict(json.loads(done.stdout.decode()))


def test_a_guest_works_and_may_more_once_the_owner_says_so(tmp_path: Path) -> None:
    train = tmp_path / "train.py"
    train.write_text(TRAIN)
    with HubProcess(tmp_path) as hub:
        alice, bob = member(tmp_path, ALICE), member(tmp_path, BOB)
        hub_command(tmp_path, "experiment", "create", EXPERIMENT, "--user", ALICE)
        hub_command(tmp_path, "experiment", "share", EXPERIMENT, BOB)
        with HubServer(tmp_path, hub.url, alice) as server:
            owner = hub.call("POST", TOKEN, alice, {"experiment_name": EXPERIMENT})[1]["worker_token"]
            guest = tmp_path / "bob"
            guest.mkdir()

            def add_a_job() -> None:
                assert server.ask(owner, "/api/jobs/create", {"jobs": [{"x": 1}]})[0] == 200

            def counts() -> Dict[str, int]:
                return {status: n for status, n in server.ask(owner)[1].items() if n}

            def said(job_id: int) -> str:
                return (server.workspace / EXPERIMENT / "data" / str(job_id) / "said.txt").read_text()
            add_a_job()
            with Process(python("-m", "jd.cli", "expId=" + EXPERIMENT, "foreground=true",
                                "entry_script=%s" % train),
                         free_env(guest, JD_API_KEY=bob, JD_HUB_URL=hub.url), guest / "worker.err",
                         guest) as worker:
                wait_until(lambda: counts() == {"DONE": 1})
                assert said(1).startswith("403 experiment %s belongs to %s" % (EXPERIMENT, ALICE))
                # The token of before is revoked, and the worker gets itself another.
                before = hub.call("POST", TOKEN, bob, {"experiment_name": EXPERIMENT})[1]["worker_token"]
                hub_command(tmp_path, "experiment", "share", EXPERIMENT, BOB, "--role", "edit")
                wait_until(lambda: server.ask(before)[0] == 401)
                add_a_job()
                wait_until(lambda: counts().get("DONE", 0) >= 2)
                assert said(2) == "200"
                assert worker.stop() in (0, STOPPED)


# All that `import jd` does with the server, and whether the key is there.
USE = """
import os, sys
import jd
path = jd.jd_job_dir() / "key.txt"
path.write_text(os.environ.get("JD_API_KEY", "none"))
assert jd.jd_get_last_checkpoint() is None
jd.jd_update_checkpoint({"epoch": 1})
assert jd.jd_get_last_checkpoint() == {"epoch": 1}
jd.jd_upload(path)
"""


def test_a_script_of_somebody_elses_sweep_is_not_given_the_key(tmp_path: Path) -> None:
    train = tmp_path / "train.py"
    train.write_text(USE)
    with HubProcess(tmp_path) as hub:
        alice, bob = member(tmp_path, ALICE), member(tmp_path, BOB)
        hub_command(tmp_path, "experiment", "create", EXPERIMENT, "--user", ALICE)
        hub_command(tmp_path, "experiment", "share", EXPERIMENT, BOB)
        with HubServer(tmp_path, hub.url, alice) as server:
            owner = hub.call("POST", TOKEN, alice, {"experiment_name": EXPERIMENT})[1]["worker_token"]
            for job_id, (key, words, told) in enumerate([
                    (alice, [], alice), (bob, [], "none"), (bob, ["pass_api_key=true"], bob),
                    (alice, ["pass_api_key=false"], "none")], 1):
                assert server.ask(owner, "/api/jobs/create", {"jobs": [{"x": job_id}]})[0] == 200
                who = tmp_path / str(job_id)
                who.mkdir()
                with Process(python("-m", "jd.cli", "expId=" + EXPERIMENT, "foreground=true", "once=true",
                                    "entry_script=%s" % train, *words),
                             free_env(who, JD_API_KEY=key, JD_HUB_URL=hub.url), who / "worker.err",
                             who) as worker:
                    output, _ = worker.popen.communicate(timeout=60)
                    assert worker.popen.returncode == 0, output
                data = server.workspace / EXPERIMENT / "data" / str(job_id)
                assert (data / "key.txt").read_text() == told, output
            assert server.ask(owner)[1]["DONE"] == 4


def test_what_a_job_saves_after_a_command_stopped_it_stays_where_it_is(tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_text("#!/bin/sh\ntrap 'echo 1 > \"$JD_CHECKPOINT_DIR/state\"; exit 0' TERM\n"
                      ": > \"$MARKS/started\"\nwhile :; do sleep 0.05; done\n")
    script.chmod(0o755)
    with Server(tmp_path) as server:
        server.create()
        with Process(python("-m", "jd.cli", "expId=" + EXPERIMENT, "foreground=true",
                            "entry_script=%s" % script,
                            "server=" + server.url), free_env(tmp_path, MARKS=tmp_path),
                     tmp_path / "worker.err", tmp_path) as worker:
            wait_until((tmp_path / "started").exists)
            server.call("/workers/cli/stop", {"worker_id": server.jobs()[0]["worker_id"], "action": "stop"})
            assert worker.stop() in (0, STOPPED)
        assert server.counts() == {"ABORTED": 1}
        assert not list(server.workspace.rglob("checkpoint_v*"))
        assert [path.read_text() for path in (tmp_path / "workspace").rglob("state")] == ["1\n"]
        logs = b"".join(path.read_bytes() for path in (tmp_path / "workspace").rglob("jd_worker_*.log"))
        assert b"attempt 1 of job 1 has ended: the job is ABORTED" in logs
        server.stop()
