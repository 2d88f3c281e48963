"""`server=@FILE` decides where workers take code from and what they send there: it must be one's own."""

import os
from pathlib import Path
from typing import Any, Iterator

import pytest

from jd.auth import tokentosend
from jd.errors import StorageError
from jd.net.finding import published
from jd.net.finding.published import Place
from tests.support import MALLORY, as_user, directory_of, file_of, needs_root, public_directory

pytestmark = needs_root
OWNER = 54330
COLLEAGUE = 54331
GROUP = 54777
SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def root() -> Iterator[Path]:
    """A directory of root's that everybody can enter."""
    with public_directory() as made:
        yield made


def read(path: Path, trusted: str = "") -> Any:
    """The place, or what was raised, for the owner."""
    def look() -> Any:
        os.environ["JD_TRUST_USER"] = trusted
        return published.read(path)
    return as_user(OWNER, look, GROUP)


def bearer(path: Path, home: Path, trusted: str = "", **environ: str) -> Any:
    def look() -> Any:
        os.environ["JD_TRUST_USER"] = trusted
        place = published.read(path)
        assert place is not None
        return tokentosend.bearer(place, dict(environ, HOME=str(home)))
    return as_user(OWNER, look, GROUP)


def refused(error: object, *words: str) -> None:
    assert isinstance(error, StorageError), error
    assert SECRET not in str(error) and "\n" not in str(error)
    for word in words:
        assert word in str(error)


def test_the_file_of_somebody_else_is_not_believed(root: Path) -> None:
    tmp = directory_of(root / "tmp", 0, 0o1777)
    planted = file_of(tmp / "server.url", MALLORY, "http://mallory\n")
    refused(read(planted), "belongs to somebody else", "uid %d" % MALLORY, "JD_TRUST_USER")
    held = directory_of(tmp / "x", MALLORY, 0o755)
    refused(read(file_of(held / "server.url", OWNER, "http://mine\n")), "x belongs to somebody else")
    link = tmp / "link"
    link.symlink_to(file_of(directory_of(tmp / "mine", OWNER, 0o700) / "url", OWNER, "http://mine\n"))
    os.lchown(str(link), MALLORY, MALLORY)
    refused(read(link), "the link")
    assert read(tmp / "mine" / "url") == Place("http://mine:5000")
    assert read(file_of(tmp / "of-root", 0, "http://root\n")) == Place("http://root:5000")


@pytest.mark.parametrize("mode", [0o666, 0o646])
def test_a_file_that_others_can_write(root: Path, mode: int) -> None:
    refused(read(file_of(directory_of(root / "home", OWNER, 0o755) / "url", OWNER, "http://mine\n", mode)),
            "written by everybody", "chmod go-w")


def test_an_access_file_in_a_directory_that_somebody_else_has(root: Path) -> None:
    held = directory_of(directory_of(root / "tmp", 0, 0o1777) / "x", MALLORY, 0o755)
    refused(read(file_of(held / "exp.json", OWNER, "{}", 0o600)), "x belongs to somebody else")


def test_a_directory_that_a_group_shares(root: Path) -> None:
    project = directory_of(root / "project", COLLEAGUE, 0o2775, GROUP)
    assert read(file_of(project / "url", OWNER, "http://mine\n")) == Place("http://mine:5000")
    mine = directory_of(project / "mine", OWNER, 0o2775, GROUP)
    assert read(file_of(mine / "url", OWNER, "http://mine\n")) == Place("http://mine:5000")
    theirs = file_of(project / "theirs", COLLEAGUE, "http://theirs\n")
    refused(read(theirs), "belongs to somebody else")
    refused(read(theirs, str(MALLORY)), "belongs to somebody else")
    assert read(theirs, "nobody-has-this,%d" % COLLEAGUE) == Place("http://theirs:5000")
    directory_of(project / "open", COLLEAGUE, 0o777)
    refused(read(file_of(project / "open" / "url", COLLEAGUE, "http://theirs\n"), str(COLLEAGUE)),
            "written by everybody")


def test_which_token_files_are_sent(root: Path) -> None:
    home = directory_of(root / "home", OWNER, 0o755)

    def sent(token: Path, trusted: str = "", **environ: str) -> Any:
        return bearer(file_of(home / "url", OWNER, "http://mine\n%s\n" % token), home, trusted, **environ)

    assert sent(file_of(home / "token", OWNER, SECRET, 0o600)) == SECRET
    assert sent(file_of(home / "mounted", 0, SECRET, 0o644)) == SECRET
    refused(sent(file_of(home / "shown", OWNER, SECRET, 0o644)), "everybody can read it")
    theirs = file_of(home / "theirs", COLLEAGUE, SECRET, 0o644)
    refused(sent(theirs), "belongs to somebody else")
    assert sent(theirs, str(COLLEAGUE)) == SECRET
    key = file_of(directory_of(home / ".jd", OWNER, 0o700) / "checkpoint.key", OWNER, SECRET, 0o600)
    refused(sent(key), "checkpoint.key")
    (home / "way").symlink_to(key)
    os.lchown(str(home / "way"), OWNER, OWNER)
    refused(sent(home / "way"), "keys of this user's")
    assert sent(key, JD_SERVER_TOKEN="t" * 20) == "t" * 20
