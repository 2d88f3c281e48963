"""Wheels and sdists: what is in them, and that the same tree gives the same bytes."""

import gzip
import os
import subprocess
import time
from pathlib import Path

import pytest

from jd.dist import archive, contents
from jd.dist.metadata import ProjectError, load_project
from jd.dist.sdist import build_sdist
from jd.dist.unpack import read_wheel
from jd.dist.wheel import build_editable, build_wheel
from jd.errors import StorageError, UsageError
from tests.dist.trees import FILES, STRAYS, make_tree, put, tar_members, unpack_sdist, zip_contents
from tests.support import ROOT, free_env, python


def test_a_wheel_holds_the_package_and_its_metadata(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    wheel = build_wheel(load_project(tree), tmp_path)
    assert wheel.name == "jd_worker-1.0-py3-none-any.whl"
    files = zip_contents(wheel)
    info = "jd_worker-1.0.dist-info/"
    assert list(files) == [
        "jd/__init__.py", "jd/hello.py", "jd/server/__init__.py", "jd/server/web/page.html",
        info + "LICENSE", info + "METADATA", info + "WHEEL", info + "entry_points.txt",
        info + "RECORD"]
    assert files["jd/hello.py"] == FILES["jd/hello.py"].encode()
    assert b"Root-Is-Purelib: true\nTag: py3-none-any\n" in files[info + "WHEEL"]
    read_wheel(wheel)  # its RECORD is right


def test_record_is_as_pep_376_has_it(tmp_path: Path) -> None:
    files = zip_contents(build_wheel(load_project(make_tree(tmp_path / "tree")), tmp_path))
    rows = files["jd_worker-1.0.dist-info/RECORD"].decode().splitlines()
    # The digest of no bytes at all is well known.
    assert "jd/server/__init__.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0" in rows
    assert rows[-1] == "jd_worker-1.0.dist-info/RECORD,,"
    assert len(rows) == len(files)


def test_an_sdist_holds_what_the_rule_names(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    put(tree, STRAYS)
    assert contents.source_files(tree) == sorted(FILES)
    sdist = build_sdist(load_project(tree), tmp_path)
    assert sdist.name == "jd_worker-1.0.tar.gz"
    members = tar_members(sdist)
    assert set(members) == {"jd_worker-1.0/" + name for name in [*FILES, "PKG-INFO"]}
    assert list(members) == sorted(members)
    modes = {name: oct(member.mode) for name, member in members.items() if member.mode != 0o644}
    assert modes == {"jd_worker-1.0/.ci/run": "0o755", "jd_worker-1.0/tests/fakes/squeue": "0o755"}
    assert {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in members.values()} == {
        (0, 0, "", "", archive.EARLIEST)}
    # RFC 1952: no flags, so no file name, and the time of the entries.
    assert sdist.read_bytes()[3:8] == b"\0" + archive.EARLIEST.to_bytes(4, "little")


def test_an_sdist_has_no_field_that_pythons_write_differently(tmp_path: Path) -> None:
    sdist = build_sdist(load_project(make_tree(tmp_path / "tree")), tmp_path)
    header = gzip.decompress(sdist.read_bytes())[:512]
    assert header[257:263] == b"ustar\0"
    assert header[329:345] == bytes(16)  # device numbers: Python 3.8 fills them in


def _rebuild_elsewhere(tree: Path, out: Path, tmp_path: Path) -> None:
    """Build both with everything different that must not count; from the backend of `tree`."""
    code = ("import os, sys; os.umask(0o077); from jd.dist import backend\n"
            "print(backend.build_wheel(sys.argv[1]), backend.build_sdist(sys.argv[1]))")
    subprocess.run(python("-c", code, out), check=True, cwd=str(tmp_path), timeout=60,
                   env=free_env(tmp_path, PYTHONPATH=tree, LC_ALL="C", TZ="Asia/Tokyo"))


def test_the_same_tree_gives_the_same_bytes_wherever_it_is_built(tmp_path: Path) -> None:
    with_backend = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
                    for pattern in ("jd/*.py", "jd/dist/*.py", "jd/files/*.py") for path in ROOT.glob(pattern)}
    tree = make_tree(tmp_path / "tree", **with_backend)
    first = [build_wheel(load_project(tree), tmp_path / "one"),
             build_sdist(load_project(tree), tmp_path / "one")]
    other = make_tree(tmp_path / "a tree elsewhere", **with_backend)
    put(other, STRAYS)
    for path in sorted(other.rglob("*"), reverse=True):
        if path.is_file():
            path.chmod(0o600)
            os.utime(str(path), (time.time(), 1700000000))
    _rebuild_elsewhere(other, tmp_path / "two", tmp_path)
    for path in first:
        assert (tmp_path / "two" / path.name).read_bytes() == path.read_bytes()
    unpacked = unpack_sdist(first[1], tmp_path / "unpacked")
    _rebuild_elsewhere(unpacked, tmp_path / "three", tmp_path)
    for path in first:
        assert (tmp_path / "three" / path.name).read_bytes() == path.read_bytes()


def test_everything_git_tracks_is_in_the_sdist() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout")
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=str(ROOT), stdout=subprocess.PIPE,
                                check=True, timeout=60).stdout.decode().split("\0")
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip("git does not list this checkout: %s" % error)
    tracked = {name for name in listed if name and (ROOT / name).is_file()}
    assert tracked - set(contents.source_files(ROOT)) == set(), "let them in in jd/dist/contents.py"
    package = {name for name in tracked if name.startswith("jd/")}
    assert package - set(contents.package_files(ROOT)) == set()


@pytest.mark.parametrize("given, moment", [
    ("", archive.EARLIEST), ("1700000000", 1700000000), ("0", archive.EARLIEST),
    ("99999999999999", archive.LATEST)])
def test_source_date_epoch_is_honoured(given: str, moment: int) -> None:
    assert archive.timestamp({"SOURCE_DATE_EPOCH": given}) == moment
    assert archive.zip_bytes([archive.Entry("a", b"")], moment)


@pytest.mark.parametrize("given", ["-1", "yesterday", "1.5", "9" * 30])
def test_a_source_date_epoch_that_is_no_time_is_refused(given: str) -> None:
    with pytest.raises(UsageError) as caught:
        archive.timestamp({"SOURCE_DATE_EPOCH": given})
    assert "give Unix seconds" in str(caught.value)


def test_an_editable_wheel_points_at_the_sources(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree with spaces")
    files = zip_contents(build_editable(load_project(tree), tmp_path))
    assert files["__editable__.jd_worker-1.0.pth"] == os.fsencode(str(tree)) + b"\n"
    assert not [name for name in files if name.startswith("jd/")]


def test_files_that_cannot_be_packed_are_named(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    (tree / "jd" / "link.py").symlink_to(tree / "jd" / "hello.py")
    with pytest.raises(ProjectError) as link:
        build_wheel(load_project(tree), tmp_path)
    assert "link.py is a symbolic link" in str(link.value)
    (tree / "jd" / "link.py").unlink()
    put(tree, {"docs/caf\u00e9.md": ""})
    with pytest.raises(ProjectError) as name:
        build_sdist(load_project(tree), tmp_path)
    assert "only plain ASCII names" in str(name.value)


def test_a_place_that_cannot_be_written_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError) as caught:
        build_wheel(load_project(tree), tmp_path / "file" / "out")
    assert "cannot write %s" % (tmp_path / "file" / "out") in str(caught.value)
    out = tmp_path / "out"
    (out / "jd_worker-1.0-py3-none-any.whl").mkdir(parents=True)
    with pytest.raises(StorageError):
        build_wheel(load_project(tree), out)
    assert [path.name for path in out.iterdir()] == ["jd_worker-1.0-py3-none-any.whl"]


def test_the_command_builds_this_project(tmp_path: Path) -> None:
    done = subprocess.run(python("-m", "jd.dist", "wheel", "--out", tmp_path / "out"),
                          cwd=str(tmp_path), env=free_env(tmp_path), stdout=subprocess.PIPE,
                          timeout=60, check=True)
    path = Path(done.stdout.decode().strip())
    assert path.parent == tmp_path / "out"
    assert read_wheel(path).scripts[0][0] == "jd_hub"
