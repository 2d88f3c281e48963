"""The reports of jobs on their way to the server, in pieces that say which number their first one has.

The server answers how many it has; what it has already it passes over, so a piece may go twice.
"""

import json
from typing import BinaryIO, Iterator, List, NamedTuple

from jd import protocol
from jd.messages import Report, Reports
from jd.protocol import MAX_PIECE_BYTES, MAX_REPORTS_IN_PIECE
from jd.script.context import JobContext
from jd.worker.uplink import piececall

_TRIES = 2
_ENVELOPE = 4096  # bytes of a body that are no reports


class Told(NamedTuple):
    """What the server says: how many reports of the attempt it has, and in how many seconds it wants more."""

    number: int
    every: float


def send(context: JobContext, first: int, lines: List[bytes], final: bool = False) -> Told:
    """Send reports, each a line of JSON, as many as go at once. What is told counts them in, whatever the
    server had before. Raises ServerUnreachable, ServerRefused.

    Where it has fewer than `first` (it was restored, its machine lost its power) these follow what it has.
    """
    told = _call(context, first, lines, final)
    for _ in range(_TRIES):
        if told.number >= first + len(lines):
            break
        lines = lines[max(0, told.number - first):]
        first = told.number
        told = _call(context, first, lines, final)
    return Told(min(told.number, first + len(lines)), told.every)


def _call(context: JobContext, first: int, lines: List[bytes], final: bool) -> Told:
    assert context.attempt is not None  # which every server has that knows the route
    reports = tuple(Report(*json.loads(line.decode("ascii"))) for line in lines)
    body = Reports(context.job_id, context.attempt, first, reports, final)
    answer = piececall.call(context, protocol.REPORT, body.to_json(), "count",
                            protocol.REPORT_INTERVAL)
    return Told(first + len(lines) if answer.reach is None else answer.reach, answer.every)


def pieces(file: BinaryIO) -> Iterator[List[bytes]]:
    """The lines of a file, from where it stands on, as many at once as go into a piece."""
    some: List[bytes] = []
    size = _ENVELOPE
    for line in file:
        if some and (size + len(line) > MAX_PIECE_BYTES or len(some) == MAX_REPORTS_IN_PIECE):
            yield some
            some, size = [], _ENVELOPE
        some.append(line)
        size += len(line)
    if some:
        yield some


def send_file(context: JobContext, file: BinaryIO, first: int) -> None:
    """Send all reports of a file, of which the first one has this number. Raises what `send` raises."""
    waiting: List[bytes] = []
    for lines in pieces(file):
        if waiting:
            first = send(context, first, waiting).number
        waiting = list(filter(_is_report, lines))
    if waiting:
        send(context, first, waiting, final=True)


def _is_report(line: bytes) -> bool:
    """Whether a line is as it was written: a disk may have damaged it."""
    try:
        value = json.loads(line.decode("ascii"))
    except (ValueError, RecursionError):
        return False
    return isinstance(value, list) and len(value) == 2
