"""Trying a call again: which failures may pass, how often, and how long to pause between."""

from __future__ import annotations

import time

from jd.errors import JdError, ServerRefused, ServerUnreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, TypeVar

    T = TypeVar("T")
    Uniform = Callable[[float, float], float]
    """Draws a number between two others, as `random.uniform` does."""

# docs/protocol.md, "What clients are known to retry on upload".
RETRIED_STATUSES = frozenset((404, 408, 429, 500, 502, 503, 504))


def uniform_between(low: float, high: float) -> float:
    """A number between two others."""
    import random  # which many calls end without
    return random.uniform(low, high)


def is_temporary(error: JdError) -> bool:
    """Whether the same call may succeed later: no answer, or one of RETRIED_STATUSES."""
    if isinstance(error, ServerRefused):
        return error.status in RETRIED_STATUSES
    return isinstance(error, ServerUnreachable)


def retry(call: Callable[[], T], attempts: int, pauses: tuple[float, float],
          should_retry: Callable[[JdError], bool] = is_temporary,
          sleep: Callable[[float], None] = time.sleep, uniform: Uniform = uniform_between) -> T:
    """`call()`, up to `attempts` times, with random pauses of `pauses` (from, to) seconds between.

    A pause is as long as the server asked for with Retry-After, up to 60 s, if that is longer.
    Raises what the last call raised; what `should_retry` says no to is raised at once.
    """
    for made in range(1, attempts + 1):
        try:
            return call()
        except (ServerUnreachable, ServerRefused) as error:
            if made == attempts or not should_retry(error):
                raise
            asked = getattr(error, "retry_after", None) or 0.0
        sleep(max(uniform(*pauses), asked))
    raise ValueError("attempts must be at least 1, not %d" % attempts)


class Backoff:
    """Pauses for a loop that never gives up: doubling from `first` to `ceiling` seconds.

    Each is drawn from the upper half of its range, so that workers that lost their server at the
    same moment do not come back at the same moment.
    """

    def __init__(self, first: float, ceiling: float, uniform: Uniform = uniform_between) -> None:
        self._first = first
        self._ceiling = ceiling
        self._uniform = uniform
        self._next = first

    def next(self) -> float:
        """The pause to make now, in seconds."""
        longest = min(self._next, self._ceiling)
        self._next = min(longest * 2, self._ceiling)
        return self._uniform(longest / 2, longest)

    def reset(self) -> None:
        """Begin at `first` again: the server has answered."""
        self._next = self._first
