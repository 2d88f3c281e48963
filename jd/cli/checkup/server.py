"""The connection to the job server, checked step by step, so that the step that fails is known by name.

The steps are the host name, the connection, the proxy, TLS, what answers, whose experiment it is, the clock
and the token.
"""

import socket
import ssl
import time
from email.utils import parsedate_to_datetime
from typing import Any, Callable, List, Mapping, NamedTuple, Optional, Tuple
from urllib.parse import quote

import jd
from jd import protocol, settingvalues
from jd.auth.jobserver import Target
from jd.auth.sharedtoken import is_exposed, worker_token
from jd.cli.checkup import certificate
from jd.cli.checkup.finding import Check, Finding, Notes
from jd.errors import JdError, ServerRefused, UsageError
from jd.net import answers
from jd.net.answerhead import NotHttp
from jd.net.client import USER_AGENT, Client
from jd.net.clienttls import tls_context
from jd.net.connection import Answer
from jd.net.finding import probe
from jd.net.outbound import (
    Address,
    Proxy,
    connect,
    is_own_machine,
    open_connection,
    plain_words,
    proxy_for,
    speaks_tls,
    wrong_scheme,
)
from jd.net.peer.portowner import ForeignServer

TOPIC = "Server"
TIMEOUT = 5.0  # seconds, for each step
MAX_HEALTH_BYTES = 64 * 1024
SKEW_WARNING = 5.0
SKEW_PROBLEM = 300.0


class Server(NamedTuple):
    """The server to look at. `named`: somebody said so; else it is the default, and what fails is
    a warning only. `found_by` is how it was found, and `target` what opens it, where that is known."""

    url: str
    named: bool
    found_by: str = ""
    target: Optional[Target] = None


class Visit:
    """One visit to a server. Each step is a check; after one that failed the later ones are mute.

    `find` gives the target when the first step is made, for it may have to read a registry.
    """

    def __init__(self, find: Callable[[], Server], experiment: Optional[str],
                 environ: Mapping[str, str], clock: Callable[[], float] = time.time,
                 what: str = "server") -> None:
        self._what = what
        self._find = find
        self._experiment = experiment
        self._environ = environ
        self._clock = clock
        self._named = True
        self._url = ""
        self._target: Optional[Target] = None
        self._found = False
        self._address: Optional[Address] = None  # None after a step that failed
        self._proxy: Optional[Proxy] = None
        self._tls: Optional[ssl.SSLContext] = None
        self._health: Optional[Tuple[Answer, bytes, float]] = None

    def checks(self) -> List[Check]:
        """The steps in their order."""
        return [Check("the server to use", self.address), Check("the host name", self.name),
                Check("the connection", self.connection), Check("TLS", self.tls),
                Check("the server's answer", self.answer), Check("the token", self.token)]

    # ---- the steps

    def address(self) -> List[Finding]:
        """URL and proxy."""
        notes = Notes(TOPIC)
        try:
            self._url, self._named, found_by, self._target = self._find()
            self._found = True
            self._address = Address.parse(self._url)
            self._proxy = proxy_for(self._address)
        except JdError as error:
            return self._failed(notes, error.what, error.advice)
        if not self._named:
            default = "no server is named; this is about the default, %s" % self._address.shown
            notes.warn(self._hint or default, "give server=, or set JD_SERVER")
        else:
            notes.ok("%s %s%s" % (self._what, self._address.shown,
                                  found_by and ", found by %s" % found_by))
        if self._proxy is not None:
            notes.ok("it is reached through the proxy %s; %s in no_proxy would go without"
                     % (self._proxy.shown, self._address.host))
        return notes.findings

    def name(self) -> List[Finding]:
        """The host name, of the proxy if there is one: a proxy resolves names for us."""
        notes = Notes(TOPIC)
        if self._address is None:
            return notes.findings
        host, port = self._first_hop(self._address)
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            who = "proxy" if self._proxy is not None else self._what
            return self._failed(notes, "the name of the %s, %s, is unknown here" % (who, host),
                                "check its spelling and this node's DNS; compute nodes may know the "
                                "name of its internal network only")
        numbers = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        if numbers != [host]:
            notes.ok("%s is %s" % (host, ", ".join(numbers[:4])))
        return notes.findings

    def connection(self) -> List[Finding]:
        """A TCP connection, to the proxy if there is one."""
        notes = Notes(TOPIC)
        if self._address is None:
            return notes.findings
        host, port = self._first_hop(self._address)
        before = time.monotonic()
        try:
            (connect if self._proxy is None else socket.create_connection)((host, port), TIMEOUT).close()
        except ForeignServer as error:
            return self._failed(notes, error.what, error.advice)
        except OSError as error:
            what, advice = plain_words(error, TIMEOUT)
            if self._named and self._hint:
                advice = "%s; %s" % (advice, self._hint)
            return self._failed(notes, "no connection to %s:%d: %s" % (host, port, what),
                                self._advice(advice))
        return notes.ok("port %d of %s takes connections (%.0f ms)" % (
            port, host, (time.monotonic() - before) * 1000))

    def tls(self) -> List[Finding]:
        """The handshake, through the proxy's tunnel if there is one, and the certificate's end."""
        notes = Notes(TOPIC)
        if self._address is None or self._address.scheme != "https":
            return notes.findings
        try:
            self._tls = tls_context(self._certificate)
            connection = open_connection(self._address, self._proxy, TIMEOUT, self._tls)
        except (UsageError, ForeignServer) as error:
            return self._failed(notes, error.what, error.advice)
        except ssl.SSLCertVerificationError as error:
            return self._failed(notes, "its TLS certificate is not accepted: %s"
                                % error.verify_message, certificate.advice(error.verify_code))
        except (OSError, NotHttp) as error:
            what, advice = plain_words(error, TIMEOUT)
            return self._failed(notes, "no TLS connection: %s" % what, self._advice(advice))
        try:
            assert isinstance(connection.sock, ssl.SSLSocket)
            found = connection.sock.getpeercert()
            version = connection.sock.version()
        finally:
            connection.close()
        return certificate.expiry(notes, found, str(version), self._clock())

    def answer(self) -> List[Finding]:
        """What says GET /healthz."""
        notes = Notes(TOPIC)
        if self._address is None:
            return notes.findings
        try:
            self._health = self._ask(self._address)
        except ForeignServer as error:
            return self._failed(notes, error.what, error.advice)
        except (OSError, NotHttp, UnicodeError) as error:
            if self._speaks_tls(self._address):
                return self._failed(notes, *wrong_scheme(self._address))
            what, advice = plain_words(error, TIMEOUT)
            return self._failed(notes, "no answer to GET %s: %s" % (protocol.HEALTH, what),
                                self._advice(advice))
        answer, body, at = self._health
        status = answer.status
        notes.findings += clock_skew(answer.field("Date"), at)
        if status == 400 and self._speaks_tls(self._address):
            return self._failed(notes, *wrong_scheme(self._address))
        if status in probe.NO_ROUTE and self._counts_jobs():
            return notes.ok("a job server that knows only the base protocol: it tells no experiment")
        if status != 200:
            return self._failed(
                notes, "GET %s was answered with status %d" % (protocol.HEALTH, status),
                self._advice("it may be no job server: check host and port"))
        told = answers.object_in(body)
        try:
            probe.confirm(probe.introduced(told or {}), self._address.shown, None)
        except probe.WrongPort as error:
            return self._failed(notes, error.what, error.advice)
        if told is None or not isinstance(told.get("expId"), str):
            return self._failed(notes, "what answers there is no job server",
                                self._advice("check host and port"))
        return self._introduced(notes, told)

    def token(self) -> List[Finding]:
        """Whether GET /job_counts is answered with the token that workers would send."""
        notes = Notes(TOPIC)
        if not self._found:
            return notes.findings
        of_hub = (self._target is not None and self._target.grant is not None
                  and self._target.source.hub is not None)
        path = "" if of_hub else self._environ.get("JD_SERVER_TOKEN_FILE", "").strip()
        try:
            token = self._target.token() if self._target is not None else worker_token(self._environ)
        except JdError as error:
            return notes.problem(error.what, error.advice)
        if path and is_exposed(settingvalues.path(path)):
            notes.warn("token file %s can be read by others" % path, "chmod 600 %s" % path)
        if self._address is None:
            return notes.findings
        try:
            Client(self._url, lambda: token, TIMEOUT, self._experiment, self._certificate).call(
                "GET", protocol.JOB_COUNTS)
        except ServerRefused as error:
            if error.status == 401:
                if of_hub:
                    return notes.problem("the token from the Hub is not accepted", "the server must "
                                         "be one that was started with --hub for this experiment")
                what = "the server wants a token, and none is set" if token is None else (
                    "the token is not accepted")
                return notes.problem(what, "set JD_SERVER_TOKEN_FILE to a copy of the server's "
                                           "--token-file")
            return notes.problem(error.what, error.advice)
        except JdError as error:
            return notes.problem(error.what, error.advice)
        return notes.ok("the token is accepted" if token else "the server wants no token")

    @property
    def _hint(self) -> str:
        return "" if self._target is None else self._target.place.hint

    @property
    def _certificate(self) -> Optional[str]:
        return None if self._target is None else self._target.place.certificate

    @property
    def failed(self) -> bool:
        """Whether a step has failed, or none was made."""
        return self._address is None

    # ---- how

    def _failed(self, notes: Notes, what: str, advice: str) -> List[Finding]:
        self._address = None
        return (notes.problem if self._named else notes.warn)(what, advice)

    def _speaks_tls(self, address: Address) -> bool:
        return address.scheme == "http" and self._proxy is None and speaks_tls(address, TIMEOUT)

    def _first_hop(self, address: Address) -> Tuple[str, int]:
        if self._proxy is not None:
            return self._proxy.host, self._proxy.port
        return address.host, address.port

    def _advice(self, advice: str) -> str:
        assert self._address is not None
        if self._proxy is not None:
            return "%s; the proxy %s is in between: if the server is inside your network, add %s " \
                   "to no_proxy" % (advice, self._proxy.shown, self._address.host)
        if is_own_machine(self._address.host):
            return "%s; %s is this very node: if the server runs on another one, name that" % (
                advice, self._address.host)
        return advice

    def _ask(self, address: Address) -> Tuple[Answer, bytes, float]:
        connection = open_connection(address, self._proxy, TIMEOUT, self._tls)
        try:
            path = quote(address.prefix + protocol.HEALTH, safe="/:@!$&'()*+,;=~%")
            headers = {"Host": address.netloc, "User-Agent": USER_AGENT, "Connection": "close"}
            if address.basic is not None:
                headers["Authorization"] = address.basic
            if self._proxy is not None and address.scheme == "http":
                path = "http://%s%s" % (address.netloc, path)
                if self._proxy.basic is not None:
                    headers["Proxy-Authorization"] = self._proxy.basic
            connection.send_head("GET", path, headers)
            answer = connection.answer("GET")
            at = self._clock()
            return answer, answers.read(answer, MAX_HEALTH_BYTES), at
        finally:
            connection.close()

    def _counts_jobs(self) -> bool:
        """Whether it answers as a job server of the base does, which has no /healthz."""
        try:
            probe.check_counts(Client(self._url, timeout=TIMEOUT, certificate=self._certificate))
        except JdError:
            return False
        return True

    def _introduced(self, notes: Notes, told: Mapping[str, Any]) -> List[Finding]:
        serves, version = protocol.shown(told["expId"]), str(told.get("version", "unknown"))[:40]
        if self._experiment is not None and told["expId"] != self._experiment:
            notes.problem("the server serves experiment %s, not %r" % (serves, self._experiment),
                          "give expId=%s, or the URL of the other server" % serves.strip("'"))
        else:
            notes.ok("job server %s, experiment %s" % (version, serves))
        if version.split(".")[:2] != jd.__version__.split(".")[:2]:
            notes.warn("the server is version %s, this node has %s" % (version, jd.__version__),
                       "install the same version on both")
        return notes.findings


def clock_skew(date: Optional[str], now: float) -> List[Finding]:
    """This node's clock against the Date of an answer that came at `now`, in Unix seconds."""
    notes = Notes(TOPIC)
    try:
        theirs = parsedate_to_datetime(date or "").timestamp()
    except (TypeError, ValueError, IndexError, OverflowError):
        return notes.findings
    # The header counts whole seconds: it is up to one behind.
    ahead = now - theirs - 0.5
    if abs(ahead) <= SKEW_WARNING:
        return notes.ok("this node's clock agrees with the server's")
    text = "this node's clock is %.0f s %s the server's" % (
        abs(ahead), "ahead of" if ahead > 0 else "behind")
    grave = abs(ahead) > SKEW_PROBLEM
    return (notes.problem if grave else notes.warn)(
        text, "have both set by NTP: tokens expire wrongly, and logs do not line up")
