"""Who may read what a server keeps, whatever the umask says and whatever was there before."""

import os
import stat
from pathlib import Path
from typing import Any, Iterator, Set

import pytest

from jd.errors import UsageError
from jd.hub.data import HubData
from jd.server.experiment import Experiment
from jd.server.store.files import files
from jd.server.store.policy import Policy
from jd.server.store.transaction import Transaction
from jd.storage import filemodes
from jd.storage.filemodes import PRIVATE, Modes
from tests.e2e.processes import EXPERIMENT, Server, Worker
from tests.server.store_support import Desk
from tests.server.test_files_store import put
from tests.support import MALLORY, as_user, needs_root, public_directory

GROUP = Modes(0o2750, 0o640, 54321)


@pytest.fixture(params=[0, 0o022, 0o077], ids=["umask 0", "umask 022", "umask 077"])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    old = os.umask(request.param)
    yield
    os.umask(old)


def serve(workspace: Path, kept: Modes = PRIVATE) -> Experiment:
    experiment = Experiment(workspace, "exp", Policy(), kept=kept)
    experiment.publish({"server_url": "http://x"})
    return experiment


def add_job(t: Transaction) -> None:
    t.db.execute("INSERT INTO jobs (status, parameters) VALUES ('DONE', '{}')")


def tree(root: Path, *but: str) -> Set[Any]:
    """(is a directory, mode, group) of all below, and of `root` itself."""
    found = [(path, path.lstat()) for path in [root, *root.rglob("*")] if path.name not in but]
    return {(stat.S_ISDIR(s.st_mode), oct(stat.S_IMODE(s.st_mode)), s.st_gid) for _, s in found}


CLOSED = {(True, "0o700", 0), (False, "0o600", 0)}
OPEN = {(True, "0o2750", 54321), (False, "0o640", 54321)}


def test_new_data_is_for_the_servers_user_alone(umask: None, tmp_path: Path) -> None:
    experiment = serve(tmp_path / "ws")
    try:
        assert {"jobs.db", "jobs.db-wal", "jobs.db-shm", "server.json", "server.lock"} <= {
            path.name for path in experiment.meta_dir.iterdir()}
        assert tree(tmp_path / "ws") == CLOSED
    finally:
        experiment.close()


@pytest.mark.parametrize("kept, wanted", [(PRIVATE, CLOSED), (GROUP, OPEN)])
@needs_root
def test_uploads_go_by_the_directory(umask: None, tmp_path: Path, kept: Modes, wanted: Set[Any]) -> None:
    desk = Desk(tmp_path)
    files.prepare(desk.data_dir, kept)
    desk.create(2)
    desk.beat(session="s")
    put(desk, "a.bin")
    desk.database.close()
    assert (desk.data_dir / "1" / "a.bin").is_file() and tree(desk.data_dir) == wanted


def test_what_an_earlier_version_left_open_is_closed(tmp_path: Path) -> None:
    serve(tmp_path / "ws").close()
    directory = tmp_path / "ws" / "exp"
    for path in [directory, *directory.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    experiment = serve(tmp_path / "ws")
    try:
        assert [stat.S_IMODE(path.stat().st_mode) for path in (
            directory, directory / "meta", directory / "data", directory / "meta" / "jobs.db")] == [
                0o700, 0o700, 0o700, 0o600]
        assert experiment.exposed == []
    finally:
        experiment.close()


@needs_root
def test_a_group_may_read_what_is_there_and_what_comes_but_no_secret(umask: None, tmp_path: Path) -> None:
    experiment = serve(tmp_path / "ws")
    experiment.write_now(add_job)
    experiment.close()
    directory = tmp_path / "ws" / "exp"
    secret = directory / "meta" / "token"
    secret.write_text("secret")
    secret.chmod(0o600)
    (directory / "data" / "1").mkdir(mode=0o700)
    (directory / "data" / "1" / "a").write_text("x")
    experiment = serve(tmp_path / "ws", GROUP)
    try:
        assert tree(directory, "token", "server.lock") == OPEN
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
        assert stat.S_IMODE((directory / "meta" / "server.lock").stat().st_mode) == 0o600
    finally:
        experiment.close()
    serve(tmp_path / "ws").close()
    assert [stat.S_IMODE(path.stat().st_mode) for path in (directory, directory / "data")] == [0o700, 0o700]


@needs_root
def test_what_belongs_to_somebody_else_is_told() -> None:
    with public_directory() as made:
        os.chown(str(made), MALLORY, MALLORY)
        assert as_user(MALLORY + 1, lambda: filemodes.apply(made, PRIVATE)) is False
        assert as_user(MALLORY, lambda: filemodes.apply(made, PRIVATE)) is True


def test_a_group_that_there_is_not() -> None:
    with pytest.raises(UsageError, match="no group nobody-has-this"):
        filemodes.for_group("nobody-has-this")
    with pytest.raises(UsageError, match="there is no group"):
        filemodes.for_group("9" * 5000)


@needs_root
def test_a_group_that_one_is_not_in() -> None:
    refused = as_user(MALLORY, lambda: filemodes.for_group("0"))
    assert isinstance(refused, UsageError) and "not in the group" in str(refused)
    assert as_user(MALLORY, lambda: filemodes.for_group(str(MALLORY))) == Modes(0o2750, 0o640, MALLORY)


def test_a_hub_is_closed_whatever_it_was(umask: None, tmp_path: Path) -> None:
    HubData(tmp_path / "hub").close()
    for path in (tmp_path / "hub", tmp_path / "hub" / "hub.db"):
        path.chmod(path.stat().st_mode | 0o055)
    data = HubData(tmp_path / "hub")
    try:
        data.claim()
        data.publish({"hub_url": "http://x", "pid": 1})
        assert tree(tmp_path / "hub") == CLOSED
    finally:
        data.close()


def test_all_of_a_server_with_a_hub(umask: None, tmp_path: Path) -> None:
    with Server(tmp_path, "--with-hub", "--hub-port", "0", "--hub-data", tmp_path / "hub") as server:
        server.event()
        assert tree(server.workspace) == CLOSED
        assert tree(tmp_path / "hub") == CLOSED
        assert (server.workspace / EXPERIMENT / "meta" / "pin").is_file()
        server.stop()


@pytest.mark.parametrize("group", [False, True], ids=["its user's", "a group's"])
@needs_root
def test_all_that_a_run_leaves_behind(umask: None, tmp_path: Path, group: bool) -> None:
    """With a certificate of its own, uploads and checkpoints of a worker, and a restart."""
    (tmp_path / "train.py").write_text(
        "import jd\njd.jd_upload(jd.__file__)\njd.jd_update_checkpoint([1])\n")
    (tmp_path / "jobs.json").write_text('[{"x": 1}, {"x": 2}]')
    flags = ["--data-group", "54321"] if group else []
    for _ in range(2):
        with Server(tmp_path, "--tls", "auto", "--jobs", tmp_path / "jobs.json", *flags) as server:
            access = tmp_path / "home" / ".jd" / "servers" / (EXPERIMENT + ".json")
            server.event()
            with Worker(tmp_path, "@%s" % access, tmp_path / "train.py", "exit_when_empty=true") as worker:
                worker.finish()
            files_of = {path.name for path in server.workspace.rglob("*")}
            assert {"tls-cert.pem", "tls-key.pem", "token", "pin", "server.json", "__init__.py"} <= files_of
            secrets = ("tls-key.pem", "token", "pin", "server.lock")
            assert tree(server.workspace, *secrets) == (OPEN if group else CLOSED)
            assert {stat.S_IMODE(path.stat().st_mode) for path in server.workspace.rglob("*")
                    if path.name in secrets} == {0o600}
            server.stop()
