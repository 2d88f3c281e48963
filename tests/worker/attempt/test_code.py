"""Which code runs: what is found of it, and that nobody waits for it."""

import hashlib
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

import pytest

from jd import threads
from jd.messages import Code
from jd.node import helpers
from jd.worker.attempt.code import code as code_module
from jd.worker.attempt.code import distributions, repository
from jd.worker.attempt.code.code import Codes
from jd.worker.config import WorkerConfig
from jd.worker.snapshot import Snapshot

SOURCE = "import os, json\nprint(1)\n"
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="no git")


class Bench:
    """A script, and what is found of it."""

    def __init__(self, tmp_path: Path, name: str = "train.py", source: str = SOURCE) -> None:
        self.directory = tmp_path / "project" / "src"
        self.directory.mkdir(parents=True)
        self.script = self.directory / name
        self.script.write_text(source)
        self.script.chmod(0o755)
        self.environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
        self.now = 0.0
        self.logged: List[str] = []
        self.snapshot: Optional[Snapshot] = None
        self._codes: Optional[Codes] = None

    def look(self) -> Optional[Code]:
        if self._codes is None:
            config = WorkerConfig("exp", self.script, "http://s:1", environ=self.environ,
                                  snapshot=self.snapshot)
            self._codes = Codes(config, self.logged.append, lambda: self.now)
        self.now += code_module.FRESH
        lookup = self._codes.lookup()
        assert lookup.code() is None, "nothing is known before the script starts"
        lookup.begin()
        return lookup.code(30.0)

    def found(self) -> Code:
        found = self.look()
        assert found is not None, self.logged
        return found

    def git(self, *words: str) -> str:
        return subprocess.run(
            ["git", "-c", "user.name=x", "-c", "user.email=x@y", *words], cwd=str(self.directory), check=True,
            env=self.environ, stdout=subprocess.PIPE).stdout.decode().strip()

    def commit(self) -> str:
        self.git("init", "-q", "..")
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "all")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_what_is_found_of_a_script(bench: Bench) -> None:
    assert bench.found() == Code(
        script="train.py", hash=hashlib.sha256(SOURCE.encode()).hexdigest(), interpreter=sys.executable,
        version="%d.%d.%d" % sys.version_info[:3], distributions={})


def test_a_script_that_was_changed_is_another(bench: Bench) -> None:
    before = bench.found().hash
    bench.script.write_text(SOURCE + "print(2)\n")
    assert bench.found().hash not in (before, None)


def test_a_script_that_is_changed_while_it_is_read_has_no_hash(
        bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    stamps = iter([(1, 2, 3), (4, 5, 6)])
    monkeypatch.setattr(code_module, "_stamp", lambda found: next(stamps))
    assert bench.found().hash is None


@needs_git
def test_the_commit_and_whether_it_is_all(bench: Bench) -> None:
    commit = bench.commit()
    found = bench.found()
    assert (found.commit, found.clean) == (commit, True)
    (bench.directory / "result.json").write_text("{}")  # as jobs leave
    bench.now += code_module.CLEAN_FOR
    assert bench.found().clean is True
    bench.script.write_text(SOURCE + "print(2)\n")
    bench.now += code_module.CLEAN_FOR
    found = bench.found()
    assert (found.commit, found.clean) == (commit, False)
    bench.git("add", "-A")
    bench.git("commit", "-q", "-m", "more")
    found = bench.found()
    assert (found.commit, found.clean) == (bench.git("rev-parse", "HEAD"), True), "at once"


@needs_git
def test_git_is_not_asked_for_each_job(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.commit()
    asked: List[object] = []
    real = helpers.output_of

    def output_of(command: Any, *more: Any) -> Optional[bytes]:
        asked.append(command)
        return real(command, *more)
    monkeypatch.setattr(helpers, "output_of", output_of)
    for _ in range(3):
        bench.found()
    assert len(asked) == 1
    bench.now += code_module.CLEAN_FOR
    bench.found()
    assert len(asked) == 2


@needs_git
def test_without_git_the_commit_is_read_and_clean_is_unknown(bench: Bench) -> None:
    commit = bench.commit()
    git = str(shutil.which("git"))
    bench.environ = {"PATH": ""}
    found = bench.found()
    assert (found.commit, found.clean) == (commit, None)
    bench.environ = {"PATH": os.path.dirname(git), "HOME": "/"}
    bench.git("pack-refs", "--all")
    bench.git("worktree", "add", "-q", "--detach", str(bench.directory.parent.parent / "tree"))
    for directory in (bench.directory, bench.directory.parent.parent / "tree" / "src"):
        repo = repository.find(directory)
        assert repo is not None and repo.commit() == commit, "packed, and of a work tree"


def test_a_directory_in_no_repository(tmp_path: Path) -> None:
    assert repository.find(tmp_path) is None
    (tmp_path / ".git").write_text("gitdir: /nowhere\n")
    assert repository.find(tmp_path) is None


def test_a_repository_without_a_commit_and_a_damaged_one(tmp_path: Path) -> None:
    git = tmp_path / ".git"
    git.mkdir()
    for head in ("ref: refs/heads/main\n", "", "ref: HEAD\n", "nonsense"):
        (git / "HEAD").write_text(head)
        found = repository.find(tmp_path)
        assert found is not None
        assert found.commit() is None
        assert repository.state(found, {"PATH": os.environ["PATH"]}) == (None, None)


def test_of_many_short_jobs_it_is_looked_up_once_a_second(bench: Bench,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    begun: List[str] = []
    real = threads.start

    def start(work: Callable[..., None], name: str, words: Tuple[Any, ...] = ()) -> threading.Thread:
        begun.append(name)
        return real(work, name, words)
    monkeypatch.setattr(threads, "start", start)
    codes = Codes(WorkerConfig("exp", bench.script, "http://s:1", environ=bench.environ), bench.logged.append,
                  lambda: bench.now)

    def look() -> Optional[Code]:
        lookup = codes.lookup()
        lookup.begin()
        return lookup.code(30.0)

    first = look()
    bench.now += code_module.FRESH * 0.9
    assert first is not None and look() == first and len(begun) == 1
    bench.now += code_module.FRESH * 0.1
    assert look() == first and len(begun) == 2
    bench.script.write_text(SOURCE + "print(3)\n")
    changed = look()
    assert changed is not None and changed.hash != first.hash and len(begun) == 3, "another script at once"


def test_a_git_that_hangs_holds_up_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    (bench.directory / ".git").mkdir()
    (bench.directory / ".git" / "HEAD").write_text("c" * 40 + "\n")
    hangs = threading.Event()
    monkeypatch.setattr(helpers, "output_of", lambda *words: hangs.wait(60) and None)
    config = WorkerConfig("exp", bench.script, "http://s:1", environ=bench.environ)
    codes = Codes(config, bench.logged.append)
    first = codes.lookup()
    first.begin()
    assert first.code() is None and first.code(0.01) is None
    second = codes.lookup()
    second.begin()
    assert second.done.is_set() and second.code(60.0) is None, "of this attempt it will not be known"
    hangs.set()
    found = first.code(30.0)
    assert found is not None and (found.commit, found.clean) == ("c" * 40, None)


def test_a_snapshot_has_the_commit_of_its_launch(bench: Bench) -> None:
    home = Path("/home/me")
    bench.snapshot = Snapshot(home / "train.py", home, bench.directory, "ab" * 32, "c" * 40, False)
    found = bench.found()
    assert (found.commit, found.clean, found.snapshot) == ("c" * 40, False, "ab" * 32)


def test_what_should_not_happen_is_logged_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("no")
    monkeypatch.setattr(repository, "find", broken)
    assert bench.look() is None and bench.look() is None
    (line,) = bench.logged
    assert line.startswith("which code runs is not recorded: RuntimeError: no\n")


# ---- interpreters

def test_another_python_tells_itself(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "train", "#!/usr/bin/env python3\nimport pytest, nothing_of_that_name\n")
    bin_dir = tmp_path / "bin"
    bin_dir.mkdir()
    python = bin_dir / "python3"
    python.write_text("#!/bin/sh\nexec %s \"$@\"\n" % sys.executable)
    python.chmod(0o755)
    bench.environ["PATH"] = "%s:%s" % (bin_dir, bench.environ["PATH"])
    found = bench.found()
    assert found.interpreter == str(python) and found.version == "%d.%d.%d" % sys.version_info[:3]
    assert found.distributions == {"pytest": pytest.__version__}


@pytest.mark.parametrize("first, path", [("#!/bin/sh", "/bin/sh"), ("#!/bin/sh -e", "/bin/sh")])
def test_of_another_language_the_interpreter_is_told(tmp_path: Path, first: str, path: str) -> None:
    found = Bench(tmp_path, "train.sh", first + "\ntrue\n").found()
    assert (found.interpreter, found.version, found.distributions) == (path, None, None)


def test_a_program_has_none(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "program")
    shutil.copy("/bin/true", str(bench.script))
    found = bench.found()
    assert (found.interpreter, found.version) == (None, None) and found.hash is not None


def test_a_python_that_cannot_tell(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "train", "#!%s/python2\n" % tmp_path)
    python = tmp_path / "python2"
    python.write_text("#!/bin/sh\necho 'SyntaxError'\nexit 1\n")
    python.chmod(0o755)
    found = bench.found()
    assert (found.interpreter, found.version, found.distributions) == (str(python), None, None)


# ---- distributions

@pytest.mark.parametrize("source, names", [
    ("import os, sys.path, json\nfrom pathlib import Path", []),
    ("import numpy as np, torch.nn\nfrom sklearn.svm import SVC\nimport jd", ["numpy", "sklearn", "torch"]),
    ("def f():\n    try:\n        import yaml\n    except ImportError:\n        yaml = None", ["yaml"]),
    ("from . import x\nfrom .y import z\nimport model, package, wandb", ["wandb"]),
    ("print 'Python 2'", []),
    ("\0", []),
])
def test_what_a_script_imports(tmp_path: Path, source: str, names: List[str]) -> None:
    (tmp_path / "model.py").write_text("")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("")
    (tmp_path / "wandb").mkdir()  # what the package of that name writes there
    assert distributions.imported(source.encode(), str(tmp_path)) == names


def test_versions_by_the_names_of_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def install(name: str, version: str, files: Dict[str, str]) -> None:
        place = tmp_path / ("%s-%s.dist-info" % (name, version))
        place.mkdir()
        (place / "METADATA").write_text("Metadata-Version: 2.1\nName: %s\nVersion: %s\n" % (name, version))
        for file, content in files.items():
            (place / file).write_text(content)
    install("numpy", "1.26.4", {})
    install("pillow", "10.0", {"top_level.txt": "PIL\n"})
    install("PyYAML", "6.0", {"RECORD": "yaml/__init__.py,sha256=x,1\n_yaml.cpython-311-x86.so,,\n"})
    install("single", "1.0", {"RECORD": "one_file.py,,\n"})
    install("broken", "2.0", {"METADATA": "", "RECORD": "\xff"})
    behind = tmp_path / "behind" / "Pillow-9.0.dist-info"
    behind.mkdir(parents=True)
    (behind / "METADATA").write_text("Metadata-Version: 2.1\nName: pillow\nVersion: 9.0\n")
    (behind / "top_level.txt").write_text("PIL\n")
    monkeypatch.syspath_prepend(str(behind.parent))
    monkeypatch.syspath_prepend(str(tmp_path))
    assert distributions.versions(["numpy", "PIL", "yaml", "one_file", "not_there"]) == {
        "PyYAML": "6.0", "numpy": "1.26.4", "pillow": "10.0", "single": "1.0"}
