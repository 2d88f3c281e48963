"""The list of what the server has, as crashes and others leave it."""

from pathlib import Path

import pytest

from jd.script import uploaded


@pytest.mark.parametrize("line", [
    '{"name": "b", "size": Infinity, "mtime_ns": 1}', '{"name": "b", "size": 1e999, "mtime_ns": 1}',
    "[" * 50_000, "{", "5"])
def test_a_line_that_cannot_be_read_is_skipped(tmp_path: Path, line: str) -> None:
    uploaded.begin(tmp_path / "job", "data-1", [("a", (1, 2))])
    with Path(uploaded.beside(tmp_path / "job")).open("a") as file:
        file.write(line + "\n")
    assert uploaded.read(tmp_path / "job") == ("data-1", {"a": (1, 2)})
