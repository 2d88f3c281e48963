"""Reading what others send: one named value at a time, checked to be of its type and within its limits.

`check_*` look at a value, `take_*` at a field of a JSON object, and `read_*` at a text field, such as one
in the query of a URL. Each returns the type that it was asked for, or raises ProtocolError, which names
the field, what is allowed and what was given.
"""

from __future__ import annotations

from enum import Enum

from jd.protocol import MAX_IDS, MAX_NAME_CHARS, ProtocolError, check_tags, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping, Sequence, TypeVar, overload

    T = TypeVar("T")
    D = TypeVar("D")

MAX_ID = 2 ** 53 - 1  # the largest whole number that JavaScript has; a database can hold it too
_MAX_DIGITS = 16

_KIND_NAMES = {str: "a string", int: "a whole number", bool: "true or false", dict: "an object",
               list: "a list"}


class _Required(Enum):
    """Stands for the default of a field that has none."""

    FIELD = 0

_REQUIRED = _Required.FIELD


# ---- a value

def check(value: object, name: str, kind: type[T]) -> T:
    """`value`, if it is a str, int, bool, dict or list as `kind` says. A bool is never a number."""
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ProtocolError("%s must be %s, not %s" % (name, _KIND_NAMES[kind], shown(value)))
    return value


def check_object(value: object) -> dict[str, Any]:
    """A whole message, which has to be a JSON object."""
    if not isinstance(value, dict):
        raise ProtocolError("a JSON object is needed, not %s" % shown(value))
    return value


def check_whole(value: object, name: str, low: int, high: int) -> int:
    """A whole number from `low` to `high`."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ProtocolError("%s must be a whole number from %d to %d, not %s" % (
            name, low, high, shown(value)))
    return value


def check_id(value: object, name: str) -> int:
    """A positive whole number that a database can hold."""
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_ID:
        raise ProtocolError("%s must be a positive whole number, not %s" % (name, shown(value)))
    return value


def check_name(value: object, name: str, limit: int = MAX_NAME_CHARS) -> str:
    """A printable string of 1 to `limit` characters."""
    text = check(value, name, str)
    if not text or len(text) > limit or not text.isprintable():
        raise ProtocolError(
            "%s must be 1 to %d printable characters, not %s" % (name, limit, shown(value)))
    return text


def check_word(value: object, name: str, words: Sequence[str]) -> str:
    """One of `words`."""
    if not isinstance(value, str) or value not in words:
        allowed = " or ".join(words) if len(words) == 2 else "one of " + ", ".join(words)
        raise ProtocolError("%s must be %s, not %s" % (name, allowed, shown(value)))
    return value


def check_length(value: str, name: str, limit: int) -> str:
    """A text of at most `limit` characters."""
    if len(value) > limit:
        raise ProtocolError("%s has %d characters; at most %d" % (name, len(value), limit))
    return value


# ---- a field of a JSON object; absent or null gives the default, where there is one

if TYPE_CHECKING:
    @overload
    def take(body: Mapping[str, Any], name: str, kind: type[T]) -> T: ...
    @overload
    def take(body: Mapping[str, Any], name: str, kind: type[T], default: D) -> T | D: ...


def take(body: Mapping[str, Any], name: str, kind: type[T],
         default: D | _Required = _REQUIRED) -> T | D:
    """A field that is a str, int, bool, dict or list, as `kind` says."""
    value = body.get(name)
    if type(value) is kind:  # as it should be: a message has dozens
        return value
    return _absent(name, default) if value is None else check(value, name, kind)


if TYPE_CHECKING:
    @overload
    def take_number(body: Mapping[str, Any], name: str, default: float, low: float = ...,
                    high: float = ...) -> float: ...
    @overload
    def take_number(body: Mapping[str, Any], name: str, default: None = ..., low: float = ...,
                    high: float = ...) -> float | None: ...


def take_number(body: Mapping[str, Any], name: str, default: float | None = None,
                low: float = 0.0, high: float = 1e10) -> float | None:
    """A number from `low` to `high`, such as a duration in seconds."""
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ProtocolError("%s must be a number, not %s" % (name, shown(value)))
    if not low <= value <= high:
        raise ProtocolError("%s must be from %g to %g, not %s" % (name, low, high, shown(value)))
    return float(value)


def take_whole(body: Mapping[str, Any], name: str, low: int, high: int) -> int | None:
    """A whole number from `low` to `high`; None where there is none."""
    value = body.get(name)
    return None if value is None else check_whole(value, name, low, high)


if TYPE_CHECKING:
    @overload
    def take_id(body: Mapping[str, Any], name: str) -> int: ...
    @overload
    def take_id(body: Mapping[str, Any], name: str, default: D) -> int | D: ...


def take_id(body: Mapping[str, Any], name: str,
            default: D | _Required = _REQUIRED) -> int | D:
    """A field as `check_id`."""
    value = body.get(name)
    return _absent(name, default) if value is None else check_id(value, name)


if TYPE_CHECKING:
    @overload
    def take_name(body: Mapping[str, Any], name: str, *, limit: int = ...) -> str: ...
    @overload
    def take_name(body: Mapping[str, Any], name: str, default: D, limit: int = ...) -> str | D: ...


def take_name(body: Mapping[str, Any], name: str, default: D | _Required = _REQUIRED,
              limit: int = MAX_NAME_CHARS) -> str | D:
    """A field as `check_name`."""
    value = body.get(name)
    return _absent(name, default) if value is None else check_name(value, name, limit)


def take_word(body: Mapping[str, Any], name: str, words: Sequence[str],
              default: str | _Required = _REQUIRED) -> str:
    """A field as `check_word`."""
    value = body.get(name)
    return _absent(name, default) if value is None else check_word(value, name, words)


def take_list(body: Mapping[str, Any], name: str, most: int, instead: str = "") -> list[Any]:
    """A list of at most `most` entries; `instead` says what to do where that is too few."""
    return _check_count(take(body, name, list), name, most, instead)


def take_objects(body: Mapping[str, Any], name: str, most: int) -> list[dict[str, Any]]:
    """Field `name`, a list of `most` objects at most; none where it is missing. Raises ProtocolError."""
    if body.get(name) is None:
        return []
    return [check_object(value) for value in take_list(body, name, most)]


def take_tags(body: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """A list of tags, each once; empty where there is none."""
    return check_tags([check(tag, name, str) for tag in take(body, name, list, [])], name)


# ---- a text field; absent and empty are the same, since a form sends its empty fields too

if TYPE_CHECKING:
    @overload
    def read_whole(fields: Mapping[str, str], name: str, low: int, high: int) -> int: ...
    @overload
    def read_whole(fields: Mapping[str, str], name: str, low: int, high: int,
                   default: D) -> int | D: ...


def read_whole(fields: Mapping[str, str], name: str, low: int, high: int,
               default: D | _Required = _REQUIRED) -> int | D:
    """A whole number from `low` to `high`, in decimal digits."""
    text = fields.get(name)
    return check_whole(_number(text), name, low, high) if text else _absent(name, default)


if TYPE_CHECKING:
    @overload
    def read_id(fields: Mapping[str, str], name: str) -> int: ...
    @overload
    def read_id(fields: Mapping[str, str], name: str, default: D) -> int | D: ...


def read_id(fields: Mapping[str, str], name: str,
            default: D | _Required = _REQUIRED) -> int | D:
    """An id, in decimal digits."""
    text = fields.get(name)
    return check_id(_number(text), name) if text else _absent(name, default)


def read_ids(fields: Mapping[str, str], name: str) -> list[int]:
    """At most MAX_IDS ids, with a comma between two. Empty stands for none, absent is an error."""
    text = fields.get(name)
    parts = _check_count(_absent(name, _REQUIRED) if text is None else text.split(","), name, MAX_IDS)
    if parts == [""]:
        return []
    return [check_id(_number(part.strip()), name) for part in parts]


def read_name(fields: Mapping[str, str], name: str) -> str:
    """A text as `check_name`."""
    return check_name(fields.get(name) or _absent(name, _REQUIRED), name)


def read_text(fields: Mapping[str, str], name: str, limit: int, default: str = "") -> str:
    """A text of at most `limit` characters."""
    return check_length(fields.get(name) or default, name, limit)


if TYPE_CHECKING:
    @overload
    def read_word(fields: Mapping[str, str], name: str, words: Sequence[str]) -> str: ...
    @overload
    def read_word(fields: Mapping[str, str], name: str, words: Sequence[str],
                  default: D) -> str | D: ...


def read_word(fields: Mapping[str, str], name: str, words: Sequence[str],
              default: D | _Required = _REQUIRED) -> str | D:
    """One of `words`."""
    text = fields.get(name)
    return check_word(text, name, words) if text else _absent(name, default)


# ---- steps

def _absent(name: str, default: D | _Required) -> D:
    if isinstance(default, _Required):
        raise ProtocolError("%s is missing" % name)
    return default


def _check_count(values: list[T], name: str, most: int, instead: str = "") -> list[T]:
    if len(values) > most:
        raise ProtocolError("%s has %d entries; at most %d%s" % (name, len(values), most, instead))
    return values


def _number(text: str) -> int | str:
    """The whole number that a text is; one that is none stays as it is, for the message."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS else text
