"""Requests made of odd bytes: whatever comes, it is refused or answered, and nothing is a traceback."""

import asyncio
import os
import random
from typing import List

import pytest

from jd.net.serving.heads import RequestHead
from jd.net.serving.parser import ParseError
from jd.net.serving.routing import HttpError, Request, Response, Route, Router
from jd.server.api.access import Access, Principal
from tests.net.http_wire import events, run, serving

ODD = [b"\xed", b"\xff\xfe", b"\xc3\xa9", b"\xed\xa0\x80", b"\x00", b"\x7f", b"\t", b"\x85", b"%", b"%zz",
       b"%00", b"%ff",
       b"%ed%a0%80", b"%0d%0a", b"//", b"\\", b"@", b":", b"::1", b"[", b"]", b"[::1]", b"[:", b"#", b"?",
       b"&", b"=",
       b";", b"..", b"*", b" ", b"{", b"\"", b"<", b"a" * 300, b"1", b"99999999999999999999", b"http://",
       b"HTTPS://h", b"\xef\xbc\x8f", b"\xe2\x80\xa8"]
PATHS = [b"/", b"/hello", b"/jobs/1", b"/files/a/b", b"http://h/hello", b"http://", b"http:///", b"*", b""]


async def echo(request: Request) -> Response:
    return Response.json({"path": request.path, "query": request.query, "params": request.params})


def router() -> Router:
    access = Access("127.0.0.1", None, False)

    def guard(request: Request, route: Route) -> None:
        access(request, route)
        assert isinstance(request.principal, Principal)

    made = Router(guard=guard)
    made.add("GET", "/hello", echo)
    made.add("POST", "/hello", echo)
    made.add("GET", "/jobs/<int:id>", echo)
    made.add("GET", "/files/<path:rest>", echo)
    return made


def some(chance: random.Random, most: int) -> bytes:
    return b"".join(chance.choice(ODD) for _ in range(chance.randrange(most)))


def requests(seed: int, count: int) -> List[bytes]:
    chance = random.Random(seed)
    made = []
    for _ in range(count):
        target = chance.choice(PATHS) + some(chance, 4)
        host = chance.choice([b"h", b"127.0.0.1:5000", b"localhost", some(chance, 3)])
        lines = [chance.choice([b"GET", b"POST", b"HEAD", b"OPTIONS", some(chance, 2)]) + b" " + target
                 + b" HTTP/1.1", b"Host: " + host]
        for name in (b"Origin", b"Cookie", b"Authorization", b"Content-Type", b"X-JD-Experiment",
                     some(chance, 2)):
            if chance.random() < 0.3:
                lines.append(name + b": " + some(chance, 4))
        made.append(b"\r\n".join(lines) + b"\r\n\r\n")
    return made


async def dispatched(data: bytes) -> int:
    """The status that a request gets, without a socket; whatever is raised is a failure."""
    try:
        found, _ = events(data, len(data))
    except ParseError as error:
        return error.status
    head = found[0]
    if not isinstance(head, RequestHead):
        return 0
    try:
        request = Request(head.method, head.target, head.headers, peer_uid=os.geteuid)
    except HttpError as error:
        return error.status
    return (await router().dispatch(request)).status


@pytest.mark.parametrize("seed", range(8))
def test_odd_bytes_are_refused_or_answered(seed: int) -> None:
    async def scenario() -> None:
        seen = set()
        for data in requests(seed, 1500):
            status = await dispatched(data)
            assert status < 500 or status in (501, 505), data
            seen.add(status)
        assert {200, 400, 404} <= seen
    run(scenario(), 60)


@pytest.mark.parametrize("line", [
    b"GET http://\xed/ HTTP/1.1", b"GET http://\xc3\xa9.org/hello HTTP/1.1", b"GET http://a\x80b HTTP/1.1",
    b"GET http://h\x00/ HTTP/1.1", b"GET http://h /hello HTTP/1.1", b"GET http://user@h/ HTTP/1.1",
    b"GET http://h#x HTTP/1.1", b"GET http:// HTTP/1.1", b"GET http:///hello HTTP/1.1",
    b"GET http://h:x/ HTTP/1.1",
    b"GET /\xed HTTP/1.1", b"GET hello HTTP/1.1", b"G\xcbT / HTTP/1.1", b"GET / HTTP/\xb2.1"])
def test_a_request_line_that_is_none_is_a_400_on_the_wire(line: bytes) -> None:
    async def scenario() -> None:
        problems = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: problems.append(context))
        async with serving(router()) as site:
            client = await site.client()
            await client.send(line + b"\r\nHost: h\r\n\r\n")
            answer = await client.answer()
            assert answer.status == 400 and answer.json["success"] is False
            assert await client.at_end()
        assert not problems
    run(scenario())


@pytest.mark.parametrize("name", [b"Host", b"Origin", b"Authorization", b"Content-Type"])
def test_headers_that_decide_are_there_once(name: bytes) -> None:
    data = b"GET / HTTP/1.1\r\nHost: h\r\n%b: a\r\n%b: b\r\n\r\n" % (name, name)
    with pytest.raises(ParseError, match="more than one header %s" % name.decode()):
        events(data, len(data))


@pytest.mark.parametrize("target, name", [("/hello?a=1&a=2", "'a'"), ("/hello?a=1&b=2&%61=1", "'a'"),
                                          ("/hello?a&a", "'a'")])
def test_a_name_twice_in_the_url_is_refused(target: str, name: str) -> None:
    with pytest.raises(HttpError, match="%s is there twice in the URL" % name) as refused:
        Request("GET", target)
    assert refused.value.status == 400
    assert Request("GET", "/hello?a=1&b=1&A=2").query == {"a": "1", "b": "1", "A": "2"}
