"""What programs ask the Hub: "Base: the Hub" of docs/protocol.md, and docs/hub.md."""

import sqlite3
from typing import Any, Dict, List, Optional, Tuple
from urllib.parse import urlsplit

from jd import fields, settingvalues
from jd import protocol as p
from jd.hub.data import HubData
from jd.hub.quota import Quota
from jd.hub.store import experiments, issuing, tokens
from jd.hub.store.accounts import Caller
from jd.hub.store.experiments import Experiment
from jd.net.serving.routing import HttpError, Request, Response, Router

WORKER_TOKEN = "/api/worker/token"
EXPERIMENTS = "/api/experiments"
EXPERIMENT = "/api/experiments/<name>"
SIGNUP = "/signup"

MAX_URL_CHARS = 500
RETRY_AFTER = 30  # seconds until a job server may have registered


class ApiRoutes:
    """Handlers for programs that send an API key; `request.principal` is the Caller."""

    def __init__(self, data: HubData, quota: Quota) -> None:
        self._data = data
        self._quota = quota

    def add_to(self, router: Router) -> None:
        """Put the rows into the table."""
        router.add("POST", WORKER_TOKEN, self._worker_token)
        router.add("POST", EXPERIMENTS, self._create)
        router.add("GET", EXPERIMENT, self._show)
        router.add("DELETE", EXPERIMENT, self._delete)
        router.add("GET", EXPERIMENT + "/runtime-config", self._runtime_config)
        router.add("POST", EXPERIMENT + "/register", self._register)
        router.add("POST", EXPERIMENT + "/heartbeat", self._heartbeat)
        router.add("GET", EXPERIMENT + "/revoked-tokens", self._revoked_tokens)
        router.add("POST", EXPERIMENT + "/revoke-token", self._revoke_token)

    # ---- workers

    async def _worker_token(self, request: Request) -> Response:
        caller = _caller(request)
        wait = self._quota.take(caller.key_id)
        if wait:
            raise HttpError(429, "this API key has asked for %d tokens within a minute; try again in "
                                 "%d s" % (self._quota.limit, wait), {"Retry-After": str(wait)})
        # Any text will do: clients check a key by asking for a name that can't exist.
        name = fields.take(await request.json_object(), "experiment_name", str)
        try:
            issued = await self._data.write(lambda db, now: issuing.issue(db, caller, name, now))
        except issuing.NoServer as error:
            raise HttpError(503, str(error), {"Retry-After": str(RETRY_AFTER)}) from None
        return Response.json({
            "worker_token": issued.token, "server_url": issued.server_url,
            "exp_name": issued.exp_name, "expires_at": issued.expires_at,
            "refresh_margin_secs": int(issuing.REFRESH_MARGIN),
            "checkpoint_key": issued.checkpoint_key})

    # ---- experiments

    async def _create(self, request: Request) -> Response:
        caller = _caller(request)
        name = fields.take(await request.json_object(), "name", str)
        return Response.json(created(await self._data.write(
            lambda db, now: experiments.create(db, name, caller.user_id, caller.email, now))), 201)

    async def _show(self, request: Request) -> Response:
        caller, name = _caller(request), request.params["name"]
        found = await self._data.read(lambda db: experiments.find(db, name, caller.user_id))
        return Response.json({
            "id": found.id, "name": found.name, "status": found.status,
            "server_url": found.server_url, "dashboard_url": found.dashboard_url,
            "created_at": found.created_at, "last_activity": found.last_activity})

    async def _delete(self, request: Request) -> Response:
        caller, name = _caller(request), request.params["name"]
        found = await self._data.write(lambda db, now: experiments.delete(
            db, name, caller.user_id, caller.email, now))
        return Response.json({"success": True, "name": found.name, "status": found.status,
                              "message": "experiment %s is deleted; its workers are told to stop"
                                         % found.name})

    # ---- job servers

    async def _runtime_config(self, request: Request) -> Response:
        caller, name = _caller(request), request.params["name"]
        found, secret = await self._data.read(lambda db: _with_secret(db, name, caller.user_id))
        return Response.json({
            "worker_shared_secret": secret, "server_url": found.server_url,
            "dashboard_url": found.dashboard_url, "experiment_id": found.id, "name": found.name,
            "status": found.status, "owner_id": found.owner_id, "owner": found.owner})

    async def _register(self, request: Request) -> Response:
        body = await request.json_object()
        server_url = _url(body, "server_url")
        if server_url is None:
            raise p.ProtocolError("server_url is missing: the URL at which workers reach this server")
        caller, name, dashboard_url = _caller(request), request.params["name"], _url(body, "dashboard_url")
        found = await self._data.write(lambda db, now: experiments.register(
            db, name, caller.user_id, server_url, dashboard_url, now))
        return Response.json({"status": found.status, "experiment_id": found.id,
                              "server_url": found.server_url, "dashboard_url": found.dashboard_url})

    async def _heartbeat(self, request: Request) -> Response:
        body = {} if request.body.length == 0 else await request.json_object()
        caller, name = _caller(request), request.params["name"]
        experiment_id = fields.take_name(body, "experiment_id", None)
        pin_taken = fields.take_id(body, "dashboard_pin", 0)
        found = await self._data.write(lambda db, now: experiments.server_seen(
            db, name, caller.user_id, experiment_id, pin_taken, now))
        pin = await self._data.read(lambda db: experiments.waiting_pin(db, found.id))
        facts: Dict[str, Any] = {"status": found.status}
        if pin is not None:
            facts["dashboard_pin"] = {"number": pin.number, "hash": pin.hash}
        return Response.json(facts)

    async def _revoked_tokens(self, request: Request) -> Response:
        return Response.json({"revoked_jtis": await self._data.read(
            lambda db: _revoked(db, request.params["name"], _caller(request).user_id, self._data.clock()))})

    async def _revoke_token(self, request: Request) -> Response:
        caller = _caller(request)
        jti = fields.take_name(await request.json_object(), "jti")
        await self._data.write(lambda db, now: _revoke(db, request.params["name"], caller.user_id, jti, now))
        return Response.json({"success": True, "jti": jti})


def created(found: Experiment) -> Dict[str, Any]:
    """What is told of a new experiment."""
    return {"experiment_id": found.id, "name": found.name, "server_url": found.server_url,
            "dashboard_url": found.dashboard_url,
            "message": "experiment %s is created; workers can join when its job server has registered"
                       % found.name}


def signup_url(base_url: str, token: str) -> str:
    """A one-time link. The secret is in the query, which no log of the Hub repeats."""
    return "%s%s?token=%s" % (base_url, SIGNUP, token)


def _caller(request: Request) -> Caller:
    caller: Caller = request.principal
    return caller


def _url(body: Dict[str, Any], name: str) -> Optional[str]:
    """A URL that workers and browsers will be sent to: http or https, without a password in it."""
    given = fields.take_name(body, name, None, MAX_URL_CHARS)
    if given is None:
        return None
    try:
        url = settingvalues.server_url(given)
        if "://" in given and given.isascii() and " " not in given and "@" not in urlsplit(url).netloc:
            return url
    except ValueError:
        pass
    raise p.ProtocolError("%s must be a URL such as https://host:5000, without a user name, not %s"
                          % (name, p.shown(given)))


def _with_secret(db: sqlite3.Connection, name: str, user_id: int) -> Tuple[Experiment, str]:
    found = experiments.active(db, name, user_id)
    return found, experiments.secret_of(db, found.id)


def _revoked(db: sqlite3.Connection, name: str, user_id: int, now: float) -> List[str]:
    return tokens.revoked(db, experiments.owned(db, name, user_id).name, now)


def _revoke(db: sqlite3.Connection, name: str, user_id: int, jti: str, now: float) -> None:
    tokens.revoke(db, experiments.owned(db, name, user_id).id, jti, now)
