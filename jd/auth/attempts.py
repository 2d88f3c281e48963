"""How often a password may be tried."""

import ipaddress
import math
import time
from collections import deque
from typing import Callable, Deque, Dict, Sequence, Tuple

from jd.net import proxies

PERIOD = 600.0  # seconds
PER_ACCOUNT = 10  # within the period; NIST SP 800-63B allows up to 100 in a row
PER_ADDRESS = 40  # an institute behind one address shares them
_CROWD = 10_000  # accounts and addresses; beyond it those that are over are forgotten

Subject = Tuple[str, int]
"""A name and how many attempts it has."""


class Attempts:
    """Counts attempts before they are made, so that many at once do not slip through."""

    def __init__(self, period: float = PERIOD, clock: Callable[[], float] = time.monotonic) -> None:
        self._period = period
        self._clock = clock
        self._made: Dict[str, Deque[float]] = {}

    def take(self, subjects: Sequence[Subject]) -> int:
        """0 if it may be tried, which then counts for all subjects; else the whole seconds to wait."""
        now = self._clock()
        self._forget(now)
        wait = max(self._wait(name, limit, now) for name, limit in subjects)
        if wait == 0:
            for name, _ in subjects:
                self._made.setdefault(name, deque()).append(now)
        return wait

    def succeeded(self, name: str) -> None:
        """Its attempts do not count any more."""
        self._made.pop(name, None)

    def take_back(self, name: str) -> None:
        """One attempt of it does not count any more."""
        if self._made.get(name):
            self._made[name].pop()

    def _wait(self, name: str, limit: int, now: float) -> int:
        made = self._made.get(name, deque())
        while made and made[0] <= now - self._period:
            made.popleft()
        return 0 if len(made) < limit else max(1, math.ceil(made[0] + self._period - now))

    def _forget(self, now: float) -> None:
        if len(self._made) >= _CROWD:
            self._made = {name: made for name, made in self._made.items()
                          if made and made[-1] > now - self._period}


def account(email: str) -> Subject:
    """Whether or not there is such an account: else the wait would tell."""
    return "account " + email[:254].lower(), PER_ACCOUNT


def address(client: str, limit: int = PER_ADDRESS) -> Subject:
    """Where a request comes from, as `Proxies.client` tells. Of IPv6 the /64 counts, which is what one
    household has.
    """
    found = proxies.parsed(client)
    if isinstance(found, ipaddress.IPv6Address):
        return "address %d" % (int(found) >> 64), limit
    return "address %s" % (found or client), limit


def spelled(seconds: int) -> str:
    """A wait for people: `40 s`, `10 min`."""
    return "%d s" % seconds if seconds <= 90 else "%d min" % math.ceil(seconds / 60)
