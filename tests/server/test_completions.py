"""Attempts are counted when they end, and charts read the counts."""

from typing import Optional

import pytest

from jd.server import sweeper
from jd.server.store.pages import completions
from jd.server.store.transaction import Ended
from tests.server.store_support import Desk

T0 = 1_700_000_000 // 86400 * 86400  # midnight


def ended(desk: Desk, verdict: str = "done", worker: str = "node1_abc_0", at: float = T0,
          host: Optional[str] = None) -> None:
    desk.now = at
    desk.write(lambda t: completions.count(t.db, [Ended(1, worker, verdict, None, host, at)]))


def series(desk: Desk, unit: str, host: str = "", at: float = T0) -> completions.Series:
    return desk.read(lambda db: completions.series(db, unit, host, at))


def test_an_attempt_that_ends_is_counted_once_in_each_unit(desk: Desk) -> None:
    desk.create(2)
    desk.now = T0 + 3725.5
    desk.beat("w", host="node7")
    desk.finish(1)
    for unit in completions.SECONDS:
        found = series(desk, unit, at=desk.now)
        assert (found.done[-1], sum(found.done), sum(found.failed), sum(found.other)) == (1, 1, 0, 0)
        assert series(desk, unit, "node7", desk.now).done == found.done
        assert sum(series(desk, unit, "node8", desk.now).done) == 0


def test_verdicts_fall_into_three_groups(desk: Desk) -> None:
    for verdict in ("done", "failed", "killed", "oom", "timeout", "preempted", "lost", "stopped"):
        ended(desk, verdict)
    found = series(desk, "hour")
    assert (found.done[-1], found.failed[-1], found.other[-1]) == (1, 4, 3)


@pytest.mark.parametrize("unit, count, step", [("minute", 60, 60), ("hour", 48, 3600), ("day", 30, 86400)])
def test_a_series_ends_with_the_bucket_of_now(desk: Desk, unit: str, count: int, step: int) -> None:
    now = T0 + 7.5 * step
    first = T0 + (7 - count + 1) * step
    for at in (first - 0.5, first, T0 + 7 * step, now + step):
        ended(desk, at=at)
    found = series(desk, unit, at=now)
    assert (found.start, found.step, len(found.done)) == (first, step, count)
    assert found.done == [1] + [0] * (count - 2) + [1]


def test_the_host_is_what_the_worker_says_or_what_its_name_has(desk: Desk) -> None:
    ended(desk, worker="node1_abc_0", host="its-own-word")
    ended(desk, worker="node2_abc_0")
    ended(desk, worker="nobody")
    assert desk.read(lambda db: completions.hosts(db, T0)) == ["its-own-word", "node2", "unknown"]
    assert sum(series(desk, "day").done) == 3
    assert sum(series(desk, "day", "node2").done) == 1


def test_hosts_of_long_ago_are_not_listed(desk: Desk) -> None:
    ended(desk, worker="old_abc_0", at=T0 - 31 * 86400)
    ended(desk, worker="new_abc_0", at=T0 - 29 * 86400)
    assert desk.read(lambda db: completions.hosts(db, T0)) == ["new"]


def test_the_sweeper_prunes_minutes_and_hours_in_steps_and_keeps_days(
        desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for age in (0, 1, 3, 61, 300):
        ended(desk, at=T0 - age * 86400 + 1)

    desk.now = T0
    assert desk.write(lambda t: completions.prune(t, 1)) == 2  # one row of each unit
    monkeypatch.setattr(sweeper, "BATCH", 3)
    for _ in range(4):
        desk.write(sweeper.step)
    assert [desk.sql("SELECT count(*) FROM completions WHERE unit = ? AND host = ''", unit)
            for unit in ("minute", "hour", "day")] == [2, 3, 5]
    assert desk.write(lambda t: completions.prune(t, 1000)) == 0
