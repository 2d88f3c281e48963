"""Heads that were parsed before: taken as they were, and nothing else with them."""

from typing import Any, List, Union

import pytest

from jd.net.serving import heads, parser
from jd.net.serving.heads import KnownHeads, RequestHead
from jd.net.serving.parser import NEED_DATA, ParseError, ParserLimits, RequestParser

START = b"POST /worker/heartbeat HTTP/1.1\r\nHost: h:5000\r\nAuthorization: Bearer abc\r\n"
Seen = Union[List[Any], str]


def seen(data: bytes, known: KnownHeads, limits: ParserLimits = ParserLimits()) -> Seen:
    """Events of a connection that brings these bytes, or how it is refused."""
    parsing = RequestParser(limits, known)
    found: List[Any] = []
    parsing.receive(data)
    try:
        while not found or found[-1] is not NEED_DATA:
            found.append(parsing.next_event())
    except ParseError as error:
        return "%d %s" % (error.status, error)
    return found


def knowing(*requests: bytes, limits: ParserLimits = ParserLimits()) -> KnownHeads:
    known = KnownHeads()
    for request in requests:
        seen(request, known, limits)
    return known


def test_a_head_is_parsed_once_for_all_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    requests = [START + b"Content-Length: 3\r\n\r\none", START + b"Content-Length: 11\r\n\r\nlonger than"]
    fresh = [seen(request, KnownHeads()) for request in requests]
    known = knowing(requests[0])
    monkeypatch.setattr(parser, "_parse_field", None)
    assert [seen(request, known) for request in requests] == fresh
    head = fresh[1][0]
    assert isinstance(head, RequestHead) and head.content_length == 11 == int(head.headers["content-length"])


def test_requests_behind_each_other_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    request = START + b"Content-Length: 3\r\n\r\none"
    twice = seen(2 * request, KnownHeads())
    known = knowing(request)
    monkeypatch.setattr(parser, "_parse_field", None)
    assert seen(2 * request, known) == twice and len(twice) == 7


@pytest.mark.parametrize("end", [
    b"Content-Length: 0\r\n\r\n",
    b"Content-Length: 007\r\n\r\n",
    b"Content-Length: 999999999999999999\r\n\r\n",
    b"Content-Length: 9999999999999999999\r\n\r\n",
    b"Content-Length: +3\r\n\r\n",
    b"Content-Length: 3 \r\n\r\n",
    b"Content-Length: \r\n\r\n",
    b"Content-Length: 3, 3\r\n\r\n",
    b"Content-Length: \xb2\r\n\r\n",
    b"Content-Length: 3\r\nContent-Length: 3\r\n\r\n",
    b"Content-Length: 3\r\nContent-Length: 4\r\n\r\n",
    b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"Content-Length: 3\n\r\n",
    b"Content-Length: 3\r\n\n",
    b"content-length: 4\r\n\r\n",
    b"X-Content-Length: 4\r\n\r\n",
    b"X: y\r\nContent-Length: 4\r\n\r\n",
    b"\r\n",
])
@pytest.mark.parametrize("first", [b"", b"\r\n", b"\r\n\r\n"])
def test_what_differs_in_more_than_its_length_is_parsed(end: bytes, first: bytes) -> None:
    known = knowing(START + b"Content-Length: 3\r\n\r\n", START + b"\r\n", first + START + end + b"abc")
    assert seen(first + START + end + b"abc", known) == seen(first + START + end + b"abc", KnownHeads())


@pytest.mark.parametrize("before", [b"Content-Length: 3\r\n", b"Expect: 100-continue\r\n",
                                    b"Transfer-Encoding: chunked\r\n"])
def test_what_depends_on_the_length_is_not_taken_for_known(before: bytes) -> None:
    known = knowing(START + before + b"Content-Length: 3\r\n\r\n")
    for digits in (b"0", b"3", b"4"):
        request = START + before + b"Content-Length: %b\r\n\r\nabc" % digits
        assert seen(request, known) == seen(request, KnownHeads())


def test_limits_hold_for_a_length_with_more_digits() -> None:
    fields = len(START) - START.index(b"Host")
    limits = ParserLimits(header_bytes=fields + len(b"Content-Length: 3\r\n"))
    known = knowing(START + b"Content-Length: 3\r\n\r\n", limits=limits)
    refused = seen(START + b"Content-Length: 3000\r\n\r\n", known, limits)
    assert isinstance(refused, str) and refused.startswith("431 ")


def test_what_is_remembered_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "_MOST", 5)
    known = KnownHeads()
    for number in range(20):
        seen(b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % number, known)
    assert 0 < len(known._heads) <= 5
    known = knowing(b"GET /long HTTP/1.1\r\nHost: h\r\nX: " + b"a" * heads.LONGEST + b"\r\n\r\n")
    assert not known._heads
