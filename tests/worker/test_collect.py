"""Which files `collect=` takes."""

import os
from pathlib import Path
from typing import List

import pytest

from jd import protocol
from jd.errors import UsageError
from jd.script import uploaded
from jd.settings import WORKER, resolve
from jd.worker.attempt import collect


@pytest.mark.parametrize("pattern, name, fits", [
    ("*.json", "a.json", True), ("*.json", "sub/a.json", False), ("*.json", ".a.json", False),
    (".*.json", ".a.json", True), ("a?.[ct]sv", "ab.csv", True), ("a?.[ct]sv", "a/.csv", False),
    ("ckpt/**", "ckpt/a", True), ("ckpt/**", "ckpt/x/y/a.pt", True), ("ckpt/**", "ckpt", False),
    ("ckpt/**", "ckpt/.tmp/a", False), ("**/*.csv", "a.csv", True), ("**/*.csv", "x/y/a.csv", True),
    ("**", "x/y", True), ("**", "a", True), ("a/**/b", "a/b", True), ("a/**/b", "a/x/y/b", True),
    ("a/**/b", "a/x", False), ("*", "new\nline", True), ("./a", "a", True), ("ckpt/", "ckpt/a", True),
])
def test_patterns(pattern: str, name: str, fits: bool) -> None:
    split = [part for part in collect.patterns(pattern)[0].split("/") if part != "."]
    assert collect.matches(split, name.split("/")) is fits


@pytest.mark.parametrize("value", ["/etc/passwd", "../x", "a/../../x", "~/x", "a\x1b", "**/**/**/**/**",
                                   ",".join("a" * 101)])
def test_patterns_that_are_refused(value: str) -> None:
    with pytest.raises(UsageError, match="collect="):
        resolve([setting for setting in WORKER if setting.name == "collect"], {"collect": value}, {})


def put(directory: Path, *names: str, size: int = 1) -> None:
    for name in names:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(str(path), "wb") as file:
            file.truncate(size)


def names(selection: collect.Selection) -> List[str]:
    return [file.name for file in selection.files]


def test_the_first_patterns_come_first_and_links_and_our_own_files_do_not(tmp_path: Path) -> None:
    put(tmp_path, "z.json", "a.csv", "b.csv", "jd_checkpoint/1/state", ".jd_uploads")
    os.symlink("/etc/passwd", str(tmp_path / "link.csv"))
    os.symlink("/etc", str(tmp_path / "etc"))
    os.mkfifo(str(tmp_path / "pipe.csv"))
    assert names(collect.select(tmp_path, ["*.json", "**", ".*"], {})) == ["z.json", "a.csv", "b.csv"]


def test_what_the_server_has_is_not_sent_again_unless_it_changed(tmp_path: Path) -> None:
    put(tmp_path, "a.csv", "b.csv")
    uploaded.begin(tmp_path, "data", [])
    for name in ("a.csv", "b.csv"):
        uploaded.add(tmp_path, str(tmp_path / name), uploaded.version_of(os.stat(str(tmp_path / name))))
    put(tmp_path, "b.csv", size=2)
    assert names(collect.select(tmp_path, ["*.csv"], uploaded.read(tmp_path)[1])) == ["b.csv"]


def test_a_ledger_of_other_data_begins_anew_and_half_a_line_harms_nobody(tmp_path: Path) -> None:
    uploaded.begin(tmp_path, "one", [("old", (1, 2))])
    with open(str(tmp_path / uploaded.NAME), "a") as file:
        file.write('{"name": "ha')
    uploaded.add(tmp_path, str(tmp_path / "new"), (3, 4))
    assert uploaded.read(tmp_path) == ("one", {"old": (1, 2), "new": (3, 4)})
    uploaded.begin(tmp_path, "one", [])
    assert uploaded.read(tmp_path)[1] == {"old": (1, 2), "new": (3, 4)}
    uploaded.begin(tmp_path, "two", [])
    assert uploaded.read(tmp_path) == ("two", {})


def test_without_a_ledger_nothing_is_noted(tmp_path: Path) -> None:
    uploaded.add(tmp_path, str(tmp_path / "a"), (1, 2))
    assert list(tmp_path.iterdir()) == []


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect, "MAX_FILES", 2)
    put(tmp_path, "big.bin", size=protocol.MAX_FILE_BYTES + 1)
    put(tmp_path, "a", "b", "c")
    selection = collect.select(tmp_path, ["**"], {})
    assert names(selection) == ["a", "b"]
    assert selection.left == [("big.bin", "larger than 100 MB"), ("c", "more than 2 files")]
    monkeypatch.setattr(collect, "MAX_TOTAL_BYTES", 1)
    assert collect.select(tmp_path, ["a", "b"], {}).left == [("b", "more than 0 MB together")]
