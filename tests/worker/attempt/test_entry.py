"""How a script is run."""

import os
import sys
from pathlib import Path
from typing import List

import pytest

from jd.errors import UsageError
from jd.worker.attempt.calling import entry
from jd.worker.attempt.calling.entry import Entry


def written(tmp_path: Path, name: str, content: bytes, mode: int = 0o644) -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("name, content, mode, before", [
    ("a.py", b"#!/usr/bin/perl\n", 0o644, [sys.executable]),
    ("A.PY", b"", 0o755, [sys.executable]),
    ("a.pyz", b"PK", 0o644, [sys.executable]),
    ("run.sh", b"#!/bin/sh\n", 0o644, ["/bin/sh"]),
    ("run", b"#! /bin/sh -eu  \nexit", 0o755, ["/bin/sh", "-eu"]),
    ("run", b"#!/usr/bin/env -S sh -e\n", 0o755, ["/usr/bin/env", "-S sh -e"]),
    ("run", b"#!/bin/sh", 0o755, ["/bin/sh"]),
    ("program", b"\x7fELF\x02\x01\x01\0", 0o755, []),
])
def test_words(tmp_path: Path, name: str, content: bytes, mode: int,
               before: list) -> None:  # type: ignore[type-arg]
    path = written(tmp_path, name, content, mode)
    assert entry.command(Entry(path)) == entry.Command(before, [str(path)])


@pytest.mark.parametrize("content, mode, said", [
    (b"print(1)", 0o644, "chmod"), (b"", 0o755, "neither"), (b"echo hi\n", 0o755, "#!/bin/sh"),
    (b"\x7fELF\0", 0o644, "not executable"), (b"#!/bin/bash\r\nls", 0o755, "Windows"),
    (b"#!\n", 0o755, "no interpreter"), (b"#!/no/such\n", 0o755, "/no/such"),
    (b"#!sh\n", 0o755, "interpreter sh"), (b"#!" + b"x" * 9000, 0o755, "no interpreter"),
    (b"#!/usr/bin/env no-such\n", 0o644, "no-such in the first line .* is not in PATH"),
    (b"#!/usr/bin/env -S no-such --vanilla\n", 0o755, "no-such in"),
])
def test_refusals(tmp_path: Path, content: bytes, mode: int, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        entry.command(Entry(written(tmp_path, "script", content, mode)))


def test_a_missing_script_is_an_oserror(tmp_path: Path) -> None:
    for name in ("gone.py", "gone.sh"):
        with pytest.raises(OSError):
            entry.command(Entry(tmp_path / name))


def test_another_python_runs_python_scripts_only(tmp_path: Path) -> None:
    python = tmp_path / "env" / "bin" / "python"
    script, shell = written(tmp_path, "a.py", b""), written(tmp_path, "run.sh", b"#!/bin/sh\n")
    assert entry.command(Entry(script, python=python)).words == [str(python), str(script)]
    assert entry.command(Entry(shell, python=python)).words == ["/bin/sh", str(shell)]


def test_a_module_is_found_from_the_directory_of_the_launch(tmp_path: Path) -> None:
    found = entry.command(Entry(tmp_path / "package" / "train.py", "package.train", directory=tmp_path))
    assert found.words == [sys.executable, "-m", "package.train"]
    assert found.python_path("/mine") == "%s%s/mine" % (tmp_path, os.pathsep)


def packaged(tmp_path: Path, name: str, source: str, *inits: str) -> Path:
    for init in inits:
        (tmp_path / init).mkdir(parents=True, exist_ok=True)
        (tmp_path / init / "__init__.py").write_text("")
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    return written(tmp_path, name, source.encode())


@pytest.mark.parametrize("name, source, inits, module, root", [
    ("pkg/train.py", "import os\nimport sibling", ["pkg"], "", ""),
    ("pkg/train.py", "from .model import Net", ["pkg"], "pkg.train", "."),
    ("pkg/train.py", "def main():\n    from . import model", ["pkg"], "pkg.train", "."),
    ("pkg/sub/train.py", "from ..model import Net", ["pkg", "pkg/sub"], "pkg.sub.train", "."),
    ("pkg/sub/train.py", "from .model import Net", ["pkg/sub"], "sub.train", "pkg"),
    ("pkg/train.py", "from .model import Net", [], "pkg.train", "."),  # a package without __init__.py
    ("pkg/sub/train.py", "from ..model import Net", [], "pkg.sub.train", "."),
    ("pkg/__main__.py", "from .model import Net", ["pkg"], "pkg", "."),
    ("pkg/__main__.py", "import model", ["pkg"], "", ""),
    ("pkg/train.py", "import pkg.model", ["pkg"], "", "."),
    ("pkg/sub/train.py", "from pkg import model", ["pkg", "pkg/sub"], "", "."),
    ("pkg/train.py", "import pkg.model", [], "", ""),
    ("pkg/train.py", "try:\n    from . import model\nexcept ImportError:\n    import model", ["pkg"], "", ""),
    ("pkg/train.py", "if __package__:\n    from . import model\nelse:\n    import model", ["pkg"], "", ""),
    ("pkg/train.py", "from typing import *\nif TYPE_CHECKING:\n    from .x import y", ["pkg"], "", ""),
    ("pkg/train.py", "print 1\nfrom .model import Net", ["pkg"], "pkg.train", "."),  # of another Python
    ("pkg/train.py", "print 1\nimport pkg.model", ["pkg"], "", "."),
    ("train.py", "import os", [], "", ""),
])
def test_a_script_in_a_package_is_run_so_that_it_finds_it(
        tmp_path: Path, name: str, source: str, inits: List[str], module: str, root: str) -> None:
    script = packaged(tmp_path, name, source, *inits)
    found = entry.command(Entry(script))
    expected = str(tmp_path / root) if root else ""
    if module:
        assert found == entry.Command([sys.executable], ["-m", module], before=expected)
    else:
        assert found == entry.Command([sys.executable], [str(script)], behind=expected)


def test_what_is_added_to_the_path_leaves_the_users_as_it_is() -> None:
    assert entry.Command([], []).python_path("a::b") == "a::b"
    assert entry.Command([], [], before="x").python_path("a::b") == "x:a::b"
    assert entry.Command([], [], behind="x").python_path("a") == "a:x"


def test_a_program_that_may_only_be_executed_has_no_source(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")
    program = written(tmp_path, "program", b"", 0o755)
    monkeypatch.setattr("os.open", denied)
    assert entry.source(program) == b""
    program.chmod(0o644)
    with pytest.raises(PermissionError):
        entry.source(program)
