"""Results, and other files, of scripts that call nothing of jd."""

import sqlite3
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest

from tests.e2e.processes import EXPERIMENT, Server, Worker

Write = Callable[[str], Path]

# The entry script of the case "collect-leaves-result-behind", with fewer files.
CROWDED = """\
import json
from jd import jd_job_dir
d = jd_job_dir(); (d / "frames").mkdir()
for i in range(30): (d / "frames" / ("%04d.png" % i)).write_text("x")
(d / "result.json").write_text(json.dumps({"acc": 0.9}))
"""


@pytest.fixture
def script(tmp_path: Path) -> Write:
    def write(source: str) -> Path:
        path = tmp_path / "train.py"
        path.write_text(source)
        return path
    return write


def history(server: Server) -> str:
    return "\n".join(entry["reason"] for entry in server.jobs()[0]["message"])


def uploads(server: Server) -> List[str]:
    listed = server.call("/api/jobs/1/uploads")["uploads"]
    return [entry.get("path", entry["filename"]) for entry in reversed(listed)]


def results(server: Server) -> Dict[str, Any]:
    database, = server.workspace.rglob("jobs.db")
    connection = sqlite3.connect("file:%s?mode=ro" % database, uri=True)
    try:
        return dict(connection.execute(
            "SELECT n.name, v.value FROM job_values v JOIN value_names n ON n.id = v.name_id"
            " WHERE n.kind = 'result'").fetchall())
    finally:
        connection.close()


def test_files_in_plenty_do_not_crowd_out_the_result(tmp_path: Path, script: Write) -> None:
    with Server(tmp_path) as server:
        server.create()
        with Worker(tmp_path, server.url, script(CROWDED), "once=true", "collect=**",
                    "collect_limit=10,1M") as worker:
            worker.finish()
        assert server.counts() == {"DONE": 1}
        assert uploads(server) == ["result.json"] + ["frames/%04d.png" % number for number in range(9)]
        assert results(server) == {"acc": 0.9}
        said = history(server)
        assert "collected 10 files" in said and "not collected: 21 files (over the limit of 10 files)" in said
        assert "frames/0009.png, frames/0010.png, frames/0011.png and 18 more" in said
        server.stop()


def test_a_result_file_in_the_jobs_directory_is_enough(tmp_path: Path, script: Write) -> None:
    path = script("import json\nopen('result.json', 'w').write(json.dumps({'acc': 0.9}))\n"
                  "open('model.pt', 'w').write('x')\n")
    with Server(tmp_path) as server:
        server.create()
        with Worker(tmp_path, server.url, path, "once=true", "cwd=job") as worker:
            worker.finish()
        assert (uploads(server), results(server)) == (["result.json"], {"acc": 0.9})
        directory, = tmp_path.rglob("jd_data/%s/1" % EXPERIMENT)
        assert "1 other file (1 bytes) stays on " in history(server)
        assert "in %s; collect= sends them" % directory in history(server)
        server.stop()


def test_what_a_script_prints_becomes_its_results(tmp_path: Path, script: Write) -> None:
    path = script("for loss in (3, 2.5, 1):\n    print('loss=%s, val loss: %s' % (loss, 2 * loss))\n"
                  "print('done'); print('{\"acc\": 0.9}', end='')\n")
    with Server(tmp_path) as server:
        server.create()
        with Worker(tmp_path, server.url, path, "once=true", JD_RESULTS_FROM="stdout") as worker:
            worker.finish()
        assert server.counts() == {"DONE": 1} and uploads(server) == ["result.json"]
        assert results(server) == {"loss": 1, "val_loss": 2, "acc": 0.9}
        assert "collected result.json" in history(server)
        server.stop()
