"""What a server, or somebody in its place, answers. `jd/net/client.py`, `answers.py`."""

import http.client
import io
import time
from typing import Any, Tuple
from unittest.mock import patch

from jd.errors import JdError
from jd.net import answers, client
from jd.net.client import Client
from tests.fuzz.material import Source, utf8
from tests.fuzz.properties import Property, outcome, refused


class Wire:
    """A socket that takes everything and gives an answer, in pieces."""

    def __init__(self, data: bytes, pieces: int) -> None:
        self._data = io.BytesIO(data)
        self._pieces = pieces

    def sendall(self, _: object) -> None:
        """Take it."""

    def makefile(self, *_: object, **__: object) -> Any:
        """The answer."""
        return io.BufferedReader(Raw(self._data, self._pieces))

    def close(self) -> None:
        """Nothing to do."""

    def settimeout(self, _: object) -> None:
        """Nothing to wait for."""

    def setsockopt(self, *_: object) -> None:
        """Nothing to set."""

    def fileno(self) -> int:
        """None of the kernel's."""
        raise OSError("no descriptor")


class Raw(io.RawIOBase):
    """Bytes, so many at a time."""

    def __init__(self, data: io.BytesIO, pieces: int) -> None:
        self._data = data
        self._pieces = pieces

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._data.read(min(len(buffer), self._pieces))
        buffer[: len(data)] = data
        return len(data)


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
            + b"0\r\n\r\n"
        )
    lines += source.several(
        lambda: source.one(
            "Retry-After: %s"
            % source.one(source.number()[:50], "Wed, 21 Oct 2026 07:28:00 GMT", source.text(3)),
            "Location: %s"
            % source.one("http://h/x", "//h", "http://[::1", source.text(3), "http://h:99999/"),
            "Content-Type: application/json",
            "X: " + source.text(3),
            source.text(2),
        ),
        4,
    )
    if source.chance(0.01):
        lines += ["X: y"] * source.one(99, 101) + ["X: " + source.long(65_536)]
    data = ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "replace") + body
    return source.maybe_bytes(data, 0.2), source.one(1, 3, 100_000)


def _no_proxy(_: object) -> None:
    return None


def _no_token() -> None:
    return None


def check_answer(given: Tuple[bytes, int]) -> None:
    """A value, or a JdError whose text fits a terminal."""
    data, pieces = given

    def opened(*_: object, **__: object) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("h")
        connection.sock = Wire(data, pieces)
        return connection

    with patch.object(client, "open_connection", opened), patch.object(client, "proxy_for", _no_proxy):
        called = Client("http://h", _no_token, 1.0)
        called._may_be_tls = False
        found = outcome(lambda: called.call("GET", "/x"), JdError)
        loaded = outcome(lambda: called.download("/x", None, io.BytesIO(), 1000), JdError)
    for one in (found, loaded):
        if refused(one):
            assert one[2].isprintable() and len(one[2]) < 3000, one


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
