"""Data of a server or Hub that another user could have planted is not used: it decides what workers run."""

import os
import stat
import subprocess
from pathlib import Path
from typing import Any, Callable, Iterator, List, Optional

import pytest

from jd.files.safedirs import UnsafePlace
from jd.hub.data import HubData
from jd.server.command import publishing
from jd.server.experiment import Experiment
from jd.server.store import direct
from jd.server.store.policy import Policy
from jd.storage import filemodes
from jd.storage.filemodes import PRIVATE, Modes
from tests.support import (
    MALLORY,
    NOBODY,
    as_user,
    directory_of,
    file_of,
    free_env,
    needs_root,
    public_directory,
    python,
)

pytestmark = needs_root
OWNER = 54330
GROUP = 54777


@pytest.fixture
def root() -> Iterator[Path]:
    """A directory of root's like /tmp."""
    with public_directory(0o1777) as made:
        yield made


def served(workspace: Path, uid: int = OWNER, gid: Optional[int] = None, umask: int = 0,
           kept: Modes = PRIVATE) -> Any:
    """None, or what a server's start by this user raised."""
    def serve() -> None:
        os.umask(umask)
        Experiment(workspace, "victim", Policy(), kept=kept).close()
    return as_user(uid, serve, gid)


def hub(data: Path, uid: int = OWNER, gid: Optional[int] = None, **options: Any) -> Any:
    def serve() -> None:
        os.umask(0)
        HubData(data, **options).close()
    return as_user(uid, serve, gid)


def refused(error: Any, *words: str) -> None:
    assert isinstance(error, UnsafePlace), error
    assert "\n" not in str(error)
    for word in words:
        assert word in str(error)


@pytest.mark.parametrize("name", ["token", "jobs.db", "hub.json", "tls-key.pem", "tls-cert.pem", "pin"])
@pytest.mark.parametrize("uid", [OWNER, 0], ids=["user", "root"])
def test_planted_data_is_refused(root: Path, uid: int, name: str) -> None:
    workspace = directory_of(root / "ws", MALLORY, 0o755)
    directory_of(workspace / "victim", MALLORY, 0o777)
    file_of(directory_of(workspace / "victim" / "meta", MALLORY, 0o777) / name, MALLORY)
    refused(served(workspace, uid), "server data", "belongs to somebody else", "--workspace_path")


@pytest.mark.parametrize("below", ["", "victim", "victim/meta", "victim/data"])
def test_a_planted_part_of_the_way_is_refused(root: Path, below: str) -> None:
    workspace = root / "ws"
    if below:
        assert served(workspace) is None
        os.rename(str(workspace / below), str(workspace / "away"))
    directory_of(workspace / below, MALLORY, 0o777)
    refused(served(workspace), str(workspace / below), "uid %d" % MALLORY)


@pytest.mark.parametrize("name", ["token", "jobs.db", "jobs.db-wal", "hub.json", "tls-key.pem", "pin"])
def test_a_file_that_somebody_else_put_into_data_of_ones_own(root: Path, name: str) -> None:
    workspace = root / "ws"
    assert served(workspace) is None
    planted = file_of(workspace / "victim" / "meta" / name, MALLORY)
    refused(served(workspace), str(planted), "belongs to somebody else")
    found = as_user(OWNER, lambda: direct.find(workspace, "victim"))
    refused(found, str(planted))
    os.chown(str(planted), OWNER, OWNER)
    planted.chmod(0o666)
    refused(served(workspace), str(planted), "written by everybody", "chmod go-w")


@pytest.mark.parametrize("mode, gid, fine", [
    (0o755, GROUP, True), (0o775, GROUP, False), (0o775, OWNER, True), (0o777, OWNER, False)])
def test_data_of_ones_own_that_others_can_write(root: Path, mode: int, gid: int, fine: bool) -> None:
    workspace = root / "ws"
    assert served(workspace) is None
    directory_of(workspace / "victim", OWNER, mode, gid)
    outcome = served(workspace)
    if fine:
        assert outcome is None
    else:
        refused(outcome, "chmod go-w")


@pytest.mark.parametrize("make", [
    lambda path: served(path / "victim"), lambda path: hub(path / "data"),
    lambda path: as_user(OWNER, lambda: publishing.publish(path / "url", "http://x", None))],
    ids=["server", "Hub", "published"])
def test_missing_parents_are_not_open_whatever_the_umask(root: Path, make: Callable[[Path], Any]) -> None:
    before = os.umask(0)
    try:
        assert make(root / "a" / "b" / "c") is None
    finally:
        os.umask(before)
    assert [stat.S_IMODE(path.stat().st_mode) & 0o022 for path in root.rglob("*") if path.is_dir()
            ] == [0] * len([path for path in root.rglob("*") if path.is_dir()])


def test_a_group_gets_to_new_data_and_reads_only(root: Path) -> None:
    assert served(root / "a" / "ws", OWNER, GROUP, 0o022, Modes(0o2750, 0o640, GROUP)) is None
    database = root / "a" / "ws" / "victim" / "meta" / "jobs.db"
    assert len(as_user(MALLORY, lambda: database.read_bytes()[:6], GROUP)) == 6
    for path in (database, database.parent / "x"):
        assert isinstance(as_user(MALLORY, lambda: path.write_text("x"), GROUP), PermissionError)


def test_volumes_that_an_administrator_gives(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root.chmod(0o755)
    # An image's directory, for any user of group 0; its own user; an emptyDir; a volume with fsGroup.
    for number, (uid, mode, gid) in enumerate([(1001, 0o770, 0), (OWNER, 0o755, OWNER), (0, 0o777, 0),
                                               (0, 0o2775, OWNER)]):
        volume = directory_of(root / str(number), uid, mode, gid)
        for _ in range(2):
            assert served(volume, OWNER, gid) is None
            assert hub(volume / ".hub", OWNER, gid) is None
        volume = directory_of(root / ("hub%d" % number), uid, mode, gid)
        assert [hub(volume, OWNER, gid) for _ in range(2)] == [None, None]
    assert hub(directory_of(root / "emptydir", 0, 0o777), 0) is None
    # Kubernetes opens all that is in a volume to the fsGroup when the pod is started again.
    volume = root / "3"
    for path in [volume, *volume.rglob("*")]:
        os.chown(str(path), -1, GROUP)
        path.chmod(0o2770 if path.is_dir() else 0o660)
    refused(served(volume, OWNER, GROUP), "written by its group")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert served(volume, OWNER, GROUP) is None


def test_data_that_another_user_of_the_volume_made(root: Path) -> None:
    root.chmod(0o755)
    volume = directory_of(root / "volume", 1001, 0o770, 0)
    assert served(volume, 1001, 0) is None
    directory_of(volume / "victim", 1001, 0o770, 0)
    refused(served(volume, OWNER, 0), "victim belongs to somebody else (uid 1001")


@pytest.mark.parametrize("name", ["hub.db", "hub.json", "admin.key", "hub.lock"])
def test_a_planted_hub_is_refused(root: Path, name: str) -> None:
    planted = directory_of(root / "hub", MALLORY, 0o777)
    for uid in (OWNER, 0):
        refused(hub(planted, uid), "Hub data", "belongs to somebody else", "--data")
    data = root / "mine"
    assert hub(data) is None
    refused(hub(file_of(data / name, MALLORY).parent), name, "belongs to somebody else")
    refused(hub(data, create=False), name)


def test_a_planted_link_of_a_hub_makes_no_file(root: Path) -> None:
    planted = directory_of(root / "hub", MALLORY, 0o777)
    (planted / "hub.db").symlink_to(root / "made")
    refused(hub(planted, 0), "Hub data")
    assert not (root / "made").exists()


@pytest.mark.parametrize("words", [
    ["jd.server", "--expId", "victim", "--workspace_path", "{}/ws"],
    ["jd.server", "--expId", "e", "--workspace_path", "{}/mine", "--with-hub", "--hub-data", "{}/hub"],
    ["jd.hub", "serve", "--data", "{}/hub"]], ids=["server", "own Hub", "Hub"])
def test_a_command_ends_with_one_line(root: Path, tmp_path: Path, words: List[str]) -> None:
    for name in ("ws/victim/meta", "hub"):
        directory_of(root / name, MALLORY, 0o777)
    for path in (root / "ws", root / "ws" / "victim"):
        os.chown(str(path), MALLORY, MALLORY)
    file_of(root / "ws" / "victim" / "meta" / "token", MALLORY)
    done = subprocess.run(python("-m", *(word.format(root) for word in words)), env=free_env(tmp_path),
                          capture_output=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, b"")
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("error: ") and "belongs to somebody else" in line and "set --" in line


def test_root_works_for_the_user_of_a_hub(root: Path) -> None:
    assert hub(root / "hub", NOBODY) is None
    assert hub(root / "hub", 0, create=False, own=False) is None
    assert filemodes.of(root / "hub") == PRIVATE
