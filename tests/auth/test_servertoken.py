"""A server's own token: made once, kept for the owner alone."""

import os
from pathlib import Path

import pytest

from jd.auth import servertoken
from jd.errors import StorageError, UsageError


def test_made_once_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "token"
    before = os.umask(0)
    try:
        token = servertoken.kept(path)
    finally:
        os.umask(before)
    assert len(token) >= 40 and path.stat().st_mode & 0o777 == 0o600
    assert servertoken.kept(path) == token
    assert os.listdir(str(tmp_path)) == ["token"]


def test_one_that_was_removed_is_another(tmp_path: Path) -> None:
    path = tmp_path / "token"
    token = servertoken.kept(path)
    path.unlink()
    (tmp_path / ".token.new").write_text("left by one that was killed")
    assert servertoken.kept(path) != token


def test_what_is_no_token_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("short")
    with pytest.raises(UsageError, match="16 to 512"):
        servertoken.kept(path)
    assert path.read_text() == "short"


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot write"):
        servertoken.kept(tmp_path / "no" / "token")
