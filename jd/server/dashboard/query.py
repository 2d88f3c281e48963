"""What stands in the query of a URL, checked."""

from typing import Any, Sequence

from jd.net.serving.routing import Request
from jd.protocol import ProtocolError, shown

MAX_ID = 2 ** 53 - 1
_MISSING = object()


def whole(request: Request, name: str, low: int, high: int, default: Any = _MISSING) -> Any:
    """A whole number from `low` to `high`. Absent or empty gives `default`, where there is one.

    Raises ProtocolError.
    """
    text = request.query.get(name, "")
    if not text:
        if default is _MISSING:
            raise ProtocolError("%s is missing from the URL" % name)
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 17 and low <= int(text) <= high):
        raise ProtocolError("%s must be a whole number from %d to %d, not %s" % (
            name, low, high, shown(text)))
    return int(text)


def number_of(request: Request, name: str = "id") -> int:
    """The id of a job or a file. Raises ProtocolError."""
    found: int = whole(request, name, 1, MAX_ID)
    return found


def one_of(request: Request, name: str, words: Sequence[str], default: str) -> str:
    """One of `words`. Raises ProtocolError that lists them."""
    word = request.query.get(name) or default
    if word not in words:
        raise ProtocolError("%s must be one of %s, not %s" % (name, ", ".join(words), shown(word)))
    return word


def text(request: Request, name: str, limit: int, default: str = "") -> str:
    """A text of at most `limit` characters. Raises ProtocolError."""
    found = request.query.get(name, default)
    if len(found) > limit:
        raise ProtocolError("%s has %d characters; at most %d" % (name, len(found), limit))
    return found
