"""Tags of jobs: given with a batch or to many at once, shown, and found by an index."""

import json
from pathlib import Path
from typing import Any, Dict, List

import pytest

from jd import protocol as p
from jd.server.creation import jobfile
from jd.server.driving import orders
from jd.server.store.operators import bulk, tags
from jd.server.store.pages import export, jobdetails, joblist, jobtable
from jd.server.store.pages.results import resultrows
from jd.server.store.queue import needs
from jd.server.store.search import conditions, scanning
from tests.server.store_support import Desk


def found(desk: Desk, text: str) -> List[int]:
    return desk.read(lambda db: [job["id"] for job in jobtable.page(
        db, conditions.compiled(db, text, desk.now), jobtable.BY_ID, None, 10).jobs])


def tag(desk: Desk, *ids: int, add: Any = (), remove: Any = ()) -> int:
    return desk.write(lambda t: bulk.act(t, bulk.TAG, ids, "", add=add, remove=remove))


def test_tags_are_shown_and_found(desk: Desk) -> None:
    desk.create(1, tags=["round-2", "baseline", "baseline"])
    desk.create(1, tags=["round-2"])
    desk.create(1)
    assert desk.read(jobtable.columns)["tags"] == ["baseline", "round-2"]
    told = desk.read(lambda db: joblist.select(db, joblist.JobQuery())).jobs
    assert [job["tags"] for job in told] == [["baseline", "round-2"], ["round-2"], None]
    assert desk.read(lambda db: jobdetails.job(db, 1))["tags"] == ["baseline", "round-2"]
    rows = desk.read(lambda db: resultrows.rows(db, conditions.compiled(db, "", 0), 0, 9)).rows
    assert [row["tags"] for row in rows] == [["baseline", "round-2"], ["round-2"], None]
    table = desk.read(lambda db: export.begin(db, "", 0))
    lines = desk.read(lambda db: export.lines(db, table, 0)).lines.splitlines()
    at = export.FIXED.index("tags")
    assert [line.split(",")[at] for line in lines] == ["baseline round-2", "round-2", ""]
    assert found(desk, "tag=round-2") == [1, 2] and found(desk, "tag=baseline,null") == [1, 3]
    assert found(desk, "tag!=baseline") == [2, 3] and found(desk, "tag=Round-2") == []
    assert found(desk, "tag=baseline tag=round-2") == [1] and found(desk, "tag!=null") == [1, 2]
    with pytest.raises(p.ProtocolError, match="tag can be compared with = and != only"):
        found(desk, "tag>round")


@pytest.mark.parametrize("text", ["tag=few", "needs=few"])
def test_few_with_a_tag_are_found_without_looking_at_all(desk: Desk, monkeypatch: pytest.MonkeyPatch,
                                                        text: str) -> None:
    monkeypatch.setattr(scanning, "SCAN", 20)
    monkeypatch.setattr(scanning, "FEW", 5)
    name = "tags" if text.startswith("tag") else "needs"
    said: List[Dict[str, Any]] = [{}, {name: ["few"]}, {}, {name: ["few", "more"]}]
    for count, one in zip((100, 3, 100, 2), said):
        desk.create(count, **one)

    def matching() -> scanning.Matching:
        return desk.read(lambda db: scanning.matching(db, conditions.compiled(db, text, 0), 0, 10))

    few = [101, 102, 103, 204, 205]
    assert matching() == scanning.Matching(few, None, 5)
    monkeypatch.setattr(scanning, "FEW", 1)  # by the index all the same, in the order of ids
    assert matching() == scanning.Matching(few, None, 5)
    monkeypatch.setattr(conditions, "_MOST_ARMS", 1)  # of so many lists each has few jobs
    monkeypatch.setattr(scanning, "FEW", 5)
    assert matching() == scanning.Matching(few, None, 5)


def test_many_are_given_tags_and_lose_them(desk: Desk) -> None:
    desk.create(2, tags=["a"])
    desk.create(2)

    def changes() -> int:
        return int(desk.read(lambda db: db.execute(
            "SELECT n FROM changes WHERE topic = 'jobs'").fetchone()[0]))

    before = changes()
    assert tag(desk, 1, 2, 3, add=["b", "a"]) == 3
    assert [desk.job(n)["tags"] for n in (1, 2, 3, 4)] == [["a", "b"], ["a", "b"], ["a", "b"], None]
    assert changes() > before  # pages that show them hear of it
    assert tag(desk, 1, 4, add=["b"]) == 1 and tag(desk, 1, 3, remove=["a"]) == 2
    assert tag(desk, 1, 4, add=["b"], remove=["zz"]) == 0
    assert tag(desk, 3, remove=["b"]) == 1 and desk.job(3)["tags"] is None
    assert desk.job(3)["message"][-1]["reason"] == "tagged without b"
    assert found(desk, "tag=a") == [2] and found(desk, "tag=b") == [1, 2, 4]


def test_a_job_that_has_all_the_tags_it_can_is_left_alone(desk: Desk) -> None:
    desk.create(1, tags=["t%d" % n for n in range(p.MAX_TAGS)])
    desk.create(1)
    assert tag(desk, 1, 2, add=["one-more"]) == 1
    assert "one-more" not in desk.job(1)["tags"] and desk.job(2)["tags"] == ["one-more"]
    assert tag(desk, 1, add=["one-more"], remove=["t0"]) == 1


def test_an_experiment_has_so_many_lists_at_most(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tags, "MAX_LISTS", 1)
    desk.create(2, tags=["a"])
    with pytest.raises(p.ProtocolError, match="1 different lists of tags"):
        tag(desk, 1, add=["b"])
    assert tag(desk, 2, remove=["a"]) == 1 and tag(desk, 2, add=["a"]) == 1
    assert found(desk, "tag=a") == [1, 2]


def test_tags_are_no_needs(desk: Desk) -> None:
    desk.create(1, tags=["gpu"])
    assert desk.read(needs.cannot_run) == [] and desk.read(jobtable.columns)["needs"] == []
    assert desk.claim("w").job_id == 1


def test_a_jobs_file_says_tags(tmp_path: Path) -> None:
    path = tmp_path / "sweep.json"
    path.write_text('{"parameters": {"x": [1]}, "tags": ["a-1", "b"]}')
    assert jobfile.read(path).terms.tags == ("a-1", "b")
    path.write_text('{"parameters": {"x": [1]}, "tags": ["two words"]}')
    with pytest.raises(Exception, match="tags: 'two words' cannot be a tag: 1 to 64 of"):
        jobfile.read(path)


@pytest.mark.parametrize("body, told", [
    ({"action": "tag", "ids": [1]}, "there is no tag: give add or remove"),
    ({"action": "tag", "ids": [1], "add": "a"}, "add must be a list"),
    ({"action": "tag", "ids": [1], "add": ["a b"]}, "add: 'a b' cannot be a tag"),
    ({"action": "tag", "ids": [1], "add": ["a"], "remove": ["a"]}, "to be added and to be removed"),
    ({"action": "retry", "ids": [1], "add": ["a"]}, "for the action tag, not for retry"),
])
def test_orders_that_cannot_be_meant(body: Dict[str, Any], told: str) -> None:
    with pytest.raises(p.ProtocolError, match=told):
        orders.read(json.loads(json.dumps(body)), "where", 10, bulk.BY_PROGRAM)
