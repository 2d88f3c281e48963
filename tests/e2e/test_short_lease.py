"""Jobs that take much longer than their lease, on real workers: the time that passes is what is tested."""

from contextlib import ExitStack
from pathlib import Path
from typing import Dict, List, Tuple

import pytest

from tests.e2e.processes import Server, Worker

pytestmark = pytest.mark.slow

LONG = 12  # seconds; more than two leases, and than a heartbeat that waits for no answer


def test_a_healthy_worker_keeps_its_job(tmp_path: Path) -> None:
    """Whether the server has the short lease or the jobs alone; both sweeps run beside each other."""
    path = tmp_path / "train.py"
    path.write_text("import time\ntime.sleep(%d)\n" % LONG)
    with ExitStack() as stack:
        began = []
        cases: List[Tuple[str, int, Dict[str, int]]] = [
            ("option", 5, {}), ("create", 600, {"idle_timeout": 5})]
        for name, option, own in cases:
            place = tmp_path / name
            place.mkdir()
            server = stack.enter_context(Server(place, "--idle-timeout", option))
            server.create(2, **own)
            began.append((server, stack.enter_context(Worker(place, server.url, path, "num_workers=2"))))
        for server, worker in began:
            server.until(DONE=2)
            worker.stop()
            assert [job["attempt"] for job in server.jobs()] == [1, 1]
            server.stop()
