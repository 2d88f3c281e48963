"""`snapshot=true`: what is copied, where to, and when it goes away again."""

import os
import shutil
import stat
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List

import pytest

from jd import paths
from jd.errors import JdError, StorageError, UsageError
from jd.files.safedirs import UnsafePlace
from jd.node.identity import Here
from jd.worker.attempt.calling import entry
from jd.worker.config import WorkerConfig, from_json
from jd.worker.launch import copying
from jd.worker.local import cleanup, neighbours, snapshots
from jd.worker.local.registry import Registry
from tests.support import free_env

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="no git")


class Bench:
    """A project of which snapshots are taken."""

    def __init__(self, tmp_path: Path) -> None:
        self.project = tmp_path / "project"
        self.environ: Dict[str, str] = free_env(tmp_path)
        self.write(**{"train.py": "import model", "model.py": "A = 1", "lib/a.txt": "a"})
        self.config = WorkerConfig("exp", self.project / "train.py", "http://s:1", environ=self.environ,
                                   directory=tmp_path)

    def write(self, **files: str) -> None:
        for name, content in files.items():
            path = self.project / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)

    def git(self, *words: str) -> str:
        return subprocess.run(["git", "-c", "user.name=x", "-c", "user.email=x@y", *words],
                              cwd=str(self.project), env=self.environ, check=True,
                              stdout=subprocess.PIPE).stdout.decode().strip()

    def take(self, script: str = "train.py") -> WorkerConfig:
        return copying.taken(replace(self.config, entry_script=self.project / script))

    def copied(self, script: str = "train.py") -> List[str]:
        snapshot = self.take(script).snapshot
        assert snapshot is not None
        return sorted(os.path.relpath(os.path.join(place, name), str(snapshot.directory))
                      for place, _, names in os.walk(str(snapshot.directory)) for name in names)

    @property
    def place(self) -> Path:
        return paths.snapshots_dir("exp", self.environ)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def age(config: WorkerConfig) -> None:
    """Make a snapshot one that was taken long ago."""
    assert config.snapshot is not None
    before = time.time() - snapshots.UNUSED_FOR - 60
    os.utime(str(config.snapshot.directory.parent), (before, before))


def test_a_copy_is_private_read_only_and_stays_as_it_was(bench: Bench) -> None:
    os.chmod(str(bench.project / "train.py"), 0o755)
    taken = bench.take()
    snapshot = taken.snapshot
    assert snapshot is not None and snapshot.of == bench.project / "train.py"
    assert taken.entry_script == snapshot.directory / "train.py"
    assert snapshot.directory.name == "project" and snapshot.directory.parent.parent == bench.place
    bench.write(**{"model.py": "A = 2"})
    assert (snapshot.directory / "model.py").read_text() == "A = 1"
    modes = {path: stat.S_IMODE(os.lstat(str(path)).st_mode) for path in (
        bench.place, snapshot.directory, snapshot.directory / "lib", taken.entry_script,
        snapshot.directory / "model.py")}
    assert list(map(oct, modes.values())) == ["0o700", "0o500", "0o500", "0o500", "0o400"]


def test_the_same_content_is_the_same_copy(bench: Bench) -> None:
    first = bench.take()
    age(first)
    assert bench.take() == first and os.listdir(str(bench.place)) == [first.entry_script.parts[-3]]
    assert first.snapshot is not None
    assert time.time() - first.snapshot.directory.parent.stat().st_mtime < 60, "it is kept for this launch"
    bench.write(**{"lib/a.txt": "b"})
    changed = bench.take()
    os.chmod(str(bench.project / "model.py"), 0o755)
    assert len({one.entry_script for one in (first, changed, bench.take())}) == 3


def test_two_launches_at_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    first = bench.take()
    real, asked = copying._is_there, iter([False])
    monkeypatch.setattr(copying, "_is_there", lambda copy: next(asked, None) is None and real(copy))
    assert bench.take() == first
    assert len(os.listdir(str(bench.place))) == 1, "and no draft is left"


# ---- what is copied

def test_without_git_what_is_no_code_is_left_out(bench: Bench) -> None:
    bench.write(**{"__pycache__/model.pyc": "", ".git/config": "", "env/pyvenv.cfg": "", "env/bin/x": "",
                   "conda/conda-meta/history": "", "sub/.mypy_cache/x": "", ".hidden": "",
                   ".gitignore": "*.txt"})
    bench.environ["PATH"] = ""
    os.mkfifo(str(bench.project / "pipe"))
    assert bench.copied() == [".gitignore", ".hidden", "lib/a.txt", "model.py", "train.py"]


@needs_git
def test_in_a_repository_what_git_ignores_is_left_out(bench: Bench) -> None:
    bench.write(**{".gitignore": "data/\n*.log\nmine.py\n", "data/x.bin": "x", "a.log": "", "gone.py": "",
                   "mine.py": "print(1)", "venv/pyvenv.cfg": "", "venv/bin/python": ""})
    bench.git("init", "-q")
    bench.git("add", "train.py", "model.py", "gone.py")
    bench.git("commit", "-q", "-m", "all")
    (bench.project / "gone.py").unlink()
    assert bench.copied() == [".gitignore", "lib/a.txt", "model.py", "train.py"]
    assert "mine.py" in bench.copied("mine.py"), "the script itself is meant all the same"
    snapshot = bench.take().snapshot
    assert snapshot is not None
    assert (snapshot.commit, snapshot.clean) == (bench.git("rev-parse", "HEAD"), False)


@needs_git
def test_repositories_in_a_repository(bench: Bench) -> None:
    bench.write(**{"inner/code.py": "", "inner/.gitignore": "skip\n", "inner/skip": ""})
    subprocess.run(["git", "init", "-q", "inner"], cwd=str(bench.project), env=bench.environ, check=True)
    bench.git("init", "-q")
    assert bench.copied() == ["inner/.gitignore", "inner/code.py", "lib/a.txt", "model.py", "train.py"]


def test_what_workers_write_is_left_out(bench: Bench) -> None:
    bench.environ.update(JD_WORKSPACE_PATH=str(bench.project), JD_CACHE_PATH=str(bench.project / "cache"))
    bench.write(**{"jd_data/exp/7/result.json": "{}", "logs/x.log": ""})
    bench.config = replace(bench.config, log_dir=bench.project / "logs")
    for _ in range(2):
        assert bench.copied() == ["lib/a.txt", "model.py", "train.py"]


def test_links_lead_where_they_led(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "outside.txt").write_text("outside")
    for name, leads in (("in", "lib/a.txt"), ("lib/up", "../model.py"), ("dir", "lib"),
                        ("out", "../outside.txt"), ("absolute", "/etc/hostname"), ("broken", "nothing")):
        os.symlink(leads, str(bench.project / name))
    snapshot = bench.take().snapshot
    assert snapshot is not None
    where = {name: os.readlink(str(snapshot.directory / name))
             for name in ("in", "lib/up", "dir", "out", "absolute", "broken")}
    assert where == {"in": "lib/a.txt", "lib/up": "../model.py", "dir": "lib",
                     "out": str(tmp_path / "outside.txt"), "absolute": "/etc/hostname",
                     "broken": str(bench.project / "nothing")}


PACKAGE = {"pkg/__init__.py": "", "pkg/sub/__init__.py": "", "pkg/base.py": "A = 1", "pkg/sub/own.py": ""}


@pytest.mark.parametrize("source, whole", [
    ("from ..base import A", True), ("from pkg.base import A", True), ("import own", False)])
def test_of_a_script_that_needs_its_package_all_of_that_is_copied(
        bench: Bench, source: str, whole: bool) -> None:
    bench.write(**PACKAGE, **{"pkg/sub/run.py": source})
    taken = bench.take("pkg/sub/run.py")
    assert taken.snapshot is not None
    assert taken.snapshot.source == bench.project / ("" if whole else "pkg/sub")
    assert taken.entry_script == taken.snapshot.directory / ("pkg/sub/run.py" if whole else "run.py")
    assert (taken.snapshot.directory / "pkg" / "base.py").exists() is whole


@pytest.mark.parametrize("cwd", ["launch", "job"])
@pytest.mark.parametrize("module, script, source", [
    ("pkg.sub.run", "pkg/sub/run.py", "from ..base import A"),
    ("", "pkg/sub/run.py", "from ..base import A"),
    ("", "pkg/sub/run.py", "from pkg.base import A"),
    ("", "plain.py", "from model import A")])
def test_what_is_imported_is_that_of_the_copy(bench: Bench, module: str, script: str, source: str,
                                              cwd: str) -> None:
    bench.write(**PACKAGE, **{script: source + "\nimport sys\nprint(A, *sys.argv[1:], __name__)"})
    config = replace(bench.config, entry_script=bench.project / script, module=module, cwd=cwd,
                     directory=bench.project)
    taken = copying.taken(config)
    bench.write(**{"pkg/base.py": "A = 'edited'", "model.py": "A = 'edited'"})
    assert taken.snapshot is not None
    command = entry.command(entry.of(taken))
    path = command.python_path(taken.snapshot.python_path(".:/somewhere", taken.directory))
    run_dir = taken.run_dir(1)
    run_dir.mkdir(parents=True, exist_ok=True)
    said = subprocess.run([*command.words, "--x", "1"], cwd=str(run_dir), check=True, stdout=subprocess.PIPE,
                          env=dict(bench.environ, PYTHONPATH=path))
    assert said.stdout.decode().split() == ["1", "--x", "1", "__main__"]


def test_of_a_link_the_script_itself_is_copied(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    os.symlink("../project/train.py", str(tmp_path / "links" / "run.py"))
    taken = copying.taken(replace(bench.config, entry_script=tmp_path / "links" / "run.py"))
    assert taken.snapshot is not None and taken.entry_script == taken.snapshot.directory / "train.py"
    assert (taken.snapshot.of, taken.snapshot.source) == (tmp_path / "links" / "run.py", bench.project)


def test_python_path(bench: Bench) -> None:
    snapshot = bench.take().snapshot
    assert snapshot is not None
    given = os.pathsep.join(["", "lib", str(bench.project), str(bench.project) + "-2", "/usr/lib", ".."])
    copy = str(snapshot.directory)
    assert snapshot.python_path(given, bench.project).split(os.pathsep) == [
        copy, copy + "/lib", copy, str(bench.project) + "-2", "/usr/lib", ".."]
    assert snapshot.python_path("", bench.project) == ""


def test_an_installed_module_is_refused(bench: Bench) -> None:
    config = replace(bench.config, module="pytest", entry_script=Path(pytest.__file__))
    with pytest.raises(UsageError, match="the module pytest lies in .*, not below the directory of the l"):
        copying.taken(config)


# ---- what is refused

def test_too_large(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.write(**{"data/x.bin": "x" * 600_000})
    monkeypatch.setattr(copying, "MAX_BYTES", 500_000)
    with pytest.raises(UsageError) as told:
        bench.take()
    assert str(told.value).startswith(
        "snapshot=: %s has 0.6 MB in 4 files, and at most 0.5 MB are copied; the largest is data/x.bin "
        "(0.6 MB)" % bench.project)
    assert ".gitignore" in str(told.value) and not bench.place.exists()


def test_too_many(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "MAX_FILES", 2)
    with pytest.raises(UsageError, match="has more than 2 files"):
        bench.take()


def test_a_place_that_others_can_write_to_is_not_used(bench: Bench) -> None:
    bench.place.mkdir(0o700, parents=True)
    bench.place.chmod(0o777)
    if os.geteuid() == 0:  # whose own directories may be open to all
        os.chown(str(bench.place), 12345, 12345)
    with pytest.raises(UnsafePlace):
        bench.take()
    snapshots.remove_unused(Registry("exp", bench.environ), bench.environ)
    assert bench.place.exists(), "nor is anything removed there"


def test_what_cannot_be_copied_is_said_and_nothing_is_left(
        bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> bytes:
        raise OSError(28, "No space left on device", "x")
    monkeypatch.setattr(copying, "_content", full)
    with pytest.raises(StorageError, match="the snapshot of .* cannot be taken: .*No space left on device"):
        bench.take()
    assert os.listdir(str(bench.place)) == []


# ---- launches

def test_a_launch_is_stored_with_it_and_jobs_run_where_they_would(bench: Bench) -> None:
    taken = replace(bench.take(), cwd="script")
    again = from_json(taken.to_json(), bench.environ)
    assert again.snapshot == taken.snapshot and again.entry_script == taken.entry_script
    assert taken.run_dir(1) == bench.project == neighbours.directory_of(taken.to_json())
    assert replace(taken, cwd="launch").run_dir(1) == taken.directory


def test_a_copy_goes_when_no_launch_uses_it(bench: Bench, here: Here) -> None:
    registry = Registry("exp", bench.environ)
    used = bench.take()
    registry.reserve([0], used.to_json(), here, 0.0)
    bench.write(**{"model.py": "A = 2"})
    unused = bench.take()
    bench.write(**{"model.py": "A = 3"})
    young = bench.take()
    (bench.place / ".abc.tmp").mkdir()
    for copy in (used, unused):
        age(copy)
    cleanup.clean_up(bench.environ, Here())
    assert used.entry_script.exists() and young.entry_script.exists() and not unused.entry_script.exists()
    age(young)
    registry.remove([row.worker_id for row in registry.rows()])
    os.utime(str(bench.place / ".abc.tmp"), (0, 0))
    cleanup.clean_up(bench.environ, Here())
    assert not bench.place.exists() and not registry.path.exists()


def test_who_goes_on_with_a_copy_keeps_it(bench: Bench) -> None:
    taken = bench.take()
    assert taken.snapshot is not None
    age(taken)
    snapshots.keep(taken.snapshot)
    snapshots.remove_unused(Registry("exp", bench.environ), bench.environ)
    assert taken.entry_script.exists()
    snapshots.remove(taken.snapshot.directory.parent)
    with pytest.raises(JdError, match="the snapshot .* is gone: No such file"):
        snapshots.keep(taken.snapshot)
