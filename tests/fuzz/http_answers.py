"""What a server, or somebody in its place, answers. `jd/net/client.py`, `connection.py`, `answerhead.py`,
`answers.py`."""

import io
import socket
import time
from typing import Any, List, Tuple, cast
from unittest.mock import patch

from jd.errors import JdError
from jd.net import answers, client
from jd.net.client import Client
from jd.net.connection import Connection
from tests.fuzz.material import Source, utf8
from tests.fuzz.properties import Property, outcome, refused


class Wire:
    """A socket that takes everything and gives an answer, in pieces."""

    def __init__(self, data: bytes, pieces: int) -> None:
        self._data = io.BytesIO(data)
        self._pieces = pieces

    def sendall(self, _: object) -> None:
        """Take it."""

    def recv(self, size: int) -> bytes:
        """The next piece."""
        return self._data.read(min(size, self._pieces))

    def close(self) -> None:
        """Nothing to do."""

    def settimeout(self, _: object) -> None:
        """Nothing to wait for."""


def make_answer(source: Source) -> Tuple[bytes, int]:
    """An HTTP response, and in pieces of which size it comes."""
    body = utf8(
        source.one(
            source.json(source.value(3, True)),
            '{"error": "no; do it"}',
            '{"success": true}',
            "<html>",
            "",
            source.nested() if source.chance(0.02) else "{}",
            '{"experiment": "other", "error": "x"}',
            '{"a": NaN}',
        )
    )
    status = source.one(
        "200 OK",
        "200 OK",
        "204 No Content",
        "301 Moved",
        "400 Bad",
        "401 U",
        "409 C",
        "429 T",
        "503 S",
        "100 Continue",
        source.number()[:30],
        "",
    )
    if source.chance(0.4):
        status = "200 OK"
    version = "HTTP/1.1" if source.chance(0.9) else source.one("HTTP/1.0", "HTTP/9.9", "ICY")
    lines = ["%s %s" % (version, status)]
    kind = source.below(4)
    if kind < 2:
        lines.append("Content-Length: %s" % (len(body) if source.chance(0.9) else source.number()[:400]))
    elif kind == 2:
        lines.append("Transfer-Encoding: chunked")
        body = (
            b"".join(
                b"%s\r\n%s\r\n"
                % (("%x" % len(body) if source.chance(0.8) else source.number()[:30]).encode(), body)
                for _ in range(1 if source.chance(0.8) else source.few(3))
            )
            + source.one(b"0\r\n\r\n", b"0\r\n\r\n", b"0;a=b\r\nX: y\r\n\r\n", b"0\r\nX: y\r\n")
        )
    lines += source.several(
        lambda: source.one(
            "Retry-After: %s"
            % source.one(source.number()[:50], "Wed, 21 Oct 2026 07:28:00 GMT", source.text(3)),
            "Location: %s"
            % source.one("http://h/x", "//h", "http://[::1", source.text(3), "http://h:99999/"),
            "Content-Type: application/json",
            "Connection: " + source.one("close", "keep-alive", "a, b"),
            source.one("Content-Length: 2", "Transfer-Encoding: chunked", " folded", "\tContent-Length: 5"),
            "X: " + source.text(3),
            source.text(2),
        ),
        4,
    )
    if source.chance(0.01):
        lines += ["X: y"] * source.one(99, 101) + ["X: " + source.long(65_536)]
    end = "\r\n" if source.chance(0.97) else source.one("\n", "\r", "\r\r\n")
    data = (end.join(lines) + end + end).encode("utf-8", "replace") + body
    if source.chance(0.1):
        interim = source.one(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 X\r\nA: b\r\n\r\n")
        data = interim * source.one(1, 30) + data
    return source.maybe_bytes(data, 0.2), source.one(1, 3, 100_000)


def _no_proxy(_: object) -> None:
    return None


def _no_token() -> None:
    return None


def _called(data: bytes, pieces: int) -> List[Any]:
    """What a call and a download make of it, and what the latter has written."""

    def opened(*_: object, **__: object) -> Connection:
        return Connection(cast(socket.socket, Wire(data, pieces)))

    with patch.object(client, "open_connection", opened), patch.object(client, "proxy_for", _no_proxy):
        called = Client("http://h", _no_token, 1.0)
        called._may_be_tls = False
        written = io.BytesIO()
        found = outcome(lambda: called.call("GET", "/x"), JdError)
        loaded = outcome(lambda: called.download("/x", None, written, 1000), JdError)
    return [found, loaded, written.getvalue()]


def check_answer(given: Tuple[bytes, int]) -> None:
    """A value, or a JdError whose text fits a terminal; the same whole and in pieces."""
    data, pieces = given
    found = _called(data, pieces)
    for one in found[:2]:
        if refused(one):
            assert one[2].isprintable() and len(one[2]) < 3000, one
    whole = _called(data, len(data) + 1)
    for one, other in zip(found[:2], whole):
        # Which of several faults is seen first depends on how much has come.
        assert one[:2] == other[:2] if refused(one) else one == other, (found, whole)
    assert refused(found[1]) or found[2] == whole[2], (found, whole)


def make_header(source: Source) -> str:
    """A Retry-After or a Location."""
    return source.maybe(
        source.one(
            "Wed, 21 Oct 2026 07:28:00 GMT",
            "Wed, 21 Oct 0001 07:28:00 -0000",
            "1 Jan 99999999 00:00:00 +9999",
            source.number()[:60],
            "http://u:p@h:80/x?token=1",
            "http://[::1]:5/",
            source.text(4),
        ),
        0.6,
    )


def check_header(text: str) -> None:
    """Seconds or nothing; a place without secrets."""
    seconds = answers.retry_after(text, time.time())
    assert seconds is None or 0 <= seconds <= answers.MAX_RETRY_AFTER
    assert "token=1" not in answers.origin(text) or "?" not in text
    assert answers.words(text).isprintable()


PROPERTIES = (
    Property(
        "http-answer",
        make_answer,
        check_answer,
        (
            (b"", 1),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nabc", 100),
            (b"\x15\x03\x01", 1),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n{}", 100),
            (b"HTTP/1.1 999999999999999999999 X\r\n\r\n", 10),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 3),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 2\nX: y\r\n\r\n{}", 1),
            (b"HTTP/1.1 200 OK\r\nX: y\rHTTP/1.1 200 OK\r\n\r\n{}", 1),
        ),
        weight=15,
    ),
    Property(
        "http-header",
        make_header,
        check_header,
        ("", "١٢", "Wed, 21 Oct 0000 07:28:00 GMT", "0 0 0 0:0:0 +99999999999"),
        weight=40,
    ),
)
