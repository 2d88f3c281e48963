"""The head of a request, and those that were parsed before.

A client sends much the same head again and again. What its bytes meant the first time they mean every time:
one that is known is not parsed, and nothing is let through that the parser would refuse. Only the digits of
a Content-Length that is the last field may be others, as bodies differ.
"""

from typing import Dict, NamedTuple, Optional, Tuple

Headers = Dict[str, str]
"""Field values by lower-case name, decoded as ISO 8859-1; those of a repeated field are joined."""

MAX_LENGTH_DIGITS = 18  # of a Content-Length that is served
LONGEST = 2048  # bytes of a head that is remembered; one with a worker's token has half of that
_MOST = 1000  # heads
END = b"\r\n\r\n"
_LENGTH = b"\r\nContent-Length: "


class RequestHead(NamedTuple):
    """Request line and header section, checked.

    `target` starts with a slash, or is `*`. `content_length` is None for a chunked body.
    `keep_alive` says whether the client wants the connection kept (RFC 9112, 9.3).
    """

    method: str
    target: str
    version: Tuple[int, int]
    headers: Headers
    content_length: Optional[int]
    keep_alive: bool
    expect_continue: bool


class KnownHeads:
    """Heads by their bytes, for all connections of a server. Not for several threads."""

    def __init__(self) -> None:
        self._heads: Dict[bytes, RequestHead] = {}

    def find(self, head: bytes) -> Optional[RequestHead]:
        """What these bytes, up to the empty line and with it, were parsed to."""
        start, digits = _split(head)
        known = self._heads.get(start)
        if known is None or not digits:
            return known
        length = digits.decode("ascii")
        return RequestHead(known.method, known.target, known.version,
                           {**known.headers, "content-length": length}, int(length), known.keep_alive, False)

    def keep(self, head: bytes, parsed: RequestHead) -> None:
        """Remember what was parsed from these bytes."""
        start, digits = _split(head)
        if digits and (parsed.headers.get("content-length") != digits.decode("ascii")
                       or "expect" in parsed.headers):
            return  # there are several, or something else depends on it
        if len(self._heads) >= _MOST:
            self._heads.clear()
        self._heads[start] = parsed


def _split(head: bytes) -> Tuple[bytes, bytes]:
    """A head up to the digits at its end, and these; all of it where it does not end so."""
    start, _, rest = head.rpartition(_LENGTH)
    digits = rest[:-len(END)]
    return (start, digits) if start and digits.isdigit() and len(digits) <= MAX_LENGTH_DIGITS else (head, b"")
