"""What the Hub gives in exchange for an API key: a worker token, and where the job server is.

See docs/hub.md, "API". `access` decides the mode: it is Hub mode when there is an API key and nobody names
a server or a port.
"""

from __future__ import annotations

import re
import time

from jd import settings, settingvalues
from jd.auth.tokenfiles import lifetime
from jd.errors import JdError, ServerRefused, ServerUnreachable
from jd.fields import take, take_number
from jd.net.client import Client, Refusal
from jd.net.finding import accessfile, probe
from jd.net.retry import retry, uniform_between
from jd.protocol import ProtocolError
from jd.settings import WORKER, Setting
from jd.shape import Shape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Mapping

    from jd.net.retry import Uniform

ROUTE = "/api/worker/token"
KEYS_PAGE = "/api-keys"
TIMEOUT = 10.0  # seconds for each wait on the network
LIFETIME = 3600.0  # seconds, of a token that does not say (docs/hub.md)
MARGIN = 300.0  # seconds before the end, from where on it is renewed
BUSY_TRIES = 4  # in all, when the Hub says that there are too many requests
_BUSY_PAUSES = (2.0, 10.0)
# No experiment can be called so: a Hub's 404 tells that the key is good (spec: the Hub).
_IMPOSSIBLE = "-key-check-"
_DEFINITE = (401, 403, 404)
_CHECK_URL = "check hub= or JD_HUB_URL"
_CHECKPOINT_KEY = re.compile(r"[0-9a-f]{64}")


class HubRefused(ServerRefused):
    """The Hub said no, and will say so again: the key, the account or the experiment is wrong."""


class NoHub(ServerUnreachable):
    """Something answered, and it is no Hub: what it says is nothing about the key."""


class Access(Shape):
    """A Hub and a key for it. `instead` ends what is said where neither Hub nor key is of use: how to
    reach a server of one's own."""

    _SECRET = ("key",)
    _BESIDE = ("instead",)

    def __init__(self, url: str, key: str, instead: str = "") -> None:
        self.url = url
        self.key = key
        self.instead = instead

    def client(self, timeout: float = TIMEOUT) -> Client:
        """A client that sends the key."""
        return Client(self.url, lambda: self.key, timeout)


class Grant(Shape):
    """A worker token and what belongs to it. `expires` and `since` are on the monotonic clock;
    it is renewed from `margin` seconds before the end. `checkpoint_key` is what all workers of this
    user sign checkpoints with; None from a Hub that has none to give."""

    _SECRET = ("token", "checkpoint_key")

    def __init__(self, token: str, server: str, since: float, expires: float, margin: float,
                 checkpoint_key: str | None = None) -> None:
        self.token = token
        self.server = server
        self.since = since
        self.expires = expires
        self.margin = margin
        self.checkpoint_key = checkpoint_key


def _setting(name: str) -> Setting:
    return next(setting for setting in WORKER if setting.name == name)


def access(arguments: Mapping[str, str], environ: Mapping[str, str],
           experiment: str | None = None) -> Access | None:
    """The mode rule: Hub and key, or None for a launch that names its server or port, or has no key.

    Raises UsageError for a key or URL that cannot be used, and what `hub_url` does.
    """
    if any(settings.lookup(_setting(name), arguments, environ) for name in ("server", "port")):
        return None
    if not arguments.get("api_key", "").strip():
        arguments = {name: value for name, value in arguments.items() if name != "api_key"}
    values = settings.resolve([_setting("api_key"), _setting("hub")], arguments, environ)
    if values["api_key"] is None:
        return None
    return advised(Access(hub_url(arguments, environ, experiment), values["api_key"]), experiment, environ)


def hub_url(arguments: Mapping[str, str], environ: Mapping[str, str],
            experiment: str | None = None) -> str:
    """The Hub that is named, else that of the experiment's access file, else the default.

    Raises UsageError, and StorageError for an access file that cannot be used: the key must not go to
    another Hub than it was made for.
    """
    if experiment is not None and settings.lookup(_setting("hub"), arguments, environ) is None:
        place = accessfile.find(experiment, environ)
        told = None if place is None else place.hub_here()
        if told is not None:
            return told
    return str(settings.resolve([_setting("hub")], arguments, environ)["hub"])


def advised(hub: Access, experiment: str | None, environ: Mapping[str, str]) -> Access:
    """`hub` with how to reach a server without a Hub, where the experiment has the access file of one."""
    try:
        place = None if experiment is None else accessfile.find(experiment, environ)
        if experiment is None or place is None or place.hub is not None:
            return hub
        return Access(hub.url, hub.key, "to use the server of %s without a Hub give server=@%s, or unset "
                                        "JD_API_KEY" % (experiment, accessfile.path_of(experiment, environ)))
    except JdError:
        return hub  # a file that cannot be used is no way


def request(hub: Access, experiment: str, clock: Callable[[], float] = time.monotonic) -> Grant:
    """Ask the Hub for a token, once.

    Raises HubRefused where asking again is of no use; ServerRefused for another refusal, with the
    Hub's Retry-After; ServerUnreachable when it cannot be reached, NoHub where something else answers.
    """
    since = clock()  # the Hub counts from later: the token lives a little longer than we think
    client = hub.client()
    try:
        answer = client.call("POST", ROUTE, {"experiment_name": experiment})
    except ServerRefused as error:
        raise _explained(hub, experiment, error) from error
    except ServerUnreachable as error:
        raise _away(hub, error) from error
    try:
        return _grant(answer, since)
    except (ProtocolError, ValueError) as error:
        raise ServerUnreachable("%s answered wrongly: %s" % (client.shown, error),
                                "it may be no Hub: check hub= or JD_HUB_URL") from None


def request_patiently(hub: Access, experiment: str,
                      sleep: Callable[[float], None] = time.sleep,
                      uniform: Uniform = uniform_between) -> Grant:
    """`request` for a launch: a Hub that has too much to do is asked a few times."""
    return retry(lambda: request(hub, experiment), BUSY_TRIES, _BUSY_PAUSES, _is_busy, sleep, uniform)


_grants: dict[tuple[Access, str], Grant] = {}


def grant_for(hub: Access, experiment: str, fresh: bool = False) -> Grant:
    """A token that is good for a while yet; the Hub is asked once in this process for each.

    Where the Hub is away, the one at hand serves as long as it lives. `fresh` is for a caller whom the server
    at hand has refused or not answered: the Hub is asked again. Raises as `request_patiently`.
    """
    found, now = _grants.get((hub, experiment)), time.monotonic()
    if fresh or found is None or now >= found.since + (found.expires - found.since) / 2:
        try:
            found = _grants[hub, experiment] = request_patiently(hub, experiment)
        except ServerUnreachable:
            if found is None or now >= found.expires:
                raise
    return found


def check_key(hub: Access) -> None:
    """Returns if the Hub knows the key.

    Raises HubRefused for one that it does not know or that is suspended, NoHub where something else
    answers, ServerRefused and ServerUnreachable where the Hub could not tell.
    """
    client = hub.client()
    try:
        client.call("POST", ROUTE, {"experiment_name": _IMPOSSIBLE})
    except ServerRefused as error:
        if error.status in (401, 403):
            raise _explained(hub, _IMPOSSIBLE, error) from error
        if error.status not in (404, 429):  # too many requests of a key that it knows
            raise
        _check_origin(client, error)
    except ServerUnreachable as error:
        raise _away(hub, error) from error
    else:
        raise NoHub("%s gave a token for an experiment that cannot exist: it is no Hub" % client.shown,
                    _CHECK_URL)


# ---- how

def _check_origin(client: Client, error: ServerRefused) -> None:
    """Returns if a refusal can be a Hub's. Raises NoHub.

    A Hub that knows only the base protocol does not say what it is, and may have a page for every
    path; its refusals are JSON objects.
    """
    if getattr(error, "told", None) is None:
        raise NoHub("%s: that is not how a Hub answers" % error, _CHECK_URL)
    try:
        kind = probe.ask(client).kind
    except (ServerUnreachable, probe.WrongPort):
        return
    if kind != probe.HUB and (kind in (probe.JOB_SERVER, probe.DASHBOARD)
                                  or probe.counts_jobs(client)):
        raise NoHub("%s is a job server%s, not a Hub"
                    % (client.shown, "'s dashboard" if kind == probe.DASHBOARD else ""),
                    _CHECK_URL)


def _away(hub: Access, error: JdError) -> ServerUnreachable:
    another = "hub= or JD_HUB_URL names another"
    if not hub.instead:
        another += ", and server= a job server without a Hub"
    return ServerUnreachable("the Hub %s cannot be reached: %s" % (hub.client().shown, error.what),
                             error.advice, another, hub.instead)


def _is_busy(error: JdError) -> bool:
    return isinstance(error, ServerRefused) and error.status == 429


def _explained(hub: Access, experiment: str, error: ServerRefused) -> ServerRefused:
    shown = hub.client().shown
    texts = {
        401: ("the Hub %s does not know this key" % shown,
              "create one at %s%s and set JD_API_KEY" % (shown, KEYS_PAGE)),
        403: ("the Hub lets nobody work with this key or experiment: %s" % error.what, error.advice),
        404: ("the Hub %s has no experiment %s for this key" % (shown, experiment),
              "check expId=, or have it created or shared with you"),
        503: ("no job server of %s has registered with the Hub yet" % experiment,
              "start one: jd_server --expId %s --hub %s" % (experiment, shown)),
    }
    what, advice = texts.get(error.status, ("the Hub gave no token: %s" % error.what, error.advice))
    if error.status in _DEFINITE:
        _check_origin(hub.client(), error)
        return HubRefused(error.status, what, advice, hub.instead)
    return Refusal(error.status, what, advice, retry_after=getattr(error, "retry_after", None))


def _grant(answer: Any, since: float) -> Grant:
    if not isinstance(answer, dict):
        raise ValueError("not with an object")
    token = take(answer, "worker_token", str)
    server = settingvalues.server_url(take(answer, "server_url", str))
    ends = take_number(answer, "expires_at")
    margin = take_number(answer, "refresh_margin_secs", MARGIN) or 0.0
    life = lifetime(token) or (LIFETIME if ends is None else max(0.0, ends - time.time()))
    key = take(answer, "checkpoint_key", str, None)
    if key is not None and not _CHECKPOINT_KEY.fullmatch(key):
        # Not the key itself: it is a secret.
        raise ValueError("with a checkpoint_key that is not 64 hexadecimal digits")
    return Grant(token, server, since, since + life, min(margin, life / 2), key)
