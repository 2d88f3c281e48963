"""What the web pages ask: experiments, keys and users of who is signed in (docs/hub.md)."""

import asyncio
from typing import Any, Callable, Dict, List, TypeVar

from jd import fields
from jd import protocol as p
from jd.auth import pins
from jd.auth.hashers import Hashers
from jd.auth.jwt import WORK
from jd.hub.data import HubData
from jd.hub.routes import signup_url
from jd.hub.signin import WEB
from jd.hub.store import accounts, experiments
from jd.hub.store.accounts import Key, User
from jd.hub.store.experiments import Experiment
from jd.hub.store.signins import SignedIn
from jd.net.serving.routing import HttpError, Request, Response, Router

T = TypeVar("T")

SERVER_SILENT = 300.0  # seconds without a word after which a job server counts as gone


class WebRoutes:
    """Handlers for pages; `request.principal` is the SignedIn."""

    def __init__(self, data: HubData, hashers: Hashers) -> None:
        self._data = data
        self._hashers = hashers

    def add_to(self, router: Router) -> None:
        """Put the rows into the table."""
        router.add("GET", WEB + "me", self._me)
        router.add("GET", WEB + "experiments", self._experiments)
        router.add("POST", WEB + "experiments", self._create_experiment)
        router.add("POST", WEB + "experiments/check", self._check_name)
        router.add("POST", WEB + "experiments/<name>/share", self._share)
        router.add("POST", WEB + "experiments/<name>/unshare", self._unshare)
        router.add("POST", WEB + "experiments/<name>/pin", self._reset_pin)
        router.add("POST", WEB + "experiments/<name>/delete", self._delete)
        router.add("GET", WEB + "api-keys", self._keys)
        router.add("POST", WEB + "api-keys", self._create_key)
        router.add("POST", WEB + "api-keys/<int:id>/revoke", self._revoke_key)
        router.add("GET", WEB + "users", self._users)
        router.add("POST", WEB + "users", self._add_user)
        router.add("POST", WEB + "users/link", self._link)
        router.add("POST", WEB + "users/suspend", self._suspend)
        router.add("POST", WEB + "users/resume", self._resume)

    async def _me(self, request: Request) -> Response:
        me = _signed_in(request)
        return Response.json({"email": me.email, "admin": me.admin})

    # ---- experiments

    async def _experiments(self, request: Request) -> Response:
        now = self._data.clock()
        return Response.json({"now": now, "experiments": await self._data.read(
            _experiments_of, _signed_in(request), now)})

    async def _check_name(self, request: Request) -> Response:
        name = fields.take(await request.json_object(), "name", str)
        try:
            await self._data.read(experiments.check_free, name, _signed_in(request).user_id)
        except (p.ProtocolError, experiments.NameTaken) as error:
            return Response.json({"free": False, "reason": str(error)})
        return Response.json({"free": True, "reason": None})

    async def _create_experiment(self, request: Request) -> Response:
        me = _signed_in(request)
        name = fields.take(await request.json_object(), "name", str)
        found = await self._write(experiments.create, name, me.user_id, me.email)
        return Response.json({"success": True, "name": found.name}, 201)

    async def _share(self, request: Request) -> Response:
        me, body = _signed_in(request), await request.json_object()
        email = fields.take(body, "email", str).strip()
        found = await self._write(experiments.share, request.params["name"], email,
                                  fields.take(body, "role", str, WORK), me.user_id, me.email)
        if email.lower() == me.email.lower():
            raise HttpError(400, "this experiment is yours already; give the address of somebody else")
        return await self._shares(found)

    async def _unshare(self, request: Request) -> Response:
        me = _signed_in(request)
        email = fields.take(await request.json_object(), "email", str).strip()
        return await self._shares(await self._write(
            experiments.unshare, request.params["name"], email, me.user_id, me.email))

    async def _shares(self, found: Experiment) -> Response:
        return Response.json({"success": True, "shared_with": await self._data.read(_shares_of, found)})

    async def _reset_pin(self, request: Request) -> Response:
        """A PIN for the dashboard, told this once."""
        me, name = _signed_in(request), request.params["name"]
        await request.json_object()
        await self._data.read(experiments.active, name, me.user_id)  # before a thread is taken up with it
        pin = pins.new_pin()
        encoded = await self._hashers.run(pins.encode, pin)
        await self._write(experiments.reset_pin, name, me.user_id, encoded, me.email)
        return Response.json({"success": True, "name": name, "pin": pin})

    async def _delete(self, request: Request) -> Response:
        me, name = _signed_in(request), request.params["name"]
        if fields.take(await request.json_object(), "confirm", str) != name:
            raise HttpError(400, "the name that was typed is not %s; nothing was deleted" % p.shown(name))
        await self._write(experiments.delete, name, me.user_id, me.email)
        return Response.json({"success": True, "name": name})

    # ---- keys

    async def _keys(self, request: Request) -> Response:
        listed = await self._data.read(accounts.list_keys, _signed_in(request).email)
        return Response.json({"now": self._data.clock(), "keys": [_key_facts(key) for key in listed]})

    async def _create_key(self, request: Request) -> Response:
        me = _signed_in(request)
        name = fields.take(await request.json_object(), "name", str)
        key, secret = await self._write(accounts.create_key, me.email, name, me.email)
        return Response.json(dict(_key_facts(key), key=secret, hub_url=await self._url()), 201)

    async def _revoke_key(self, request: Request) -> Response:
        me = _signed_in(request)
        await request.json_object()
        try:
            key = await self._write(_revoke, request.params["id"], me)
        except accounts.NoSuchKey:
            raise HttpError(404, "you have no such key") from None
        return Response.json(_key_facts(key))

    # ---- users

    async def _users(self, request: Request) -> Response:
        _admin(request)
        return Response.json({"now": self._data.clock(), "users": [
            _user_facts(user) for user in await self._data.read(accounts.list_users)]})

    async def _add_user(self, request: Request) -> Response:
        me, body = _admin(request), await request.json_object()
        email = fields.take(body, "email", str).strip()
        user, token = await self._write(accounts.invite, email, fields.take(body, "admin", bool, False),
                                        me.email)
        return await self._invited(user, token, 201)

    async def _link(self, request: Request) -> Response:
        me = _admin(request)
        email = fields.take(await request.json_object(), "email", str)
        return await self._invited(*await self._write(accounts.invite_again, email, me.email), 200)

    async def _invited(self, user: User, token: str, status: int) -> Response:
        return Response.json(dict(_user_facts(user), signup_url=signup_url(await self._url(), token)),
                             status)

    async def _suspend(self, request: Request) -> Response:
        me = _admin(request)
        email = fields.take(await request.json_object(), "email", str)
        if email.lower() == me.email.lower():
            raise HttpError(400, "you cannot suspend yourself; another administrator can")
        return Response.json(_user_facts(await self._write(accounts.suspend, email, me.email)))

    async def _resume(self, request: Request) -> Response:
        me = _admin(request)
        email = fields.take(await request.json_object(), "email", str)
        return Response.json(_user_facts(await self._write(accounts.resume, email, me.email)))

    # ---- steps

    async def _url(self) -> str:
        """As the sign-up links and JD_HUB_URL of the Hub's users begin."""
        return await asyncio.get_running_loop().run_in_executor(None, self._data.url)

    async def _write(self, operation: Callable[..., T], *arguments: Any) -> T:
        """Run an operation whose last argument is the time; its errors for who has no terminal here."""
        try:
            return await self._data.write(operation, *arguments, self._data.clock())
        except accounts.NoSuchUser:
            raise HttpError(404, "nobody on this Hub has that address; an administrator can add them "
                                 "under Users") from None
        except accounts.UserExists:
            raise HttpError(409, "somebody has that address already; New link in their row makes them "
                                 "a new sign-up link") from None


def _signed_in(request: Request) -> SignedIn:
    user: SignedIn = request.principal
    return user


def _admin(request: Request) -> SignedIn:
    """Raises HttpError (403)."""
    if not _signed_in(request).admin:
        raise HttpError(403, "this is for administrators of the Hub")
    return _signed_in(request)


def _experiments_of(db: Any, me: SignedIn, now: float) -> List[Dict[str, Any]]:
    return [_own_facts(db, found, me, now) if found.owner_id == me.user_id
            else _experiment_facts(found, me, now)
            for found in experiments.list_experiments(db, me.user_id)]


def _own_facts(db: Any, found: Experiment, me: SignedIn, now: float) -> Dict[str, Any]:
    return dict(_experiment_facts(found, me, now), shared_with=_shares_of(db, found),
                pin_waits=experiments.waiting_pin(db, found.id) is not None)


def _shares_of(db: Any, found: Experiment) -> List[Dict[str, str]]:
    return [share._asdict() for share in experiments.shared_with(db, found.id)]


def _experiment_facts(found: Experiment, me: SignedIn, now: float) -> Dict[str, Any]:
    if found.server_url is None or found.server_seen_at is None:
        server = "none"
    else:
        server = "online" if now - found.server_seen_at < SERVER_SILENT else "silent"
    return {"name": found.name, "owner": found.owner, "own": found.owner_id == me.user_id,
            "shared_with": [], "pin_waits": False, "server": server, "server_url": found.server_url,
            "dashboard_url": found.dashboard_url, "created_at": found.created_at,
            "last_activity": found.last_activity, "server_seen_at": found.server_seen_at}


def _key_facts(key: Key) -> Dict[str, Any]:
    return {"id": key.id, "name": key.name, "prefix": key.prefix, "created_at": key.created_at,
            "last_used_at": key.last_used_at, "revoked_at": key.revoked_at}


def _user_facts(user: User) -> Dict[str, Any]:
    status = "active" if user.signed_up else "invited"
    return {"email": user.email, "admin": user.admin, "created_at": user.created_at,
            "status": status if user.suspended_at is None else "suspended"}


def _revoke(db: Any, key_id: int, me: SignedIn, now: float) -> Key:
    return accounts.revoke_key(db, key_id, me.email, now, me.user_id)
