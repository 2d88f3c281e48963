"""Access files: what they hold, whose they may be, and that nothing of the token shows."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict

import pytest

from jd.errors import StorageError, UsageError
from jd.net.finding import accessfile
from jd.net.finding.accessfile import Place, Seat
from tests.support import ROOT

TOKEN = "a-token-that-nobody-may-see"
OTHER_UID = 54321

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to have files of another user")


def place(**changes: Any) -> Place:
    made = Place("exp", "id0", ("http://127.0.0.1:5000", "http://head:5000", "http://10.0.0.1:5000"),
                 "head", Seat.own(), TOKEN)
    return made.but(**changes)


@pytest.fixture
def environ(tmp_path: Path) -> Dict[str, str]:
    return {"HOME": str(tmp_path)}


def written(environ: Dict[str, str], what: Place) -> Path:
    path = accessfile.path_of("exp", environ)
    accessfile.write(path, what)
    return path


def test_what_was_written_is_read(environ: Dict[str, str]) -> None:
    told = place(certificate="-----BEGIN CERTIFICATE-----\n", hub="https://hub")
    path = written(environ, told)
    assert path == Path(environ["HOME"], ".jd", "servers", "exp.json")
    assert accessfile.find("exp", environ) == told
    assert accessfile.found(environ) == (path,)
    assert TOKEN not in repr(told)


def test_it_is_for_its_owner_alone_whatever_the_umask(environ: Dict[str, str]) -> None:
    before = os.umask(0)
    try:
        path = written(environ, place())
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == path.parent.parent.stat().st_mode & 0o777 == 0o700
    assert os.listdir(str(path.parent)) == ["exp.json"]


def test_another_directory(tmp_path: Path) -> None:
    environ = {"HOME": "/nonexistent", "JD_ACCESS_DIR": str(tmp_path / "own")}
    assert written(environ, place()).parent == tmp_path / "own"


def test_no_file_no_home_no_place(environ: Dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert accessfile.find("exp", environ) is None
    assert accessfile.find("exp", {"HOME": "/dev/null"}) is None
    assert accessfile.found({"HOME": "/dev/null"}) == ()
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)  # nobody has a passwd entry
    assert accessfile.find("exp", {}) is None and accessfile.found({}) == ()
    with pytest.raises(UsageError):
        accessfile.path_of("exp", {})


@pytest.mark.parametrize("name", ["../x", ".hidden", "a/b", "", "x" * 101])
def test_a_name_never_leaves_the_directory(environ: Dict[str, str], name: str) -> None:
    with pytest.raises(Exception, match="experiment name"):
        accessfile.path_of(name, environ)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602])
def test_a_file_that_others_can_read_or_write_does_not_count(environ: Dict[str, str], mode: int) -> None:
    path = written(environ, place())
    path.chmod(mode)
    with pytest.raises(StorageError, match="chmod 600"):
        accessfile.read(path)


def test_nor_one_in_a_directory_that_others_write_in(environ: Dict[str, str]) -> None:
    path = written(environ, place())
    path.parent.chmod(0o707)
    with pytest.raises(StorageError, match="access directory .* can be written by everybody"):
        accessfile.find("exp", environ)
    with pytest.raises(StorageError, match="can be written by everybody"):
        accessfile.write(path, place())


@as_root
def test_a_file_of_another_user_does_not_count(environ: Dict[str, str]) -> None:
    path = written(environ, place())
    os.chown(str(path), OTHER_UID, OTHER_UID)
    with pytest.raises(StorageError, match="belongs to uid 54321"):
        accessfile.find("exp", environ)


@as_root
def test_nor_one_in_a_directory_of_another_user(environ: Dict[str, str]) -> None:
    path = written(environ, place())
    os.chown(str(path.parent), OTHER_UID, OTHER_UID)
    with pytest.raises(StorageError, match="belongs to somebody else .*54321"):
        accessfile.find("exp", environ)


@as_root
def test_a_home_that_may_not_be_looked_into_holds_none(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    script = ("import os, sys\n"
              "sys.path.insert(0, %r)\n"
              "from jd.net.finding import accessfile\n"  # before: the other user may not see this Python
              "os.setuid(%d)\n"
              "print(accessfile.find('exp', {'HOME': %r}))" % (
                  str(ROOT), OTHER_UID, str(closed)))
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=False, timeout=60)
    assert done.stdout == b"None\n"


@pytest.mark.parametrize("content", [
    b"", b"{}", b"[]", b"http://n1:5000\n", b"\xff", b"[" * 100_000, b" " * 70_000,
    json.dumps(dict(place().to_json(), format=2)).encode(),
    json.dumps(dict(place().to_json(), urls=[])).encode(),
    json.dumps(dict(place().to_json(), urls=["ftp://x"])).encode(),
    json.dumps(dict(place().to_json(), urls=[1])).encode(),
    json.dumps(dict(place().to_json(), token=TOKEN + " x")).encode(),
    json.dumps(dict(place().to_json(), pid="1")).encode(),
    json.dumps(dict(place().to_json(), experiment="../x")).encode()])
def test_what_is_no_access_file_is_said_without_its_content(environ: Dict[str, str], content: bytes) -> None:
    path = written(environ, place())
    path.write_bytes(content)
    with pytest.raises(StorageError, match="exp.json is no access file") as refused:
        accessfile.read(path)
    assert TOKEN not in str(refused.value)


def test_a_directory_or_a_pipe_is_no_file_and_nobody_waits_for_it(environ: Dict[str, str]) -> None:
    path = accessfile.path_of("exp", environ)
    path.mkdir(parents=True)
    with pytest.raises(StorageError, match="is no file"):
        accessfile.read(path)
    path.rmdir()
    os.mkfifo(str(path))
    with pytest.raises(StorageError, match="is no file"):
        accessfile.read(path)


def test_a_file_system_that_takes_two_names_for_one(environ: Dict[str, str]) -> None:
    path = written(environ, place(experiment="EXP"))
    assert path.name == "exp.json"
    with pytest.raises(StorageError, match="is of the experiment EXP, not exp"):
        accessfile.find("exp", environ)


def test_only_the_file_of_this_very_server_is_removed(environ: Dict[str, str]) -> None:
    path = written(environ, place())
    seat = place().seat
    for other in (place(server_id="id1"), place(seat=seat._replace(pid=1)),
                  place(seat=seat._replace(started="0")), place(seat=seat._replace(machine="m"))):
        accessfile.remove(path, other)
        assert path.exists()
    accessfile.remove(path, place())
    assert not path.exists()
    accessfile.remove(path, place())


def test_loopback_first_on_its_machine_and_never_elsewhere() -> None:
    assert place().reachable() == place().urls
    shuffled = place(urls=("http://head:5000", "http://localhost:5000"))
    assert shuffled.reachable() == ("http://localhost:5000", "http://head:5000")
    elsewhere = Seat("another boot", "pid:[1]", 1, "1")
    assert place(seat=elsewhere).reachable() == ("http://head:5000", "http://10.0.0.1:5000")
    assert place(seat=elsewhere, urls=("https://[::1]:1", "http://localhost:1")).reachable() == ()


def test_a_process_that_ended_is_known_here_only() -> None:
    own = Seat.own()
    assert not own.is_over()
    assert own._replace(started="0").is_over()
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait(60)
    assert own._replace(pid=child.pid).is_over()
    assert not own._replace(machine="another", started="0").is_over()
    assert not own._replace(pids="pid:[1]", started="0").is_over()


def test_a_write_that_fails_leaves_what_was_there(environ: Dict[str, str]) -> None:
    path = accessfile.path_of("exp", environ)
    path.mkdir(parents=True)
    with pytest.raises(StorageError, match="exp.json cannot be written"):
        accessfile.write(path, place())
    assert os.listdir(str(path.parent)) == ["exp.json"]
    with pytest.raises(StorageError, match="cannot be written"):
        accessfile.write(Path("/dev/null/servers/exp.json"), place())
