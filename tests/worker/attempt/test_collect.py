"""Which files `collect=` takes."""

import json
import os
from pathlib import Path
from typing import Dict, List, Optional, Tuple

import pytest

from jd import protocol
from jd.errors import UsageError
from jd.script import uploaded
from jd.script.uploaded import Version
from jd.settings import WORKER, resolve
from jd.settingvalues import collect_limit
from jd.worker.attempt.files import collect, jobdir
from jd.worker.config import WorkerConfig, from_json


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


def chosen(directory: Path, *patterns: str, known: Optional[Dict[str, Version]] = None,
           before: Optional[Dict[str, Version]] = None, count: bool = False,
           **limits: int) -> collect.Selection:
    rules = collect.Rules(patterns, **limits)
    return collect.select(directory, rules, known or {}, before or {}, count)


def version(path: Path) -> Version:
    return uploaded.version_of(os.stat(str(path)))


def test_result_files_come_first_then_small_ones_and_links_and_our_own_files_do_not(tmp_path: Path) -> None:
    put(tmp_path, "a.bin", size=3)
    put(tmp_path, "b.bin", "frames/0.png", size=2)
    put(tmp_path, "metrics.json", "result.json", size=9)
    put(tmp_path, "jd_checkpoint-1/state")
    os.symlink("/etc/passwd", str(tmp_path / "link.csv"))
    os.symlink("/etc", str(tmp_path / "etc"))
    os.mkfifo(str(tmp_path / "pipe.csv"))
    assert names(chosen(tmp_path, "*.bin", "**")) == [
        "result.json", "metrics.json", "b.bin", "frames/0.png", "a.bin"]


def test_files_of_a_script_may_have_the_names_of_checkpoint_directories(tmp_path: Path) -> None:
    theirs = ["jd_checkpoint", "jd_checkpoint-1", "jd_checkpoint-100", "jd_checkpoint-best/state",
              "jd_checkpoint-1.pt", "runs/jd_checkpoint-1/state"]
    put(tmp_path, *theirs)
    put(tmp_path, "jd_checkpoint-2/state", "jd_checkpoint-2-1/state", "jd_checkpoint-2-1.partial/state")
    assert sorted(names(chosen(tmp_path, "**"))) == sorted(theirs)


def test_result_files_are_collected_without_a_pattern(tmp_path: Path) -> None:
    put(tmp_path, "result.json", "metrics.json", "model.pt", "sub/result.json")
    assert names(chosen(tmp_path)) == ["result.json", "metrics.json"]
    (tmp_path / "metrics.json").unlink()
    os.symlink("/etc/passwd", str(tmp_path / "metrics.json"))
    assert names(chosen(tmp_path)) == ["result.json"]


def test_one_from_before_the_attempt_is_not_its_result_unless_it_is_asked_for(tmp_path: Path) -> None:
    put(tmp_path, "result.json")
    before = {"result.json": version(tmp_path / "result.json")}
    selection = chosen(tmp_path, before=before)
    assert (names(selection), selection.old) == ([], ["result.json"])
    assert chosen(tmp_path, before=before, known=before).old == []
    assert names(chosen(tmp_path, "*.json", before=before)) == ["result.json"]
    put(tmp_path, "result.json", size=2)
    assert names(chosen(tmp_path, before=before)) == ["result.json"]


def test_what_the_server_has_is_not_sent_again_unless_it_changed(tmp_path: Path) -> None:
    job = tmp_path / "7"
    put(job, "a.csv", "b.csv")
    uploaded.begin(job, "data", [])
    for name in ("a.csv", "b.csv"):
        uploaded.add(job, str(job / name), version(job / name))
    put(job, "b.csv", size=2)
    assert names(chosen(job, "*.csv", known=uploaded.read(job)[1])) == ["b.csv"]


def test_the_list_of_an_earlier_version_is_gone_on_with(tmp_path: Path) -> None:
    """What it does not name was made by an attempt that was killed, and is still to be collected."""
    job = tmp_path / "7"
    put(job, "sent.csv", "left.csv")
    sent = version(job / "sent.csv")
    mark = Path(uploaded.beside(job))
    for data, known in [("one", {"sent.csv": sent}), ("two", {"sent.csv": sent, "left.csv": sent})]:
        mark.parent.mkdir(exist_ok=True)
        mark.write_text(data + "\n")
        Path(uploaded.beside(job, uploaded.EARLIER_SUFFIX)).write_text(
            uploaded.begun("one") + '\n{"name": "sent.csv", "size": %d, "mtime_ns": %d}\n' % sent)
        there = [(name, sent) for name in ("sent.csv", "left.csv")]
        assert uploaded.begin(job, data, there) == known
        assert uploaded.read(job) == (data, known) and mark.read_text().startswith(data + "\n")


def test_a_ledger_of_other_data_begins_anew_and_half_a_line_harms_nobody(tmp_path: Path) -> None:
    job = tmp_path / "7"
    job.mkdir()
    uploaded.begin(job, "one", [("old", (1, 2))])
    with open(str(Path(uploaded.beside(job))), "a") as file:
        file.write('{"name": "ha')
    uploaded.add(job, str(job / "new"), (3, 4))
    assert uploaded.read(job) == ("one", {"old": (1, 2), "new": (3, 4)})
    uploaded.begin(job, "one", [])
    assert uploaded.read(job)[1] == {"old": (1, 2), "new": (3, 4)}
    uploaded.begin(job, "two", [])
    assert uploaded.read(job) == ("two", {})
    assert list(job.iterdir()) == []  # scripts upload every file that they find there


def test_the_list_keeps_the_mark_before_it(tmp_path: Path) -> None:
    job = tmp_path / "7"
    jobdir.prepare(job, "one", 1)
    assert uploaded.read(job) == ("one", {})
    uploaded.add(job, str(job / "new"), (3, 4))
    assert uploaded.begin(job, "one", []) == {"new": (3, 4)}
    assert uploaded.begin(job, "two", [("old", (1, 2))]) == {"old": (1, 2)}
    (job / "old").write_text("")
    assert jobdir.prepare(job, "one", 2).aside is None and uploaded.read(job) == ("two", {"old": (1, 2)})


def test_a_file_from_elsewhere_is_noted_by_its_whole_path(tmp_path: Path) -> None:
    job = tmp_path / "7"
    job.mkdir()
    uploaded.begin(job, "one", [])
    uploaded.add(job, str(tmp_path / "result.json"), (1, 2))
    assert uploaded.read(job)[1] == {str(tmp_path / "result.json"): (1, 2)}


def test_without_a_ledger_nothing_is_noted(tmp_path: Path) -> None:
    job = tmp_path / "7"
    job.mkdir()
    uploaded.add(job, str(job / "a"), (1, 2))
    assert [path.name for path in tmp_path.rglob("*")] == ["7"]


def test_limits(tmp_path: Path) -> None:
    put(tmp_path, "big.bin", size=protocol.MAX_FILE_BYTES + 1)
    put(tmp_path, "a", "b", "c")
    selection = chosen(tmp_path, "**", max_files=2)
    assert names(selection) == ["a", "b"]
    assert selection.left == [("c", "over the limit of 2 files"), ("big.bin", "larger than 100 MB")]
    assert chosen(tmp_path, "a", "b", max_bytes=1).left == [("b", "over the limit of 0 MB")]


def test_however_many_other_files_there_are_the_result_is_taken(tmp_path: Path,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, *["frames/%04d.png" % number for number in range(600)])
    put(tmp_path, "result.json", size=1000)
    selection = chosen(tmp_path, "**")
    assert (names(selection)[0], len(selection.files), len(selection.left)) == ("result.json", 500, 101)
    monkeypatch.setattr(collect, "MAX_LOOKED_AT", 5)
    put(tmp_path, *["%04d.png" % number for number in range(10)])
    assert names(chosen(tmp_path, "**"))[0] == "result.json"


def test_what_nothing_asks_for_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "result.json", "a.csv", "jd_checkpoint-1/state")
    put(tmp_path, "b.bin", "deep/c.bin", ".hidden", size=10)
    counted = chosen(tmp_path, "*.csv", known={"b.bin": version(tmp_path / "b.bin")}, count=True)
    assert (counted.stayed, counted.stayed_bytes, counted.all_seen) == (2, 20, True)
    assert chosen(tmp_path).stayed == 0
    monkeypatch.setattr(collect, "MAX_COUNTED", 2)
    counted = chosen(tmp_path, count=True)
    assert (counted.stayed, counted.all_seen) == (2, False)


@pytest.mark.parametrize("value, limit", [
    ("500,1G", (500, 1024 ** 3)), ("20", (20, 1024 ** 3)), ("2GB", (500, 2 * 1024 ** 3)),
    ("5M, 7", (7, 5 * 2 ** 20))])
def test_how_limits_are_written(value: str, limit: Tuple[int, int]) -> None:
    assert collect_limit(value) == limit


@pytest.mark.parametrize("value", ["", "0", "10001", "1,2", "1M,2M", "1,2,3", "x", "-1"])
def test_limits_that_are_refused(value: str) -> None:
    with pytest.raises(ValueError, match="500,1G"):
        collect_limit(value)


def test_restarts_collect_as_the_launch_did() -> None:
    launch = WorkerConfig("e", Path("/train.py"), "http://127.0.0.1:9", collect_limit=(7, 8),
                          results_from="stdout")
    again = from_json(json.loads(json.dumps(launch.to_json())), {})
    assert (again.collect_limit, again.results_from) == ((7, 8), "stdout")
    stored = {name: value for name, value in launch.to_json().items()
              if name not in ("collect_limit", "results_from")}
    before = from_json(json.loads(json.dumps(stored)), {})
    assert (before.collect_limit, before.results_from) == ((500, 1024 ** 3), "files")
