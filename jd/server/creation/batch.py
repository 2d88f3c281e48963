"""Jobs that can be created: a grid or a list, checked whole before anything is written.

docs/protocol.md, `POST /api/jobs/create`: `parameters` is an object of name to non-empty list, and its
jobs are the Cartesian product in which the last name varies fastest; `jobs` is a non-empty list of
non-empty objects.
"""

import hashlib
import itertools
import json
from typing import Any, Callable, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Tuple, Union

from jd import fields
from jd import protocol as p
from jd.server.store.operators.batches import Terms


class Batch(NamedTuple):
    """Jobs that can be created: each a JSON text, all of them checked, and what is said for all."""

    total: int
    grid: Optional[List[List[str]]]  # per parameter, its `"name": value` texts
    rows: List[str]
    terms: Terms = Terms()

    def texts(self) -> Iterator[str]:
        """The parameters of each job, in the order of their ids."""
        if self.grid is None:
            return iter(self.rows)
        return ("{%s}" % ", ".join(parts) for parts in itertools.product(*self.grid))

    def digest(self) -> str:
        """A name for this very set of jobs."""
        # What is not said is left out: files that were loaded by an earlier version are known.
        said: List[Any] = list(self.terms)
        while len(said) > 2 and said[-1] is None:
            said.pop()
        digest = hashlib.sha256(json.dumps([self.grid, *said]).encode())
        for row in self.rows:
            digest.update(row.encode() + b"\n")
        return digest.hexdigest()


Grid = Union[Mapping[str, Any], Iterable[Tuple[str, Any]]]


def from_grid(parameters: Grid) -> Batch:
    """All combinations of the values of each name, given as a list or one by one by an iterator.

    Raises ProtocolError that names the key, as soon as something is wrong or too much.
    """
    grid: List[List[str]] = []
    longest = 2
    for name, values in parameters.items() if isinstance(parameters, Mapping) else parameters:
        p.check_parameter_name(name)
        texts: List[str] = []
        if isinstance(values, (list, Iterator)):
            prefix = json.dumps(name, ensure_ascii=False)
            # So many values make more jobs than are allowed, however they are spread over the names.
            most = p.MAX_JOBS_PER_BATCH - sum(len(others) - 1 for others in grid)
            for value in values:
                if len(texts) >= most:
                    raise too_many()
                texts.append("%s: %s" % (prefix, _value_text(name, value)))
        if not texts:
            raise p.ProtocolError("parameter %s: a non-empty list of values is needed, not %s" % (
                p.shown(name), "[]" if isinstance(values, Iterator) else p.shown(values)))
        longest += max(len(text.encode()) for text in texts) + 2
        _check_size(longest, "a job of this grid")
        grid.append(texts)
    if not grid:
        raise p.ProtocolError("parameters is empty: give at least one name with a list of values")
    total = 1
    for texts in grid:
        total *= len(texts)
    if total > p.MAX_JOBS_PER_BATCH:
        raise too_many(total)
    return Batch(total, grid, [])


def from_list(given: Iterable[Any], where: Callable[[int], str] = "jobs[{}]".format) -> Batch:
    """Jobs one by one; `where` names the place of one for errors, given its index.

    Raises ProtocolError as soon as something is wrong or too much.
    """
    rows: List[str] = []
    for index, job in enumerate(given):
        if index >= p.MAX_JOBS_PER_BATCH:
            raise too_many()
        try:
            rows.append(job_text(job))
        except p.ProtocolError as error:
            raise p.ProtocolError("%s: %s" % (where(index), error)) from None
    if not rows:
        raise p.ProtocolError("jobs is empty: give at least one object of parameters")
    return Batch(len(rows), None, rows)


# As bodies call them.
TERM_NAMES = ("idle_timeout", "aborted_job_reset_timeout", "min_time", "timeout", "max_attempts", "priority",
              "needs")


def terms_of(body: Mapping[str, Any]) -> Terms:
    """What a body says for all of its jobs. Raises ProtocolError."""
    return Terms(fields.take_number(body, "idle_timeout", low=p.MIN_LEASE, high=p.YEAR),
                 fields.take_number(body, "aborted_job_reset_timeout", high=p.YEAR),
                 fields.take_number(body, "min_time", high=p.YEAR),
                 fields.take_number(body, "timeout", low=1.0, high=p.YEAR),
                 fields.take_whole(body, "max_attempts", 1, p.MAX_ATTEMPTS),
                 fields.take_whole(body, "priority", -p.MAX_PRIORITY, p.MAX_PRIORITY),
                 fields.take_tags(body, "needs") or None)


def job_text(job: Any) -> str:
    """The parameters of one job as JSON. Raises ProtocolError that names what is wrong."""
    if not isinstance(job, dict) or not job:
        raise p.ProtocolError("a non-empty object of parameters is needed, not %s" % p.shown(job))
    parts = []
    for name, value in job.items():
        p.check_parameter_name(name)
        parts.append("%s: %s" % (json.dumps(name, ensure_ascii=False), _value_text(name, value)))
    text = "{%s}" % ", ".join(parts)
    _check_size(len(text.encode()), "this job")
    return text


def _value_text(name: str, value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode("utf-8")
    except (TypeError, ValueError):
        raise p.ProtocolError("parameter %s: %s cannot be written as JSON" % (
            p.shown(name), p.shown(value))) from None
    if isinstance(value, str) and "\0" in value:
        raise p.ProtocolError("parameter %s: a NUL character cannot be a command-line argument"
                              % p.shown(name))
    return text


def _check_size(size: int, what: str) -> None:
    if size > p.MAX_PARAMETERS_BYTES:
        raise p.ProtocolError("the parameters of %s are %d bytes as JSON; at most %d: put large "
                              "values into a file" % (what, size, p.MAX_PARAMETERS_BYTES))


def too_many(total: Optional[int] = None) -> p.ProtocolError:
    """The error for more jobs than are made at once; how many they are where that is known."""
    most = p.MAX_JOBS_PER_BATCH
    return p.ProtocolError("that makes {} jobs; at most {:,} at once: split it".format(
        "more than {:,}".format(most) if total is None else "{:,}".format(total), most))
