"""Installing without pip: what lands where, what goes when a newer version comes, what is refused."""

import csv
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import Dict, List

import pytest

from jd.dist import install as installer
from jd.dist import place
from jd.dist.install import install, script_text, shebang
from jd.dist.metadata import ProjectError, load_project
from jd.dist.place import Target
from jd.dist.unpack import read_wheel
from jd.dist.wheel import build_wheel, digest
from jd.errors import StorageError, UsageError
from tests.dist.trees import make_tree, put, rezip, zip_contents
from tests.support import free_env, python


def _target(tmp_path: Path) -> Target:
    return Target(tmp_path / "prefix" / "lib" / "site-packages", tmp_path / "prefix" / "bin",
                  sys.executable)


def _wheel(tmp_path: Path, version: str = "1.0") -> Path:
    return build_wheel(load_project(make_tree(tmp_path / ("tree" + version), version)), tmp_path)


def _everything(directory: Path) -> Dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes()
            for path in directory.rglob("*") if path.is_file()}


def test_the_command_runs_and_its_status_is_what_it_returns(tmp_path: Path) -> None:
    target = _target(tmp_path)
    done = install(_wheel(tmp_path), target)
    assert done == ("jd-worker", "1.0", None, target.packages)
    ran = subprocess.run([str(target.scripts / "jd_hello")], stdout=subprocess.PIPE, timeout=60,
                         env=free_env(tmp_path, PYTHONPATH=target.packages))
    assert (ran.returncode, ran.stdout.decode()) == (
        3, "hello from %s\n" % (target.packages / "jd" / "hello.py"))


def test_record_names_every_file_and_no_other(tmp_path: Path) -> None:
    target = _target(tmp_path)
    install(_wheel(tmp_path), target)
    info = target.packages / "jd_worker-1.0.dist-info"
    with open(str(info / "RECORD"), newline="") as file:
        rows = list(csv.reader(file))
    named = {os.path.normpath(str(target.packages / row[0])) for row in rows}
    assert named == {str(target.packages.parents[1] / name)
                     for name in _everything(target.packages.parents[1])}
    for name, expected, size in rows:
        if expected:
            data = (target.packages / name).read_bytes()
            assert (digest(data), str(len(data))) == (expected, size)
    assert (info / "INSTALLER").read_text() == "jd.dist\n"
    assert any(name.endswith(".pyc") for name in named)


def test_an_earlier_version_goes_with_all_its_files(tmp_path: Path) -> None:
    target = _target(tmp_path)
    tree = make_tree(tmp_path / "tree", "0.9", **{"jd/old/gone.py": "x = 1\n"})
    install(build_wheel(load_project(tree), tmp_path), target)
    put(target.packages, {"jd/notes.txt": "not ours", "other/__init__.py": ""})
    assert (target.packages / "jd" / "old" / "gone.py").exists()
    fresh = Target(tmp_path / "fresh" / "lib" / "site-packages", tmp_path / "fresh" / "bin",
                   sys.executable)
    wheel = _wheel(tmp_path)
    assert install(wheel, target).replaced == "0.9"
    install(wheel, fresh)
    expected = set(_everything(fresh.packages)) | {"jd/notes.txt", "other/__init__.py"}
    assert set(_everything(target.packages)) == expected
    assert not (target.packages / "jd" / "old").exists()


def test_the_same_version_again_changes_nothing_but_what_changed(tmp_path: Path) -> None:
    target = _target(tmp_path)
    tree = make_tree(tmp_path / "tree", **{"jd/extra.py": ""})
    install(build_wheel(load_project(tree), tmp_path), target)
    (tree / "jd" / "extra.py").unlink()
    assert install(build_wheel(load_project(tree), tmp_path), target).replaced == "1.0"
    assert not [name for name in _everything(target.packages) if "extra" in name]
    assert (target.packages / "jd" / "hello.py").exists()


def test_a_recorded_path_outside_is_never_removed(tmp_path: Path) -> None:
    target = _target(tmp_path)
    install(_wheel(tmp_path, "0.9"), target)
    precious = tmp_path / "precious"
    precious.write_text("mine")
    with open(str(target.packages / "jd_worker-0.9.dist-info" / "RECORD"), "a") as record:
        record.write("%s,,\n../../../precious,,\n" % precious)
    install(_wheel(tmp_path), target)
    assert precious.read_text() == "mine"


def test_an_installation_without_record_is_left_alone(tmp_path: Path) -> None:
    target = _target(tmp_path)
    put(target.packages, {"jd_worker-0.9.dist-info/METADATA": ""})
    with pytest.raises(ProjectError) as caught:
        install(_wheel(tmp_path), target)
    assert "has no RECORD" in str(caught.value)
    assert not (target.packages / "jd").exists()


def test_when_writing_fails_what_was_there_is_whole(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = _target(tmp_path)
    install(_wheel(tmp_path, "0.9"), target)
    before = _everything(tmp_path / "prefix")
    real = Path.write_bytes

    def disk_full(self: Path, data: bytes) -> int:
        if b"hello from" in data:
            raise OSError(28, "No space left on device", str(self))
        return real(self, data)

    wheel = _wheel(tmp_path)
    monkeypatch.setattr(Path, "write_bytes", disk_full)
    with pytest.raises(StorageError) as caught:
        install(wheel, target)
    assert "cannot install into" in str(caught.value)
    assert "No space left on device" in str(caught.value)
    assert _everything(tmp_path / "prefix") == before


@pytest.mark.parametrize("directory", ["plain", "with space", "it's", 'a"quote$HOME', "long" * 50])
def test_a_script_finds_its_python_whatever_its_path(tmp_path: Path, directory: str) -> None:
    interpreter = tmp_path / directory / "python"
    interpreter.parent.mkdir()
    interpreter.symlink_to(sys.executable)
    put(tmp_path, {"answer.py": "import sys\ndef entry():\n    print(sys.argv[1:])\n    return 7\n"})
    script = tmp_path / "script"
    script.write_text(script_text(str(interpreter), "answer:entry"))
    script.chmod(0o755)
    ran = subprocess.run([str(script), "a b", "$c"], capture_output=True, timeout=60,
                         env=free_env(tmp_path, PYTHONPATH=tmp_path))
    assert (ran.returncode, ran.stdout, ran.stderr) == (7, b"['a b', '$c']\n", b"")


def test_a_short_shebang_is_direct_and_a_long_one_is_not() -> None:
    assert shebang("/usr/bin/python3") == "#!/usr/bin/python3\n"
    assert shebang("/" + "x" * 123).startswith("#!/xxx")
    assert shebang("/" + "x" * 124).startswith("#!/bin/sh\n")


@pytest.mark.parametrize("path", ["/a\\b/python", "/a\nb/python", "/a'''b/python"])
def test_a_python_that_no_script_can_name_is_refused(path: str) -> None:
    with pytest.raises(UsageError) as caught:
        shebang(path)
    assert "make the venv elsewhere" in str(caught.value)


def _tampered(files: Dict[str, bytes], how: str) -> Dict[str, bytes]:
    info = "jd_worker-1.0.dist-info/"
    changed = dict(files)
    if how == "changed":
        changed["jd/hello.py"] += b"import evil\n"
    elif how == "added":
        changed["jd/evil.py"] = b""
    elif how == "missing":
        del changed["jd/hello.py"]
    elif how == "outside":
        changed["../evil.py"] = b""
    elif how == "absolute":
        changed["/evil.py"] = b""
    elif how == "data":
        changed["jd_worker-1.0.data/scripts/evil"] = b""
    elif how == "no info":
        changed = {"jd/__init__.py": b""}
    elif how == "no record":
        del changed[info + "RECORD"]
    elif how == "torn record":
        changed[info + "RECORD"] = b"jd/hello.py,\r" + b"x" * 140_000
    elif how == "platform":
        old = changed[info + "WHEEL"]
        changed[info + "WHEEL"] = old.replace(b"Purelib: true", b"Purelib: false")
        changed[info + "RECORD"] = changed[info + "RECORD"].replace(
            digest(old).encode(), digest(changed[info + "WHEEL"]).encode())
    return changed


@pytest.mark.parametrize("how, message", [
    ("changed", "jd/hello.py has another hash"),
    ("added", "jd/evil.py is not both in it and in its RECORD"),
    ("missing", "jd/hello.py is not both in it and in its RECORD"),
    ("outside", "a file that would land elsewhere: '../evil.py'"),
    ("absolute", "a file that would land elsewhere: '/evil.py'"),
    ("data", "install it with pip"),
    ("no info", "one .dist-info directory, and has 0"),
    ("no record", "is not both in it and in its RECORD"),
    ("torn record", "its RECORD cannot be read"),
    ("platform", "not a pure Python wheel"),
])
def test_a_wheel_that_is_not_sound_is_refused(tmp_path: Path, how: str, message: str) -> None:
    wheel = _wheel(tmp_path)
    read_wheel(rezip(wheel, zip_contents(wheel)))
    rezip(wheel, _tampered(zip_contents(wheel), how))
    target = _target(tmp_path)
    with pytest.raises(ProjectError) as caught:
        install(wheel, target)
    assert str(wheel) in str(caught.value) and message in str(caught.value)
    assert not target.packages.exists()


def test_a_wheel_that_is_packed_otherwise_is_refused(tmp_path: Path) -> None:
    wheel = _wheel(tmp_path)
    contents = zip_contents(wheel)
    with zipfile.ZipFile(str(wheel), "w", zipfile.ZIP_LZMA) as packed:
        for name, data in contents.items():
            packed.writestr(name, data)
    with pytest.raises(ProjectError, match="a method that wheels do not have"):
        read_wheel(wheel)


def test_what_is_no_wheel_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as missing:
        read_wheel(tmp_path / "none.whl")
    assert "none.whl" in str(missing.value)
    (tmp_path / "text.whl").write_text("hello")
    with pytest.raises(ProjectError) as text:
        read_wheel(tmp_path / "text.whl")
    assert "text.whl is no wheel" in str(text.value)


def test_system_packages_are_left_to_the_system(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "EXTERNALLY-MANAGED").write_text("")
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.setattr(sys, "prefix", "/usr")
    monkeypatch.setattr(sys, "base_prefix", "/usr")
    with pytest.raises(UsageError) as caught:
        place.running_python()
    assert "-m venv --without-pip" in str(caught.value)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert place.running_python().scripts == tmp_path


@pytest.fixture(scope="module")
def bare_venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A venv without pip, under a path with a space."""
    place = tmp_path_factory.mktemp("bare") / "a venv"
    subprocess.run(python("-m", "venv", "--without-pip", place), check=True, timeout=120)
    return place


def _run(command: List[str], tmp_path: Path, **extra: object) -> str:
    ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120,
                         cwd=str(tmp_path), env=free_env(tmp_path, **extra))
    assert ran.returncode == 0, ran.stdout.decode()
    return ran.stdout.decode()


def test_a_wheel_on_pythonpath_installs_itself(bare_venv: Path, tmp_path: Path) -> None:
    _run(python("-m", "jd.dist", "wheel", "--out", tmp_path), tmp_path)
    wheel, = tmp_path.glob("*.whl")
    interpreter = str(bare_venv / "bin" / "python")
    said = _run([interpreter, "-m", "jd.dist.install"], tmp_path, PYTHONPATH=wheel)
    assert said.startswith("jd-worker ") and len(said.splitlines()) == 1
    where = _run([interpreter, "-c", "import jd; print(jd.__file__)"], tmp_path, PYTHONPATH=None)
    assert where.startswith(str(bare_venv))


def test_editable_points_at_the_checkout(bare_venv: Path, tmp_path: Path) -> None:
    interpreter = str(bare_venv / "bin" / "python")
    assert _run([interpreter, "-m", "jd.dist.install", "--editable", "--quiet"], tmp_path) == ""
    where = _run([interpreter, "-c", "import jd.dist.install as i; print(i.__file__)"], tmp_path,
                 PYTHONPATH=None)
    assert where.strip() == os.path.abspath(installer.__file__)
    assert (bare_venv / "bin" / "jd_worker_cli").exists()


def test_an_error_is_one_line_and_a_status(tmp_path: Path) -> None:
    ran = subprocess.run(python("-m", "jd.dist.install", "--editable", "x.whl"),
                         stderr=subprocess.PIPE, timeout=60, env=free_env(tmp_path))
    assert ran.returncode == 2
    assert ran.stderr.decode().startswith("error: --editable takes no WHEEL")
