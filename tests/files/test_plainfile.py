"""A file of ours is read only if it is one."""

import os
from pathlib import Path

import pytest

from jd.errors import StorageError
from jd.files import plainfile
from jd.net.finding import published


def next_descriptor() -> int:
    """The one that the next open file gets: it stays the same where nothing is left open."""
    handle = os.open(os.devnull, os.O_RDONLY)
    os.close(handle)
    return handle


def test_a_directory_or_pipe_in_its_place_is_named_and_leaves_nothing_open(tmp_path: Path) -> None:
    os.mkfifo(str(tmp_path / "pipe"))
    before = next_descriptor()
    for path in (tmp_path, tmp_path / "pipe"):
        for refusing in (lambda: plainfile.read(path, 10), lambda: plainfile.check(path)):
            with pytest.raises(OSError) as refused:
                refusing()
            assert refused.value.filename == str(path)
        with pytest.raises(StorageError, match="server=@%s cannot be read" % path):
            published.read(path)
    assert next_descriptor() == before


def test_only_so_much_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    before = next_descriptor()
    assert plainfile.read(path, 10) == b"0123456789" and plainfile.beginning(path, 3) == b"012"
    with pytest.raises(OSError, match="more than 9 bytes"):
        plainfile.read(path, 9)
    assert next_descriptor() == before
