"""What a check found, and how checks are put together."""

from dataclasses import dataclass
from typing import Callable, Iterable, List, NamedTuple, Sequence

OK = "ok"
WARNING = "warning"
PROBLEM = "problem"
LEVELS = (OK, WARNING, PROBLEM)


@dataclass(frozen=True)
class Finding:
    """One fact. `level` is OK, WARNING or PROBLEM; `advice` says what to do, if anything."""

    level: str
    topic: str
    what: str
    advice: str = ""


class Check(NamedTuple):
    """One thing to look at. `doing` names it, for the report should it never come back."""

    doing: str
    find: Callable[[], List[Finding]]


class Group(NamedTuple):
    """Checks that are made one after the other, under one heading."""

    topic: str
    checks: Sequence[Check]


class Notes:
    """The findings of one topic, as they are written down."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.findings: List[Finding] = []

    def ok(self, what: str) -> List[Finding]:
        """Nothing wrong here."""
        return self._note(OK, what, "")

    def warn(self, what: str, advice: str = "") -> List[Finding]:
        """Works, with a drawback."""
        return self._note(WARNING, what, advice)

    def problem(self, what: str, advice: str = "") -> List[Finding]:
        """Would stop a sweep."""
        return self._note(PROBLEM, what, advice)

    def _note(self, level: str, what: str, advice: str) -> List[Finding]:
        self.findings.append(Finding(level, self.topic, what, advice))
        return self.findings


def worst(findings: Iterable[Finding]) -> str:
    """The gravest level; OK where there is none."""
    return max((finding.level for finding in findings), key=LEVELS.index, default=OK)
