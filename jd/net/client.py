"""Calls to a server: JSON in and out, files streamed from and to disk. `retry.py` makes them again.

One call is one connection, unless a client is to keep it. Two kinds of failure come out:
ServerUnreachable, when nothing that could be the server answered, and ServerRefused, when it answered
with an error status. A client that knows which experiment it is for says so, and a server of another
one is no server for it. Their texts
hold no token, no password, and not more of an answer than can be shown on a terminal.
Redirects are not followed: a bearer token must not travel to where an answer points.
"""

from __future__ import annotations

import json
import os
import time
import weakref
from contextlib import contextmanager
from urllib.parse import quote, urlencode

from jd import __version__, protocol
from jd.errors import JdError, LimitError, ServerRefused, ServerUnreachable, StorageError
from jd.net import answers, sending
from jd.net.answerhead import NOT_AT_ALL, NotHttp
from jd.net.outbound import (
    CONNECT_SECONDS,
    Address,
    Proxy,
    is_own_machine,
    open_connection,
    plain_words,
    proxy_for,
    speaks_tls,
    wrong_scheme,
)
from jd.net.peer import proof

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    import ssl
    from typing import Any, BinaryIO, Callable, Iterable, Iterator, Mapping, Union

    from jd.net.connection import Answer, Connection
    from jd.net.sending import Piece

    FileSource = Union[str, "os.PathLike[str]", BinaryIO]
    Query = Mapping[str, object]
    Met = Callable[[socket.socket], None]

USER_AGENT = "jd-worker/" + __version__
MAX_ANSWER_BYTES = 64 * 1024 * 1024
KEPT_SECONDS = 5.0  # that a connection may rest: whoever closes one that does waits longer
_ALWAYS = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
_TARGET = "/:@!$&'()*+,;=~%"  # what stands in a target as it is


class UnusableAnswer(ServerUnreachable):
    """Something answered 200, and it cannot be our server: a login page, or nonsense."""


class Refusal(ServerRefused):
    """A ServerRefused that also knows how many seconds the server asked to wait (Retry-After), and
    `told`, the answer's body where that is a JSON object."""

    def __init__(self, status: int, what: str, *advice: str, retry_after: float | None = None,
                 told: Mapping[str, Any] | None = None) -> None:
        super().__init__(status, what, *advice)
        self.retry_after = retry_after
        self.told = told


class SpeaksTls(ServerUnreachable):
    """The server of an http:// URL speaks https."""


class OtherExperiment(ServerUnreachable):
    """A job server answered, and it serves the experiment `serves` instead of ours.

    It is of the kind of a server that is away: ours is not there, and may come back.
    """

    def __init__(self, what: str, *advice: str, serves: str = "") -> None:
        super().__init__(what, *advice)
        self.serves = serves


def no_token() -> str | None:
    """The token supplier of a caller that has none."""
    return None


class _Request:
    """One request. `length` None: it has no body."""

    def __init__(self, method: str, route: str, query: Query | None, headers: Mapping[str, str],
                 body: Iterable[Piece], length: int | None, timeout: float,
                 met: Met | None = None) -> None:
        self.method = method
        self.route = route
        self.query = query
        self.headers = headers
        self.body = body
        self.length = length
        self.timeout = timeout
        self.met = met


class Client:
    """Speaks to one server. Threads may share it.

    `token` is asked before every call, so that a refreshed token is used at once. `timeout` is in
    seconds and for each wait on the network, not for a whole transfer. `experiment` is the one that
    the calls are meant for. `certificate`, in PEM form, is then the only one that is trusted. `hint`
    ends the message when there is no answer. With `keep` the connection of a call stays open for the
    next one, for KEPT_SECONDS. Every method raises ServerUnreachable, among these
    OtherExperiment where a server of another experiment answers; ServerRefused; and UsageError for a
    URL, token or proxy that cannot be used.
    """

    def __init__(self, base_url: str, token: Callable[[], str | None] = no_token,
                 timeout: float = 30.0, experiment: str | None = None,
                 certificate: str | None = None, hint: str = "", keep: bool = False) -> None:
        self._address = Address.parse(base_url)
        self._certificate = certificate
        self._hint = hint
        self._token = token
        self._timeout = timeout
        self._experiment = experiment
        self._tls: ssl.SSLContext | None = None
        self._keep = keep
        self._kept: list[Connection] = []  # one at most; taken out while it is used
        if keep:
            weakref.finalize(self, _close, self._kept)
        self._may_be_tls = self._address.scheme == "http"  # until it has answered, or was asked

    @property
    def shown(self) -> str:
        """The server's URL for messages, without credentials."""
        return self._address.shown

    def anonymous(self) -> "Client":
        """A client of the same server, and of the same connection if it is kept, that sends neither token nor
        experiment."""
        other = type(self).__new__(type(self))
        vars(other).update(vars(self))
        other._token, other._experiment = no_token, None
        return other

    def close(self) -> None:
        """Close the connection that is kept, if there is one. The client can still be used."""
        _close(self._kept)

    def have_proven(self) -> None:
        """Have a server of another machine show now that it knows the token, as it has to before each
        call. Raises as `call`; does nothing where something else tells whose server it is."""
        if (self._address.scheme == "http" and proof.is_shared(self._token())
                and not is_own_machine(self._address.host)):
            self.call("GET", protocol.HEALTH)

    def call(self, method: str, route: str, body: Mapping[str, Any] | bytes | None = None,
             query: Query | None = None, timeout: float | None = None,
             met: Met | None = None, headers: Mapping[str, str] | None = None) -> Any:
        """Send `body` as JSON, which bytes are already, and return the JSON of the answer, of 64 MiB at most.

        Raises UnusableAnswer, a ServerUnreachable, when the answer is no JSON. An answer without
        content (204) is None. `query` leaves out what is None. `met` is given the connection before
        anything is sent, unless it is one to a proxy.
        """
        sent = {"Accept": "application/json", **(headers or {})}
        payload = body if body is None or isinstance(body, bytes) else sending.encoded(body, route)
        if payload is not None:
            sent["Content-Type"] = "application/json"
        length = len(payload) if payload is not None else (None if method == "GET" else 0)
        with self._exchange(_Request(method, route, query, sent, (payload or b"",), length,
                                     self._timeout if timeout is None else timeout, met)) as answer:
            return self._json(answer, route)

    def upload(self, route: str, fields: Mapping[str, str], part_name: str, path_or_file: FileSource,
               filename: str, size: int, timeout: float | None = None) -> Any:
        """POST a file of `size` bytes as multipart/form-data; returns the JSON of the answer.

        A file object is sent from its start. Memory does not grow with the file. Raises
        StorageError when the file cannot be read, or has another size by the time it is sent.
        """
        if isinstance(path_or_file, (str, os.PathLike)):
            try:
                file: BinaryIO = open(path_or_file, "rb")
            except OSError as error:
                raise sending.unreadable(os.fspath(path_or_file), error) from None
            with file:
                return self.upload(route, fields, part_name, file, filename, size, timeout)
        from jd.net.multipart import encode_upload  # which most callers do without
        content_type, prefix, suffix, total = encode_upload(fields, part_name, filename, size)
        headers = {"Accept": "application/json", "Content-Type": content_type}
        body = sending.file_body(prefix, path_or_file, filename, size, suffix)
        with self._exchange(_Request("POST", route, None, headers, body, total,
                                     self._timeout if timeout is None else timeout)) as answer:
            return self._json(answer, route)

    def download(self, route: str, query: Query | None, to: BinaryIO, limit: int,
                 timeout: float | None = None) -> int:
        """GET into the file `to`; returns the number of bytes, at most `limit`.

        Raises LimitError for more than that and StorageError when `to` cannot be written; what was
        written until then stays in `to`.
        """
        with self._exchange(_Request("GET", route, query, {"Accept": "*/*"}, (), None,
                                     self._timeout if timeout is None else timeout)) as answer:
            received = 0
            for chunk in answers.chunks(answer):
                received += len(chunk)
                if received > limit or (answer.length or 0) > limit - received:
                    raise LimitError("the answer of %s%s is larger than %d bytes; it was not read"
                                     % (self.shown, route, limit))
                _write(to, chunk)
            return received

    # ---- one exchange

    @contextmanager
    def _exchange(self, request: _Request) -> Iterator[Answer]:
        token = self._token()
        authorization = sending.authorization(token, self._address)
        proxy = proxy_for(self._address)
        if self._address.scheme == "https" and self._tls is None:
            from jd.net.clienttls import tls_context
            self._tls = tls_context(self._certificate)
        connection: Connection | None = None
        try:
            connection, again = self._connected(request, proxy)
            try:
                answer = self._send(connection, request, token, authorization, proxy)
            except ConnectionError:
                # Its server may just have closed it. What changes nothing may be sent twice.
                if not again or connection.heard or request.method != "GET":
                    raise
                connection.close()
                connection, _ = self._connected(request, proxy, new=True)
                answer = self._send(connection, request, token, authorization, proxy)
            refusal: JdError | None = None
            if not 200 <= answer.status < 300:
                refusal = self._refusal(answer, request.route, proxy, token)
                if answer.status == 400 and getattr(refusal, "told", None) is None:
                    self._check_scheme(proxy, refusal, request.timeout)  # web servers answer plain HTTP so
            self._may_be_tls = False
            if refusal is None:
                yield answer
            if self._keep and answer.ended and answer.keep and connection.whole and proxy is None:
                connection = self._put_by(connection)
            if refusal is not None:
                raise refusal
        except (OSError, NotHttp, UnicodeError) as error:
            if connection is not None and (isinstance(error, ConnectionError) or str(error) == NOT_AT_ALL):
                self._check_scheme(proxy, error, request.timeout)
            waited = request.timeout if connection else min(request.timeout, CONNECT_SECONDS)
            happened, advice = plain_words(error, waited)
            raise ServerUnreachable("no answer from %s%s%s: %s" % (
                self.shown, request.route, _through(proxy), happened), advice, self._hint) from error
        finally:
            if connection is not None:
                connection.close()

    def _connected(self, request: _Request, proxy: Proxy | None,
                   new: bool = False) -> tuple[Connection, bool]:
        """An open connection, and whether it is one that was kept."""
        while self._kept and not new:
            try:
                connection = self._kept.pop()
            except IndexError:
                break  # another thread was faster
            if proxy is None and connection.is_usable(KEPT_SECONDS):
                connection.sock.settimeout(request.timeout)
                if request.met is not None:
                    request.met(connection.sock)
                return connection, True
            connection.close()
        connection = open_connection(self._address, proxy, request.timeout, self._tls)
        if request.met is not None and proxy is None:
            request.met(connection.sock)
        return connection, False

    def _put_by(self, connection: Connection) -> Connection | None:
        """Keep a connection for the next call. Returns it if another thread has kept one meanwhile."""
        if self._kept:
            return connection
        connection.rest()
        self._kept.append(connection)
        return None

    def _check_scheme(self, proxy: Proxy | None, error: Exception, timeout: float) -> None:
        """Raises SpeaksTls from `error` if that is what plain HTTP gets from a port that speaks TLS. It
        is asked once: a server that answered, or was restarted, is not asked with every lost call."""
        may_be, self._may_be_tls = self._may_be_tls and proxy is None, False
        if may_be and speaks_tls(self._address, timeout):
            raise SpeaksTls(*wrong_scheme(self._address)) from error

    def _send(self, connection: Connection, request: _Request, token: str | None,
              authorization: str | None, proxy: Proxy | None) -> Answer:
        if token is not None and proxy is None and connection.proven != token:
            self._have_shown(connection, token)
        target = quote(self._address.prefix + request.route, safe=_TARGET)
        given = {name: value for name, value in (request.query or {}).items() if value is not None}
        if given:
            target += "?" + urlencode(given)
        headers = {"Host": self._address.netloc, **_ALWAYS, **request.headers}
        if not self._keep:
            headers["Connection"] = "close"
        if authorization is not None:
            headers["Authorization"] = authorization
        if self._experiment is not None:
            headers[protocol.EXPERIMENT_HEADER] = self._experiment
        if request.length is not None:
            headers["Content-Length"] = str(request.length)
        if proxy is not None and self._address.scheme == "http":
            target = "http://%s%s" % (self._address.netloc, target)
            if proxy.basic is not None:
                headers["Proxy-Authorization"] = proxy.basic
        return sending.deliver(connection, request.method, target, headers, request.body)

    def _have_shown(self, connection: Connection, token: str) -> None:
        """Returns when the server has shown that it knows the token, where nothing else tells whose server it
        is: the token is sent to no other."""
        if proof.is_shared(token) and proof.is_needed(connection):
            headers = {"Host": self._address.netloc, **_ALWAYS}
            try:
                proof.demand(connection, token, quote(self._address.prefix, safe=_TARGET), headers)
            except proof.OtherToken:
                raise Refusal(401, "%s has another token than ours, which was not sent: set "
                                   "JD_SERVER_TOKEN_FILE or JD_SERVER_TOKEN to its own, or give server=@FILE "
                                   "with its access file" % self.shown, told={}) from None
        connection.proven = token

    def _json(self, answer: Answer, route: str) -> Any:
        body = answers.read(answer, MAX_ANSWER_BYTES + 1)
        if len(body) > MAX_ANSWER_BYTES:
            raise UnusableAnswer("%s%s answered with more than %d bytes"
                                 % (self.shown, route, MAX_ANSWER_BYTES),
                                 "ask for less at a time")
        if answer.status == 204:
            return None
        try:
            return json.loads(body.decode("utf-8"))
        except (ValueError, RecursionError):
            raise UnusableAnswer("%s%s answered with %s that is not JSON: it may be the login page of a "
                                 "network, or not a job server"
                                 % (self.shown, route,
                                    answers.words(answer.field("Content-Type") or "something")),
                                 "check the URL") from None

    def _refusal(self, answer: Answer, route: str, proxy: Proxy | None,
                 token: str | None) -> JdError:
        body: Mapping[str, Any] | None = None
        if 300 <= answer.status < 400:
            told = "a redirect to %s, which is not followed; give the URL of the server itself" % (
                answers.origin(answer.field("Location") or ""))
        else:
            body = answers.object_in(answers.error_body(answer))
            serves = None if body is None else body.get("experiment")
            if (answer.status == 409 and isinstance(serves, str)
                    and self._experiment not in (None, serves)):
                return other_experiment(self.shown, serves, str(self._experiment))
            told = answers.error_of(body) or answer.reason or "no reason given"
        for hidden in (token, self._address.password):
            if hidden:
                told = told.replace(hidden, "***")
        # On the wire an error of ours is one text.
        happened, _, advice = answers.words(told).partition("; ")
        return Refusal(answer.status, "%s%s%s answered %d: %s" % (
            self.shown, route, _through(proxy), answer.status, happened), advice,
            retry_after=answers.retry_after(answer.field("Retry-After"), time.time()), told=body)


def other_experiment(server: str, serves: str, wanted: str) -> OtherExperiment:
    """The error of a server of another experiment."""
    advice = "check expId= and server=, or JD_EXP_ID and JD_SERVER"
    if serves.lower() == wanted:
        advice = "update it: jd_server of this version has names in lower case"
    return OtherExperiment("%s serves experiment %s, not %s" % (server, answers.words(serves), wanted),
                           advice, serves=serves)


def _write(to: BinaryIO, chunk: bytes) -> None:
    try:
        to.write(chunk)
    except OSError as error:
        raise StorageError("%s cannot be written: %s" % (
            getattr(to, "name", "the file"), error.strerror or error)) from error


def _close(connections: list[Connection]) -> None:
    while connections:
        try:
            connections.pop().close()
        except IndexError:
            pass  # another thread has just taken it


def _through(proxy: Proxy | None) -> str:
    return " (through the proxy %s)" % proxy.shown if proxy is not None else ""
