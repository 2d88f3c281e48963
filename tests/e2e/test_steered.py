"""A program steers a sweep on a real server."""

from pathlib import Path

import pytest

import jd
from jd.sweep import session
from tests.e2e.processes import EXPERIMENT, Server, Worker
from tests.support import STOPPED, free_env

SCRIPT = """
import argparse, json
from jd import jd_job_dir, jd_upload
p = argparse.ArgumentParser(); p.add_argument("--x", type=int)
x = p.parse_known_args()[0].x
for n in range(2):
    f = jd_job_dir() / "result.json"
    f.write_text(json.dumps({"square": x * x * n, "turn": {"n": n}}))
    jd_upload(f)
print("this is", x)
"""


def test_jobs_are_changed_and_their_results_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    for name, value in free_env(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(session, "_current", None)
    with Server(tmp_path) as server:
        jd.init(exp_id=EXPERIMENT, server=server.url)
        made = jd.create_jobs({"x": list(range(6))})
        first = made["start_id"]
        changes = jd.watch()
        assert jd.edit([first, first + 1], x=10, y="new") == {"changed": 2, "skipped": 0}
        assert next(changes)["id"] == first
        assert jd.cancel("x=5") == {"changed": 1, "skipped": 0}
        assert jd.prioritise([first + 4], 5) == {"changed": 1, "skipped": 0}
        with Worker(tmp_path, server.url, script, "exit_when_empty=true") as worker:
            jd.wait_for_jobs(range(first, first + 6), timeout=60)
            worker.finish()
        rows = jd.results("status=DONE", metric="square", goal="min")
        assert [row["square"] for row in rows] == [4, 9, 16, 100, 100]
        assert rows.best(goal="max")["parameters"] == {"x": 10, "y": "new"} and rows[0]["turn.n"] == 1
        assert [row["status"] for row in jd.results("x=5")] == ["ABORTED"]
        assert "this is 3" in jd.output(first + 3)
        told = jd.job(first + 3)
        assert told["attempts"][-1]["verdict"] == "done" and len(told["uploads"]) == 2
        paths = jd.fetch("status=DONE", tmp_path / "files")
        assert len(paths) == 5 and '"n": 1' in paths[0].read_text()
        stamps = [path.stat().st_mtime_ns for path in paths]
        assert [path.stat().st_mtime_ns for path in jd.fetch("status=DONE", tmp_path / "files")] == stamps
        assert jd.retry("x=5") == {"changed": 1, "skipped": 0}
        assert next(change for change in changes if change["id"] == first + 5)["status"] == "PENDING"
        assert server.stop() in (0, STOPPED)
