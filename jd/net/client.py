"""Calls to a server: JSON in and out, files streamed from and to disk. `retry.py` makes them again.

One call is one connection. Two kinds of failure come out: ServerUnreachable, when nothing that
could be the server answered, and ServerRefused, when it answered with an error status. A client that
knows which experiment it is for says so, and a server of another one is no server for it. Their texts
hold no token, no password, and not more of an answer than can be shown on a terminal.
Redirects are not followed: a bearer token must not travel to where an answer points.
"""

import copy
import http.client
import json
import os
import socket
import ssl
import time
from contextlib import contextmanager
from typing import Any, BinaryIO, Callable, Iterable, Iterator, Mapping, NamedTuple, Optional, Union
from urllib.parse import quote, urlencode

from jd import __version__, protocol
from jd.errors import JdError, LimitError, ServerRefused, ServerUnreachable, StorageError
from jd.net import answers, sending
from jd.net.multipart import encode_upload
from jd.net.outbound import (
    CONNECT_SECONDS,
    Address,
    Proxy,
    is_own_machine,
    open_connection,
    plain_words,
    proxy_for,
    speaks_tls,
    tls_context,
    wrong_scheme,
)
from jd.net.peer import proof

FileSource = Union[str, "os.PathLike[str]", BinaryIO]
Query = Mapping[str, object]
Met = Callable[[socket.socket], None]

USER_AGENT = "jd-worker/" + __version__
MAX_ANSWER_BYTES = 64 * 1024 * 1024


class UnusableAnswer(ServerUnreachable):
    """Something answered 200, and it cannot be our server: a login page, or nonsense."""


class Refusal(ServerRefused):
    """A ServerRefused that also knows how many seconds the server asked to wait (Retry-After), and
    `told`, the answer's body where that is a JSON object."""

    def __init__(self, status: int, what: str, *advice: str, retry_after: Optional[float] = None,
                 told: Optional[Mapping[str, Any]] = None) -> None:
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


def no_token() -> Optional[str]:
    """The token supplier of a caller that has none."""
    return None


class _Request(NamedTuple):
    method: str
    route: str
    query: Optional[Query]
    headers: Mapping[str, str]
    body: Iterable[bytes]
    length: Optional[int]  # None: the request has no body
    timeout: float
    met: Optional[Met] = None


class Client:
    """Speaks to one server. It keeps no connection, so threads may share it.

    `token` is asked before every call, so that a refreshed token is used at once. `timeout` is in
    seconds and for each wait on the network, not for a whole transfer. `experiment` is the one that
    the calls are meant for. `certificate`, in PEM form, is then the only one that is trusted. `hint`
    ends the message when there is no answer. Every method raises ServerUnreachable, among these
    OtherExperiment where a server of another experiment answers; ServerRefused; and UsageError for a
    URL, token or proxy that cannot be used.
    """

    def __init__(self, base_url: str, token: Callable[[], Optional[str]] = no_token,
                 timeout: float = 30.0, experiment: Optional[str] = None,
                 certificate: Optional[str] = None, hint: str = "") -> None:
        self._address = Address.parse(base_url)
        self._certificate = certificate
        self._hint = hint
        self._token = token
        self._timeout = timeout
        self._experiment = experiment
        self._tls: Optional[ssl.SSLContext] = None
        self._may_be_tls = self._address.scheme == "http"  # until it has answered, or was asked

    @property
    def shown(self) -> str:
        """The server's URL for messages, without credentials."""
        return self._address.shown

    def anonymous(self) -> "Client":
        """A client of the same server that sends neither token nor experiment."""
        other = copy.copy(self)
        other._token, other._experiment = no_token, None
        return other

    def have_proven(self) -> None:
        """Have a server of another machine show now that it knows the token, as it has to before each
        call. Raises as `call`; does nothing where something else tells whose server it is."""
        if (self._address.scheme == "http" and proof.is_shared(self._token())
                and not is_own_machine(self._address.host)):
            self.call("GET", protocol.HEALTH)

    def call(self, method: str, route: str, body: Union[Mapping[str, Any], bytes, None] = None,
             query: Optional[Query] = None, timeout: Optional[float] = None,
             met: Optional[Met] = None, headers: Optional[Mapping[str, str]] = None) -> Any:
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
        with self._exchange(_Request(method, route, query, sent, sending.pieces(payload or b""), length,
                                     self._timeout if timeout is None else timeout, met)) as answer:
            return self._json(answer, route)

    def upload(self, route: str, fields: Mapping[str, str], part_name: str, path_or_file: FileSource,
               filename: str, size: int, timeout: Optional[float] = None) -> Any:
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
        content_type, prefix, suffix, total = encode_upload(fields, part_name, filename, size)
        headers = {"Accept": "application/json", "Content-Type": content_type}
        body = sending.file_body(prefix, path_or_file, filename, size, suffix)
        with self._exchange(_Request("POST", route, None, headers, body, total,
                                     self._timeout if timeout is None else timeout)) as answer:
            return self._json(answer, route)

    def download(self, route: str, query: Optional[Query], to: BinaryIO, limit: int,
                 timeout: Optional[float] = None) -> int:
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
    def _exchange(self, request: _Request) -> Iterator[http.client.HTTPResponse]:
        token = self._token()
        authorization = sending.authorization(token, self._address)
        proxy = proxy_for(self._address)
        if self._address.scheme == "https" and self._tls is None:
            self._tls = tls_context(self._certificate)
        connection: Optional[http.client.HTTPConnection] = None
        try:
            connection = open_connection(self._address, proxy, request.timeout, self._tls)
            if request.met is not None and proxy is None:
                request.met(connection.sock)
            if token is not None and proxy is None and proof.is_shared(token) and proof.is_needed(connection):
                self._demand_proof(connection, token)
            # The answer has the socket from now on, and the connection no longer closes it.
            with self._send(connection, request, authorization, proxy) as answer:
                refusal: Optional[JdError] = None
                if not 200 <= answer.status < 300:
                    refusal = self._refusal(answer, request.route, proxy, token)
                    if answer.status == 400 and getattr(refusal, "told", None) is None:
                        self._check_scheme(proxy, refusal)  # web servers answer plain HTTP so
                self._may_be_tls = False
                if refusal is not None:
                    raise refusal
                yield answer
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            if isinstance(error, (ConnectionError, http.client.BadStatusLine)) and connection is not None:
                self._check_scheme(proxy, error)
            waited = request.timeout if connection else min(request.timeout, CONNECT_SECONDS)
            happened, advice = plain_words(error, waited)
            raise ServerUnreachable("no answer from %s%s%s: %s" % (
                self.shown, request.route, _through(proxy), happened), advice, self._hint) from error
        finally:
            if connection is not None:
                connection.close()

    def _demand_proof(self, connection: http.client.HTTPConnection, token: str) -> None:
        """Returns when the server has shown that it knows the token, which is sent to no other."""
        try:
            proof.demand(connection, token, self._address.prefix, {"User-Agent": USER_AGENT})
        except proof.OtherToken:
            raise Refusal(401, "%s has another token than ours, which was not sent: set JD_SERVER_TOKEN_FILE "
                               "or JD_SERVER_TOKEN to its own, or give server=@FILE with its access file"
                          % self.shown, told={}) from None

    def _check_scheme(self, proxy: Optional[Proxy], error: Exception) -> None:
        """Raises SpeaksTls from `error` if that is what plain HTTP gets from a port that speaks TLS. It
        is asked once: a server that answered, or was restarted, is not asked with every lost call."""
        may_be, self._may_be_tls = self._may_be_tls and proxy is None, False
        if may_be and speaks_tls(self._address):
            raise SpeaksTls(*wrong_scheme(self._address)) from error

    def _send(self, connection: http.client.HTTPConnection, request: _Request,
              authorization: Optional[str], proxy: Optional[Proxy]) -> http.client.HTTPResponse:
        target = quote(self._address.prefix + request.route, safe="/:@!$&'()*+,;=~%")
        given = {name: value for name, value in (request.query or {}).items() if value is not None}
        if given:
            target += "?" + urlencode(given)
        headers = {"User-Agent": USER_AGENT, **request.headers, "Connection": "close"}
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
        connection.putrequest(request.method, target, skip_host=True)
        connection.putheader("Host", self._address.netloc)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        return sending.deliver(connection, request.body)

    def _json(self, answer: http.client.HTTPResponse, route: str) -> Any:
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
                                    answers.words(answer.getheader("Content-Type") or "something")),
                                 "check the URL") from None

    def _refusal(self, answer: http.client.HTTPResponse, route: str, proxy: Optional[Proxy],
                 token: Optional[str]) -> JdError:
        body: Optional[Mapping[str, Any]] = None
        if 300 <= answer.status < 400:
            told = "a redirect to %s, which is not followed; give the URL of the server itself" % (
                answers.origin(answer.getheader("Location") or ""))
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
            retry_after=answers.retry_after(answer.getheader("Retry-After"), time.time()), told=body)


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


def _through(proxy: Optional[Proxy]) -> str:
    return " (through the proxy %s)" % proxy.shown if proxy is not None else ""
