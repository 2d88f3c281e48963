"""Jobs that can be created: a grid or a list, checked whole before anything is written.

docs/protocol.md, `POST /api/jobs/create`: `parameters` is an object of name to non-empty list, or to the one
value that all have, and its jobs are the Cartesian product in which the last name varies fastest; `jobs` is a
non-empty list of non-empty objects.
"""

import hashlib
import itertools
import json
import random
from array import array
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
)

from jd import fields, space
from jd import protocol as p
from jd.net.serving.jsontexts import Texts
from jd.server.store.operators.batches import Terms

NAMES = 1000  # more than pages show
RUN = 500  # jobs that are looked at together

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


class Shuffled(NamedTuple):
    """An order that a seed decides: the place of each job among those that are given."""

    seed: int
    places: Sequence[int]

    @classmethod
    def by(cls, seed: int, total: int) -> "Shuffled":
        """The same for the same seed with every version of Python: of its generator `random()` alone is
        promised to stay as it is."""
        draw = random.Random(seed).random
        places = array("I", range(total))
        for last in range(total - 1, 0, -1):
            other = int(draw() * (last + 1))
            places[last], places[other] = places[other], places[last]
        return cls(seed, places)


class Batch(NamedTuple):
    """Jobs that can be created: each a JSON text, all of them checked, and what is said for all."""

    total: int
    grid: Optional[List[List[str]]]  # per parameter, its `"name": value` texts
    rows: List[str]
    terms: Terms = Terms()
    shuffled: Optional[Shuffled] = None  # None: in the order in which they are given
    made: Optional[bytes] = None  # a byte for each of them, 0 for one that is left out; None: all
    names: Tuple[str, ...] = ()  # of parameters, in the order of their first use: NAMES at most

    def texts(self) -> Iterator[str]:
        """The parameters of each job, in the order of their ids."""
        if self.shuffled is not None:
            texts: Iterator[str] = map(self._text, self.shuffled.places)
        elif self.grid is None:
            texts = iter(self.rows)
        else:
            texts = map(_joined, itertools.product(*self.grid))
        return texts if self.made is None else itertools.compress(texts, self.made)

    def _text(self, place: int) -> str:
        """That of the job at a place in the order in which they are given."""
        if self.grid is None:
            return self.rows[place]
        parts = []
        for texts in reversed(self.grid):
            place, at = divmod(place, len(texts))
            parts.append(texts[at])
        return _joined(reversed(parts))

    def without(self, existing: Sequence[int]) -> "Batch":
        """Of all of them those that do not exist yet: where the id of one that does is 0."""
        made = bytes(not job_id for job_id in existing)
        return self._replace(total=sum(made), made=made)

    def digest(self) -> str:
        """A name for this very set of jobs."""
        # What is not said is left out: files that were loaded by an earlier version are known.
        said: List[Any] = list(self.terms)
        while len(said) > 2 and said[-1] is None:
            said.pop()
        digest = hashlib.sha256(json.dumps([self.grid, *said]).encode())
        if self.shuffled is not None:
            digest.update(b"shuffled with %d\n" % self.shuffled.seed)
        for row in self.rows:
            digest.update(row.encode() + b"\n")
        return digest.hexdigest()


def _joined(parts: Iterable[str]) -> str:
    return "{%s}" % ", ".join(parts)


Grid = Union[Mapping[str, Any], Iterable[Tuple[str, Any]]]


def from_grid(parameters: Grid) -> Batch:
    """All combinations of the values of each name, given as a list or one by one by an iterator; a text, a
    number, true, false or null is the one value that all of them have.

    Raises ProtocolError that names the key, as soon as something is wrong or too much.
    """
    grid: List[List[str]] = []
    names: List[str] = []
    longest = 2
    for name, values in parameters.items() if isinstance(parameters, Mapping) else parameters:
        p.check_parameter_name(name)
        texts: List[str] = []
        if values is None or isinstance(values, (str, int, float)):
            values = [values]
        if isinstance(values, (list, Iterator)):
            prefix = json.dumps(name, ensure_ascii=False)
            # So many values make more jobs than are allowed, however they are spread over the names.
            most = p.MAX_JOBS_PER_BATCH - sum(len(others) - 1 for others in grid)
            for value in values:
                if len(texts) >= most:
                    raise too_many()
                texts.append("%s: %s" % (prefix, _value_text(name, value)))
        if not texts:
            raise p.ProtocolError("parameter %s: a non-empty list of values is needed, not %s%s" % (
                p.shown(name), "[]" if isinstance(values, Iterator) else p.shown(values),
                "; if this object is its value, put it into a list" if isinstance(values, dict) else ""))
        longest += max(len(text.encode()) for text in texts) + 2
        _check_size(longest, "a job of this grid")
        grid.append(texts)
        names.append(name)
    if not grid:
        raise p.ProtocolError("parameters is empty: give at least one name with a list of values")
    total = 1
    for texts in grid:
        total *= len(texts)
    if total > p.MAX_JOBS_PER_BATCH:
        raise too_many(total)
    return Batch(total, grid, [], names=tuple(names[:NAMES]))


class Lines:
    """In which line of a text each job stands, for errors."""

    def __init__(self) -> None:
        self._numbers = array("I")

    def passed(self, number: int) -> None:
        """The next job is in this line."""
        self._numbers.append(number)

    def passed_together(self, number: int, total: int) -> None:
        """The next jobs are in this line and those that follow."""
        self._numbers.extend(range(number, number + total))

    def where(self, index: int) -> str:
        """The place of a job."""
        return "line %d" % self._numbers[index]


def _by_index(index: int) -> str:
    return "jobs[%d]" % index


def _of_space(index: int) -> str:
    return "job %d of the space" % index


def from_list(given: Iterable[Any], where: Callable[[int], str] = _by_index) -> Batch:
    """Jobs one by one, or several together as Texts; `where` names the place of one for errors, given its
    index.

    Raises ProtocolError as soon as something is wrong or too much.
    """
    rows: List[str] = []
    names: Dict[str, None] = {}
    for run in _in_runs(given):
        texts = _as_they_are(run) if isinstance(run, Texts) else _texts_of(run)
        for job in _jobs(run) if texts is None else ():
            if len(rows) >= p.MAX_JOBS_PER_BATCH:
                raise too_many()
            try:
                rows.append(job_text(job))
            except p.ProtocolError as error:
                raise p.ProtocolError("%s: %s" % (where(len(rows)), error)) from None
        rows += texts or ()
        if isinstance(run, Texts):
            names.update(dict.fromkeys(run.names[:NAMES]))
        elif len(names) < NAMES and not names.keys() >= set().union(*run):
            names.update(dict.fromkeys(itertools.chain.from_iterable(run)))
        if len(rows) > p.MAX_JOBS_PER_BATCH:
            raise too_many()
    if not rows:
        raise p.ProtocolError("jobs is empty: give at least one object of parameters")
    return Batch(len(rows), None, rows, names=tuple(names)[:NAMES])


def _in_runs(given: Iterable[Any]) -> Iterator[Union[List[Any], Texts]]:
    """So many at once as are looked at together; what came before an error comes before it."""
    run: List[Any] = []
    try:
        for value in given:
            if isinstance(value, Texts):
                if run:
                    yield run
                yield value
                run = []
                continue
            run.append(value)
            if len(run) == RUN:
                yield run
                run = []
    except Exception:
        if run:
            yield run
        raise
    if run:
        yield run


def _jobs(run: Union[List[Any], Texts]) -> List[Any]:
    return list(map(json.loads, run.texts)) if isinstance(run, Texts) else run


def _as_they_are(run: Texts) -> Optional[List[str]]:
    """The texts, which are as `job_text` gives them; None where one of them needs a closer look."""
    try:
        for name in run.names:
            p.check_parameter_name(name)
    except p.ProtocolError:
        return None
    return run.texts if 4 * max(map(len, run.texts)) <= p.MAX_PARAMETERS_BYTES else None


def _texts_of(jobs: List[Any]) -> Optional[List[str]]:
    """What `job_text` gives for each, at a fifth of the cost; None where one of them needs a closer look."""
    if set(map(type, jobs)) != {dict} or not all(jobs):
        return None
    try:
        for name in set().union(*jobs):
            p.check_parameter_name(name)
        whole = _ENCODER.encode(jobs)
        whole.encode("utf-8")
    except (p.ProtocolError, TypeError, ValueError, RecursionError):
        return None
    # Objects inside of others, or braces in a text; a NUL character.
    if whole.count("{") != len(jobs) or "\\u0000" in whole:
        return None
    texts = ["{%s}" % text for text in whole[2:-2].split("}, {")]
    return texts if 4 * max(map(len, texts)) <= p.MAX_PARAMETERS_BYTES else None


def from_space(given: Mapping[str, Any]) -> Batch:
    """Jobs that sample the `space` of a body or a file, as it says beside. Raises ProtocolError."""
    return from_list(space.jobs(given), where=_of_space)


def first_of_space(given: Mapping[str, Any], most: int) -> Batch:
    """The same, to look at: where it has more than `most` jobs, and how many is known without making them,
    only so many are made. `total` is that of all. Raises ProtocolError."""
    total = space.count(given)
    if total is None or total <= most or given.get("order") == ORDERS[1]:
        return from_space(given)
    some = itertools.islice(space.jobs(given), most)
    return from_list(some, where=_of_space)._replace(total=total)


# As bodies and files call them.
TERM_NAMES = ("idle_timeout", "aborted_job_reset_timeout", "min_time", "timeout", "max_attempts", "priority",
              "needs", "flags", "after", "tags")
OPTIONS = (*TERM_NAMES, "order", "seed")
ORDERS = ("given", "random")


def terms_of(body: Mapping[str, Any]) -> Terms:
    """What a body says for all of its jobs. Raises ProtocolError."""
    return Terms(fields.take_number(body, "idle_timeout", low=p.MIN_LEASE, high=p.YEAR),
                 fields.take_number(body, "aborted_job_reset_timeout", high=p.YEAR),
                 fields.take_number(body, "min_time", high=p.YEAR),
                 fields.take_number(body, "timeout", low=1.0, high=p.YEAR),
                 fields.take_whole(body, "max_attempts", 1, p.MAX_ATTEMPTS),
                 fields.take_whole(body, "priority", -p.MAX_PRIORITY, p.MAX_PRIORITY),
                 fields.take_tags(body, "needs") or None,
                 None if body.get("flags") is None else fields.take_word(body, "flags", p.FLAG_STYLES),
                 _after(body), fields.take_tags(body, "tags") or None)


def _after(body: Mapping[str, Any]) -> Optional[Tuple[int, ...]]:
    """The jobs that a body says are to be DONE first."""
    if body.get("after") is None:
        return None
    ids = fields.take_list(body, "after", p.MAX_IDS)
    return tuple(sorted({fields.check_id(job_id, "after") for job_id in ids})) or None


def ordered(batch: Batch, body: Mapping[str, Any]) -> Batch:
    """The batch in the order that a body says, if it says one. Raises ProtocolError."""
    order = fields.take_word(body, "order", ORDERS, ORDERS[0])
    seed = fields.take_whole(body, "seed", 0, fields.MAX_ID)
    if order != "random" and body.get("space") is not None and body.get("method") != space.GRID:
        seed = None  # it is that of the sample
    if order == "random":
        return batch._replace(shuffled=Shuffled.by(seed or 0, batch.total))
    if seed is not None:
        raise p.ProtocolError('seed is for "order": "random", which is missing')
    return batch if body.get("order") is None else batch._replace(shuffled=None)


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
