"""Workers of published clients and ours in one list: what each says of itself is shown as its own."""

from typing import Any, Dict

import pytest

from jd.server.store.pages import workerlist
from tests.server.store_support import Desk

# As 1.15 and 1.29 send it.
METRICS: Dict[str, Any] = {
    "cpu_util": 63.2, "ram_util": 5.7, "ram_available": 22.194442749023438, "ram_total": 23.5,
    "worker_type": "gpu", "idle_slots": 0, "load_1min": 6.7612304688, "load_5min": 9.1616210938,
    "load_15min": 7.8627929688, "load_per_cpu": 3.380615234375, "disk_io_util": 0.07, "cpu_cores": 2,
    "cpu_threads": 2, "cpu_freq_mhz": 2596}


@pytest.mark.parametrize("worker_id, version, parts", [
    ("node-1_lithe_0", "1.15.0", ("lithe", 0)), ("node-1_MdsSsS1B66_3", "1.29.0", ("MdsSsS1B66", 3))])
def test_what_a_published_client_says_of_itself_is_shown(desk: Desk, worker_id: str, version: str,
                                                         parts: Any) -> None:
    desk.beat(worker_id, host="node-1", machine_type="gpu", jd_worker_version=version, system_metrics=METRICS)
    desk.beat("node2_egg_0", host="node2", machine_type="cpu", jd_worker_version="1.15.0", session="s",
              tags=["big"])
    page = desk.read(lambda db: workerlist.page(db, workerlist.WorkerQuery(sort="worker")))
    theirs, ours = page.workers
    assert (theirs["host"], theirs["machine_type"], theirs["version"], theirs["state"]) == (
        "node-1", "gpu", version, "idle")
    assert (theirs["instance"], theirs["slot"]) == parts
    assert (ours["host"], ours["machine_type"], ours["version"]) == ("node2", "cpu", "1.15.0")
    for wanted, found in ((workerlist.WorkerQuery(text="gpu"), [worker_id]),
                          (workerlist.WorkerQuery(instance=parts[0]), [worker_id]),
                          (workerlist.WorkerQuery(host="node2"), ["node2_egg_0"])):
        listed = desk.read(lambda db: workerlist.page(db, wanted)).workers
        assert [one["worker_id"] for one in listed] == found
    alone = desk.read(lambda db: workerlist.one(db, worker_id))
    assert alone["version"] == version and str(METRICS["cpu_freq_mhz"]) in str(alone)
