"""What changes with each claim and each result is counted by whoever changes it: no trigger looks."""

import ast
import re
from pathlib import Path
from typing import Dict, Iterator, List

from jd.server.store.queue import jobs
from tests.server.store_support import Desk, put
from tests.support import ROOT

_SETS = re.compile(r"UPDATE jobs SET (?:(?!WHERE).)*\b(?:status|code) = ", re.DOTALL)


def _unnumbered(path: Path) -> Iterator[str]:
    """The statements of a file that set one of these, and do not number the change."""
    text = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args and (
                node.func.attr in ("execute", "executemany")):
            statement = ast.get_source_segment(text, node.args[0]) or ""
            if _SETS.search(statement) and "CHANGED" not in statement:
                yield statement


def test_whatever_sets_status_or_code_numbers_the_change(tmp_path: Path) -> None:
    files = sorted((ROOT / "jd" / "server").rglob("*.py"))
    assert [found for path in files for found in _unnumbered(path)] == []
    wrong = tmp_path / "wrong.py"
    wrong.write_text('t.db.execute("UPDATE jobs SET retry_at = NULL, status = ? WHERE id = ?", (a, b))\n')
    assert len(list(_unnumbered(wrong))) == 1


def test_a_job_that_moves_is_counted_and_behind_what_was_seen(desk: Desk) -> None:
    desk.create(3)
    seen = desk.sql("SELECT n FROM changes WHERE topic = 'jobs'")
    desk.write(lambda t: put(t, "ABORTED", 2))
    numbers: List[int] = desk.read(lambda db: [row[0] for row in db.execute(
        "SELECT changed FROM jobs WHERE changed IS NOT NULL")])
    assert desk.counts() == {"PENDING": 2, "ABORTED": 1}
    assert seen < numbers[0] <= desk.sql("SELECT n FROM changes WHERE topic = 'jobs'")
    assert desk.read(jobs.counts)["ABORTED"] == 1


def test_what_a_worker_prints_and_that_it_has_a_job_is_news(desk: Desk) -> None:
    def news() -> Dict[str, int]:
        return dict(desk.read(lambda db: db.execute("SELECT topic, n FROM changes").fetchall()))

    desk.create(1)
    desk.beat("w", session="s")  # is known, and given the job
    seen = news()
    said = {"reported_status": "busy", "current_job_id": 1, "attempt": 1, "session": "s"}
    desk.beat("w", output_tail="epoch 1\n", **said)
    assert news()["output"] > seen["output"]
    seen = news()
    desk.beat("w", **said)  # says nothing new
    assert news() == seen
    desk.beat("w", session="s", finished={"job_id": 1, "attempt": 1, "status": "DONE"})
    assert {topic for topic, n in news().items() if n > seen[topic]} == {"jobs", "output", "workers"}
    desk.create(1)
    seen = news()
    assert desk.claim("w", session="s").job_id == 2  # as idle as before, with a job
    assert news()["workers"] > seen["workers"]
