"""How often a wrong password or PIN may be tried, by one caller and by all together."""

import ipaddress
import math
import time
from collections import deque
from typing import Callable, Deque, Dict, List, NamedTuple, Optional, Sequence, Tuple

from jd.net.addresses import is_loopback
from jd.net.peer import socketowner
from jd.net.serving import proxies
from jd.net.serving.proxies import Proxies, is_direct
from jd.net.serving.routing import Request

PERIOD = 600.0  # seconds
PER_ACCOUNT = 10  # within the period; NIST SP 800-63B allows up to 100 in a row
PER_ADDRESS = 40  # an institute behind one address shares them
PER_ACCOUNT_HERE = 100  # by all of this machine: one user can have numbers of users by the thousand
_CROWD = 10_000  # accounts and addresses; beyond it those that are over are forgotten

HERE, ELSEWHERE = "all of this machine", "all of elsewhere"

Subject = Tuple[str, int]
"""A name and how many attempts it has."""


class TryLimit:
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


class Caller(NamedTuple):
    """Who tries: a user of this machine, whom the kernel knows, or an address.

    So no user of the machine uses up the attempts of another, nor those of who comes from elsewhere.
    """

    address: str
    uid: Optional[int]  # None: the address counts

    @property
    def name(self) -> str:
        """For people. May ask for the user's name."""
        return self.address if self.uid is None else socketowner.described(self.uid)

    @property
    def crowd(self) -> Optional[str]:
        """Those with whom it shares what is limited for all together: HERE or ELSEWHERE; None for this
        process's own user and root, whom nobody may hold up.

        Who closes his connection at once is not known any more, but he is of this machine.
        """
        if socketowner.is_trusted(self.uid):
            return None
        return HERE if self.uid is not None or is_loopback(self.address) else ELSEWHERE

    def subject(self, limit: int = PER_ADDRESS) -> Subject:
        """What counts by itself."""
        return address(self.address, limit) if self.uid is None else ("user %d" % self.uid, limit)

    def account(self, email: str) -> List[Subject]:
        """Its attempts at an account, whether or not there is one: else the wait would tell. The first is
        what a right password forgives."""
        name, crowd = "account " + email[:254].lower(), self.crowd
        if crowd == ELSEWHERE:
            return [(name, PER_ACCOUNT)]
        own = ("%s, %s" % (self.subject()[0], name), PER_ACCOUNT)
        return [own] if crowd is None else [own, ("%s, %s" % (crowd, name), PER_ACCOUNT_HERE)]


def caller(request: Request, known: Proxies) -> Caller:
    """Who tries with a request. `known` are the proxies that were named.

    One of this process's own user or root that was not named adds headers all the same: it speaks for
    anybody, so its address counts. What others write into theirs changes nothing.
    """
    uid = known.sender(request)
    if socketowner.is_trusted(uid) and not is_direct(request):
        uid = None
    return Caller(known.client(request), uid)


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
