"""How a script is run."""

import sys
from pathlib import Path

import pytest

from jd.errors import UsageError
from jd.worker.attempt import entry


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
    assert entry.command(path) == before + [str(path)]


@pytest.mark.parametrize("content, mode, said", [
    (b"print(1)", 0o644, "chmod"), (b"", 0o755, "neither"), (b"echo hi\n", 0o755, "#!/bin/sh"),
    (b"\x7fELF\0", 0o644, "not executable"), (b"#!/bin/bash\r\nls", 0o755, "Windows"),
    (b"#!\n", 0o755, "no interpreter"), (b"#!/no/such\n", 0o755, "/no/such"),
    (b"#!sh\n", 0o755, "interpreter sh"), (b"#!" + b"x" * 9000, 0o755, "no interpreter"),
])
def test_refusals(tmp_path: Path, content: bytes, mode: int, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        entry.command(written(tmp_path, "script", content, mode))


def test_a_missing_script_is_an_oserror(tmp_path: Path) -> None:
    for name in ("gone.py", "gone.sh"):
        with pytest.raises(OSError):
            entry.command(tmp_path / name)
