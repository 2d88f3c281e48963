"""Logs of workers that somebody looks at."""

from typing import List

from jd.server.watching import LOOK_LASTS
from jd.server.workerlogs import MOST, NUDGE_EVERY, WorkerLogs


class Place:
    """Logs with a clock, and who was nudged."""

    def __init__(self) -> None:
        self.now = 100.0
        self.nudged: List[str] = []
        self.logs = WorkerLogs(self.nudged.append, lambda: self.now)


def test_a_worker_is_nudged_once_and_its_log_is_kept_while_somebody_looks() -> None:
    place = Place()
    assert place.logs.look("w") is None and place.nudged == ["w"] and place.logs.watched("w")
    place.logs.take("w", "claimed job 1\n")
    place.now += 2
    log = place.logs.look("w")
    assert log is not None and log.text == "claimed job 1\n" and place.logs.age(log) == 2
    assert place.nudged == ["w"]


def test_what_nobody_looks_at_is_not_kept() -> None:
    place = Place()
    place.logs.take("w", "secret\n")
    assert not place.logs.watched("w") and place.logs.look("w") is None
    place.now += LOOK_LASTS
    assert not place.logs.watched("w")
    place.logs.take("w", "late\n")
    assert place.logs.look("w") is None


def test_a_worker_that_sends_none_is_nudged_seldom() -> None:
    place = Place()
    for _ in range(int(NUDGE_EVERY)):
        place.logs.look("w")
        place.now += 1
    assert place.nudged == ["w"]
    place.logs.look("w")
    assert place.nudged == ["w", "w"]


def test_so_many_logs_are_looked_at_at_once() -> None:
    place = Place()
    for number in range(MOST + 1):
        place.logs.look("w%d" % number)
        place.now += 0.001
    assert not place.logs.watched("w0") and place.logs.watched("w1")
