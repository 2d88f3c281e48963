"""`jd_server checkpoint trust`: the owner signs what somebody else's worker has stored."""

import io
import json
import os
import pickle
import stat
import subprocess
import tarfile
from pathlib import Path
from typing import Any, Dict, List
from urllib.request import ProxyHandler, build_opener

import pytest

from jd import protocol
from jd.auth import checkpointkey
from jd.errors import JdError, UsageError
from jd.script import signature
from jd.script.context import JobContext
from jd.script.signature import UntrustedCheckpoint, accept
from jd.script.upload import Patience, send
from jd.server.command import cli
from jd.server.store.files import files
from tests.e2e.processes import EXPERIMENT, Server
from tests.hub.hub_support import ALICE, EXPERIMENTS, HubProcess
from tests.script.signing import OTHER, signed
from tests.server.store_support import Desk
from tests.support import free_env, python

OBJECT = pickle.dumps({"epoch": 3})
TOKEN = "the-token-of-the-server-0123"
KEY = checkpointkey.of_token(TOKEN)


def archive() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as made:
        made.addfile(tarfile.TarInfo(protocol.DIRECTORY_MARK.decode()))
        made.addfile(tarfile.TarInfo("state"))
    return file.getvalue()


class Data:
    """The data of a server that does not run, with a job that is being run."""

    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.workspace, self.capsys = directory / "ws", capsys
        root = self.workspace / EXPERIMENT
        (root / "meta").mkdir(parents=True)
        self.meta, self.data_dir = root / "meta", root / "data"
        desk = Desk(self.meta)
        desk.create(1)
        desk.beat(session="s")
        desk.database.close()
        files.prepare(self.data_dir)
        (self.meta / "token").write_text(TOKEN + "\n")

    def store(self, content: bytes) -> Path:
        """A checkpoint as somebody's worker uploads it; its path."""
        desk = Desk(self.meta)
        incoming = files.Incoming(self.data_dir)
        incoming.write(content)
        incoming.settle()
        stored = desk.write(lambda t: files.add_checkpoint(t, self.data_dir, 1, None, incoming))
        desk.database.close()
        return self.data_dir / "1" / stored.filename

    def rows(self) -> List[files.Found]:
        desk = Desk(self.meta)
        found = desk.read(lambda db: files.of_job(db, self.data_dir, 1))
        desk.database.close()
        return found

    def run(self, *words: str, job: str = "1") -> str:
        assert cli.main(["checkpoint", "trust", job, "--expId", EXPERIMENT, "--workspace_path",
                         str(self.workspace), *words]) == 0
        return self.capsys.readouterr().out


@pytest.fixture
def data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Data:
    return Data(tmp_path, capsys)


def now(path: Path) -> Path:
    """Where the checkpoint of that version is by now: signing gives it another name."""
    (found,) = path.parent.glob(path.name.rpartition("_")[0] + "_*.pt")
    return found


def accepted(path: Path, *keys: str, job_id: int = 1, experiment: str = EXPERIMENT) -> bytes:
    """What a worker with these keys and a home of its own unpickles or unpacks."""
    file = io.BytesIO(now(path).read_bytes())
    accept(file, JobContext(experiment, job_id, "", lambda: None, keys=lambda: list(keys),
                            environ={"HOME": "/none"}), "it", "used")
    return file.read()


@pytest.mark.parametrize("content", [OBJECT, signed(OBJECT, OTHER), signed(OBJECT, KEY, job_id=2)],
                         ids=["not signed", "signed by a guest", "of another job"])
def test_what_was_refused_is_accepted_afterwards(data: Data, content: bytes) -> None:
    path = data.store(content)
    path.chmod(0o640)
    with pytest.raises(UntrustedCheckpoint):
        accepted(path, KEY)
    told = data.run()
    path = now(path)
    assert "(object, %d bytes) is signed now" % path.stat().st_size in told
    assert accepted(path, KEY) == OBJECT
    (row,) = data.rows()
    assert (row.path, row.size_bytes) == (path, path.stat().st_size)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(str(data.data_dir / ".incoming")) == []
    # For that job of that experiment alone.
    for other in ({"job_id": 2}, {"experiment": "other"}):
        with pytest.raises(UntrustedCheckpoint):
            accepted(path, KEY, **other)
    before = path.read_bytes()
    assert "was signed already" in data.run()
    assert path.read_bytes() == before


def test_the_newest_of_each_kind_are_signed(data: Data) -> None:
    old, directory, new = data.store(OBJECT), data.store(archive()), data.store(OBJECT)
    told = json.loads(data.run("--json"))
    assert [(one["filename"], one["kind"], one["signed"]) for one in told["checkpoints"]] == [
        (now(new).name, "object", True), (now(directory).name, "directory", True)]
    assert accepted(directory, KEY) == archive() and accepted(new, KEY) == OBJECT
    with pytest.raises(UntrustedCheckpoint):
        accepted(old, KEY)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")
def test_root_leaves_the_files_to_the_servers_user(data: Data) -> None:
    path = data.store(OBJECT)
    os.chown(str(path), 54321, 54321)
    data.run()
    assert (now(path).stat().st_uid, now(path).stat().st_gid) == (54321, 54321)


def test_the_token_file_of_the_server_counts(data: Data, tmp_path: Path) -> None:
    (data.meta / "token").unlink()
    path = data.store(OBJECT)
    with pytest.raises(UsageError, match="the token of the server is not known: give --token-file"):
        data.run()
    (tmp_path / "token").write_text("another-token-0123456\n")
    data.run("--token-file", str(tmp_path / "token"))
    assert accepted(path, checkpointkey.of_token("another-token-0123456")) == OBJECT


def test_wrong_usage_and_what_is_not_there(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    for job, says in (("2", "there is no job 2"), ("1", "job 1 of exp has no checkpoint")):
        with pytest.raises(JdError, match=says):
            data.run(job=job)
    for job in ("0", "x", "-1"):
        with pytest.raises(UsageError):
            data.run(job=job)
    for argv, says in ((["forget", "1"], "invalid choice"), (["trust"], "JOB"),
                       (["trust", "1"], "--expId NAME")):
        with pytest.raises(UsageError, match=says):
            cli.main(["checkpoint"] + argv)
    path = data.store(OBJECT)
    monkeypatch.setattr("jd.server.command.checkpointcommand.MAX_FILE_BYTES", len(OBJECT) + 20)
    with pytest.raises(JdError, match="JD_CHECKPOINTS=unsigned instead"):
        data.run()
    assert path.read_bytes() == OBJECT


def test_data_of_a_hub_wants_its_key(data: Data, monkeypatch: pytest.MonkeyPatch,
                                     capsys: pytest.CaptureFixture[str]) -> None:
    (data.meta / "hub.json").write_text(json.dumps({"hub_url": "http://127.0.0.1:9"}))
    data.store(OBJECT)
    data.run()  # also served without
    (data.meta / "token").unlink()
    with pytest.raises(UsageError, match="of the Hub http://127.0.0.1:9, .*set JD_API_KEY"):
        data.run()


def test_the_hub_is_asked_for_its_users_key(data: Data, tmp_path: Path,
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hub").mkdir()
    with HubProcess(tmp_path / "hub") as hub:
        def jd_hub(*words: str) -> Dict[str, Any]:
            done = subprocess.run(
                python("-m", "jd.hub", *words, "--data", tmp_path / "hub" / "data", "--json"),
                env=free_env(tmp_path), stdout=subprocess.PIPE, timeout=60, check=True)
            return dict(json.loads(done.stdout))
        jd_hub("user", "add", ALICE)
        keys = [jd_hub("key", "create", "--user", ALICE, "--name", name)["key"] for name in "ab"]
        jd_hub("experiment", "create", EXPERIMENT, "--user", ALICE)
        hub.call("POST", "%s/%s/register" % (EXPERIMENTS, EXPERIMENT), keys[0],
                 {"server_url": "http://127.0.0.1:9"})
        granted = hub.call("POST", "/api/worker/token", keys[1], {"experiment_name": EXPERIMENT})[1]
        path = data.store(OBJECT)
        monkeypatch.setenv("JD_API_KEY", keys[0])
        data.run("--hub", hub.url)
        assert accepted(path, granted["checkpoint_key"]) == OBJECT


def test_beside_a_running_server_it_counts_at_once(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        server.call("/api/jobs/create", {"jobs": [{"x": 1}]})
        attempt = server.call("/worker/heartbeat", {"worker_id": "w"})["job"]["attempt"]
        send(JobContext(EXPERIMENT, 1, server.url, lambda: None, attempt), Patience(1), "/checkpoint",
             "checkpoint", io.BytesIO(OBJECT), "x", len(OBJECT), "", "")

        def run() -> bytes:
            return subprocess.run(
                python("-m", "jd.server", "checkpoint", "trust", 1, "--expId", EXPERIMENT, "--workspace_path",
                       server.workspace),
                env=free_env(tmp_path), stdout=subprocess.PIPE, timeout=60, check=True).stdout

        assert b"is signed now" in run()
        token = (server.workspace / EXPERIMENT / "meta" / "token").read_text().strip()
        latest = server.url + "/checkpoint/latest?job_id=1"
        with build_opener(ProxyHandler({})).open(latest, timeout=60) as answer:
            served = io.BytesIO(answer.read())
        trailer = signature.read(served)
        assert trailer is not None
        assert signature.fits(served, trailer, [checkpointkey.of_token(token)])
        assert b"was signed already" in run()
        server.stop()
