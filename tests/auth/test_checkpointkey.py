"""The keys that checkpoints are signed with."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from jd.auth import checkpointkey
from jd.auth.checkpointkey import home_key, is_key, of_api_key, of_script, of_token, to_check, to_sign
from jd.errors import JdError, StorageError, UsageError
from tests.support import free_env, python

TOKEN = "a-token-of-a-server-0123"
A, B = of_token(TOKEN), of_api_key("jd_x")


def made(home: Path, mode: int = 0o600) -> Path:
    """The key file of a home, with the key A in it."""
    path = home / ".jd" / "checkpoint.key"
    path.parent.mkdir(mode=0o700)
    path.write_text(A + "\n")
    path.chmod(mode)
    return path


def test_a_key_tells_nothing_and_is_of_one_purpose() -> None:
    assert is_key(A) and is_key(B)
    assert of_token(TOKEN) == A and of_token(TOKEN + "x") != A and of_api_key(TOKEN) != A
    assert not any(is_key(text) for text in ("", A[:-1], A + "\n", A.upper(), "g" * 64, None))


def test_what_a_script_has(tmp_path: Path) -> None:
    assert of_script(None, {}) == []
    assert of_script(None, {"JD_SERVER_TOKEN": TOKEN, "JD_API_KEY": "jd_x"}) == [A, B]
    # Its worker knows better.
    given = "%s,,no key,%s,%s" % (B, A, B)
    assert of_script(None, {"JD_CHECKPOINT_KEY": given, "JD_SERVER_TOKEN": "x"}) == [B, A]
    with pytest.raises(UsageError, match="JD_SERVER_TOKEN"):
        of_script(None, {"JD_SERVER_TOKEN": "short"})


# ---- of the home directory

def test_it_is_made_once_and_for_the_owner_alone(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    before = os.umask(0)
    try:
        key = home_key(environ)
    finally:
        os.umask(before)
    assert is_key(key) and home_key(environ) == key
    path = tmp_path / ".jd" / "checkpoint.key"
    assert [stat.S_IMODE(os.stat(str(p)).st_mode) for p in (path.parent, path)] == [0o700, 0o600]
    assert os.listdir(str(path.parent)) == [path.name]


@pytest.mark.parametrize("links", [True, False])
def test_processes_that_make_it_at_once_get_the_same(tmp_path: Path, links: bool) -> None:
    source = ("import os, sys\nfrom jd.auth.checkpointkey import home_key\n"
              "def no(*_): raise PermissionError(1, 'no links')\n"
              "if sys.argv[1] == 'False': os.link = no\n"
              "print('ready', flush=True); sys.stdin.read(); print(home_key())")
    several = [subprocess.Popen(python("-c", source, links), env=free_env(tmp_path), stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE) for _ in range(8)]
    try:
        for process in several:
            assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        for process in several:
            assert process.stdin is not None
            process.stdin.close()
        told = {process.stdout.read() for process in several if process.stdout is not None}
        assert len(told) == 1 and is_key(told.pop().decode().strip())
    finally:
        for process in several:
            process.kill()
            process.wait(60)
            assert process.stdout is not None
            process.stdout.close()
    assert os.listdir(str(tmp_path / "home" / ".jd")) == ["checkpoint.key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602])
def test_one_that_others_can_read_or_write_is_not_used(tmp_path: Path, mode: int) -> None:
    environ = {"HOME": str(tmp_path)}
    path = made(tmp_path, mode)
    for use in (lambda: home_key(environ), lambda: to_sign([], environ), lambda: to_check([], environ)):
        with pytest.raises(JdError, match="others may have read or written it .*remove it") as raised:
            use()
        assert str(path) in str(raised.value) and A not in str(raised.value)
    # Beside another key it is as if it were not there.
    assert to_sign([B], environ) == to_check([B], environ) == [B]


def test_one_in_a_directory_of_others_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path)
    (tmp_path / ".jd").chmod(0o777)
    with pytest.raises(StorageError, match="written by everybody"):
        home_key({"HOME": str(tmp_path)})


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user, which root alone can be")
def test_one_of_somebody_else_is_not_used(tmp_path: Path) -> None:
    os.chown(str(made(tmp_path)), 54321, 54321)
    with pytest.raises(StorageError, match="belongs to uid 54321"):
        home_key({"HOME": str(tmp_path)})
    assert to_check([B], {"HOME": str(tmp_path)}) == [B]


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    path = made(tmp_path)
    path.rename(tmp_path / "elsewhere")
    os.symlink(str(tmp_path / "elsewhere"), str(path))
    with pytest.raises(StorageError, match="it is a link"):
        home_key({"HOME": str(tmp_path)})


@pytest.mark.parametrize("content", ["", "x" * 65, A[:30]])
def test_one_without_a_key_in_it(tmp_path: Path, content: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpointkey, "_PATIENCE", 0.0)
    made(tmp_path).write_text(content)
    with pytest.raises(StorageError, match="holds no key; remove it"):
        home_key({"HOME": str(tmp_path)})


def test_the_last_resort_says_what_to_set(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    environ = {"HOME": str(tmp_path / "file")}
    with pytest.raises(JdError, match="has to be signed, and there is no key for it: .*Set HOME to .*"
                                      "or JD_SERVER_TOKEN_FILE"):
        to_sign([], environ)
    assert to_sign([B], environ) == [B]


def test_checking_makes_none(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    assert to_check([B], environ) == [B] and to_check([], environ) == []
    assert os.listdir(str(tmp_path)) == []
    own = to_sign([B], environ)[1]
    assert to_check([B], environ) == [B, own]
    many = [of_token("%020d" % number) for number in range(20)]
    assert to_sign(many, environ) == many[:7] + [own]
    assert to_check(many, environ) == many + [own]
