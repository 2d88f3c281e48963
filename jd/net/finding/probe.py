"""Who answers at the address of a job server: the server, its dashboard, a Hub, or something else.

`GET /healthz` is open to all and is asked without a token. A server that knows only the base protocol has
no such route; `GET /job_counts` then shows that it is one. That request carries the token, so it is made
only where JSON came back, as from our servers.
"""

from __future__ import annotations

import sys
from urllib.parse import urlsplit

from jd import protocol
from jd.errors import JdError, ServerRefused, ServerUnreachable
from jd.net.answerhead import NotHttp
from jd.net.client import Client, OtherExperiment, SpeaksTls, UnusableAnswer, other_experiment
from jd.net.peer.portowner import ForeignServer
from jd.net.peer.proof import Unproven
from jd.shape import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping

JOB_SERVER = "job server"
DASHBOARD = "dashboard"
HUB = "Hub"
UNTOLD = "untold"  # it talks JSON as our servers do, and does not say what it is
MUTE = "mute"  # it has no such route, and says so in another way

_AWAY = frozenset((408, 429, 500, 502, 503, 504))  # of a proxy whose server is away, or of a busy server
NO_ROUTE = frozenset((404, 405, 501))


class WrongPort(JdError):
    """What answers is no job server. Waiting changes nothing, unlike with one that is away."""


class Answerer(NamedTuple):
    """Who answers, as far as it tells. `api_port` is told by a dashboard."""

    kind: str
    experiment: str | None = None
    version: str | None = None
    api_port: int | None = None


def check(client: Client, experiment: str) -> None:
    """Returns where a job server that may have `experiment` answers, or nobody does.

    Raises OtherExperiment for the server of another one, ForeignServer where another user of this machine
    has the port, and WrongPort for anything else that answers. A token that is not accepted is not judged
    here.
    """
    try:
        found = ask(client)
        if found.kind in (UNTOLD, MUTE):
            check_counts(client if found.kind == UNTOLD else client.anonymous())
        else:
            confirm(found, client.shown, experiment)
            _have_proven(client)
    except (OtherExperiment, ForeignServer):
        raise
    except ServerUnreachable:
        pass


def ask(client: Client) -> Answerer:
    """Ask `GET /healthz`, without the client's token.

    Raises ServerUnreachable while nobody answers, also where a proxy says so for its server, and
    WrongPort for what is none of ours.
    """
    try:
        answer = client.anonymous().call("GET", protocol.HEALTH)
    except (ServerRefused, ServerUnreachable) as error:
        judged = _judged(error)
        if judged is None:
            return Answerer(UNTOLD)
        if getattr(error, "status", None) in NO_ROUTE:
            return Answerer(MUTE)
        raise judged from error
    if not isinstance(answer, dict):
        raise _no_job_server(client, protocol.HEALTH, answer)
    return introduced(answer)


def check_counts(client: Client) -> None:
    """Returns where `GET /job_counts` is answered as a job server does, or wants another token.

    Raises ServerUnreachable where it is away, among these OtherExperiment; and WrongPort.
    """
    try:
        answer = client.call("GET", protocol.JOB_COUNTS)
    except (ServerRefused, ServerUnreachable) as error:
        judged = _judged(error)
        if judged is None and getattr(error, "status", None) in (401, 403):
            return
        raise judged or WrongPort("%s: it is no job server" % error, "check server= and port=") from error
    if not _is_counts(answer):
        raise _no_job_server(client, protocol.JOB_COUNTS, answer)


def counts_jobs(client: Client) -> bool:
    """Whether `GET /job_counts` is answered to everybody, as a job server without keys does."""
    try:
        answer = client.anonymous().call("GET", protocol.JOB_COUNTS)
    except (ServerRefused, ServerUnreachable):
        return False
    return _is_counts(answer)


def explained(client: Client, error: ServerRefused) -> JdError:
    """The error of a route that is not there: WrongPort if a dashboard or a Hub answers, else `error`."""
    if error.status in NO_ROUTE:
        try:
            confirm(ask(client), client.shown, None)
        except WrongPort as told:
            return told
        except ServerUnreachable:
            pass
    return error


def confirm(found: Answerer, shown: str, experiment: str | None) -> None:
    """Returns if `found`, who answers at the URL `shown`, can be the job server of `experiment`; None
    stands for any. Raises OtherExperiment, and WrongPort for a dashboard or a Hub."""
    if found.kind == HUB:
        raise WrongPort("%s is a Hub, not a job server" % shown,
                        "name it with hub= or JD_HUB_URL, with an API key in JD_API_KEY, and leave "
                        "server= and JD_SERVER out")
    if found.kind == DASHBOARD:
        raise WrongPort("%s is the dashboard of experiment %s, not its API" % (shown, found.experiment),
                        "give server=%s" % _with_port(shown, found.api_port))
    if None not in (experiment, found.experiment) and found.experiment != experiment:
        raise other_experiment(shown, str(found.experiment), str(experiment))


def introduced(answer: Mapping[str, Any]) -> Answerer:
    """Who says this of itself in answer to `GET /healthz`."""
    experiment, version, port = (answer.get(name) for name in ("expId", "version", "api_port"))
    kind = UNTOLD if not isinstance(experiment, str) else JOB_SERVER
    if answer.get("service") == protocol.HUB_SERVICE:
        kind = HUB
    elif kind == JOB_SERVER and answer.get("role") == protocol.ROLE_DASHBOARD:
        kind = DASHBOARD
    return Answerer(kind, _plain(experiment), _plain(version),
                    port if isinstance(port, int) and 0 < port < 65536 else None)


def _have_proven(client: Client) -> None:
    """Returns if what calls itself our server knows the token, where it has to show that. Raises
    WrongPort, ServerUnreachable."""
    try:
        client.have_proven()
    except ServerRefused:
        pass  # which token is right is not judged here
    except ServerUnreachable as error:
        raise _judged(error) or error from error


def _judged(error: JdError) -> JdError | None:
    """What a failed call tells of who answers: ServerUnreachable for nobody, OtherExperiment or
    WrongPort for somebody else; None for a refusal that is worded as ours are."""
    if isinstance(error, ServerRefused):
        if error.status in _AWAY:
            return ServerUnreachable(error.what, error.advice)
        if error.status >= 400 and getattr(error, "told", None) is not None:
            return None
        return WrongPort("%s: it speaks HTTP, and is no job server" % error, "check server= and port=")
    cause = error.__cause__
    if isinstance(error, (UnusableAnswer, SpeaksTls)) or isinstance(cause, Unproven):
        return WrongPort(error.what, error.advice)
    # A connection that is closed without a word may be a server that is just being restarted.
    if isinstance(cause, NotHttp) or _speaks_no_tls(cause):
        return WrongPort(error.what, error.advice)
    return error


def _speaks_no_tls(cause: BaseException | None) -> bool:
    """Whether a call of https failed since the other end does not speak TLS."""
    if "ssl" not in sys.modules:
        return False
    import ssl
    return isinstance(cause, ssl.SSLError) and not isinstance(
        cause, (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLCertVerificationError))


def _is_counts(answer: object) -> bool:
    return isinstance(answer, dict) and bool(set(protocol.JOB_STATUSES_ALL) & set(answer))


def _no_job_server(client: Client, route: str, answer: object) -> WrongPort:
    return WrongPort("%s answers GET %s with %s: it is no job server"
                     % (client.shown, route, protocol.shown(answer)),
                     "check server= and port=")


def _plain(value: object) -> str | None:
    """A name from an answer, safe on a terminal."""
    if not isinstance(value, str):
        return None
    return "".join(c if c.isprintable() else "?" for c in value[:protocol.MAX_NAME_CHARS])


def _with_port(url: str, port: int | None) -> str:
    """`url` with another port; a placeholder where that is not known."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return "%s://%s:%s" % (parts.scheme, "[%s]" % host if ":" in host else host, port or "PORT")
