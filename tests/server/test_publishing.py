"""--publish-url: the file is whole or not there, and goes with its server."""

import os
from pathlib import Path

import pytest

from jd.errors import StorageError
from jd.server.command import publishing


def test_url_and_token_file_are_published(tmp_path: Path) -> None:
    path = tmp_path / "new" / "server.url"
    publishing.publish(path, "http://n1:5000", None)
    assert path.read_text() == "http://n1:5000\n"
    publishing.publish(path, "http://n2:5000", Path("token"))
    assert path.read_text() == "http://n2:5000\n%s\n" % os.path.abspath("token")
    assert os.listdir(str(path.parent)) == ["server.url"]


def test_others_cannot_send_the_workers_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "server.url"
    before = os.umask(0)
    try:
        publishing.publish(path, "http://n1:5000", None)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_server_takes_back_only_what_it_said(tmp_path: Path) -> None:
    path = tmp_path / "server.url"
    publishing.publish(path, "http://n2:5000", None)
    publishing.withdraw(path, "http://n1:5000")
    assert path.exists()
    publishing.withdraw(path, "http://n2:5000")
    assert not path.exists()
    publishing.withdraw(path, "http://n2:5000")


def test_a_file_that_cannot_be_written_is_an_error_and_what_was_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "server.url"
    path.mkdir()
    with pytest.raises(StorageError, match="--publish-url: cannot write .*server.url"):
        publishing.publish(path, "http://n1:5000", None)
    assert os.listdir(str(tmp_path)) == ["server.url"]
