"""Results on disk."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, List

import pytest

from jd.messages import Result
from jd.worker.uplink import outbox as outbox_module
from jd.worker.uplink.outbox import Outbox

RESULT = Result(5, "ABORTED", "exit status 1\nü\x00", 2, "failed", 1, 12.345678901234567, "tail 🚀")


def box(tmp_path: Path, log: Any = print) -> Outbox:
    return Outbox(tmp_path / "box", log)


def test_a_result_comes_back_as_it_was(tmp_path: Path) -> None:
    entry = box(tmp_path).put(RESULT, "http://s", "data-1", "w_0")
    assert entry.path is not None and entry.path.stat().st_mode & 0o777 == 0o600
    assert box(tmp_path).waiting("http://other", "data-1") == [entry]
    assert entry.result.to_json() == RESULT.to_json()


def test_entries_belong_to_their_servers_data(tmp_path: Path) -> None:
    box(tmp_path).put(RESULT, "http://s", "data-1", "w_0")
    base = box(tmp_path).put(RESULT, "http://s", None, "w_0")
    assert box(tmp_path).waiting("http://s", "data-2") == [base]
    assert box(tmp_path).waiting("http://other", None) == []


def test_the_oldest_comes_first(tmp_path: Path) -> None:
    times = iter([10.0, 20.0, 30.0])
    ordered = Outbox(tmp_path / "box", print, lambda: next(times))
    for job_id in (3, 1, 2):
        ordered.put(Result(job_id, "DONE"), "http://s", None, "w_0")
    assert [e.result.job_id for e in ordered.waiting("http://s", None)] == [3, 1, 2]


def test_a_verdict_that_an_earlier_version_wrote_into_the_text_is_taken_out(tmp_path: Path) -> None:
    given_back = Result(5, "ABORTED", "the worker was stopped", 1, "preempted")
    for message in ("preempted: the worker was stopped", "the worker was stopped"):
        entry = box(tmp_path).put(replace(given_back, message=message), "http://s", None, "w_0")
        (found,) = box(tmp_path).waiting("http://s", None)
        assert found.result == given_back
        box(tmp_path).remove(entry)
    failed = box(tmp_path).put(replace(given_back, verdict="failed", message="preempted: so it says"),
                               "http://s", None, "w_0")
    assert box(tmp_path).waiting("http://s", None) == [failed]


def test_removing_twice_is_no_error(tmp_path: Path) -> None:
    logged: List[str] = []
    kept = box(tmp_path, logged.append)
    entry = kept.put(RESULT, "http://s", None, "w_0")
    kept.remove(entry)
    kept.remove(entry)
    assert os.listdir(str(tmp_path / "box")) == []
    assert logged == []


@pytest.mark.parametrize("content", [
    b"", b"{", b"[]", b"\xff", b"{}", b'{"result": {}}', b"[" * 100_000,
    json.dumps({"result": {"job_id": 1, "status": "MAYBE"}, "server": "s", "worker_id": "w",
                "written": 1}).encode(),
    json.dumps({"result": {"job_id": 1, "status": "DONE"}, "server": "http://s", "worker_id": "w",
                "written": 1}).encode() + b" " * outbox_module.MAX_ENTRY_BYTES,
], ids=["empty", "torn", "list", "binary", "no-fields", "no-result", "deep", "unknown-status", "huge"])
def test_a_corrupt_file_is_set_aside(tmp_path: Path, content: bytes) -> None:
    logged: List[str] = []
    kept = box(tmp_path, logged.append)
    good = kept.put(RESULT, "http://s", None, "w_0")
    (tmp_path / "box" / "1-1-aaaa.json").write_bytes(content)
    assert kept.waiting("http://s", None) == [good]
    assert (tmp_path / "box" / "1-1-aaaa.json.bad").read_bytes() == content
    assert len(logged) == 1
    assert kept.waiting("http://s", None) == [good]
    assert len(logged) == 1


def test_a_full_disk_keeps_the_result_in_memory(tmp_path: Path,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    logged: List[str] = []
    kept = box(tmp_path, logged.append)

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    entry = kept.put(RESULT, "http://s", None, "w_0")
    assert entry.path is None
    assert entry.result == RESULT
    assert "No space left" in logged[0]
    assert os.listdir(str(tmp_path / "box")) == []
    kept.remove(entry)


def test_a_directory_that_cannot_be_is_no_end(tmp_path: Path) -> None:
    (tmp_path / "box").write_text("a file")
    logged: List[str] = []
    kept = box(tmp_path, logged.append)
    assert kept.put(RESULT, "http://s", None, "w_0").path is None
    assert kept.waiting("http://s", None) == []
    assert len(logged) == 2
