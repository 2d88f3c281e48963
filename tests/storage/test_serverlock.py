import fcntl
import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from jd.files import filesystems
from jd.storage import serverlock
from jd.storage.serverlock import AlreadyServed, ServerLock


def test_one_holds_it_and_the_next_is_told_who(tmp_path: Path) -> None:
    first, second = ServerLock(tmp_path, "server"), ServerLock(tmp_path, "server")
    first.take()
    with pytest.raises(AlreadyServed) as starting:
        second.take()
    assert starting.value.owner == {}
    first.publish({"pid": 7})
    with pytest.raises(AlreadyServed) as running:
        second.take()
    assert running.value.owner == {"pid": 7}
    first.release()
    assert not (tmp_path / "server.json").exists()
    second.take()
    second.release()


def test_who_only_looks_keeps_nobody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`jd_server list` looks at each experiment, and one may be starting."""
    lock = ServerLock(tmp_path, "server")
    looking = os.open(str(tmp_path / "server.lock"), os.O_RDWR | os.O_CREAT)
    fcntl.flock(looking, fcntl.LOCK_SH)
    monkeypatch.setattr("jd.storage.serverlock.time.sleep", lambda _seconds: os.close(looking))
    lock.take()
    assert serverlock.holder(tmp_path, "server") is not None
    lock.release()


def test_one_that_looks_without_end_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serverlock, "LOOKING", 0.0)
    with open(str(tmp_path / "server.lock"), "w") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        with pytest.raises(AlreadyServed):
            ServerLock(tmp_path, "server").take()


def test_what_a_killed_one_left_is_withdrawn(tmp_path: Path) -> None:
    (tmp_path / "server.json").write_text('{"pid": 7}')
    held = ServerLock(tmp_path, "server")
    held.take()
    assert not (tmp_path / "server.json").exists()
    held.release()


def test_release_is_harmless_for_who_holds_nothing(tmp_path: Path) -> None:
    first, second = ServerLock(tmp_path, "hub"), ServerLock(tmp_path, "hub")
    first.take()
    first.publish({"pid": 7}, 0o600)
    second.release()
    assert stat.S_IMODE(os.stat(str(tmp_path / "hub.json")).st_mode) == 0o600
    first.release()
    first.release()


@pytest.mark.parametrize("content", ["", "[1]", "{"])
def test_a_damaged_file_tells_nothing(tmp_path: Path, content: str) -> None:
    first, second = ServerLock(tmp_path, "server"), ServerLock(tmp_path, "server")
    first.take()
    (tmp_path / "server.json").write_text(content)
    with pytest.raises(AlreadyServed) as taken:
        second.take()
    assert taken.value.owner == {}
    first.release()


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ServerLock(tmp_path / "none", "server").take()


# ---- where locks do not reach other hosts

@pytest.fixture
def on_nfs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks that nobody else sees, and little patience."""
    monkeypatch.setattr(filesystems, "is_network", lambda _path: True)
    monkeypatch.setattr(fcntl, "flock", lambda _handle, _kind: None)
    monkeypatch.setattr(serverlock, "TOUCH_EVERY", 0.005)
    monkeypatch.setattr(serverlock, "WATCH_FOR", 10.0)
    monkeypatch.setattr(serverlock, "_LOOK_EVERY", 0.002)


def test_a_server_on_another_host_is_noticed(tmp_path: Path, on_nfs: None) -> None:
    first, second = ServerLock(tmp_path, "server"), ServerLock(tmp_path, "server")
    first.take()
    first.publish({"pid": 7, "host": "elsewhere"})
    with pytest.raises(AlreadyServed) as taken:
        second.take()
    assert taken.value.owner["host"] == "elsewhere"
    first.release()
    second.take()
    second.release()
    assert [thread for thread in threading.enumerate() if thread.name == "jd-server-lock"] == []


def test_one_that_was_killed_there_is_not_waited_for_without_end(tmp_path: Path, on_nfs: None,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serverlock, "WATCH_FOR", 0.02)
    (tmp_path / "server.json").write_text('{"pid": 7, "host": "elsewhere"}')
    lock = ServerLock(tmp_path, "server")
    lock.take()
    assert not (tmp_path / "server.json").exists()
    lock.release()


def test_two_that_started_at_once_say_so(tmp_path: Path, on_nfs: None, caplog: pytest.LogCaptureFixture,
                                         monkeypatch: pytest.MonkeyPatch) -> None:
    said = threading.Event()

    def error(*_: Any) -> None:
        said.set()

    monkeypatch.setattr(serverlock.log, "error", error)
    lock = ServerLock(tmp_path, "server")
    lock.take()
    lock.publish({"pid": 7, "host": "here"})
    (tmp_path / "server.json").write_text(json.dumps({"pid": 8, "host": "elsewhere"}))
    assert said.wait(10)
    lock.release()


def test_a_file_system_without_locks_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(_handle: int, _kind: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(OSError, match="No locks available"):
        ServerLock(tmp_path, "server").take()
