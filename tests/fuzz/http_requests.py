"""What a client sends: requests, the target of one, its cookies. `jd/net/serving/parser.py`, `routing.py`."""

import re
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple
from urllib.parse import quote

from jd.auth.cookies import SignInCookie
from jd.auth.sharedtoken import bearer
from jd.net.serving.body import BodyStream
from jd.net.serving.heads import KnownHeads, RequestHead
from jd.net.serving.parser import NEED_DATA, BodyChunk, EndOfRequest, ParseError, ParserLimits, RequestParser
from jd.net.serving.routing import HttpError, Request, Response, Router
from jd.protocol import ProtocolError
from tests.fuzz.material import Source
from tests.fuzz.properties import Property, outcome, refused

# Small ones, so that short inputs reach them.
LIMITS = ParserLimits(
    request_line=120, header_bytes=300, header_count=8, chunk_line=40, extension_bytes=60, trailer_bytes=80
)
STATUSES = (400, 413, 414, 417, 431, 501, 505)
_LENGTH_AT_END = re.compile(rb"(\r\nContent-Length: )[0-9]*(\r\n\r\n)")


class Sent(NamedTuple):
    """Bytes of a connection, and other ways to cut them into pieces."""

    data: bytes
    pieces: Sequence[bytes]


# ---- making


def _field(source: Source) -> str:
    name = source.one(
        "Host",
        "Content-Length",
        "Transfer-Encoding",
        "Connection",
        "Expect",
        "Cookie",
        "Content-Type",
        "Origin",
        "Authorization",
        "X-" + source.word(),
        "TE",
        "Trailer",
    )
    values = {
        "Host": ("h", "h:80", "[::1]:5000", "", "a b", "h:99999", "h:", "[::1", "ä", "h, h"),
        "Content-Length": (source.number(), "5", "5, 5", "5,6", "0", "", "5 ", "+5"),
        "Transfer-Encoding": (
            "chunked",
            "Chunked",
            "gzip, chunked",
            "chunked, chunked",
            "",
            ",chunked",
            "\tchunked",
            "x" + "chunked",
        ),
        "Connection": ("close", "keep-alive", "close, keep-alive", "upgrade"),
        "Expect": ("100-continue", "100-Continue", "101", ""),
    }
    value = source.of(values.get(name, (source.word(), source.text(3), "")))
    if source.chance(0.1):
        name = source.maybe(name)
    return "%s%s%s" % (
        name.swapcase() if source.chance(0.2) else name,
        source.one(": ", ":", ":  ", " : ", ":\t") if source.chance(0.2) else ": ",
        source.maybe(value, 0.05),
    )


def _chunked(source: Source) -> bytes:
    body = b""
    for _ in range(source.few(4)):
        data = source.text(4).encode("utf-8", "replace") or b"x"
        size = source.one("%x", "%X", "0%x", "%x ;a=b", "%x;" + source.word(60), "%x\t") % len(data)
        if source.chance(0.05):
            size = source.number()
        body += size.encode() + b"\r\n" + data + b"\r\n"
    trailer = "".join(_field(source) + "\r\n" for _ in range(source.few(3)))
    return (
        body
        + source.one(b"0", b"00", b"000;x", b"0000000000000000", b"00000000000000000")
        + b"\r\n"
        + trailer.encode("utf-8", "replace")
        + b"\r\n"
    )


def _target(source: Source) -> str:
    path = source.one("/", "/api/jobs", "/worker/heartbeat", "/a%20b")
    if source.chance(0.2):
        path = source.one("*", "http://h/x", "HTTP://h:1?q", "/" + source.text(3))
    if source.chance(0.4):
        path += "?" + "&".join(source.several(lambda: "%s=%s" % (source.word(), quote(source.text(2))), 4))
    return path


def _request(source: Source) -> bytes:
    method = source.one("GET", "POST", "OPTIONS", "HEAD", "get", source.word())
    version = "HTTP/1.1"
    if source.chance(0.1):
        version = source.one("HTTP/1.0", "HTTP/1.0", "HTTP/2.0", "HTTP/1.10", "http/1.1")
    lines = ["%s %s %s" % (method, _target(source), version)]
    body = b""
    kind = source.below(3)
    if source.chance(0.9):
        lines.append("Host: h")
    if kind == 1:
        body = source.text(6).encode("utf-8", "replace")
        lines.append("Content-Length: %d" % len(body))
    elif kind == 2:
        body = _chunked(source)
        lines.append("Transfer-Encoding: chunked")
    lines += source.several(lambda: _field(source), 4)
    if source.chance(0.03):
        lines.append("X-Long: " + source.long(source.one(280, 300, 120)))
    end = "\r\n" if source.chance(0.97) else source.one("\n", "\r", "\r\n ", "\n\r")
    return (end.join(lines) + end + end).encode("latin-1", "replace") + body


def make_sent(source: Source) -> Sent:
    """Some requests on one connection."""
    data = b"".join(source.one(b"", b"", b"\r\n") + _request(source) for _ in range(1 + source.few(3)))
    data = source.maybe_bytes(data, 0.3)
    return Sent(data, source.pieces(data))


# ---- checking


def events(pieces: Sequence[bytes], limits: ParserLimits = LIMITS,
           known: Optional[KnownHeads] = None) -> Tuple[List[Any], Any]:
    """What a parser makes of a connection that is closed after these pieces, and its error. The body of a
    request is one event."""
    parser = RequestParser(limits, known)
    found: List[Any] = []
    most = 4 * sum(map(len, pieces)) + 100
    try:
        for piece in [*pieces, b""]:
            parser.receive(piece)
            while True:
                event = parser.next_event()
                most -= 1
                assert most > 0, "it goes round and round"
                if event is NEED_DATA:
                    break
                if isinstance(event, BodyChunk):
                    assert event.data
                    if found and isinstance(found[-1], BodyChunk):
                        event = BodyChunk(found.pop().data + event.data)
                found.append(event)
    except ParseError as error:
        assert error.status in STATUSES
        again = outcome(parser.next_event, ParseError)
        assert again == ("refused", "ParseError", str(error)), "the error is not the same again"
        assert not parser.buffered
        return found, (error.status, str(error))
    return found, None


def check_sent(sent: Sent) -> None:
    """Whole, byte by byte and in pieces it is the same, and so with heads that were parsed before; bodies are
    as long as they say."""
    whole = events([sent.data] if sent.data else [])
    for other in (sent.pieces, [sent.data[at : at + 1] for at in range(len(sent.data))]):
        found = events(other)
        assert found == whole, "in pieces it is %r, whole %r" % (found, whole)
    known = KnownHeads()
    for data in (sent.data, sent.data, _LENGTH_AT_END.sub(rb"\g<1>7\g<2>", sent.data),
                  _LENGTH_AT_END.sub(rb"\g<1>\g<2>", sent.data)):
        strict, found = events([data] if data else []), events([data] if data else [], known=known)
        assert found == strict, "with heads that are known it is %r, else %r" % (found, strict)
    length, head = 0, None
    for event in whole[0]:
        if isinstance(event, RequestHead):
            length, head = 0, event
            assert event.target.startswith("/") or event.target == "*"
        elif isinstance(event, BodyChunk):
            length += len(event.data)
        elif isinstance(event, EndOfRequest):
            assert head is not None and head.content_length in (None, length)


# ---- what is in a request


def make_target(source: Source) -> str:
    """A target as the parser lets it through: printable ASCII."""
    text = _target(source)
    text = (
        source.maybe(text)
        if source.chance(0.5)
        else quote(text, safe="/?&=%+;" if source.chance(0.5) else "/?&=")
    )
    if source.chance(0.02):
        text += "?" + "&".join(
            "%s%d=" % (source.one("a", ""), at) for at in range(source.one(99, 100, 101, 3000))
        )
    return "/" + "".join(char for char in text if "!" <= char <= "~" and char not in '#"')


def _router() -> Router:
    async def answer(request: Request) -> Response:
        return Response.json({"params": request.params, "query": request.query})

    router = Router()
    for pattern in ("/", "/api/jobs/<int:id>", "/api/<name>/x", "/files/<path:rest>"):
        router.add("GET", pattern, answer, public=True)
    return router


ROUTER = _router()


def check_target(target: str) -> None:
    """It is read, or refused with a 4xx; a handler or an error answers."""
    request = outcome(lambda: Request("GET", target), HttpError)
    if refused(request):
        assert request[2]
        return
    coroutine = ROUTER.dispatch(request)
    try:
        coroutine.send(None)
    except StopIteration as end:
        assert end.value.status in (200, 404, 405, 400), end.value.status
        return
    raise AssertionError("it waits for something")


def make_cookie(source: Source) -> str:
    """A Cookie header."""
    pairs = source.several(
        lambda: (
            source.one("jd", "__Host-jd", "jd ", source.word(), "")
            + source.one("=", "", "==")
            + source.one(source.word(40), '"%s"' % source.word(), source.text(3), '"')
        ),
        8,
    )
    return source.maybe("; ".join(pairs), 0.3) if source.chance(0.98) else source.long(30_000)


def check_cookie(header: str) -> None:
    """Cookies are read, or are not there; the one that we write is read back, in front of others."""
    cookie = SignInCookie("jd", "Lax")
    for found in cookie.secrets(Request("GET", "/", {"cookie": header})):
        assert found and '"' not in (found[0], found[-1])
    written = cookie.header("secret-1", 10.0, secure=True).partition(";")[0]
    assert cookie.secrets(Request("GET", "/", {"cookie": written + "; " + header}))[0] == "secret-1"
    token = bearer(header)
    assert token is None or token.strip() == token


def make_body(source: Source) -> Tuple[str, List[bytes], Any]:
    """Content type, pieces of a body, and its announced length."""
    text = source.maybe(source.json(source.value()), 0.3).encode("utf-8", "surrogatepass")
    kind = source.one("application/json", "application/json; charset=utf-8", "text/plain", "", source.text(3))
    return kind, source.pieces(text), source.one(None, len(text))


def check_body(given: Tuple[str, List[bytes], Any]) -> None:
    """`Request.json` gives a value, or one of its errors; at most what is allowed is read."""
    kind, pieces, length = given
    body = BodyStream(length)
    for piece in pieces:
        body.feed(piece)
    body.end()
    request = Request("POST", "/", {"content-type": kind}, body)
    coroutine = request.json(limit=300)
    try:
        coroutine.send(None)
    except StopIteration:
        assert sum(map(len, pieces)) <= 300
    except HttpError as error:
        assert error.status in (413, 415)
    except ProtocolError as error:
        assert str(error)
    else:
        raise AssertionError("it waits for something")


HOST = b"GET / HTTP/1.1\r\nHost: h\r\n"


def _cut(data: bytes) -> Sent:
    return Sent(data, [data[:-3], data[-3:]])


PROPERTIES = (
    Property(
        "http-request",
        make_sent,
        check_sent,
        (
            Sent(b"", []),
            _cut(HOST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            _cut(b"\x16\x03\x01\x02\x00"),
            _cut(HOST + b"X: " + b"a" * 400),
            _cut(HOST + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx"),
        ),
        weight=60,
    ),
    Property(
        "http-target",
        make_target,
        check_target,
        ("/", "/%", "/%00", "/%ff", "/?a=1&a=2", "/" + "%41" * 3000),
        weight=40,
    ),
    Property(
        "http-cookie", make_cookie, check_cookie, ("", "jd", "jd=", ";;;", 'jd="', "=" * 1000), weight=40
    ),
    Property("http-body", make_body, check_body, (("application/json", [b"[" * 300], None),), weight=40),
)
