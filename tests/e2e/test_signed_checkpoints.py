"""Checkpoints between workers: the owner's own go on from each other's, nobody else's are used."""

import io
import json
import os
import pickle
import subprocess
import tarfile
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

from jd import protocol
from jd.script.context import JobContext
from jd.script.upload import Patience, send
from tests.e2e.node import Node
from tests.e2e.processes import EXPERIMENT, Process, Server, Worker
from tests.hub.hub_support import ALICE, BOB, TOKEN, HubProcess
from tests.support import STOPPED, free_env, python, wait_until
from tests.users import ask_as, needs_root, system_user

pytestmark = pytest.mark.slow

# Counts attempts, in an object and in a file of the checkpoint directory, and fails each time.
COUNTING = """
import os, sys
from pathlib import Path
from jd import jd_get_last_checkpoint, jd_update_checkpoint
state = Path(os.environ["JD_CHECKPOINT_DIR"]) / "count"
directory = int(state.read_text()) if state.exists() else 0
count = jd_get_last_checkpoint() or 0
print("got %d %d" % (count, directory), flush=True)
jd_update_checkpoint(count + 1)
state.write_text(str(directory + 1))
sys.exit(1)
"""
AGAIN = ("--aborted-job-reset-timeout", "0", "--max-attempts", "20")


class Payload:
    """Leaves a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> Any:
        return open, (self.path, "w")


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "train.py"
    path.write_text(COUNTING)
    return path


def place(tmp_path: Path, name: str) -> Path:
    """Another machine: a home, workspace and cache of its own."""
    path = tmp_path / name
    path.mkdir(exist_ok=True)
    return path


def attempt(server: Server, where: Path, script: Path, **environ: Any) -> str:
    """One attempt by a worker of a place; what it printed."""
    server.until(PENDING=1)
    with Worker(where, server.url, script, "once=true", **environ) as worker:
        return worker.finish()


def got(shown: str) -> List[str]:
    return [line.partition("got ")[2] for line in shown.splitlines() if "| got " in line]


def store(server: Server, content: bytes, job_id: int = 1, token: Any = None) -> None:
    """Claim the job and store what anybody could."""
    headers = {} if token is None else {"Authorization": "Bearer " + token}
    job = server.call("/worker/heartbeat", {"worker_id": "evil_egg_0"}, **headers)["job"]
    send(JobContext(None, job_id, server.url, lambda: token, job["attempt"]), Patience(1),
         protocol.CHECKPOINT, "checkpoint", io.BytesIO(content), "x", len(content), "", "")
    server.call("/update_job_status", {"job_id": job_id, "status": "ABORTED", "attempt": job["attempt"]},
                **headers)


# ---- the same owner

def test_a_second_node_with_the_same_token_file(tmp_path: Path, script: Path) -> None:
    token = tmp_path / "token"
    token.write_text("the-token-of-the-server-0123\n")
    token.chmod(0o600)
    with Server(tmp_path, *AGAIN, "--token-file", token) as server:
        bearer = {"Authorization": "Bearer the-token-of-the-server-0123"}
        server.call("/api/jobs/create", {"jobs": [{"x": 1}]}, **bearer)
        for number, name in enumerate(("one", "two", "one")):
            wait_until(lambda: server.call("/job_counts", **bearer)["PENDING"] == 1)
            with Worker(place(tmp_path, name), server.url, script, "once=true",
                        JD_SERVER_TOKEN_FILE=token) as worker:
                assert got(worker.finish()) == ["%d %d" % (number, number)]
        server.stop()


def test_a_container_with_a_fresh_home(tmp_path: Path, script: Path) -> None:
    """No token, no access file, no home in common: the server tells who it knows as its own user."""
    with Server(tmp_path, *AGAIN) as server:
        server.create()
        for number in range(3):
            fresh = place(tmp_path, "container-%d" % number)
            assert got(attempt(server, fresh, script)) == ["%d %d" % (number, number)]
            assert sorted(os.listdir(str(fresh / "home" / ".jd"))) == ["checkpoint.key"]
        no_home = attempt(server, place(tmp_path, "container-3"), script, HOME="/proc")
        assert got(no_home) == ["3 3"]
        server.stop()


def test_a_fresh_home_and_a_server_without_keys(tmp_path: Path, script: Path) -> None:
    with Server(tmp_path, *AGAIN, "--insecure") as server:
        server.create()
        for number in range(2):
            assert got(attempt(server, place(tmp_path, "home-%d" % number),
                               script)) == ["%d %d" % (number, number)]
        server.stop()


class Found(Worker):
    """A worker that finds its server in an access file where one is told, and else is given its URL."""

    def __init__(self, where: Path, script: Path, url: str, **environ: Any) -> None:
        words = [] if environ else ["server=" + url]
        Process.__init__(
            self, python("-m", "jd.cli", "expId=" + EXPERIMENT, "entry_script=%s" % script, "foreground=true",
                         "once=true", *words), free_env(where, **environ), where / "worker.err", where)


def test_who_has_the_access_file_and_who_does_not(tmp_path: Path, script: Path) -> None:
    with Server(tmp_path, *AGAIN) as server:
        server.create()
        files = tmp_path / "home" / ".jd" / "servers"
        copy = place(tmp_path, "copy")
        wait_until((files / "exp.json").exists)
        (copy / "exp.json").write_bytes((files / "exp.json").read_bytes())
        (copy / "exp.json").chmod(0o600)
        copy.chmod(0o700)
        for number, environ in enumerate([{}, {"JD_ACCESS_DIR": files}, {}, {"JD_ACCESS_DIR": copy}]):
            server.until(PENDING=1)
            with Found(place(tmp_path, "place-%d" % number), script, server.url, **environ) as worker:
                assert got(worker.finish()) == ["%d %d" % (number, number)]
        server.stop()


def test_the_same_home_will_do_whatever_the_server(tmp_path: Path, script: Path) -> None:
    """As with a server of another product, which gives no key: here one that is started anew with
    another token."""
    with Server(tmp_path, *AGAIN) as server:
        server.create()
        assert got(attempt(server, tmp_path, script)) == ["0 0"]
        server.stop()
    (server.workspace / EXPERIMENT / "meta" / "token").unlink()
    with Server(tmp_path, *AGAIN) as server:
        assert got(attempt(server, tmp_path, script)) == ["1 1"]
        refused = attempt(server, place(tmp_path, "elsewhere"), script)
        assert "jd_server checkpoint trust 1" not in refused, "it was signed by a worker that knows both"
        server.stop()


def test_a_requeued_task_goes_on(tmp_path: Path, script: Path) -> None:
    script.write_text(COUNTING.replace("sys.exit(1)", "Path(os.environ['MARK']).touch()\n"
                                       "import time; time.sleep(60)"))
    with Server(tmp_path, *AGAIN) as server:
        server.create()
        for number in range(2):
            mark = tmp_path / ("mark-%d" % number)
            with Worker(place(tmp_path, "node-%d" % number), server.url, script, "grace=1",
                        MARK=mark) as worker:
                wait_until(mark.exists)
                assert worker.stop() in (0, STOPPED)
            assert (tmp_path / ("node-%d" % number) / "workspace").is_dir()
        assert len(server.jobs()[0]["message"]) and server.counts() == {"PENDING": 1}
        script.write_text(COUNTING)
        assert got(attempt(server, place(tmp_path, "node-2"), script)) == ["2 2"]
        server.stop()


# ---- a Hub

class Hubs:
    """A Hub, a job server of Alice's, and keys of its users."""

    def __init__(self, tmp_path: Path, hub: HubProcess) -> None:
        self.directory, self.hub = tmp_path, hub
        for user in (ALICE, BOB):
            self.jd_hub("user", "add", user)

    def jd_hub(self, *words: str) -> Dict[str, Any]:
        done = subprocess.run(python("-m", "jd.hub", *words, "--data", self.directory / "hub" / "data",
                                     "--json"),
                              env=free_env(self.directory), stdout=subprocess.PIPE, timeout=60, check=True)
        return dict(json.loads(done.stdout))

    def key(self, user: str, name: str) -> str:
        return str(self.jd_hub("key", "create", "--user", user, "--name", name)["key"])

    def bearer(self, key: str) -> Dict[str, str]:
        token = self.hub.call("POST", TOKEN, key, {"experiment_name": EXPERIMENT})[1]["worker_token"]
        return {"Authorization": "Bearer " + token}

    def attempt(self, key: str, script: Path, where: Path) -> str:
        """One attempt by a worker that knows the Hub and a key."""
        with Process(python("-m", "jd.cli", "expId=" + EXPERIMENT, "entry_script=%s" % script,
                            "foreground=true", "once=true"),
                     free_env(where, JD_HUB_URL=self.hub.url, JD_API_KEY=key),
                     where / "worker.err") as worker:
            output, _ = worker.popen.communicate(timeout=60)
            assert key not in output.decode() + worker.errors
            return str(output.decode())


@pytest.fixture
def hubs(tmp_path: Path) -> Iterator[Hubs]:
    (tmp_path / "hub").mkdir()
    with HubProcess(tmp_path / "hub") as process:
        yield Hubs(tmp_path, process)


def test_with_a_hub_all_keys_of_a_user_and_nobody_elses(tmp_path: Path, hubs: Hubs, script: Path) -> None:
    keys = [hubs.key(ALICE, "a"), hubs.key(ALICE, "b")]
    guest = hubs.key(BOB, "c")
    with Server(tmp_path, *AGAIN, "--hub", hubs.hub.url, "--create", JD_API_KEY=keys[0]) as server:
        bearer = hubs.bearer(keys[0])

        def ready() -> bool:
            return bool(server.call("/job_counts", **bearer)["PENDING"] == 1)
        server.call("/api/jobs/create", {"jobs": [{"x": 1}]}, **bearer)
        hubs.jd_hub("experiment", "share", EXPERIMENT, BOB)
        for number, key in enumerate([keys[0], keys[1], keys[0]]):
            wait_until(ready)
            shown = hubs.attempt(key, script, place(tmp_path, "node-%d" % number))
            assert got(shown) == ["%d %d" % (number, number)]
        # The guest does not run the owner's, nor the owner the guest's.
        wait_until(ready)
        shown = hubs.attempt(guest, script, place(tmp_path, "guest"))
        assert got(shown) == [] and "checkpoint directory of job 1 is not unpacked" in shown
        store_as = hubs.bearer(guest)["Authorization"][len("Bearer "):]
        wait_until(ready)
        mark = tmp_path / "ran"
        store(server, pickle.dumps(Payload(mark)), token=store_as)
        wait_until(ready)
        script.write_text("from jd import jd_get_last_checkpoint\njd_get_last_checkpoint()\n")
        shown = hubs.attempt(keys[1], script, place(tmp_path, "node-9"))
        assert "checkpoint of job 1 is not unpickled" in shown and not mark.exists()
        server.stop()


# ---- somebody else

def archive() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as made:
        made.addfile(tarfile.TarInfo(protocol.DIRECTORY_MARK.decode()))
        made.addfile(tarfile.TarInfo("planted"))
    return file.getvalue()


def test_what_was_planted_does_not_run(tmp_path: Path, script: Path) -> None:
    mark = tmp_path / "ran"
    planted = pickle.dumps(Payload(mark))
    script.write_text("from jd import jd_get_last_checkpoint\njd_get_last_checkpoint()\n")
    with Server(tmp_path, *AGAIN) as server:
        server.create()
        store(server, planted)
        shown = attempt(server, tmp_path, script)
        assert "UntrustedCheckpoint" in shown and "it is not signed" in shown and not mark.exists()
        # The owner accepts it for one worker, or for all.
        shown = attempt(server, tmp_path, script, JD_CHECKPOINTS="unsigned")
        assert mark.exists()
        server.stop()


def test_a_directory_that_was_planted_fails_the_attempt(tmp_path: Path, script: Path) -> None:
    script.write_text("import os\nprint('files', sorted(os.listdir(os.environ['JD_CHECKPOINT_DIR'])))\n")
    with Server(tmp_path, *AGAIN) as server:
        server.create()
        store(server, archive())
        shown = attempt(server, tmp_path, script)
        assert "did not start" in shown and "files [" not in shown
        reasons = "\n".join(entry["reason"] for entry in server.jobs()[0]["message"])
        assert "checkpoint directory of job 1 is not unpacked" in reasons and "checkpoint trust 1" in reasons
        subprocess.run(python("-m", "jd.server", "checkpoint", "trust", 1, "--expId", EXPERIMENT,
                              "--workspace_path", server.workspace), env=free_env(tmp_path), check=True,
                       timeout=60, stdout=subprocess.DEVNULL)
        assert "files ['planted']" in attempt(server, place(tmp_path, "elsewhere"), script)
        server.stop()


# ---- where the key is, and is not

def test_the_key_is_not_kept_or_shown(tmp_path: Path, script: Path) -> None:
    script.write_text("import os, time\nfrom pathlib import Path\n"
                      "Path(os.environ['OUT']).write_text(os.environ['JD_CHECKPOINT_KEY'])\ntime.sleep(60)\n")
    out = tmp_path / "out"
    with Server(tmp_path) as server, Node(tmp_path, server.url, OUT=out, JD_CHECKPOINT_KEY="0" * 64) as node:
        server.create()
        (row,) = node.start(script)
        wait_until(lambda: out.exists() and out.read_text())
        (key,) = out.read_text().split(",")
        assert key != "0" * 64, "a worker does not take over the key of the job that launched it"
        shown = node.exp("show-config", row.worker_id).stdout + node.exp("doctor", status=None).stdout
        node.exp("stop", "all")
        kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path != out)
        for secret in (key, "0" * 64):
            assert secret not in shown and secret.encode() not in kept
        server.stop()


@needs_root
def test_a_server_without_keys_tells_the_key_to_its_owner_alone(tmp_path: Path) -> None:
    with Server(tmp_path, "--insecure") as server:
        beat = {"worker_id": "w"}
        assert len(server.call("/worker/heartbeat", beat)["checkpoint_key"]) == 64
        others = ask_as(system_user().pw_uid, lambda: server.call("/worker/heartbeat",
                                                                  dict(beat, worker_id="v")))
        forwarded = server.call("/worker/heartbeat", dict(beat, worker_id="u"), **{"X-Real-IP": "10.0.0.1"})
        for told in (others, forwarded):
            assert "job" in told and "checkpoint_key" not in told
        server.stop()


@needs_root
def test_the_key_is_told_to_nobody_but_the_owner(tmp_path: Path) -> None:
    user = system_user()
    with Server(tmp_path, "--allow-user", user.pw_name) as server:
        told = server.call("/worker/heartbeat", {"worker_id": "w"})
        assert len(told["checkpoint_key"]) == 64
        others = ask_as(user.pw_uid, lambda: server.call("/worker/heartbeat", {"worker_id": "v"}))
        assert "job" in others and "checkpoint_key" not in others
        token = (server.workspace / EXPERIMENT / "meta" / "token").read_text().strip()
        through_a_proxy = server.call("/worker/heartbeat", {"worker_id": "u"}, **{
            "Authorization": "Bearer " + token, "X-Forwarded-For": "10.0.0.1"})
        assert "job" in through_a_proxy and "checkpoint_key" not in through_a_proxy
        server.stop()
