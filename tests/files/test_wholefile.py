"""Files that are there whole or not at all."""

import gc
import os
import stat
from pathlib import Path
from typing import List

import pytest

from jd.files import filesystems, wholefile


def test_the_content_takes_the_place_of_the_old_one_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    wholefile.write(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(str(tmp_path)) == ["file"]


def test_until_the_end_the_old_content_stands(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with wholefile.replacing(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("end", [OSError("the disk is full"), KeyboardInterrupt()])
def test_one_that_could_not_be_written_leaves_no_trace(tmp_path: Path, end: BaseException) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(type(end)):
        with wholefile.replacing(path) as file:
            file.write(b"half of")
            raise end
    assert path.read_text() == "old"
    assert os.listdir(str(tmp_path)) == ["file"]


def test_a_place_that_is_a_directory_is_an_error_and_leaves_no_trace(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError):
        wholefile.write(tmp_path / "taken", b"content")
    assert os.listdir(str(tmp_path)) == ["taken"]


def test_the_umask_takes_from_the_mode(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        wholefile.write(tmp_path / "file", b"", 0o666)
        wholefile.write(tmp_path / "secret", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


def test_a_link_is_replaced_and_what_it_points_to_is_not_written(tmp_path: Path) -> None:
    target, path = tmp_path / "target", tmp_path / "file"
    target.write_text("somebody's")
    path.symlink_to(target)
    wholefile.write(path, b"ours")
    assert not path.is_symlink() and path.read_text() == "ours"
    assert target.read_text() == "somebody's"


def test_the_longest_name_of_a_file_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 127)
    wholefile.write(path, b"content")
    assert path.read_bytes() == b"content"


@pytest.mark.parametrize("durable, steps", [
    (False, ["rename"]),
    (True, ["sync", "rename", "sync directory"]),
])
def test_a_durable_file_is_on_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                          durable: bool, steps: List[str]) -> None:
    done: List[str] = []
    rename = os.replace

    def noted(source: str, target: str) -> None:
        done.append("rename")
        rename(source, target)

    def no_sync(path: Path) -> None:
        assert path == tmp_path
        done.append("sync directory")
        raise OSError("as some network file systems say")

    monkeypatch.setattr(os, "fsync", lambda handle: done.append("sync"))
    monkeypatch.setattr(os, "replace", noted)
    monkeypatch.setattr(filesystems, "sync", no_sync)
    wholefile.write(tmp_path / "file", b"content", durable=durable)
    assert done == steps and (tmp_path / "file").read_bytes() == b"content"


def test_what_is_created_takes_nobodys_place(tmp_path: Path) -> None:
    path = tmp_path / "file"
    wholefile.create(str(path), b"new", 0o600)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"new", 0o600)
    (tmp_path / "link").symlink_to("nowhere")
    for there in (path, tmp_path / "link"):
        with pytest.raises(FileExistsError):
            wholefile.create(str(there), b"other")
    assert path.read_bytes() == b"new" and not (tmp_path / "nowhere").exists()


def test_what_cannot_be_created_whole_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        wholefile.create(str(tmp_path / "file"), "text")  # type: ignore[arg-type]
    assert os.listdir(str(tmp_path)) == []


def test_a_directory_that_cannot_be_tidied_is_let_go_of(tmp_path: Path,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    """Another worker may have removed the first of several at the same time."""
    for number in range(3):
        (tmp_path / (".a.%08d.tmp" % number)).write_text("")

    def gone(path: str) -> None:
        raise FileNotFoundError(2, "No such file or directory")
    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", gone)
        wholefile.tidy(tmp_path, -1.0)
    gc.collect()  # what is still open then is an error of this test
    wholefile.tidy(tmp_path, -1.0)
    assert os.listdir(str(tmp_path)) == []
