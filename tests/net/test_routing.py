"""The route table, decoding of targets, guard, same-origin rule, and the error envelope."""

import asyncio
import io
import json
import logging
import threading
from pathlib import Path
from typing import Any, Dict, Optional

import pytest

from jd.errors import JdError, StorageError
from jd.net.serving.body import BodyStream
from jd.net.serving.routing import (
    INLINE_JSON,
    MAX_JSON_VALUES,
    HttpError,
    Request,
    Response,
    Route,
    Router,
    error_response,
)
from jd.protocol import ProtocolError
from tests.net.http_wire import run


async def echo(request: Request) -> Response:
    return Response.json({"path": request.path, "params": request.params, "query": request.query,
                          "principal": request.principal})


def answer(router: Router, method: str = "GET", target: str = "/", body: bytes = b"",
           **headers: str) -> Response:
    async def ask() -> Response:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return await router.dispatch(Request(method, target, fields, BodyStream.of(body)))
    return run(ask())


def envelope(response: Response) -> str:
    value = json.loads(response.body.decode("ascii"))
    assert set(value) == {"success", "error"} and value["success"] is False
    assert response.content_type == "application/json"
    return str(value["error"])


def one(handler: Any, method: str = "POST", **options: Any) -> Router:
    router = Router()
    router.add(method, "/", handler, **options)
    return router


# ---- table

@pytest.fixture
def table() -> Router:
    router = Router()
    for method, pattern in [("GET", "/api/jobs"), ("POST", "/api/jobs"), ("GET", "/api/jobs/statuses"),
                            ("GET", "/api/jobs/<int:id>/uploads"), ("GET", "/api/jobs/<name>"),
                            ("DELETE", "/api/jobs/<int:id>"), ("GET", "/static/<path:rest>"),
                            ("GET", "/a.b")]:
        router.add(method, pattern, echo)
    return router


@pytest.mark.parametrize("method, path, pattern, params", [
    ("GET", "/api/jobs", "/api/jobs", {}), ("HEAD", "/api/jobs", "/api/jobs", {}),
    ("GET", "/api/jobs/statuses", "/api/jobs/statuses", {}),
    ("GET", "/api/jobs/17/uploads", "/api/jobs/<int:id>/uploads", {"id": 17}),
    ("GET", "/api/jobs/ä b", "/api/jobs/<name>", {"name": "ä b"}),
    ("DELETE", "/api/jobs/3", "/api/jobs/<int:id>", {"id": 3}),
    ("GET", "/static/css/a.css", "/static/<path:rest>", {"rest": "css/a.css"}),
])
def test_find(table: Router, method: str, path: str, pattern: str, params: Dict[str, Any]) -> None:
    route, found = table.find(method, path)
    assert (route.pattern, found) == (pattern, params)


def test_the_first_row_that_fits_is_taken() -> None:
    router = Router()
    for pattern in ("/jobs/all", "/jobs/<name>", "/jobs/none"):
        router.add("GET", pattern, echo)
    assert [router.find("GET", path)[0].pattern for path in ("/jobs/all", "/jobs/one", "/jobs/none")] == [
        "/jobs/all", "/jobs/<name>", "/jobs/<name>"]
    assert router.find("HEAD", "/jobs/all")[0].pattern == "/jobs/all"


@pytest.mark.parametrize("path", ["/api/jobs/", "/api/job", "/api/jobs/x/uploads", "/api/jobs/-1/uploads",
                                  "/api/jobs/1/uploads/2", "//api/jobs", "/aXb",
                                  "/api/jobs/%s/uploads" % ("1" * 16), "/api/jobs\n"])
def test_not_found(table: Router, path: str) -> None:
    with pytest.raises(HttpError) as caught:
        table.find("GET", path)
    assert caught.value.status == 404


def test_wrong_method_names_the_allowed_ones(table: Router) -> None:
    response = answer(table, "PUT", "/api/jobs")
    assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD, POST")
    assert "GET, HEAD, POST" in envelope(response)
    assert answer(table, "POST", "/api/jobs/7").headers["Allow"] == "GET, HEAD, DELETE"


# ---- targets

@pytest.mark.parametrize("target, path, query", [
    ("/a%20b/%C3%A4?x=2&y=a+b%26&empty=&bare", "/a b/ä", {"x": "2", "y": "a b&", "empty": "", "bare": ""}),
    ("/", "/", {}), ("/a?", "/a", {}), ("/a%2Fb?c=d?e", "/a/b", {"c": "d?e"}),
    ("/?a=1;b=2", "/", {"a": "1;b=2"}), ("*", "*", {}),
])
def test_targets(target: str, path: str, query: Dict[str, str]) -> None:
    request = Request("GET", target)
    assert (request.path, request.query) == (path, query)


@pytest.mark.parametrize("target", ["/%", "/%4", "/%zz", "/%ff", "/?a=%ff", "/?%ff=1", "/?a=%g1", "/%00",
                                    "/a%0Ab", "/?" + "&".join("a%d=1" % i for i in range(101))])
def test_targets_that_cannot_be_decoded(target: str) -> None:
    with pytest.raises(HttpError) as caught:
        Request("GET", target)
    assert caught.value.status == 400


def test_cookie() -> None:
    request = Request("GET", "/", {"cookie": 'a=1; session=x=y; q="z"; broken'})
    assert [request.cookie(name) for name in ("a", "session", "q", "broken", "sess")] == [
        "1", "x=y", "z", None, None]


# ---- guard

def test_guard_stands_before_every_route_that_is_not_public() -> None:
    def guard(request: Request, route: Route) -> None:
        if request.headers.get("authorization") != "Bearer ok":
            raise HttpError(401, "no", {"WWW-Authenticate": "Bearer"})
        request.principal = "worker"

    router = Router(guard)
    router.add("GET", "/closed", echo)
    router.add("GET", "/open", echo, public=True)
    refused = answer(router, "GET", "/closed")
    assert (refused.status, refused.headers["WWW-Authenticate"], envelope(refused)) == (401, "Bearer", "no")
    assert answer(router, "HEAD", "/closed").status == 401
    assert b'"worker"' in answer(router, "GET", "/closed", authorization="Bearer ok").body
    assert answer(router, "GET", "/open").status == 200
    assert answer(router, "GET", "/nowhere").status == 404


def test_guard_may_be_a_coroutine_function() -> None:
    async def guard(request: Request, route: Route) -> None:
        await asyncio.sleep(0)
        raise HttpError(403, route.pattern)

    router = Router(guard)
    router.add("GET", "/x/<name>", echo)
    assert envelope(answer(router, "GET", "/x/y")) == "/x/<name>"


def test_guard_comes_before_the_size_of_the_body() -> None:
    def guard(request: Request, route: Route) -> None:
        raise HttpError(401, "no")

    router = Router(guard)
    router.add("POST", "/", echo, max_body=1)
    assert answer(router, "POST", body=b"long").status == 401


# ---- same origin

@pytest.mark.parametrize("host, origin, status", [
    ("jd.example:5050", None, 200), ("jd.example:5050", "http://jd.example:5050", 200),
    ("JD.example", "https://jd.EXAMPLE", 200), ("h:80", "http://h", 200), ("h", "https://h:443", 200),
    ("[::1]:80", "http://[::1]", 200), ("h", "http://h:5050", 403), ("h:443", "http://h", 403),
    ("jd.example", "http://evil.example", 403), ("jd.example", "null", 403), ("jd.example", "", 403),
    ("", "http://", 403), ("h", "ftp://h", 403), ("h", "http://h.evil", 403), ("h", "http://h/x", 403),
])
def test_writes_from_other_sites_are_refused(host: str, origin: Optional[str], status: int) -> None:
    headers: Dict[str, Any] = {"host": host}
    if origin is not None:
        headers["origin"] = origin
    assert answer(one(echo), "POST", **headers).status == status
    assert answer(one(echo, "GET"), "GET", **headers).status == 200
    assert answer(one(echo, "DELETE"), "DELETE", **headers).status == status


# ---- errors

@pytest.mark.parametrize("error, status, message", [
    (HttpError(409, "taken"), 409, "taken"), (ProtocolError("bad name"), 400, "bad name"),
    (StorageError("disk full: /data"), 503, "disk full: /data"), (JdError("inner"), 500, "internal error"),
    (KeyError("secret"), 500, "internal error"), (RecursionError(), 500, "internal error"),
])
def test_exceptions_become_answers(error: Exception, status: int, message: str) -> None:
    async def handler(request: Request) -> Response:
        raise error

    response = answer(one(handler, "GET"))
    assert (response.status, envelope(response)) == (status, message)


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize("accept, page", [
    (BROWSER, True), ("*/*", False), ("application/json", False), ("image/avif,*/*", False), ("", False)])
@pytest.mark.parametrize("method, target, status", [
    ("GET", "/nowhere", 404), ("DELETE", "/", 405), ("GET", "/fails", 409), ("GET", "/leads", 308)])
def test_who_looks_with_a_browser_gets_a_page_of_an_error(accept: str, page: bool, method: str, target: str,
                                                          status: int) -> None:
    async def fails(request: Request) -> Response:
        raise HttpError(int(status), "so it is", {"Location": "./there/"})

    router = one(echo, "GET")
    router.add("GET", "/fails", fails)
    router.add("GET", "/leads", fails)
    router.show_errors(lambda request, error: Response.text(error.message, error.status, "text/html"))
    response = answer(router, method, target, accept=accept)
    assert response.status == status
    if page and status >= 400:
        assert response.content_type == "text/html"
    else:
        assert envelope(response) and response.content_type == "application/json"
    assert answer(one(echo), "GET", "/nowhere", accept=accept).content_type == "application/json"


def test_an_address_that_cannot_be_read_is_told_as_every_error() -> None:
    router = Router(below="/node/5050")
    error = HttpError(400, "the URL cannot be used")
    assert envelope(router.refuse_target("GET", "/jobs?a=%", {"accept": BROWSER}, error)) == error.message
    router.show_errors(lambda request, error: Response.text(request.path, error.status, "text/html"))
    for target in ("/jobs?a=%", "/node/5050/jobs?a=%"):
        shown = router.refuse_target("GET", target, {"accept": BROWSER}, error)
        assert (shown.status, shown.content_type, shown.body) == (400, "text/html", b"/jobs")
    for target, accept in (("/jobs?a=%", "*/*"), ("/%", BROWSER)):
        assert envelope(router.refuse_target("GET", target, {"accept": accept}, error)) == error.message


def test_traceback_is_logged_without_what_the_client_sent(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(request: Request) -> Response:
        await request.read()
        raise ZeroDivisionError

    with caplog.at_level(logging.INFO, "jd.net"):
        answer(one(handler), "POST", "/?token=sesame", b"sesame", authorization="sesame")
    assert "Traceback" in caplog.text and "ZeroDivisionError" in caplog.text
    assert "sesame" not in caplog.text


@pytest.mark.parametrize("response", [
    None, Response(headers={"X": "a\r\nSet-Cookie: b"}), Response(headers={"X y": "a"}),
    Response(headers={"X": "日本"}), Response(content_type="text/html\n"),
])
def test_unusable_responses(response: Any) -> None:
    async def handler(request: Request) -> Any:
        return response

    assert answer(one(handler, "GET")).status == 500


def test_cancellation_passes_through() -> None:
    async def handler(request: Request) -> Response:
        raise asyncio.CancelledError

    async def ask() -> None:
        with pytest.raises(asyncio.CancelledError):
            await one(handler).dispatch(Request("POST", "/"))
    run(ask())


# ---- bodies

async def parsed(request: Request) -> Response:
    return Response.json(await request.json())


@pytest.mark.parametrize("content_type, status", [
    ("application/json", 200), ("Application/JSON; charset=utf-8", 200), ("text/plain", 415),
    ("application/x-www-form-urlencoded", 415), ("", 415), ("application/jsonp", 415),
])
def test_json_needs_its_content_type(content_type: str, status: int) -> None:
    assert answer(one(parsed), "POST", body=b"{}", content_type=content_type).status == status


def test_json_errors_are_400_and_say_where() -> None:
    response = answer(one(parsed), "POST", body=b'{"a": }', content_type="application/json")
    assert response.status == 400 and "line 1 column 7" in envelope(response)
    assert answer(one(parsed), "POST", content_type="application/json").status == 400


def test_large_json_is_parsed_off_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    names = []

    def spy(body: bytes) -> str:
        names.append(threading.current_thread() is threading.main_thread())
        return "parsed"

    for parse in ("parse_json", "_parse_large"):
        monkeypatch.setattr("jd.net.serving.routing." + parse, spy)
    for size in (INLINE_JSON, INLINE_JSON + 1):
        response = answer(one(parsed, max_body=1 << 20), "POST", body=b"x" * size,
                          content_type="application/json")
        assert response.body == b'"parsed"'
    assert names == [True, False]


def test_large_json_has_so_many_values() -> None:
    def status(values: int) -> int:
        body = ('{"a": [%s0]%s}' % ("0," * (values - 2), " " * INLINE_JSON)).encode()
        return answer(one(parsed, max_body=1 << 20), "POST", body=body,
                      content_type="application/json").status

    assert status(MAX_JSON_VALUES) == 200
    assert status(MAX_JSON_VALUES + 1) == 400


def test_body_limit_of_the_route_and_of_the_call() -> None:
    async def handler(request: Request) -> Response:
        return Response(body=await request.read(3))

    assert answer(one(handler), "POST", body=b"abc").body == b"abc"
    assert answer(one(handler), "POST", body=b"abcd").status == 413
    assert answer(one(handler, max_body=2), "POST", body=b"abc").status == 413
    assert "64" in envelope(answer(one(echo, max_body=64), "POST", body=b"x" * 65))


def test_chunked_body_over_the_limit() -> None:
    async def handler(request: Request) -> Response:
        return Response(body=await request.read())

    async def ask() -> Response:
        body = BodyStream(None)
        for _ in range(3):
            body.feed(b"x" * 30)  # its end never comes
        return await one(handler, max_body=80).dispatch(Request("POST", "/", {}, body))
    assert run(ask()).status == 413


# ---- responses

def test_json_response_carries_what_is_no_text() -> None:
    assert Response.json({"name": "a\udcff", "u": "ä"}).body == b'{"name":"a\\udcff","u":"\\u00e4"}'
    with pytest.raises(ValueError):
        Response.json(float("nan"))


def test_attachment(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"0123456789")
    with open(path, "rb") as file:
        file.seek(4)
        response = Response.attachment(file, 'a"b\\c\r\nä日\udcff.csv')
        assert response.length == 6
        assert response.headers["Content-Disposition"] == (
            "attachment; filename=\"a_b_c_____.csv\"; "
            "filename*=UTF-8''a%22b%5Cc%0D%0A%C3%A4%E6%97%A5%3F.csv")


def test_file_of_a_known_length_needs_no_descriptor() -> None:
    file = io.BytesIO(b"abc")
    response = Response(file=file, length=3)
    response.close()
    assert file.closed


def test_error_response_is_the_envelope() -> None:
    assert envelope(error_response(418, "ä")) == "ä"
