"""A worker whose every job fails, beside a healthy one, as real processes."""

from pathlib import Path

from tests.e2e.processes import Server, Worker

# The healthy worker's first job lasts until the other one has failed at something.
TRAIN = """
import os, sys, time
if os.environ.get("BAD"):
    open(os.environ["MARK"], "w").close()
    sys.exit(1)
while not os.path.exists(os.environ["MARK"]):
    time.sleep(0.02)
"""


def test_a_worker_whose_every_job_fails_costs_no_job(tmp_path: Path) -> None:
    script, mark = tmp_path / "train.py", tmp_path / "mark"
    script.write_text(TRAIN)
    (tmp_path / "bad").mkdir()
    flags = ("--max-attempts", 2, "--aborted-job-reset-timeout", 5, "--pause-failing", "false")
    with Server(tmp_path, *flags) as server:
        server.create(8)
        with Worker(tmp_path, server.url, script, MARK=mark):
            server.until(SERVED=1, PENDING=7)
            with Worker(tmp_path / "bad", server.url, script, BAD=1, MARK=mark):
                server.until(DONE=8)
        assert max(job["attempt"] for job in server.jobs()) == 2
