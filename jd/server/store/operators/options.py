"""Settings that people change on the dashboard while the server runs: the fields of Policy.

They are rows `option.<field>` of the table `settings`, values as JSON.
"""

import json
import sqlite3
from typing import Any, Dict, FrozenSet, Mapping, NamedTuple, Tuple

from jd import fields
from jd import protocol as p
from jd.protocol import ProtocolError, shown
from jd.server.store.fleet import sweepend
from jd.server.store.policy import ENDED, HAS_ENDED, PAUSED_BECAUSE, Policy
from jd.server.store.queue import jobs, lease
from jd.server.store.search import filters
from jd.server.store.transaction import Transaction

_PREFIX = "option."
YEAR = 366 * 86400.0  # seconds


class _Range(NamedTuple):
    """What a number may be; whole numbers only where `whole`."""

    low: float
    high: float
    whole: bool


_NUMBERS: Dict[str, _Range] = {
    "lease": _Range(p.MIN_LEASE, YEAR, False),
    "retry_pause": _Range(0, YEAR, False),
    "max_attempts": _Range(1, p.MAX_ATTEMPTS, True),
    "max_interruptions": _Range(1, 1_000_000, True),
    "failing_after": _Range(1, 1_000_000, True),
    "max_jobs": _Range(0, 1_000_000_000, True),
    "max_hours": _Range(0, 1e9, False),
}
_UNITS = {"max_hours": "hours"}
_TARGET = "stop_when"
RULE = (_TARGET, "max_jobs", "max_hours")
NAMES: Tuple[str, ...] = Policy._fields


def checked(given: Mapping[str, Any]) -> Dict[str, Any]:
    """Fields of Policy with the values that a client sent. Raises ProtocolError."""
    unknown = [name for name in given if name not in NAMES]
    if unknown:
        raise ProtocolError("there is no setting %s; settings are %s" % (
            shown(unknown[0]), ", ".join(NAMES)))
    if not given:
        raise ProtocolError("no setting is given; settings are %s" % ", ".join(NAMES))
    return {name: _checked(name, value) for name, value in given.items()}


def check_target(text: str) -> str:
    """A text that can be what ends a sweep: a filter, or nothing. Raises ProtocolError."""
    filters.parse(text)
    return text.strip()


def _checked(name: str, value: Any) -> Any:
    if name == _TARGET:
        try:
            return check_target(fields.check(value, name, str))
        except ProtocolError as error:
            raise ProtocolError("%s: %s" % (name, error)) from None
    allowed = _NUMBERS.get(name)
    if allowed is None:
        if not isinstance(value, bool):
            raise ProtocolError("%s must be true or false, not %s" % (name, shown(value)))
        return value
    number = not isinstance(value, bool) and isinstance(value, (int, float))
    if not number or not allowed.low <= value <= allowed.high or (allowed.whole and value != int(value)):
        raise ProtocolError("%s must be a %s from %d to %d, not %s" % (
            name, "whole number" if allowed.whole else "number of %s" % _UNITS.get(name, "seconds"),
            allowed.low, allowed.high,
            shown(value)))
    return int(value) if allowed.whole else float(value)


def load(db: sqlite3.Connection, policy: Policy, fixed: FrozenSet[str] = frozenset()) -> Policy:
    """`policy` with what is stored in its place, but for the fields named in `fixed`.

    A row that this version cannot use, or does not know, counts as none.
    """
    stored: Dict[str, Any] = {}
    for row_name, text in db.execute("SELECT name, value FROM settings WHERE name LIKE 'option.%'"):
        name = row_name[len(_PREFIX):]
        if name in fixed:
            continue
        try:
            stored.update(checked({name: json.loads(text)}))
        except (ProtocolError, ValueError):
            continue
    return policy._replace(**stored)


def save(t: Transaction, values: Mapping[str, Any], paused_because: str = "") -> None:
    """Store fields as `checked` gives them, for this server and the next start. `paused_because` says why the
    server itself has paused the experiment."""
    t.db.executemany("INSERT OR REPLACE INTO settings VALUES (?, ?)",
                     [(_PREFIX + name, json.dumps(value)) for name, value in values.items()])
    t.db.execute("UPDATE changes SET n = n + 1 WHERE topic = 'settings'")
    t.happened.settings.update(values)
    if "paused" in values:
        t.db.execute("DELETE FROM settings WHERE name = ?", (PAUSED_BECAUSE,))
    # A part of the rule that is set anew counts again.
    t.db.executemany("DELETE FROM settings WHERE name = ?",
                     [(HAS_ENDED + name,) for name in RULE if name in values])
    if paused_because:
        t.db.execute("INSERT INTO settings VALUES (?, ?)", (PAUSED_BECAUSE, paused_because))
    t.policy = t.policy._replace(**values)
    if "lease" in values:
        # They are told it with their next heartbeat, which is as far off as they were told before.
        lease.extend(t)
    if values.get("paused") is False:
        t.db.execute("DELETE FROM settings WHERE name = ?", (ENDED,))
        t.happened.pending += jobs.counts(t.db)[p.PENDING]  # they are handed out again
    if values.get("stop_when_done") is False:
        sweepend.forget(t)
