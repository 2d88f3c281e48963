"""The request parser: every case whole, byte by byte, and with trailing data."""

from typing import List, Tuple

import pytest

from jd.net.serving.heads import RequestHead
from jd.net.serving.parser import NEED_DATA, BodyChunk, EndOfRequest, ParseError, ParserLimits, RequestParser
from tests.net.http_wire import events

NEXT = b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.fixture(params=["whole", "bytewise", "sevens"])
def size(request: pytest.FixtureRequest) -> int:
    return {"whole": 1 << 20, "bytewise": 1, "sevens": 7}[request.param]


def parse(data: bytes, size: int) -> Tuple[RequestHead, bytes]:
    """Head and body of one request, the same with another one behind it."""
    found, _ = events(data, size)
    head = found[0]
    assert isinstance(head, RequestHead)
    assert found[-1] == EndOfRequest()
    body = b"".join(event.data for event in found[1:-1] if isinstance(event, BodyChunk))
    behind, _ = events(data + NEXT, size)
    assert behind[:len(found)] == found
    if head.keep_alive:
        follower = behind[len(found)]
        assert isinstance(follower, RequestHead) and follower.target == "/next"
    else:
        assert len(behind) == len(found)
    return head, body


def refusal(data: bytes, size: int, limits: ParserLimits = ParserLimits()) -> ParseError:
    """The error, the same with more behind it."""
    with pytest.raises(ParseError) as first:
        events(data, size, limits)
    with pytest.raises(ParseError) as second:
        events(data + NEXT, size, limits)
    assert first.value.status == second.value.status
    return first.value


def test_simple_request(size: int) -> None:
    head, body = parse(b"GET /a/b?c=d%20e HTTP/1.1\r\nHost: example.org:5000\r\n"
                       b"X-Two: 1\r\nAccept:\t*/* \r\nx-two: 2\r\n"
                       b"Cookie: a=1\r\nCookie: b=2\r\n\r\n", size)
    assert (head.method, head.target, head.version) == ("GET", "/a/b?c=d%20e", (1, 1))
    assert head.headers == {"host": "example.org:5000", "accept": "*/*", "x-two": "1, 2",
                            "cookie": "a=1; b=2"}
    assert (head.content_length, head.keep_alive, head.expect_continue) == (0, True, False)
    assert body == b""


def test_fixed_body(size: int) -> None:
    head, body = parse(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\nhello\r\nyou!", size)
    assert (head.content_length, body) == (11, b"hello\r\nyou!")


def test_repeated_equal_length_is_one_length(size: int) -> None:
    head, body = parse(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2, 2\r\n"
                       b"Content-Length: 2\r\n\r\nok", size)
    assert (head.content_length, body) == (2, b"ok")


def test_chunked_body_with_extensions_and_trailers(size: int) -> None:
    head, body = parse(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n"
                       b"5\r\nhello\r\n00A ;name=\"value\"\r\n 0123456\r\n\r\n0;last\r\n"
                       b"X-Checksum: 1\r\nContent-Length: 5\r\n\r\n", size)
    assert head.content_length is None
    assert body == b"hello 0123456\r\n"
    assert "x-checksum" not in head.headers


def test_empty_line_before_a_request_is_skipped(size: int) -> None:
    head, _ = parse(b"\r\n" + NEXT, size)
    assert head.target == "/next"
    assert refusal(b"\r\n\r\n" + NEXT, size).status == 400


@pytest.mark.parametrize("version, connection, kept", [
    (b"1.1", b"", True), (b"1.1", b"Connection: Close\r\n", False),
    (b"1.1", b"Connection: upgrade, close\r\n", False), (b"1.0", b"", False),
    (b"1.0", b"Connection: Keep-Alive\r\n", True),
])
def test_keep_alive(version: bytes, connection: bytes, kept: bool, size: int) -> None:
    head, _ = parse(b"GET / HTTP/" + version + b"\r\nHost: h\r\n" + connection + b"\r\n", size)
    assert head.keep_alive is kept


def test_http_1_0_needs_no_host(size: int) -> None:
    head, _ = parse(b"GET / HTTP/1.0\r\n\r\n", size)
    assert head.headers == {}


@pytest.mark.parametrize("target, path, host", [
    (b"http://real.example:81/x?y", "/x?y", "real.example:81"),
    (b"HTTPS://[::1]", "/", "[::1]"), (b"http://h?q=1", "/?q=1", "h"),
])
def test_absolute_target_overrides_host(target: bytes, path: str, host: str, size: int) -> None:
    head, _ = parse(b"GET " + target + b" HTTP/1.1\r\nHost: other\r\n\r\n", size)
    assert (head.target, head.headers["host"]) == (path, host)


def test_expect_continue(size: int) -> None:
    asking = b"POST / HTTP/1.%d\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: %d\r\n\r\n%s"
    assert parse(asking % (1, 1, b"x"), size)[0].expect_continue
    assert not parse(asking % (1, 0, b""), size)[0].expect_continue
    assert not parse(asking % (0, 1, b"x"), size)[0].expect_continue


ODD_REQUEST_LINES: List[Tuple[bytes, int]] = [
    (b"GET / HTTP/2.0", 505), (b"PRI * HTTP/2.0", 505), (b"GET / HTTP/1.2", 505),
    (b"GET / HTTP/0.9", 505), (b"GET /", 400), (b"GET  / HTTP/1.1", 400), (b"GET /\tHTTP/1.1", 400),
    (b"GET / HTTP/1.1 ", 400), (b" GET / HTTP/1.1", 400), (b"GET / http/1.1", 400),
    (b"GET / HTTP/11", 400), (b"G(T / HTTP/1.1", 400), (b"GET x HTTP/1.1", 400),
    (b"GET * HTTP/1.1", 400), (b"CONNECT h:443 HTTP/1.1", 400), (b"GET /\x00 HTTP/1.1", 400),
    (b"GET /\xc3\xa4 HTTP/1.1", 400), (b"GET /a#b HTTP/1.1", 400), (b"GET /a\rb HTTP/1.1", 400),
    (b"GET ftp://h/ HTTP/1.1", 400), (b"GET http:///x HTTP/1.1", 400),
    (b"GET http://u:p@h/ HTTP/1.1", 400), (b"GET http://h%/ HTTP/1.1", 400),
    (b"\x16\x03\x01\x02\x00\x01", 400), (b"\x00", 400), (b"{}", 400),
]


@pytest.mark.parametrize("line, status", ODD_REQUEST_LINES)
def test_odd_request_lines(line: bytes, status: int, size: int) -> None:
    assert refusal(line + b"\r\nHost: h\r\n\r\n", size).status == status


def test_tls_on_a_plain_port_is_named() -> None:
    assert "TLS" in str(refusal(b"\x16\x03\x01\x02\x00\x01", 1))


ODD_FIELDS: List[Tuple[bytes, int]] = [
    (b"Host : h", 400), (b": h", 400), (b"Host", 400), (b"Ho st: h", 400),
    (b"Host: h\r\n folded: x", 400), (b"Host: h\r\nA: b\r\n\tc", 400), (b"Host: h\r\nA: b\rc", 400),
    (b"Host: h\r\nA: b\nC: d", 400), (b"Host: h\nA: b", 400), (b"Host: h\r\nA: \x00", 400),
    (b"Host: h\r\nA: \x7f", 400), (b"Host: h\r\n\xc3\xa4: b", 400), (b"A: b", 400), (b"Host:", 400),
    (b"Host: a\r\nHost: b", 400), (b"Host: a\r\nHost: a", 400), (b"Host: a, b", 400),
    (b"Host: a/b", 400), (b"Host: a b", 400), (b"Host: a@b", 400), (b"Host: h:port", 400),
    (b"Host: [::1", 400),
    (b"Host: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked", 400),
    (b"Host: h\r\nContent-Length: 1\r\nContent-Length: 2", 400),
    (b"Host: h\r\nContent-Length: 1, 2", 400), (b"Host: h\r\nContent-Length: -1", 400),
    (b"Host: h\r\nContent-Length: +1", 400), (b"Host: h\r\nContent-Length: 0x10", 400),
    (b"Host: h\r\nContent-Length: 1_0", 400), (b"Host: h\r\nContent-Length:", 400),
    (b"Host: h\r\nContent-Length: 1 1", 400), (b"Host: h\r\nContent-Length: \xb2", 400),
    (b"Host: h\r\nContent-Length: " + b"9" * 19, 413),
    (b"Host: h\r\nTransfer-Encoding: gzip", 501), (b"Host: h\r\nTransfer-Encoding: gzip, chunked", 501),
    (b"Host: h\r\nTransfer-Encoding: chunked, gzip", 400),
    (b"Host: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400),
    (b"Host: h\r\nTransfer-Encoding: \x0bchunked", 400), (b"Host: h\r\nTransfer-Encoding:", 400),
    (b"Host: h\r\nTransfer-Encoding: identity", 501), (b"Host: h\r\nExpect: a-pony", 417),
]


@pytest.mark.parametrize("fields, status", ODD_FIELDS)
def test_odd_fields(fields: bytes, status: int, size: int) -> None:
    assert refusal(b"POST / HTTP/1.1\r\n" + fields + b"\r\n\r\n", size).status == status


def test_transfer_encoding_in_http_1_0(size: int) -> None:
    assert refusal(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", size).status == 400


@pytest.mark.parametrize("body", [
    b"x\r\n", b"\r\n", b"-1\r\n", b"0x1\r\n", b"1 2\r\n", b"1;a\x00\r\n", b"1" * 17 + b"\r\n",
    b"1\n", b"2\r\nabc\r\n", b"2\r\nab\n", b"1;" + b"x" * 1100 + b"\r\n", b"0\r\nbad trailer\r\n\r\n",
    b"0\r\nA : b\r\n\r\n", b"0\r\n folded\r\n\r\n", b"1;" + b"e" * 600 + b"\r\nx\r\n1;" + b"e" * 600
    + b"\r\n",
])
def test_odd_chunks(body: bytes, size: int) -> None:
    limits = ParserLimits(extension_bytes=1000)
    head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert refusal(head + body, size, limits).status == 400


def test_values_of_fields_are_not_repeated_in_errors(size: int) -> None:
    error = refusal(b"GET /?token=sesame HTTP/1.1\r\nHost: h\r\nAuthorization: sesame\x01\r\n\r\n", size)
    assert "sesame" not in str(error) and "Authorization" in str(error)


def test_request_line_limit(size: int) -> None:
    fits = b"GET /" + b"a" * (8192 - 14) + b" HTTP/1.1"
    assert len(fits) == 8192
    parse(fits + b"\r\nHost: h\r\n\r\n", size)
    assert refusal(fits.replace(b"/a", b"/aa") + b"\r\nHost: h\r\n\r\n", size).status == 414
    assert refusal(b"A" * 9000, size).status == 414


def test_header_limits(size: int) -> None:
    line = b"GET / HTTP/1.1\r\nHost: h\r\n"
    parse(line + b"A: b\r\n" * 99 + b"\r\n", size)
    assert refusal(line + b"A: b\r\n" * 100 + b"\r\n", size).status == 431
    parse(line + b"A: %s\r\n\r\n" % (b"x" * 32000), size)
    assert refusal(line + b"A: %s\r\n\r\n" % (b"x" * 33000), size).status == 431
    assert refusal(line + (b"A: %s\r\n" % (b"x" * 17000)) * 2 + b"\r\n", size).status == 431


def test_trailer_limit(size: int) -> None:
    head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
    parse(head + b"A: b\r\n" * 100 + b"\r\n", size)
    assert refusal(head + b"A: b\r\n" * 101 + b"\r\n", size).status == 431
    assert refusal(head + b"A: " + b"b" * 9000, size).status == 431


def test_end_of_file_between_requests_is_no_error() -> None:
    parser = RequestParser()
    parser.receive(NEXT)
    assert isinstance(parser.next_event(), RequestHead)
    assert parser.next_event() == EndOfRequest()
    assert parser.idle
    parser.receive(b"")
    assert parser.next_event() is NEED_DATA


@pytest.mark.parametrize("data", [
    b"GET", NEXT[:-2], b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nab",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
])
def test_end_of_file_inside_a_request(data: bytes, size: int) -> None:
    _, parser = events(data, size)
    assert not parser.idle
    parser.receive(b"")
    with pytest.raises(ParseError):
        parser.next_event()


def test_an_error_stays() -> None:
    parser = RequestParser()
    parser.receive(b"?? ??\r\n")
    for _ in range(2):
        with pytest.raises(ParseError):
            parser.next_event()
        parser.receive(NEXT)
    assert parser.buffered == 0


def test_body_leaves_the_buffer_at_once() -> None:
    parser = RequestParser()
    parser.receive(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 5000)
    assert isinstance(parser.next_event(), RequestHead)
    assert parser.next_event() == BodyChunk(b"x" * 5000)
    assert parser.buffered == 0


def test_a_piece_of_a_body_goes_on_as_it_is() -> None:
    """No copy is made of it, but where something else is in front of it or behind."""
    parser = RequestParser()
    parser.receive(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2500\r\n\r\n")
    assert isinstance(parser.next_event(), RequestHead)
    piece = b"x" * 1000
    parser.receive(piece)
    assert parser.buffered == 1000
    event = parser.next_event()
    assert isinstance(event, BodyChunk) and event.data is piece and parser.buffered == 0
    parser.receive(memoryview(b"y" * 1000))
    parser.receive(b"z" * 500 + NEXT)  # before the one in front of it is taken
    assert [parser.next_event() for _ in range(3)] == [
        BodyChunk(b"y" * 1000), BodyChunk(b"z" * 500), EndOfRequest()]
    assert isinstance(parser.next_event(), RequestHead)
