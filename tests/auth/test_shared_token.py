import os
from pathlib import Path

import pytest

from jd.auth.sharedtoken import bearer, is_exposed, read_token_file, same, worker_token
from jd.errors import StorageError, UsageError

TOKEN = "correct-horse-battery-staple"


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("content", [TOKEN, TOKEN + "\n", "  %s \r\n\n" % TOKEN])
def test_token_is_the_line_without_blanks(token_file: Path, content: str) -> None:
    token_file.write_bytes(content.encode())
    assert read_token_file(token_file) == TOKEN
    assert read_token_file(str(token_file)) == TOKEN


@pytest.mark.parametrize("token", ["x" * 16, "x" * 512, "!#$%&~" * 4])
def test_limits_are_allowed(token_file: Path, token: str) -> None:
    token_file.write_text(token)
    assert read_token_file(token_file) == token


@pytest.mark.parametrize("content, says", [
    (b"", "is empty"),
    (b" \n\n", "is empty"),
    (b"x" * 15, "a token of 15 characters"),
    (b"x" * 513, "a token of more than 512 characters"),
    (b"y" * 1_000_000, "a token of more than 512 characters"),
    (b"correct horse battery", "cannot be a token"),
    (b"first-line-long-enough\nsecond-line-long-enough", "must be one line"),
    (b"sch\xc3\xb6ne-lange-losung", "cannot be a token"),
    (b"\xff\xfec\0o\0r\0r\0e\0c\0t\0-\0h\0o\0r\0s\0e\0", "cannot be a token"),
    (b"correct-horse\0-battery", "cannot be a token"),
])
def test_what_is_no_token_is_refused_unseen(token_file: Path, content: bytes, says: str) -> None:
    token_file.write_bytes(content)
    with pytest.raises(UsageError) as raised:
        read_token_file(token_file)
    told = str(raised.value)
    assert says in told and str(token_file) in told and "16 to 512 printable ASCII" in told
    assert "correct" not in told and "first-line" not in told and "xxxx" not in told and "yyyy" not in told


def test_missing_file_and_directory_and_unreadable_file(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="none does not exist; check the path"):
        read_token_file(tmp_path / "none")
    with pytest.raises(StorageError, match="is a directory; give the file in it"):
        read_token_file(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(StorageError, match="loop cannot be read: .*; check its owner"):
        read_token_file(tmp_path / "loop")


@pytest.mark.parametrize("mode, exposed", [(0o600, False), (0o400, False), (0o640, True), (0o604, True),
                                           (0o620, False)])
def test_exposed_is_what_others_can_read(token_file: Path, mode: int, exposed: bool) -> None:
    token_file.chmod(mode)
    assert is_exposed(token_file) is exposed


def test_missing_file_is_not_exposed(tmp_path: Path) -> None:
    assert not is_exposed(tmp_path / "none")


def test_worker_token_comes_from_the_file_before_the_variable(token_file: Path) -> None:
    other = "another-token-for-the-server"
    assert worker_token({}) is None
    assert worker_token({"JD_SERVER_TOKEN": "", "JD_SERVER_TOKEN_FILE": " "}) is None
    assert worker_token({"JD_SERVER_TOKEN": other}) == other
    assert worker_token({"JD_SERVER_TOKEN": other, "JD_SERVER_TOKEN_FILE": str(token_file)}) == TOKEN
    with pytest.raises(StorageError):
        worker_token({"JD_SERVER_TOKEN": other, "JD_SERVER_TOKEN_FILE": str(token_file) + ".old"})


@pytest.mark.parametrize("token", ["shorty", "z" * 600, "two words here and more", "zzzzzzzzz\x01zzzzzzzz"])
def test_variable_is_checked_and_not_repeated(token: str) -> None:
    with pytest.raises(UsageError) as raised:
        worker_token({"JD_SERVER_TOKEN": token})
    assert "JD_SERVER_TOKEN" in str(raised.value)
    assert token not in str(raised.value) and "zzz" not in str(raised.value)


def test_worker_token_reads_the_process_environment_by_default(
        monkeypatch: pytest.MonkeyPatch, token_file: Path) -> None:
    monkeypatch.setitem(os.environ, "JD_SERVER_TOKEN_FILE", str(token_file))
    assert worker_token() == TOKEN


@pytest.mark.parametrize("header, token", [
    ("Bearer abc", "abc"), ("bearer abc", "abc"), ("BEARER   abc ", "abc"),
    (None, None), ("", None), ("Bearer", None), ("Bearer ", None), ("Basic abc", None),
    ("Bearerabc", None), ("Bearer a b", None), ("abc", None),
])
def test_bearer(header: str, token: str) -> None:
    assert bearer(header) == token


def test_same_compares_any_text() -> None:
    assert same(TOKEN, TOKEN) and same("", "") and same("ü", "ü")
    assert not same(TOKEN, TOKEN + "x") and not same(TOKEN, "") and not same("\udcff", "x")
