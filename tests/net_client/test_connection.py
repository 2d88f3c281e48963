"""Answers as servers and others send them, read from a socket."""

import socket
import threading
from typing import Dict, Iterator, Tuple

import pytest

from jd.net.answerhead import MAX_BYTES, MAX_FIELDS, NOT_AT_ALL, NotHttp
from jd.net.connection import Answer, Connection, CutShort

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def ends() -> Iterator[Tuple[Connection, socket.socket]]:
    """A connection and the server's end of it. No test waits: it times out at once."""
    ours, theirs = socket.socketpair()
    ours.settimeout(10.0)
    with ours, theirs:
        yield Connection(ours), theirs


def body_of(answer: Answer) -> bytes:
    body = b""
    while True:
        piece = answer.read(3)
        if not piece:
            return body
        body += piece


def answered(ends: Tuple[Connection, socket.socket], data: bytes, method: str = "GET") -> Answer:
    ends[1].sendall(data)
    return ends[0].answer(method)


@pytest.mark.parametrize("head, fields", [
    (b"Server: x\r\nX-A:1\r\nx-a: \t2 \r\n", {"server": "x", "x-a": "1, 2"}),
    (b"X: a\r\n b\r\n\tc\r\n", {"x": "a b c"}),  # RFC 9112, 5.2: a folded line is one
    (b"X:\r\nY: \xe4\r\n", {"x": "", "y": "\xe4"}),
])
def test_fields(ends: Tuple[Connection, socket.socket], head: bytes, fields: Dict[str, str]) -> None:
    answer = answered(ends, b"HTTP/1.1 404 Not  Found \r\n" + head + b"Content-Length: 2\r\n\r\n{}more")
    assert (answer.status, answer.reason) == (404, "Not  Found")
    assert {name: answer.field(name.title()) for name in fields} == fields
    assert body_of(answer) == b"{}" and answer.ended


@pytest.mark.parametrize("line", [b"HTTP/1.1 200 ", b"HTTP/1.1 200", b"HTTP/1.0 200 OK",
                                  b"HTTP/1.7 200 \xff"])
def test_status_lines(ends: Tuple[Connection, socket.socket], line: bytes) -> None:
    assert answered(ends, line + b"\r\nContent-Length: 0\r\n\r\n").status == 200


@pytest.mark.parametrize("data", [
    b"SSH-2.0-OpenSSH_9.2\r\n", b"\x15\x03\x01", b"H\r", b"ICY 200 OK\r\n", b"HTTP/2.0 200 OK\r\n",
    b"HTTP/0.9", b"\r\nHTTP/1.1 200 OK\r\n", b"HTTP/1.1  200 OK\r\n\r\n", b"HTTP/1.1 20 OK\r\n\r\n",
    b"HTTP/1.1 2000 OK\r\n\r\n", b"HTTP/1.1 200OK\r\n\r\n", b"HTTP/1.1\r\n\r\n", b"HTTP/1.x 200 OK\r\n\r\n",
])
def test_what_is_no_http(ends: Tuple[Connection, socket.socket], data: bytes) -> None:
    """It is known from its beginning, though more might come."""
    with pytest.raises(NotHttp) as raised:
        answered(ends, data)
    assert str(raised.value) == NOT_AT_ALL


@pytest.mark.parametrize("rest, words", [
    (b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", "Content-Length"),
    (b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", "Content-Length"),
    (b"Content-Length: 2\r\n 3\r\n\r\n{}", "Content-Length"),
    (b"Content-Length: +2\r\n\r\n{}", "Content-Length"),
    (b"Content-Length: -1\r\n\r\n{}", "Content-Length"),
    (b"Content-Length: \r\n\r\n{}", "Content-Length"),
    (b"Content-Length: \xb2\r\n\r\n{}", "Content-Length"),
    (b"Content-Length: 9999999999999999999\r\n\r\n{}", "Content-Length"),
    (b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}", "both"),
    (b"Transfer-Encoding: gzip, chunked\r\n\r\n", "Transfer-Encoding"),
    (b"Transfer-Encoding: chunked, chunked\r\n\r\n", "Transfer-Encoding"),
    (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n", "Transfer-Encoding"),
    (b"X: a\rHTTP/1.1 200 OK\r\n\r\n", "control"),
    (b"X: a\0b\r\n\r\n", "control"),
    (b"X: a\r\r\n\r\n", "control"),
    (b"X: a\nContent-Length: 5\r\n\r\n", "control"),
    (b"X: a\nContent-Length: 5\n\nhello", "control"),
    (b" X: a\r\n\r\n", "no name"),
    (b"X : a\r\n\r\n", "no name"),
    (b": a\r\n\r\n", "no name"),
    (b"X\r\n\r\n", "no name"),
    (b"X: y\r\n" * (MAX_FIELDS + 1) + b"\r\n", "100 header fields"),
    (b"X: " + b"y" * MAX_BYTES + b"\r\n\r\n", "longer than 65536"),
    (b"X: " + b"y" * MAX_BYTES, "longer than 65536"),
])
def test_an_answer_that_can_be_read_in_two_ways(ends: Tuple[Connection, socket.socket], rest: bytes,
                                                words: str) -> None:
    sender = threading.Thread(target=ends[1].sendall, args=(OK + rest,))
    sender.start()
    try:
        with pytest.raises(NotHttp, match=words):
            ends[0].answer("GET")
    finally:
        ends[0].close()
        sender.join(60)


def test_interim_answers_are_passed_over(ends: Tuple[Connection, socket.socket]) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\n" + b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n"
    answer = answered(ends, interim + OK + b"Content-Length: 2\r\n\r\n{}")
    assert (answer.status, body_of(answer)) == (200, b"{}")
    with pytest.raises(NotHttp, match="goes on with answers"):
        answered(ends, b"HTTP/1.1 100 Continue\r\n\r\n" * 20)
    with pytest.raises(NotHttp, match="goes on with answers"):
        answered(ends, b"HTTP/1.1 101 Switching Protocols\r\n\r\n")


@pytest.mark.parametrize("method, status", [("HEAD", 200), ("GET", 204), ("GET", 304), ("CONNECT", 200)])
def test_answers_without_a_body(ends: Tuple[Connection, socket.socket], method: str, status: int) -> None:
    answer = answered(ends, b"HTTP/1.1 %d X\r\nContent-Length: 5\r\n\r\n" % status, method)
    assert answer.ended and answer.read(10) == b""


def test_chunks(ends: Tuple[Connection, socket.socket]) -> None:
    data = CHUNKED + b"4;name=value\r\nabcd\r\n00a \r\n0123456789\r\n0\r\nDate: now\r\n\r\n"
    for at in range(len(data)):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.settimeout(10.0)
            theirs.sendall(data[:at])
            sender = threading.Thread(target=theirs.sendall, args=(data[at:],))
            sender.start()
            answer = Connection(ours).answer("GET")
            assert body_of(answer) == b"abcd0123456789" and answer.ended and answer.keep
            sender.join(60)


@pytest.mark.parametrize("body, words", [
    (b"\r\n", "no size"), (b"x\r\n", "no size"), (b"-1\r\n", "no size"), (b"0x1\r\n", "no size"),
    (b"1" * 17 + b"\r\n", "no size"), (b"1;\0\r\n", "no size"), (b"2\nab\r\n", "line feed alone"),
    (b"1\r\nabc\r\n", "more than"), (b"1\r\na\rb", "more than"), (b"1\r\na\n\n", "line feed"),
    (b"1" + b" " * 2000, "more than"), ((b"1;" + b"x" * 1000 + b"\r\na\r\n") * 17, "more than"),
    (b"0\r\n" + b"X: y\r\n" * 3000, "more than"),
])
def test_chunks_that_are_none(ends: Tuple[Connection, socket.socket], body: bytes, words: str) -> None:
    answer = answered(ends, CHUNKED + body)
    with pytest.raises(NotHttp, match=words):
        body_of(answer)


@pytest.mark.parametrize("data", [
    b"", b"H", OK, OK + b"Content-Length: 5\r\n\r\nabc", CHUNKED, CHUNKED + b"5\r\nabc",
    CHUNKED + b"3\r\nabc", CHUNKED + b"3\r\nabc\r\n", CHUNKED + b"0\r\n", CHUNKED + b"0\r\nX: y\r\n",
])
def test_an_end_that_comes_too_early(ends: Tuple[Connection, socket.socket], data: bytes) -> None:
    ends[1].sendall(data)
    ends[1].close()
    with pytest.raises(CutShort):
        body_of(ends[0].answer("GET"))


def test_a_body_that_ends_with_its_connection(ends: Tuple[Connection, socket.socket]) -> None:
    answer = answered(ends, b"HTTP/1.0 200 OK\r\n\r\nsome")
    ends[1].close()
    assert body_of(answer) == b"some" and answer.ended and not answer.keep


@pytest.mark.parametrize("head, keep", [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", True),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: x, Close\r\n", False),
    (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n", False),
    (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: Keep-Alive\r\n", True),
    (b"HTTP/1.1 200 OK\r\n", False),
])
def test_whether_it_is_kept(ends: Tuple[Connection, socket.socket], head: bytes, keep: bool) -> None:
    assert answered(ends, head + b"\r\n").keep == keep


@pytest.mark.parametrize("target, headers", [
    ("/a b", {}), ("/a\r\nX: y", {}), ("/", {"X": "a\r\nY: b"}), ("/", {"X": "a\nb"}),
    ("/", {"X\r\nY": "b"})])
def test_a_header_cannot_end_its_line(ends: Tuple[Connection, socket.socket], target: str,
                                      headers: Dict[str, str]) -> None:
    with pytest.raises(ValueError, match="cannot be sent"):
        ends[0].send_head("GET", target, headers)
    ends[0].close()
    assert ends[1].recv(100) == b""
