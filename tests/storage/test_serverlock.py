import os
import stat
from pathlib import Path

import pytest

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
