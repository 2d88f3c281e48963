"""Request, Response, the ordered route table, and the one JSON error envelope.

    {"success": false, "error": "<message>"}

is the body of every answer that reports an error, whoever found it: parser, transport, router,
guard or handler. Exceptions become answers here and nowhere else. Only who looks with a browser may get a
page instead (`Router.show_errors`).
"""

import asyncio
import inspect
import io
import json
import logging
import os
import re
from dataclasses import dataclass, field
from typing import (
    Any,
    AsyncIterator,
    Awaitable,
    BinaryIO,
    Callable,
    Dict,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Pattern,
    Tuple,
    Type,
)
from urllib.parse import parse_qsl, quote, unquote

from jd.errors import StorageError
from jd.fields import check_object
from jd.net.jsonbody import parse_json
from jd.net.serving.body import BodyStream
from jd.net.serving.heads import Headers
from jd.net.serving.jsonpieces import Pieces
from jd.protocol import ProtocolError, shown

JSON_TYPE = "application/json"
TEXT_TYPE = "text/plain; charset=utf-8"
BINARY_TYPE = "application/octet-stream"

DEFAULT_MAX_BODY = 64 * 1024
MAX_QUERY_FIELDS = 100
# Parsing this much JSON takes some ms, for which no other connection is served. What is larger is parsed
# piece by piece beside the loop.
INLINE_JSON = 64 * 1024
# In the outer lists and objects of a body: the longest list that a route takes has 100,000 entries.
MAX_JSON_VALUES = 200_000

_READ_METHODS = ("GET", "HEAD")
_PLAIN_PATH = re.compile(r"[/0-9A-Za-z_.-]*")
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}

log = logging.getLogger("jd.net")


class HttpError(Exception):
    """The answer is `status` with `message` in the error envelope, and `facts` beside it."""

    def __init__(self, status: int, message: str, headers: Optional[Mapping[str, str]] = None,
                 facts: Optional[Mapping[str, Any]] = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})
        self.facts = dict(facts or {})


_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


# ---- requests

def _nobody() -> Optional[int]:
    return None


class Request:
    """One request, as a handler sees it.

    `path` is percent-decoded, `query` has each name once, `headers` the values by
    lower-case name, `params` what the route's pattern found, `peer` the address that the
    connection comes from, `secure` whether it is TLS. `peer_uid()` is the user whose program is at
    its other end, None where that cannot be told. `principal` belongs to the guard.
    """

    def __init__(self, method: str, target: str, headers: Optional[Headers] = None,
                 body: Optional[BodyStream] = None, peer: str = "127.0.0.1",
                 secure: bool = False, peer_uid: Callable[[], Optional[int]] = _nobody) -> None:
        """Raises HttpError (400) for a target that cannot be decoded, or has a name twice."""
        self.method = method
        self.path, self.query = _split_target(target)
        self.headers = headers if headers is not None else {}
        self.body = body if body is not None else BodyStream()
        self.peer = peer
        self.secure = secure
        self.peer_uid = peer_uid
        self.params: Dict[str, Any] = {}
        self.principal: Any = None
        self.max_body = DEFAULT_MAX_BODY

    def cookie(self, name: str) -> Optional[str]:
        """The value of a cookie, None if it was not sent."""
        for pair in self.headers.get("cookie", "").split(";"):
            key, equals, value = pair.strip(" \t").partition("=")
            if equals and key == name:
                return value.strip('"')
        return None

    def check_length(self, limit: int) -> None:
        """Raises HttpError (413) if the body is announced as longer than `limit` bytes."""
        if self.body.length is not None and self.body.length > limit:
            raise _too_large(limit)

    async def stream(self, limit: Optional[int] = None) -> AsyncIterator[bytes]:
        """The body as it comes; the client waits while nobody asks for more.

        Raises HttpError: 413 over `limit` bytes (default: the route's), 408 if it comes too
        slowly, 400 if it breaks the protocol.
        """
        allowed = self.max_body if limit is None else limit
        self.check_length(allowed)
        while True:
            data = await self.body.next()
            if self.body.received > allowed:
                raise _too_large(allowed)
            if not data:
                return
            yield data

    async def read(self, limit: Optional[int] = None) -> bytes:
        """The whole body. Raises HttpError as `stream`."""
        allowed = self.max_body if limit is None else limit
        self.check_length(allowed)
        if self.body.complete and self.body.received <= allowed:
            return await self.body.rest()
        return b"".join([data async for data in self.stream(limit)])

    async def json(self, limit: Optional[int] = None) -> Any:
        """The body as JSON. Raises HttpError as `stream`, 415 for another Content-Type, and
        ProtocolError (see `jsonbody.parse_json`).

        The Content-Type is what keeps forms on other sites from posting here: a browser asks
        first (CORS preflight) before it sends JSON, and gets no permission.
        """
        self.check_json()
        body = await self.read(limit)
        if len(body) <= INLINE_JSON:
            return parse_json(body)
        return await asyncio.get_running_loop().run_in_executor(None, _parse_large, body)

    async def json_object(self) -> Dict[str, Any]:
        """The body as a JSON object, which every message here is. Raises as `json`."""
        return check_object(await self.json())

    def check_json(self) -> None:
        """Raises HttpError (415) where the body is not said to be JSON."""
        kind = self.headers.get("content-type", "")
        if kind.partition(";")[0].strip().lower() != JSON_TYPE:
            raise HttpError(415, "Content-Type must be %s, not %s" % (
                JSON_TYPE, shown(kind) if kind else "absent"))


def _parse_large(body: bytes) -> Any:
    pieces = Pieces(io.BytesIO(body))
    value = pieces.whole(MAX_JSON_VALUES)
    pieces.end()
    return value


def _too_large(limit: int) -> HttpError:
    return HttpError(413, "the body is larger than the allowed %d bytes" % limit)


def _split_target(target: str) -> Tuple[str, Dict[str, str]]:
    if _PLAIN_PATH.fullmatch(target):
        return target, {}
    raw_path, _, raw_query = target.partition("?")
    try:
        if _BAD_PERCENT.search(target):
            raise ValueError("a % is not followed by two hexadecimal digits")
        path = unquote(raw_path, errors="strict")
        if _CONTROL.search(path):
            raise ValueError("the path contains a control character")
        pairs = parse_qsl(raw_query, keep_blank_values=True, errors="strict",
                          max_num_fields=MAX_QUERY_FIELDS)
    except UnicodeDecodeError:
        raise HttpError(400, "the URL is not percent-encoded UTF-8") from None
    except ValueError as error:
        raise HttpError(400, "the URL cannot be used: %s" % error) from None
    query: Dict[str, str] = {}
    for name, value in pairs:
        if name in query:
            raise HttpError(400, "%s is there twice in the URL; give it once" % shown(name))
        query[name] = value
    return path, query


# ---- responses

@dataclass
class Response:
    """What a handler answers: `body`, the rest of `file`, or what `stream` gives.

    A file is read from its position on, `length` bytes or up to its present end, in pieces, and
    is closed in any case. A stream has no known length and may go on for ever: the next piece is
    asked for when the client has taken most of the last, and its `aclose`, if it has one, is
    awaited when it is over, when the client has gone and when the server stops, which waits for
    no stream. An iterator that has much to give must await something now and then, or nobody
    else is served; one that raises cuts the answer off, so that the client can tell.

    Where its client's `next_waits`, it is not read from while many others are to be answered (see `rush`).

    Every answer says `Cache-Control: no-store` and `X-Content-Type-Options: nosniff` unless
    `headers` say otherwise.
    """

    status: int = 200
    body: bytes = b""
    content_type: str = BINARY_TYPE
    headers: Dict[str, str] = field(default_factory=dict)
    file: Optional[BinaryIO] = None
    length: Optional[int] = None
    stream: Optional[AsyncIterator[bytes]] = None
    next_waits: bool = False

    def __post_init__(self) -> None:
        if self.file is not None and self.length is None:
            self.length = max(0, os.fstat(self.file.fileno()).st_size - self.file.tell())

    @classmethod
    def json(cls, value: Any, status: int = 200,
             headers: Optional[Mapping[str, str]] = None) -> "Response":
        """`value` as JSON, in ASCII: a file name that is no valid text must not break a listing."""
        body = _ENCODER.encode(value).encode("ascii")
        return cls(status, body, JSON_TYPE, dict(headers or {}))

    @classmethod
    def text(cls, text: str, status: int = 200, content_type: str = TEXT_TYPE) -> "Response":
        """`text` in UTF-8; `content_type` has to say so."""
        return cls(status, text.encode("utf-8"), content_type)

    @classmethod
    def attachment(cls, file: BinaryIO, filename: str) -> "Response":
        """The rest of an open file as a download: no browser shows it (RFC 6266)."""
        plain = re.sub(r'[^ !#$&-\[\]-~]', "_", filename)
        encoded = quote(filename, safe="", errors="replace")
        disposition = "attachment; filename=\"%s\"; filename*=UTF-8''%s" % (plain, encoded)
        return cls(200, b"", BINARY_TYPE, {"Content-Disposition": disposition}, file)

    def close(self) -> None:
        """Close the file, if there is one."""
        if self.file is not None:
            self.file.close()

    async def aclose(self) -> None:
        """Close the file and the stream, whichever there is."""
        self.close()
        ending = getattr(self.stream, "aclose", None)
        if ending is not None:
            await ending()


def error_response(status: int, message: str, headers: Optional[Mapping[str, str]] = None,
                   facts: Optional[Mapping[str, Any]] = None) -> Response:
    """The error envelope, with `facts` beside its two fields."""
    return Response.json(dict(facts or {}, success=False, error=message), status, headers)


# ---- routes

Handler = Callable[[Request], Awaitable[Response]]


class Route(NamedTuple):
    """One row of the table. `max_body` is in bytes; a `public` route is not guarded; `role` is the
    guard's to judge."""

    method: str
    pattern: str
    handler: Handler
    max_body: int
    public: bool
    regex: Pattern[str]
    role: Optional[str] = None


Guard = Callable[[Request, Route], Any]
"""Called before every handler whose route is not public; may set `request.principal`, may raise
HttpError, may be a coroutine function."""

ErrorPage = Callable[[Request, HttpError], Response]
"""What a browser shows of an error."""

_PLACEHOLDER = re.compile(r"<(?:(int|path):)?([a-z_]+)>")
_PLACEHOLDER_REGEX = {None: "[^/]+", "int": "[0-9]{1,15}", "path": ".+"}


class Router:
    """The route table; the first row that fits is taken, and HEAD is answered by GET.

    `status_of` tells the HTTP status of exceptions that handlers may raise, besides those that
    every router knows; their text is shown to the client. `below` is a path that a proxy may leave in front
    of what it passes on, such as "/node/host/5050": requests are answered with it and without it.
    """

    def __init__(self, guard: Optional[Guard] = None,
                 status_of: Optional[Mapping[Type[Exception], int]] = None, below: str = "") -> None:
        self._guard = guard
        self._below = below
        self._error_page: Optional[ErrorPage] = None
        self._status_of = dict(status_of or {})
        self._routes: List[Route] = []
        self._fixed: Dict[Tuple[str, str], Route] = {}  # those that no other fits before, by method and path

    @property
    def routes(self) -> Tuple[Route, ...]:
        """The table, in order."""
        return tuple(self._routes)

    def add(self, method: str, pattern: str, handler: Handler, *, max_body: int = DEFAULT_MAX_BODY,
            public: bool = False, role: Optional[str] = None) -> None:
        """Add a row. In a pattern `<name>` stands for one segment of the path, `<int:name>` for a
        whole number, `<path:name>` for all the rest: `/api/jobs/<int:id>/uploads`.
        """
        parts: List[str] = []
        at = 0
        for match in _PLACEHOLDER.finditer(pattern):
            parts.append(re.escape(pattern[at:match.start()]))
            parts.append("(?P<%s%s>%s)" % ("int_" if match.group(1) == "int" else "str_",
                                           match.group(2), _PLACEHOLDER_REGEX[match.group(1)]))
            at = match.end()
        parts.append(re.escape(pattern[at:]))
        route = Route(method, pattern, handler, max_body, public, re.compile("".join(parts)), role)
        if len(parts) == 1 and method != "HEAD" and not any(
                earlier.method == method and earlier.regex.fullmatch(pattern) for earlier in self._routes):
            self._fixed[method, pattern] = route
        self._routes.append(route)

    def show_errors(self, page: ErrorPage) -> None:
        """Answer with a page where somebody opens an address that is refused in a browser (by its Accept)."""
        self._error_page = page

    def find(self, method: str, path: str) -> Tuple[Route, Dict[str, Any]]:
        """The row for a request, and its parameters. Raises HttpError: 404, or 405 with Allow."""
        fixed = self._fixed.get((method, path))
        if fixed is not None:
            return fixed, {}
        allowed: List[str] = []
        for route in self._routes:
            match = route.regex.fullmatch(path)
            if match is None:
                continue
            if method == route.method or (method == "HEAD" and route.method == "GET"):
                return route, {name[4:]: int(value) if name.startswith("int_") else value
                               for name, value in match.groupdict().items()}
            allowed += [route.method] + ["HEAD"] * (route.method == "GET")
        if not allowed:
            raise HttpError(404, "there is nothing at %s" % shown(path))
        allow = ", ".join(dict.fromkeys(allowed))
        raise HttpError(405, "%s is not possible at %s; allowed: %s" % (shown(method), shown(path), allow),
                        {"Allow": allow})

    async def dispatch(self, request: Request) -> Response:
        """Answer a request. Raises nothing but CancelledError."""
        try:
            if self._below:
                self._take_off(request)
            _check_origin(request)
            route, request.params = self.find(request.method, request.path)
            if self._guard is not None and not route.public:
                result = self._guard(request, route)
                if result is not None and inspect.isawaitable(result):
                    await result
            request.max_body = route.max_body
            request.check_length(route.max_body)
            return await _checked(await route.handler(request))
        except Exception as error:
            return self._refuse(request, self._refusal(request, error))

    def refuse_target(self, method: str, target: str, headers: Headers, error: HttpError) -> Response:
        """The answer to a target of which no Request could be made."""
        try:
            request = Request(method, target.partition("?")[0], headers)
            if self._below:
                self._take_off(request)
        except HttpError:
            return error_response(error.status, error.message, error.headers)
        return self._refuse(request, error)

    def _refuse(self, request: Request, error: HttpError) -> Response:
        looks = "text/html" in request.headers.get("accept", "")
        if looks and error.status >= 400 and self._error_page is not None:
            return self._error_page(request, error)
        return error_response(error.status, error.message, error.headers, error.facts)

    def _take_off(self, request: Request) -> None:
        """Take the path in front off. Raises HttpError (308) where a slash is missing at its end, without
        which relative addresses would lead out of it."""
        if request.path == self._below:
            last = quote(self._below.rpartition("/")[2])
            raise HttpError(308, "it is below %s/" % last, {"Location": "./%s/" % last})
        if request.path.startswith(self._below + "/"):
            request.path = request.path[len(self._below):]

    def _refusal(self, request: Request, error: Exception) -> HttpError:
        """What is said of `error`."""
        if isinstance(error, HttpError):
            return error
        if isinstance(error, ProtocolError):
            return HttpError(400, str(error))
        for kind, status in self._status_of.items():
            if isinstance(error, kind):
                return HttpError(status, str(error))
        method, path = request.method, shown(request.path)
        if isinstance(error, StorageError):
            log.error("%s %s: %s", method, path, error)
            return HttpError(503, str(error))
        # Neither headers, query nor body: they may hold secrets.
        log.error("%s %s failed", method, path, exc_info=error)
        return HttpError(500, "internal error")


async def _checked(response: Response) -> Response:
    """Refuse what would break the message, such as a line break in a header."""
    if not isinstance(response, Response):
        raise TypeError("the handler returned %s, not a Response" % type(response).__name__)
    if not response.headers and response.content_type == JSON_TYPE:
        return response
    for name, value in [*response.headers.items(), ("Content-Type", response.content_type)]:
        if not _HEADER_NAME.fullmatch(name) or _CONTROL.search(value) or not _is_latin1(value):
            await response.aclose()
            raise ValueError("the handler's response has an unusable header %r" % name)
    return response


def _is_latin1(text: str) -> bool:
    return all(ord(character) < 256 for character in text)


def _check_origin(request: Request) -> None:
    """Refuse what a page of another site makes a browser write. Raises HttpError (403).

    Programs send no Origin; browsers send it with every write (Fetch standard, 3.2).
    """
    origin = request.headers.get("origin")
    if origin is None or request.method in _READ_METHODS:
        return
    host = request.headers.get("host", "").lower()
    scheme, _, origin_host = origin.lower().partition("://")
    port = _DEFAULT_PORTS.get(scheme, "")
    if port and origin_host and _without(origin_host, port) == _without(host, port):
        return
    raise HttpError(403, "this request comes from a page of %s, but the server was addressed as %s; "
                         "a proxy between them has to pass the Host header on"
                    % (shown(origin), shown(host)))


def _without(host: str, port: str) -> str:
    return host[:-len(port)] if host.endswith(port) else host
