"""Spaces of parameters in programs: what a name can be, and the jobs that sample it (see `jd.space`)."""

import operator
from typing import Any, Dict, Iterable, Mapping, Optional

from jd import protocol, space
from jd.protocol import ProtocolError
from jd.suggestion import closest
from jd.sweep.errors import BadType, BadValue


class Domain(Dict[str, Any]):
    """What a name of a space can be, as jobs files say it."""


def uniform(low: float, high: float, *, log: bool = False,
            when: Optional[Mapping[str, Any]] = None) -> Domain:
    """Any number from `low` to `high`, in a space; with `log` equally often in each order of magnitude.

    `when`, in all of these functions, is of another name the values with which there is this one:
    `when={"opt": ["sgd"]}`. Raises BadValue (a ValueError), BadType (a TypeError).
    """
    return _checked({"low": _number(low, float), "high": _number(high, float), "log": log}, when)


def randint(low: int, high: int, *, log: bool = False, when: Optional[Mapping[str, Any]] = None) -> Domain:
    """A whole number from `low` to `high`, both included, in a space. See `uniform`."""
    return _checked({"low": _number(low, operator.index), "high": _number(high, operator.index), "log": log},
                    when)


def choice(values: Iterable[Any], *, when: Optional[Mapping[str, Any]] = None) -> Domain:
    """One of these values, in a space. See `uniform`."""
    if isinstance(values, (str, bytes, Mapping)) or not hasattr(values, "__iter__"):
        raise BadType("choice takes a list of values, not %s" % protocol.shown(values))
    return _checked({"values": _plain(values)}, when)


def jobs_of(source: Any, n: Optional[int] = None, seed: Optional[int] = None, method: Optional[str] = None,
            repeat: Any = None) -> Any:
    """`source`, as `create_jobs` takes it, with its jobs in place of a space. A space is a dict with
    `space`, one with a `Domain`, or any with one of these options beside it.

    Raises BadValue, BadType.
    """
    said = {name: value for name, value in zip(space.OPTIONS, (n, seed, method, repeat)) if value is not None}
    body: Dict[str, Any] = {}
    if isinstance(source, Mapping) and isinstance(source.get("space"), Mapping):
        body.update(source)
    elif isinstance(source, Mapping) and (
            said or any(isinstance(value, Domain) for value in source.values())):
        body["space"] = source
    elif said:
        raise BadType("%s= goes with a space, a dict of names, not with %s" % (
            next(iter(said)), type(source).__name__))
    else:
        return source
    body.update(said)
    if "jobs" in body or "parameters" in body:
        raise BadValue("there is a space, and jobs or parameters beside it", "give exactly one of them")
    for name in set(body) - set(space.OPTIONS):
        meant = closest(str(name), space.OPTIONS)
        if meant is not None:
            raise BadValue("%s beside space is unknown" % protocol.shown(name), "did you mean %s?" % meant)
    body["space"] = {name: _plain(value) for name, value in body["space"].items()}
    if isinstance(body.get("repeat"), Mapping):
        body["repeat"] = _plain(body["repeat"])
    try:
        jobs = list(space.jobs(body))
    except ProtocolError as error:
        raise BadValue(str(error)) from None
    kept = "seed" if body.get("order") == "random" else ""  # it is that of the order as well
    return dict({name: value for name, value in body.items()
                 if name not in ("space", *space.OPTIONS) or name == kept}, jobs=jobs)


def _checked(said: Dict[str, Any], when: Optional[Mapping[str, Any]]) -> Domain:
    try:
        space.parse({"it": said})
    except ProtocolError as error:
        raise BadValue(str(error).replace("space: 'it': ", "")) from None
    found = Domain({name: value for name, value in said.items() if value is not False})
    if when is not None:
        if not isinstance(when, Mapping):
            raise BadType('when takes a dict of other names and their values, as {"opt": ["sgd"]}, not %s'
                          % protocol.shown(when))
        found["when"] = _plain(when)
    return found


def _number(value: Any, kind: Any) -> Any:
    try:
        if isinstance(value, (bool, str, bytes)):
            raise TypeError
        return kind(value)
    except (TypeError, ValueError, OverflowError):
        raise BadType("low and high must be %s, not %s" % (
            "numbers" if kind is float else "whole numbers", protocol.shown(value))) from None


def _plain(value: Any) -> Any:
    """Numbers and arrays of NumPy become those of Python, whatever can be gone through a list."""
    if callable(getattr(value, "tolist", None)):
        return value.tolist()
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if hasattr(value, "__iter__") and not isinstance(value, (str, bytes)):
        return [_plain(one) for one in value]
    return value
