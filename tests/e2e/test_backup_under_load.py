"""A backup of a server at work, as real processes: restored, its server goes on with the same workers."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Dict, List

import pytest

from tests.e2e.processes import EXPERIMENT, Server, Worker
from tests.support import free_env, python, wait_until

pytestmark = pytest.mark.slow

JOBS = 60
SCRIPT = """
import json, os
import jd
for epoch in range(2):
    with open(os.path.join(jd.jd_job_dir(), "result.json"), "w") as file:
        json.dump({"epoch": epoch}, file)
    jd.jd_upload(os.path.join(jd.jd_job_dir(), "result.json"))
    jd.jd_update_checkpoint({"epoch": epoch})
print("done with it")
"""


def keep(directory: Path, workspace: Path, *words: Any) -> Dict[str, Any]:
    """What a sub-command of `jd_server` says with --json."""
    done = subprocess.run(python("-m", "jd.server", *words, "--workspace_path", workspace, "--json"),
                          env=free_env(directory), stdout=subprocess.PIPE, check=True, timeout=120)
    told: Dict[str, Any] = json.loads(done.stdout)
    return told


def test_its_server_goes_on(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    backups: List[Path] = []
    with Server(tmp_path) as server:
        server.create(JOBS)
        with Worker(tmp_path, server.url, script, "num_workers=3") as worker:
            for number in range(3):
                wait_until(lambda: server.counts().get("DONE", 0) > 5 * number)
                backups.append(tmp_path / ("b%d.tar" % number))
                keep(tmp_path, server.workspace, "backup", backups[-1], "--expId", EXPERIMENT)
            assert keep(tmp_path, server.workspace, "check", "--expId", EXPERIMENT)["sound"]
            # The disk is lost, with all that was done since.
            server.stop(9)
            port = server.port
            shutil.rmtree(str(server.workspace))
            for file in backups[:2]:
                other = tmp_path / (file.stem + "-ws")
                told = keep(tmp_path, other, "restore", file)
                assert sum(told["jobs"].values()) == JOBS
                assert keep(tmp_path, other, "check", "--expId", EXPERIMENT)["sound"]
            keep(tmp_path, server.workspace, "restore", backups[-1])
            with Server(tmp_path, port=port) as again:
                again.until(DONE=JOBS)
                assert worker.popen.poll() is None
                worker.stop()
                assert keep(tmp_path, again.workspace, "check", "--expId", EXPERIMENT)["sound"]
                again.stop()
    found = server.workspace / EXPERIMENT / "data"
    for job_id in range(1, JOBS + 1):
        assert json.loads((found / str(job_id) / "result.json").read_text()) == {"epoch": 1}
    assert keep(tmp_path, server.workspace, "check", "--expId", EXPERIMENT)["sound"]
