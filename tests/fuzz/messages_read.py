"""Messages between workers and servers. `jd/messages.py`, `jd/fields.py`."""

import json
from functools import partial
from typing import Any, Dict

from jd import fields, messages
from jd.protocol import ProtocolError
from tests.fuzz.material import Source
from tests.fuzz.properties import Property, outcome, refused

NAMES = (
    "worker_id",
    "host",
    "machine_type",
    "reported_status",
    "current_job_id",
    "applied_version",
    "system_metrics",
    "session",
    "attempt",
    "wait",
    "finished",
    "released",
    "output_tail",
    "output_size",
    "leave",
    "time_left",
    "min_time",
    "exit_when_empty",
    "exp_id",
    "tags",
    "ends_in",
    "code",
    "job_id",
    "status",
    "message",
    "verdict",
    "exit_code",
    "runtime",
    "final",
    "reason",
    "offset",
    "first",
    "reports",
    "output",
    "after_gap",
    "parameters",
    "timeout",
    "from_scratch",
    "flags",
    "job",
    "command",
    "interval",
    "server_id",
    "extensions",
    "script",
    "hash",
    "commit",
    "clean",
    "distributions",
    "prefetch",
    "finished_before",
    "unstarted",
    "ended_ago",
    "prefetched",
)
KINDS = tuple(
    getattr(messages, name)
    for name in ("Heartbeat", "Result", "Release", "OutputPiece", "Reports", "Code", "Assignment",
                 "HeartbeatReply")
)


def make_message(source: Source) -> Dict[str, Any]:
    """A message with some fields of ours."""
    good: Dict[str, Any] = {
        "worker_id": "h_egg_0",
        "job_id": 3,
        "attempt": 1,
        "status": source.one("DONE", "ABORTED"),
        "offset": 0,
        "output": "x",
        "desired_state": "run",
        "version": 1,
    }
    if source.chance(0.3):
        good["finished"] = dict(good)
    if source.chance(0.3):
        several = [dict(good, job_id=number, ended_ago=source.one(0.5, 3, None)) for number in range(1, 4)]
        good[source.one("finished_before", "unstarted", "prefetched")] = several
    for _ in range(source.few(6)):
        good[source.of(NAMES)] = source.one(
            source.value(2),
            source.number(),
            1,
            True,
            "IDLE",
            "BUSY",
            0.5,
            -1,
            [],
            {},
            ["gpu"],
            source.long(300),
            {"job_id": 1, "status": "DONE"},
            [{"job_id": 1, "attempt": 2, "parameters": {}, "status": "DONE", "reason": ""}],
            None,
        )
    return good


def check_message(given: Dict[str, Any]) -> None:
    """It is read or refused with ProtocolError; what is read, is written and read as the same."""
    for kind in KINDS:
        found = outcome(partial(kind.from_json, given), ProtocolError)
        if not refused(found):
            wire = json.loads(json.dumps(found.to_json(), allow_nan=False))
            assert kind.from_json(wire) == found, (kind, wire)


def make_fields(source: Source) -> Dict[str, str]:
    """Fields of a form or a query."""
    return {
        name: source.maybe(
            source.one(source.number(), source.text(3), ",".join(source.several(source.number, 5)), ""), 0.2
        )
        for name in ("a", "b", "c")[: 1 + source.few(3)]
    }


def check_fields(given: Dict[str, str]) -> None:
    """A value within its limits, or ProtocolError."""
    for read in (
        lambda: fields.read_whole(given, "a", -5, 99),
        lambda: fields.read_id(given, "a"),
        lambda: fields.read_name(given, "b"),
        lambda: fields.read_text(given, "b", 20),
        lambda: fields.read_word(given, "c", ("x", "y")),
    ):
        outcome(read, ProtocolError)
    ids = outcome(lambda: fields.read_ids(given, "a"), ProtocolError)
    assert refused(ids) or all(1 <= one <= fields.MAX_ID for one in ids)


PROPERTIES = (
    Property("message", make_message, check_message, ({}, {"worker_id": "\0"}), weight=40),
    Property("form", make_fields, check_fields, ({}, {"a": "9" * 5000}, {"a": "²"}, {"a": ","}), weight=40),
)
