"""Jobs that take much longer than their lease, on real workers: the time that passes is what is tested."""

from pathlib import Path
from typing import Dict

import pytest

from tests.e2e.processes import Server, Worker

pytestmark = pytest.mark.slow

LONG = 12  # seconds; more than two leases, and than a heartbeat that waits for no answer


@pytest.mark.parametrize("option, own", [(5, {}), (600, {"idle_timeout": 5})], ids=["option", "jobs/create"])
def test_a_healthy_worker_keeps_its_job(tmp_path: Path, option: int, own: Dict[str, int]) -> None:
    path = tmp_path / "train.py"
    path.write_text("import time\ntime.sleep(%d)\n" % LONG)
    with Server(tmp_path, "--idle-timeout", option) as server:
        server.create(2, **own)
        with Worker(tmp_path, server.url, path, "num_workers=2") as worker:
            server.until(DONE=2)
            worker.stop()
        assert [job["attempt"] for job in server.jobs()] == [1, 1]
        server.stop()
