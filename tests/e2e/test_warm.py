"""A worker with `warm=true`, as people see it: a job that waits, and what is stored of a launch."""

import json
from pathlib import Path

from tests.e2e.node import Node
from tests.e2e.processes import Server, Worker
from tests.support import wait_until, warm_only

pytestmark = warm_only


def test_a_worker_that_is_stopped_while_its_job_waits_gives_it_back(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("")
    (tmp_path / "slow.py").write_text("import time\nopen('loading', 'w').close()\ntime.sleep(600)")
    with Server(tmp_path) as server:
        server.create()
        with Worker(tmp_path, server.url, tmp_path / "train.py", "warm=true", "preload=slow") as worker:
            wait_until((tmp_path / "loading").exists)
            worker.stop()
            assert "is given back to the server" in worker.finish()
        assert server.counts() == {"PENDING": 1}
        server.stop()


def test_in_the_background_and_after_a_restart(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("import sys; print('forked', 'wave' in sys.modules)")
    with Server(tmp_path) as server, Node(tmp_path, server.url) as node:
        node.start(script, "warm=true", "preload=script,wave")
        node.exp("restart", "all")
        (row,) = node.rows()
        shown = json.loads(node.exp("show-config", row.worker_id, "json=true").stdout)
        assert (shown["warm"], shown["preload"]) == (True, ["script", "wave"])
        server.create()
        server.until(DONE=1)
        assert "forked True" in node.log(row.worker_id)
        node.exp("stop", "all")
        server.stop()
