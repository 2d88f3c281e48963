"""Which directories are trusted, on a machine that others use as well."""

import os
import stat
from pathlib import Path
from typing import Iterator, Optional, Union

import pytest

from jd.files import safedirs
from jd.files.safedirs import CACHE, LOGS, WORKSPACE, UnsafePlace
from tests.support import MALLORY, NOBODY, as_user, directory_of, needs_root, public_directory

pytestmark = needs_root


@pytest.fixture
def root() -> Iterator[Path]:
    """A directory of root's that everybody can enter."""
    with public_directory() as made:
        yield made


def link(path: Path, target: Union[str, Path], uid: int) -> Path:
    path.symlink_to(target)
    os.lchown(str(path), uid, uid)
    return path


def made(path: Path, purpose: safedirs.Purpose = CACHE, top: Optional[Path] = None, uid: int = NOBODY,
         gid: Optional[int] = None) -> Optional[Exception]:
    """None, or what `make` raised for this user."""
    raised: Optional[Exception] = as_user(uid, lambda: (safedirs.make(path, purpose, top), None)[1], gid)
    return raised


def test_what_is_missing_is_made_for_its_owner_alone_whatever_the_umask(root: Path) -> None:
    home = directory_of(root / "home", NOBODY)
    for umask in (0, 0o077):
        path = home / str(umask) / ".cache" / "exp"
        old = os.umask(umask)
        try:
            assert made(path) is None
        finally:
            os.umask(old)
        assert {stat.S_IMODE(os.stat(str(p)).st_mode) for p in (path, *list(path.parents)[:2])} == {0o700}


def test_a_workspace_follows_the_umask_but_is_never_open_to_all(root: Path) -> None:
    home = directory_of(root / "home", NOBODY)
    for umask, mode in ((0, 0o775), (0o077, 0o700), (0o022, 0o755)):
        old = os.umask(umask)
        try:
            assert made(home / str(umask) / "exp", WORKSPACE) is None
        finally:
            os.umask(old)
        assert stat.S_IMODE((home / str(umask) / "exp").stat().st_mode) == mode
        assert made(home / str(umask) / "exp", WORKSPACE) is None


def test_in_tmp_only_what_is_our_own(root: Path) -> None:
    tmp = directory_of(root / "tmp", mode=0o1777)
    assert made(tmp / "ours" / "x") is None
    planted = directory_of(tmp / ".jd_cache", MALLORY, 0o777)
    refused = made(planted / ".cache", top=planted)
    assert isinstance(refused, UnsafePlace)
    assert str(refused) == (
        "worker cache %s/.cache is not used: %s belongs to somebody else (uid %d, mode 0777): others "
        "could plant files; set JD_CACHE_PATH to %s-%d" % (planted, planted, MALLORY, planted, NOBODY))


@pytest.mark.parametrize("purpose", [CACHE, WORKSPACE, LOGS])
@pytest.mark.parametrize("mode", [0o700, 0o755, 0o777, 0o1777])
def test_somebody_elses_in_tmp_is_refused_whatever_its_mode(root: Path, purpose: safedirs.Purpose,
                                                            mode: int) -> None:
    tmp = directory_of(root / "tmp", mode=0o1777)
    planted = directory_of(tmp / "x", MALLORY, mode)
    assert isinstance(made(planted, purpose), UnsafePlace)


def test_a_link_of_somebody_elses_is_refused_even_to_a_place_of_ours(root: Path) -> None:
    tmp, home = directory_of(root / "tmp", mode=0o1777), directory_of(root / "home", NOBODY)
    refused = made(link(tmp / "x", home, MALLORY) / "cache")
    assert isinstance(refused, UnsafePlace) and "the link %s/x belongs to somebody else" % tmp in str(refused)
    assert not (home / "cache").exists()
    dangling = link(tmp / "y", home / "new", MALLORY)
    assert isinstance(made(dangling), UnsafePlace) and not (home / "new").exists()


def test_links_of_root_and_of_our_own_are_followed_part_by_part(root: Path) -> None:
    private = directory_of(root / "private" / "tmp", mode=0o1777)
    tmp = link(root / "tmp", "private/../private/tmp", 0)  # macOS: /tmp -> private/tmp
    scratch = directory_of(root / "scratch" / "nobody", NOBODY)
    home = directory_of(root / "home", NOBODY)
    assert made(tmp / "mine") is None and (private / "mine").is_dir()
    assert made(link(home / ".jd_cache", scratch / "cache", NOBODY)) is None
    assert (scratch / "cache").is_dir()
    planted = directory_of(private / "planted", MALLORY)
    assert isinstance(made(link(home / "trap", planted, NOBODY)), UnsafePlace)
    link(home / "a", "b", NOBODY)
    link(home / "b", "a", NOBODY)
    assert isinstance(made(home / "a"), OSError)


def test_a_link_that_is_planted_while_the_directory_is_made_is_seen(root: Path,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    tmp, elsewhere = directory_of(root / "tmp", mode=0o1777), directory_of(root / "elsewhere", MALLORY, 0o777)
    really = os.mkdir

    def quicker(path: Path, mode: int) -> None:
        if not os.path.lexists(path):
            link(Path(path), elsewhere, MALLORY)
        really(path, mode)

    monkeypatch.setattr(os, "mkdir", quicker)
    with pytest.raises(UnsafePlace, match="the link"):
        safedirs.make(tmp / "x", CACHE)


def test_what_an_administrator_gave_is_used(root: Path) -> None:
    # A project directory below root's /data; ours is in it.
    project = directory_of(root / "data" / "pi", MALLORY, 0o2770, gid=777)
    directory_of(project / "us", NOBODY, 0o2775, gid=777)
    assert made(project / "us" / "cache", gid=777) is None
    assert made(project / "new" / "cache", gid=777) is None
    # A container with a random uid: HOME is the image's, for group 0.
    home = directory_of(root / "home", 1001, 0o775, gid=0)
    assert made(home / ".jd_cache" / ".cache", gid=0) is None
    # A volume of Kubernetes, root's and open to all.
    volume = directory_of(root / "volume", mode=0o777)
    assert made(volume / ".jd_cache", top=volume) is None
    assert made(volume, LOGS) is None
    assert made(volume, LOGS, uid=0) is None and made(volume / "x", top=volume, uid=0) is None
    # But what somebody put where anybody of a group could is not the administrator's.
    shared = directory_of(root / "shared", mode=0o2775, gid=777)
    assert isinstance(made(directory_of(shared / "x", MALLORY) / "y", WORKSPACE), UnsafePlace)
    assert isinstance(made(directory_of(project / "theirs", MALLORY, 0o777), WORKSPACE, gid=777), UnsafePlace)


@pytest.mark.parametrize("mode, gid, purpose, fine", [
    (0o777, NOBODY, CACHE, False), (0o777, NOBODY, WORKSPACE, False), (0o1777, NOBODY, CACHE, False),
    (0o775, NOBODY, CACHE, True),   # umask 002 with a group of one's own
    (0o775, 777, CACHE, False), (0o775, 777, WORKSPACE, True), (0o775, 0, CACHE, True),
    (0o755, 777, CACHE, True),      # published clients made it so: others may read
])
@pytest.mark.parametrize("below", ["", ".cache/exp"])
def test_who_else_may_write_to_our_own(root: Path, mode: int, gid: Optional[int], purpose: safedirs.Purpose,
                                       fine: bool, below: str) -> None:
    cache = directory_of(root / "home" / ".jd_cache", NOBODY, mode, gid)
    refused = made(cache / below, purpose, cache)
    assert (refused is None) == fine, refused
    if not fine:
        assert "chmod go-w %s" % cache in str(refused)


def test_a_home_that_its_group_may_write_to_is_no_reason(root: Path) -> None:
    home = directory_of(root / "home", NOBODY, 0o775, gid=777)
    assert made(home / ".jd_cache" / "x", top=home / ".jd_cache") is None
    home.chmod(0o777)
    assert isinstance(made(home / ".jd_cache" / "x", top=home / ".jd_cache"), UnsafePlace)


@pytest.mark.parametrize("uid, mode, fine", [
    (NOBODY, 0o600, True), (NOBODY, 0o644, True), (0, 0o644, True), (MALLORY, 0o644, False),
    (NOBODY, 0o666, False), (0, 0o666, False), (NOBODY, 0o664, False),
])
def test_a_file_is_our_own_and_nobody_else_writes_to_it(root: Path, uid: int, mode: int, fine: bool) -> None:
    file = directory_of(root / "home", NOBODY) / "workers.db"
    file.write_bytes(b"")
    os.chown(str(file), uid, 777)
    file.chmod(mode)
    outcome = as_user(NOBODY, lambda: safedirs.check_file(file, CACHE))
    assert outcome is True if fine else isinstance(outcome, UnsafePlace)


def test_what_is_not_there_is_no_danger_and_a_file_is_no_directory(root: Path) -> None:
    home = directory_of(root / "home", NOBODY)
    assert as_user(NOBODY, lambda: safedirs.check(home / "a" / "b", CACHE)) is False
    assert as_user(NOBODY, lambda: safedirs.check_file(home / "a", CACHE)) is False
    (home / "file").write_bytes(b"")
    os.chown(str(home / "file"), NOBODY, NOBODY)
    assert isinstance(made(home / "file"), NotADirectoryError)
    assert isinstance(made(home / "file" / "x"), NotADirectoryError)


def test_owners_that_a_user_namespace_hides_pass_for_root_where_only_root_writes(
        root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safedirs, "_hidden_uid", lambda: MALLORY)
    tmp = directory_of(directory_of(root / "image", MALLORY) / "tmp", MALLORY, 0o1777)
    assert made(tmp / "x") is None
    assert isinstance(made(directory_of(tmp / "theirs", MALLORY) / "y"), UnsafePlace)


def test_a_directory_that_is_made_in_one_that_was_looked_at_is_looked_at_itself(root: Path) -> None:
    home = directory_of(root / "home", NOBODY)
    (home / "there").mkdir()
    directory_of(home / "open", NOBODY, 0o777)
    directory_of(home / "target", NOBODY)
    link(home / "link", home / "target", NOBODY)
    (home / "file").write_text("")

    def outcome(name: str) -> object:
        try:
            return safedirs.make(home, WORKSPACE).make(name)
        except OSError as error:
            return type(error).__name__
        except UnsafePlace:
            return "unsafe"

    names = ("new", "new", "there", "link", "open", "file")
    assert as_user(NOBODY, lambda: [outcome(name) for name in names]) == [
        True, False, False, False, "unsafe", "NotADirectoryError"]


def test_one_whose_place_has_gone_is_made_with_it(root: Path) -> None:
    made_in = safedirs.make(root / "a" / "b", WORKSPACE)
    (root / "a" / "b").rmdir()
    assert made_in.make("c") is False and (root / "a" / "b" / "c").is_dir()
