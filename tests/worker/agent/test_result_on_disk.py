"""When a result is in a file, and when that is synced: no job waits for it if the server answers at once."""

import os
import stat
from pathlib import Path
from typing import List, Optional

import pytest

from jd import protocol
from jd.files import filesystems
from jd.messages import Result
from jd.worker.uplink.delivery import SYNC_AFTER, Delivery
from jd.worker.uplink.heartbeats import Link
from jd.worker.uplink.outbox import Outbox, in_directory
from tests.worker.bench import ALL, Bench, job

BASE = None
NO_FINISH = [name for name in ALL if name != protocol.EXT_FINISH]


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> List[str]:
    """What has been synced so far: "file" or "names"."""
    seen: List[str] = []
    fsync = os.fsync

    def counted(handle: int) -> None:
        seen.append("names" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        fsync(handle)
    monkeypatch.setattr(os, "fsync", counted)
    return seen


@pytest.mark.parametrize("extensions", [ALL, NO_FINISH, BASE])
def test_a_job_that_is_claimed_finished_and_taken_costs_no_fsync(
        tmp_path: Path, synced: List[str], extensions: Optional[List[str]]) -> None:
    bench = Bench(tmp_path)
    bench.reply(extensions, job(1))
    for number in range(1, 4):
        bench.end_job()
        assert len(bench.waiting()) == 1, "it is in a file before it goes"
        if bench.call.route == protocol.UPDATE_JOB_STATUS:
            bench.answer({"message": "ok"}, took=SYNC_AFTER / 2)
        bench.reply(extensions, job(number + 1), took=SYNC_AFTER / 2)
        assert bench.waiting() == []
        assert len(bench.jobs) == number + 1
    assert synced == []


def test_a_result_that_the_server_lets_wait_is_synced_once(tmp_path: Path, synced: List[str]) -> None:
    bench = Bench(tmp_path)
    bench.reply(ALL, job(1))
    bench.end_job()
    assert bench.step_to_deadline() == pytest.approx(SYNC_AFTER)
    assert synced == ["file", "names"]
    bench.step(20.0)
    assert len(synced) == 2
    bench.reply(ALL, job(2))
    bench.end_job()
    assert bench.step_to_deadline() == pytest.approx(SYNC_AFTER), "the next one is a case of its own"
    assert len(synced) == 4


def test_one_that_does_not_arrive_is_synced_at_once(tmp_path: Path, synced: List[str]) -> None:
    bench = Bench(tmp_path)
    bench.reply(ALL, job(1))
    bench.end_job()
    bench.unreachable(took=0.0)
    assert synced == ["file", "names"]
    assert bench.step_to_deadline() == pytest.approx(1.0)
    assert len(synced) == 2


def test_one_whose_worker_ends_is_synced_before(tmp_path: Path, synced: List[str]) -> None:
    outbox = Outbox(in_directory(tmp_path / "outbox"), print)
    delivery = Delivery(outbox, Link("http://s", "w_0", "cpu", dict), print)
    delivery.hold(Result(5, "DONE"))
    assert "waits in" in str(delivery.leave())
    assert synced == ["file", "names"]


def test_a_disk_that_does_not_sync_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path)
    bench.reply(ALL, job(1))
    bench.end_job()

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")
    monkeypatch.setattr(filesystems, "sync", full)
    bench.step_to_deadline()
    bench.step(1.0)
    assert bench.times_said("may not survive a crash of this machine") == 1
    bench.reply(ALL)
    assert bench.waiting() == []
