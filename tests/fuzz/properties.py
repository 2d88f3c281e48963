"""A property: how its inputs are made, and what must hold for each of them.

`check` raises for an input that breaks it: AssertionError where two readings differ, and whatever a parser
raises that is none of its documented errors. What a check may cost is bounded by processor time, which does
not depend on who else is at work here, and by memory.
"""

import gc
import itertools
import signal
import tracemalloc
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Callable, Iterator, List, Optional, Sequence, Type

from tests.fuzz.material import Source

CPU_SECONDS = 2.0  # of one check; all of them take far less
MEMORY_FACTOR = 200  # bytes that a check may hold at a time for each byte of its input ...
MEMORY_FREE = 40 * 1024 * 1024  # ... beyond these


@dataclass(frozen=True)
class Property:
    """`make` makes an input, whose `repr` shows it; `known` are evil ones that everybody is to survive.

    `weight` is how many inputs it gets beside others.
    """

    name: str
    make: Callable[[Source], Any]
    check: Callable[[Any], None]
    known: Sequence[Any] = ()
    weight: int = 50

    def source(self, seed: int, number: int) -> Source:
        """The choices of an input by its number."""
        return Source("%s %d %d" % (self.name, seed, number))

    def input(self, seed: int, number: int) -> Any:
        """An input by its number: the known ones come first."""
        if number < len(self.known):
            return self.known[number]
        return self.make(self.source(seed, number))


class TooSlow(Exception):
    """A check took more than CPU_SECONDS."""


class TooLarge(Exception):
    """A check held more memory than its input allows."""


class Failure(Exception):
    """An input that breaks a property; the text tells how to play it again."""

    def __init__(self, broken: Property, seed: int, number: int, given: Any, error: BaseException) -> None:
        self.error = error
        text = repr(given)
        if len(text) > 2000:
            text = "%s … %s (%d characters)" % (text[:1400], text[-400:], len(text))
        super().__init__(
            "%s is broken: %s: %s\n  input: %s\n  again: python -m tests.fuzz --only %s "
            "--seed %d --input %d"
            % (broken.name, type(error).__name__, str(error)[:1000], text, broken.name, seed, number)
        )


def _too_slow(*_: object) -> None:
    raise TooSlow("it took more than %g s of processor time" % CPU_SECONDS)


@contextmanager
def bounded() -> Iterator[None]:
    """Have checks end that take too long; for the main thread."""
    before = signal.signal(signal.SIGVTALRM, _too_slow)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def try_one(tried: Property, seed: int, number: int, measured: bool = False) -> None:
    """One input, inside `bounded`. Raises Failure. `measured`: its memory counts as well."""
    given = tried.input(seed, number)
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, CPU_SECONDS * (10 if measured else 1))
        if measured:
            _measured(tried, given)
        else:
            tried.check(given)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    except Exception as error:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        raise Failure(tried, seed, number, given, error) from error


def _measured(tried: Property, given: Any) -> None:
    tracemalloc.start()
    try:
        tried.check(given)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    allowed = MEMORY_FREE + MEMORY_FACTOR * size_of(given)
    if peak > allowed:
        raise TooLarge("%d bytes at a time; at most %d for an input of %d" % (peak, allowed, size_of(given)))


def size_of(given: Any) -> int:
    """About how many bytes an input has."""
    if isinstance(given, (bytes, str)):
        return len(given)
    if isinstance(given, dict):
        return sum(map(size_of, itertools.chain(given, given.values())))
    return sum(map(size_of, given)) if isinstance(given, (list, tuple)) else 8


def outcome(read: Callable[[], Any], *errors: Type[Exception]) -> Any:
    """What reading gives, or the documented error as (kind, text); any other comes out."""
    try:
        return read()
    except errors as error:
        return "refused", type(error).__name__, str(error)


def refused(found: Any) -> bool:
    """Whether an `outcome` is an error."""
    return isinstance(found, tuple) and len(found) == 3 and found[0] == "refused"


def resident() -> Optional[int]:
    """Bytes of memory that this process has, after what is garbage is gone; None where nobody tells."""
    gc.collect()
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096
    except (OSError, IndexError, ValueError):
        return None


def named(properties: Sequence[Property], only: Sequence[str]) -> List[Property]:
    """Those of these names, or whose names begin so. Raises ValueError for one that is none."""
    found = []
    for name in only or [""]:
        matching = [one for one in properties if one.name.startswith(name)]
        if not matching:
            raise ValueError(
                "there is no property %s; there are: %s" % (name, ", ".join(one.name for one in properties))
            )
        found += [one for one in matching if one not in found]
    return found
