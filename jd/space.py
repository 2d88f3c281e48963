"""A space of parameters, and the jobs that sample it: at random, along a Halton sequence, or all of a grid.

Of each name the space says a range (`low`, `high`, `log`), a list of `values`, or the one value that all jobs
have; `when` makes a name depend on others. Each name has its own stream of numbers, which the seed and the
name decide: what a job gets does not change when there are more jobs, or more names after it, nor with the
version of Python, of whose generator only `random()` is promised to stay as it is.
"""

import hashlib
import itertools
import json
import math
import random
from typing import (
    Any,
    Callable,
    Dict,
    FrozenSet,
    Hashable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Set,
    Tuple,
)

from jd import fields
from jd import protocol as p
from jd.suggestion import closest

RANDOM, HALTON, GRID = METHODS = ("random", "halton", "grid")
OPTIONS = ("n", "seed", "method", "repeat")  # what is said beside a space
REPEATED = "seed"  # the parameter that tells repetitions apart, if no other is named

MAX_BYTES = 128 * 1024 * 1024  # of all jobs, as JSON: a request of theirs has no more
MAX_DRAWN = 20_000_000  # numbers for all jobs: a minute
MAX_BASES = 100  # names that a Halton sequence spreads well

_KEYS = ("low", "high", "log", "values", "when")
_DIGITS = 7  # that a number has: so flags, tables and results agree about it
_WHAT = "give low and high, or values"

_Condition = Tuple[str, FrozenSet[Hashable]]


class Parameter(NamedTuple):
    """A name of a space: one of `values`, or a number from `low` to `high`, both included."""

    name: str
    values: Optional[Sequence[Any]] = None
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False
    when: Sequence[_Condition] = ()

    def at(self, place: float) -> Any:
        """The value at a place from 0 to below 1. Whole numbers and choices own equal parts of it; with
        `log` a whole number owns what lies within a half of it."""
        if self.values is not None:
            return self.values[min(int(place * len(self.values)), len(self.values) - 1)]
        if self.whole:
            low, high = int(self.low), int(self.high)
            if self.log:
                return min(max(int(_between_logs(low - 0.5, high + 0.5, place) + 0.5), low), high)
            return min(low + int(place * (high - low + 1)), high)
        if self.log:
            # A narrow range needs more digits, or all of its numbers would be the same.
            wide = min((self.high - self.low) / self.low, 1.0)
            digits = min(_DIGITS + math.ceil(-math.log10(wide)), 17)
            value = float("%.*g" % (digits, _between_logs(self.low, self.high, place)))
        else:
            width = self.high - self.low
            value = round(self.low + place * width, _DIGITS - 1 - math.floor(math.log10(width)))
        return min(max(value, self.low), self.high) + 0.0  # no job has -0.0

    def possible(self) -> Optional[int]:
        """How many values it can have; None where these are the numbers of a range."""
        if self.values is not None:
            return len(self.values)
        return int(self.high) - int(self.low) + 1 if self.whole else None

    def applies(self, point: Mapping[str, Any]) -> bool:
        """Whether a job with these values has it; the names that it depends on are decided before it."""
        return all(name in point and _key(point[name]) in allowed for name, allowed in self.when)


def jobs(given: Mapping[str, Any]) -> Iterator[Dict[str, Any]]:
    """The parameters of each job of `space`, as the OPTIONS beside it say. No two are the same.

    Raises ProtocolError: for what is wrong at once, for too few different jobs or too much on the way.
    """
    return _planned(given).jobs


def count(given: Mapping[str, Any]) -> Optional[int]:
    """How many `jobs` there are, where that is known without making them: their first ones are the same then,
    however few are taken. Raises ProtocolError as `jobs` does at once."""
    return _planned(given).total


class _Planned(NamedTuple):
    jobs: Iterator[Dict[str, Any]]
    total: Optional[int]


def _planned(given: Mapping[str, Any]) -> _Planned:
    method = fields.take_word(given, "method", METHODS, RANDOM)
    parameters = parse(given.get("space"))
    repeat = _repeated(given.get("repeat"), parameters)
    seed = fields.take_whole(given, "seed", 0, fields.MAX_ID) or 0
    if method == GRID:
        if given.get("n") is not None:
            raise p.ProtocolError("n is for the methods random and halton: a grid has all combinations")
        ranges = [parameter.name for parameter in parameters if parameter.values is None]
        if ranges:
            raise p.ProtocolError("space: %s is a range, and a grid is made of values: give it a list, or "
                                  "take the method random or halton" % p.shown(ranges[0]))
        points = _grid(parameters)
        total = None if any(parameter.when for parameter in parameters) else _product(parameters)
    else:
        n = fields.take_whole(given, "n", 1, p.MAX_JOBS_PER_BATCH)
        if n is None:
            grid = all(parameter.values is not None for parameter in parameters)
            raise p.ProtocolError("n is missing: say how many jobs are taken from the space, 1 to %d%s" % (
                p.MAX_JOBS_PER_BATCH, ", or take the method grid for all combinations" if grid else ""))
        if n * len(repeat[1]) > p.MAX_JOBS_PER_BATCH:
            raise _too_many("{:,}".format(n * len(repeat[1])))
        if n * len(parameters) > MAX_DRAWN:
            raise p.ProtocolError("n: {:,} jobs with {:,} names are too much at once: at most {:,} values; "
                                  "take more rounds with other seeds".format(n, len(parameters), MAX_DRAWN))
        # Of a space with few more jobs than that, n different ones may not be found.
        total = n if _check_enough(parameters, n) >= 2 * n else None
        points = _sampled(parameters, _streams(parameters, list(given["space"]), seed, method), n)
    made = None if total is None else total * len(repeat[1])
    if made is not None and made > p.MAX_JOBS_PER_BATCH:
        raise _too_many("more than {:,}".format(p.MAX_JOBS_PER_BATCH))
    return _Planned(_limited(points, list(given["space"]), *repeat), made)


def _product(parameters: Sequence[Parameter]) -> int:
    found = 1
    for parameter in parameters:
        found *= len(parameter.values or ())
        if found > p.MAX_JOBS_PER_BATCH:
            break  # it is too much, however large the number would become
    return found


def parse(space: Any) -> List[Parameter]:
    """The names of a space, each after those that it depends on. Raises ProtocolError that names one."""
    if not isinstance(space, dict) or not space:
        raise p.ProtocolError("space must be a non-empty object of names, not %s" % p.shown(space))
    found: Dict[str, Parameter] = {}
    for name, said in space.items():
        p.check_parameter_name(fields.check(name, "a name of the space", str))
        found[name] = _parameter(name, said)
    return _in_order({name: parameter._replace(when=_when(name, space[name], found))
                      for name, parameter in found.items()})


# ---- a name

def _parameter(name: str, said: Any) -> Parameter:
    where = "space: %s" % p.shown(name)
    if isinstance(said, dict):
        for key in said:
            if key not in _KEYS:
                meant = closest(str(key), _KEYS)
                raise p.ProtocolError("%s: %s is unknown: %s; if this object is its value, put it into a "
                                      "list" % (where, p.shown(key),
                                                "did you mean %s?" % meant if meant else _WHAT))
        if "values" not in said:
            return _range(name, said, where)
        if any(said.get(key) is not None for key in ("low", "high", "log")):
            raise p.ProtocolError("%s: values and low, high or log exclude each other" % where)
        said = said["values"]
        if not isinstance(said, list):
            raise p.ProtocolError("%s: values must be a list, not %s" % (where, p.shown(said)))
    elif not isinstance(said, list):
        said = [said]
    return Parameter(name, values=_values(said, where))


def _values(said: Sequence[Any], where: str) -> Sequence[Any]:
    if not said:
        raise p.ProtocolError("%s: the list of values is empty: give at least one" % where)
    seen: Set[Hashable] = set()
    for value in said:
        key = _readable(value, where)
        if key in seen:
            raise p.ProtocolError("%s: the value %s is there twice" % (where, p.shown(value)))
        seen.add(key)
    return said


def _range(name: str, said: Mapping[str, Any], where: str) -> Parameter:
    ends = []
    for key in ("low", "high"):
        value = said.get(key)
        if value is None:
            raise p.ProtocolError("%s: %s is missing: %s" % (where, key, _WHAT))
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not -1e300 <= value <= 1e300:
            raise p.ProtocolError("%s: %s must be a number from -1e300 to 1e300, not %s" % (
                where, key, p.shown(value)))
        ends.append(value)
    low, high = ends
    log = fields.check(False if said.get("log") is None else said["log"], where + ": log", bool)
    whole = isinstance(low, int) and isinstance(high, int)
    if low >= high:
        raise p.ProtocolError("%s: low must be below high, not %s and %s%s" % (
            where, p.shown(low), p.shown(high), "; one value stands alone" if low == high else ""))
    if whole and max(abs(low), abs(high)) > fields.MAX_ID:
        raise p.ProtocolError("%s: whole numbers can be from %d to %d; 1e17 or 1.0 is none, and makes it a "
                              "range of all numbers" % (where, -fields.MAX_ID, fields.MAX_ID))
    if log and low <= 0:
        raise p.ProtocolError("%s: with log, low must be above 0, not %s" % (where, p.shown(low)))
    if not whole:
        low, high = float(low), float(high)
    return Parameter(name, low=low, high=high, log=log, whole=whole)


def _when(name: str, said: Any, known: Mapping[str, Parameter]) -> List[_Condition]:
    when = said.get("when") if isinstance(said, dict) else None
    where = "space: %s: when" % p.shown(name)
    if when is None:
        return []
    if not isinstance(when, dict) or not when:
        raise p.ProtocolError('%s must be an object of other names and their values, as {"opt": ["sgd"]}, '
                              "not %s" % (where, p.shown(when)))
    return [_condition(other, values if isinstance(values, list) else [values], where, known)
            for other, values in when.items()]


def _condition(other: str, values: List[Any], where: str, known: Mapping[str, Parameter]) -> _Condition:
    parameter = known.get(other)
    if parameter is None:
        meant = closest(str(other), known)
        raise p.ProtocolError("%s: %s is no name of the space%s" % (
            where, p.shown(other), ": did you mean %s?" % meant if meant else ""))
    if parameter.possible() is None:
        raise p.ProtocolError("%s: %s is a range of all numbers: only values and whole numbers can decide" % (
            where, p.shown(other)))
    if not values:
        raise p.ProtocolError("%s: the list of %s is empty: give at least one" % (where, p.shown(other)))
    possible = frozenset(map(_key, parameter.values or ()))
    allowed: Set[Hashable] = set()
    for value in values:
        key = _readable(value, where)
        if (key not in possible if parameter.values is not None else isinstance(key, str)
                or not parameter.low <= value <= parameter.high or value != int(value)):
            raise p.ProtocolError("%s: %s is no value of %s" % (where, p.shown(value), p.shown(other)))
        allowed.add(key)
    return other, frozenset(allowed)


def _in_order(found: Mapping[str, Parameter]) -> List[Parameter]:
    """Each after the names that it depends on, else as they are given."""
    ordered: Dict[str, Parameter] = {}
    left = list(found.values())
    while left:
        waiting = []
        for parameter in left:
            if all(name in ordered for name, _ in parameter.when):
                ordered[parameter.name] = parameter
            else:
                waiting.append(parameter)
        if len(waiting) == len(left):
            raise p.ProtocolError("space: when of %s goes round in a circle" % ", ".join(
                p.shown(parameter.name) for parameter in left[:4]))
        left = waiting
    return list(ordered.values())


def _key(value: Any) -> Hashable:
    """What is the same for values that make the same job: 1 and 1.0, but not 1, true and "1"."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value - value == 0:
        return value
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)
    text.encode("utf-8")  # half a surrogate pair is no text
    return text


def _readable(value: Any, where: str) -> Hashable:
    try:
        return _key(value)
    except (TypeError, ValueError, RecursionError):
        raise p.ProtocolError("%s: %s cannot be written as JSON" % (where, p.shown(value))) from None


# ---- jobs

def _repeated(repeat: Any, parameters: Sequence[Parameter]) -> Tuple[str, Sequence[Any]]:
    """The name and the values with which each job is repeated."""
    if repeat is None:
        return "", [None]
    name = REPEATED
    values: Sequence[Any]
    if isinstance(repeat, dict):
        if len(repeat) != 1 or not isinstance(next(iter(repeat.values())), list):
            raise p.ProtocolError('repeat must be a whole number, or one name with its values as in '
                                  '{"seed": [1, 2, 3]}, not %s' % p.shown(repeat))
        name, values = next(iter(repeat.items()))
        p.check_parameter_name(name)
        values = _values(values, "repeat: %s" % p.shown(name))
    else:
        values = range(1, fields.check_whole(repeat, "repeat", 1, p.MAX_JOBS_PER_BATCH) + 1)
    if any(parameter.name == name for parameter in parameters):
        raise p.ProtocolError('repeat: %s is a name of the space already: name another one, as in '
                              '{"repeat": {"run": [1, 2, 3]}}' % p.shown(name))
    return name, values


def _limited(points: Iterator[Dict[str, Any]], names: Sequence[str], repeated: str,
             values: Sequence[Any]) -> Iterator[Dict[str, Any]]:
    """Each point with each of the values, its names in the order of the space. Raises ProtocolError for too
    much."""
    made = size = 0
    for point in points:
        job = {name: point[name] for name in names if name in point}
        made += len(values)
        if made > p.MAX_JOBS_PER_BATCH:
            raise _too_many("more than {:,}".format(p.MAX_JOBS_PER_BATCH))
        size += (len(_text(job).encode("utf-8")) + len(repeated)) * len(values)
        if size > MAX_BYTES:
            raise p.ProtocolError("the parameters of these jobs are more than %d MiB as JSON: take fewer at "
                                  "once, or put large values into a file" % (MAX_BYTES >> 20))
        if not repeated:
            yield job
        else:
            for value in values:
                yield dict(job, **{repeated: value})


def _grid(parameters: Sequence[Parameter]) -> Iterator[Dict[str, Any]]:
    """All combinations, the last name varies fastest; a name that does not apply has no value."""
    point: Dict[str, Any] = {}
    chosen: List[int] = []  # of each name the place of its value, -1 where it has none
    while True:
        for parameter in parameters[len(chosen):]:
            chosen.append(0 if parameter.applies(point) else -1)
            if not chosen[-1]:
                point[parameter.name] = (parameter.values or ())[0]
        yield point
        while chosen:
            last, parameter = chosen.pop(), parameters[len(chosen)]
            values = parameter.values or ()
            if 0 <= last < len(values) - 1:
                chosen.append(last + 1)
                point[parameter.name] = values[last + 1]
                break
            point.pop(parameter.name, None)
        if not chosen:
            return


def _sampled(parameters: Sequence[Parameter], streams: Sequence[Callable[[], float]],
             n: int) -> Iterator[Dict[str, Any]]:
    """`n` different points. Each name takes a number for each of them, whether it applies or not: so what one
    of them has changes nothing of the next ones."""
    seen: Set[int] = set()
    most = 4 * n + 1000
    for _ in range(most):
        point: Dict[str, Any] = {}
        for parameter, stream in zip(parameters, streams):
            place = stream()
            if parameter.applies(point):
                point[parameter.name] = parameter.at(place)
        # Of a text only this much is kept: a million of them take some 80 MB.
        digest = hashlib.blake2b(_text(point).encode("utf-8"), digest_size=8).digest()
        before = len(seen)
        seen.add(int.from_bytes(digest, "big"))
        if len(seen) > before:
            yield point
            if len(seen) == n:
                return
    raise p.ProtocolError("n is {:,}, but only {:,} different jobs were found in {:,} draws from this space: "
                          "give a smaller n, or the method grid for all of them".format(n, len(seen), most))


def _check_enough(parameters: Sequence[Parameter], n: int) -> int:
    """About how many points a space has, as far as that is seen at once. Raises ProtocolError where these are
    fewer than are wanted."""
    most = 1
    for parameter in parameters:
        possible = parameter.possible()
        if possible is None:
            return 2 * n
        most *= possible + bool(parameter.when)
        if most >= 2 * n:
            return most
    if most >= n:
        return most
    about = "at most " if any(parameter.when for parameter in parameters) else ""
    raise p.ProtocolError("n is {:,}, but this space has {}{:,} different jobs: give a smaller n, or a wider "
                          "space".format(n, about, most))


def _streams(parameters: Sequence[Parameter], names: Sequence[str], seed: int,
             method: str) -> List[Callable[[], float]]:
    """What gives the next number of each parameter, from 0 to below 1; `names` are as the space has them."""
    draws = {parameter.name: _generator(seed, parameter.name) for parameter in parameters}
    if method == HALTON:
        spread = {parameter.name for parameter in parameters if parameter.possible() != 1}
        if len(spread) > MAX_BASES:
            raise p.ProtocolError("the method halton spreads at most %d names, and this space has %d: take "
                                  "the method random" % (MAX_BASES, len(spread)))
        for name, base in zip((name for name in names if name in spread), _primes()):
            draws[name] = _halton(base, draws[name])
    return [draws[parameter.name] for parameter in parameters]


def _generator(seed: int, name: str) -> Callable[[], float]:
    digest = hashlib.sha256(("%d %s" % (seed, name)).encode("utf-8")).digest()
    return random.Random(int.from_bytes(digest, "big")).random


def _halton(base: int, draw: Callable[[], float]) -> Callable[[], float]:
    """The Halton sequence of a base from its index 1 on, its digits but 0 exchanged and all of it shifted
    by what `draw` gives: as it is, sequences of large bases go along with each other for long."""
    digits = list(range(base))
    for last in range(base - 1, 1, -1):
        other = 1 + int(draw() * last)
        digits[last], digits[other] = digits[other], digits[last]
    shift = draw()
    indices = itertools.count(1)

    def value() -> float:
        index = next(indices)
        turned, size = 0, 1
        while index:
            index, digit = divmod(index, base)
            turned, size = turned * base + digits[digit], size * base
        return (turned / size + shift) % 1.0
    return value


def _primes() -> Iterator[int]:
    found: List[int] = []
    for number in itertools.count(2):
        if all(number % prime for prime in found):
            found.append(number)
            yield number


def _between_logs(low: float, high: float, place: float) -> float:
    return math.exp(math.log(low) + place * (math.log(high) - math.log(low)))


def _text(job: Mapping[str, Any]) -> str:
    return json.dumps(job, ensure_ascii=False)


def _too_many(count: str) -> p.ProtocolError:
    return p.ProtocolError("that makes {} jobs; at most {:,} at once: take more rounds with other "
                           "seeds".format(count, p.MAX_JOBS_PER_BATCH))
