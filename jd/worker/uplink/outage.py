"""While the server does not answer: how long to pause between tries, and how often to say so."""

from typing import Callable, Optional

from jd import terminal
from jd.net.retry import Backoff

SAY_EVERY = 60.0  # seconds


class Outage:
    """Times are seconds on a monotonic clock. `since` is None while the server answers."""

    def __init__(self, backoff: Backoff, log: Callable[[str], None]) -> None:
        self.since: Optional[float] = None
        self._backoff = backoff
        self._log = log
        self._said_at = 0.0

    def failed(self, now: float, reason: str) -> float:
        """A call failed. Returns how long to pause before the next."""
        if self.since is None:
            self.since = now
            self._said_at = now
            self._log("the server is away: %s; trying again" % reason)
        elif now - self._said_at >= SAY_EVERY:
            self._said_at = now
            self._log("the server is away for %s: %s; trying again" % (
                terminal.duration(now - self.since), reason))
        return self._backoff.next()

    def hurry(self) -> None:
        """Start with short pauses again: there is little time left."""
        self._backoff.reset()

    def over(self, now: float) -> bool:
        """A call succeeded. Whether that ends an outage."""
        if self.since is None:
            return False
        self._log("the server is back after %s" % terminal.duration(now - self.since))
        self.since = None
        self._backoff.reset()
        return True
