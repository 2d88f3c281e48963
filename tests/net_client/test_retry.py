import random
from typing import Any, List

import pytest

from jd.errors import LimitError, ServerRefused, ServerUnreachable
from jd.net.client import Refusal
from jd.net.retry import Backoff, is_temporary, retry


class Calls:
    """A call that fails in the given ways and then works."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.made = 0

    def __call__(self) -> str:
        self.made += 1
        if self.failures:
            raise self.failures.pop(0)
        return "worked"


def run(calls: Calls, attempts: int = 5, **options: Any) -> List[float]:
    slept: List[float] = []
    draw = random.Random(1).uniform
    assert retry(calls, attempts, (1.0, 20.0), sleep=slept.append, uniform=draw, **options) == "worked"
    return slept


@pytest.mark.parametrize("status", [404, 408, 429, 500, 502, 503, 504])
def test_statuses_of_the_protocol_are_tried_again(status: int) -> None:
    calls = Calls(ServerRefused(status, "no"), ServerUnreachable("away"))
    slept = run(calls)
    assert calls.made == 3
    assert len(slept) == 2 and slept[0] != slept[1] and all(1 <= pause <= 20 for pause in slept)


@pytest.mark.parametrize("error", [ServerRefused(400, "no"), ServerRefused(401, "no"),
                                   ServerRefused(403, "no"),
                                   ServerRefused(409, "no"), ServerRefused(413, "no"), LimitError("no")])
def test_other_failures_are_raised_at_once(error: Exception) -> None:
    calls = Calls(error)
    with pytest.raises(type(error)):
        run(calls)
    assert calls.made == 1


def test_last_failure_is_raised_without_another_pause() -> None:
    calls = Calls(ServerUnreachable("first"), ServerUnreachable("second"), ServerUnreachable("third"))
    slept: List[float] = []
    with pytest.raises(ServerUnreachable, match="second"):
        retry(calls, 2, (1.0, 1.0), sleep=slept.append)
    assert slept == [1.0]


def test_server_may_ask_for_a_longer_pause() -> None:
    assert run(Calls(Refusal(503, "busy", retry_after=45.0),
                     Refusal(503, "busy", retry_after=0.0)))[0] == 45.0


def test_caller_may_narrow_what_is_tried_again() -> None:
    calls = Calls(ServerRefused(404, "none"))
    with pytest.raises(ServerRefused):
        run(calls, should_retry=lambda error: is_temporary(error) and getattr(error, "status", 0) != 404)
    assert calls.made == 1


def test_no_attempts_is_a_mistake() -> None:
    with pytest.raises(ValueError):
        run(Calls(), attempts=0)


def test_backoff_doubles_to_its_ceiling_and_starts_again() -> None:
    class Longest:
        def uniform(self, low: float, high: float) -> float:
            assert low == high / 2
            return high

    backoff = Backoff(1.0, 60.0, Longest().uniform)
    assert [backoff.next() for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    for _ in range(5000):
        assert backoff.next() == 60
    backoff.reset()
    assert backoff.next() == 1


def test_backoff_is_jittered() -> None:
    pauses = {Backoff(8.0, 60.0, random.Random(seed).uniform).next() for seed in range(20)}
    assert len(pauses) == 20 and all(4 <= pause <= 8 for pause in pauses)
