"""What the Hub's web pages ask: the experiments, keys and users of the person who is signed in
(docs/hub.md).
"""

import asyncio
import sqlite3
from typing import Any, Dict, List, TypeVar

from jd import fields
from jd import protocol as p
from jd.auth import pins
from jd.auth.hashers import Hashers
from jd.auth.jwt import WORK
from jd.hub.data import Change, HubData
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
            lambda db: _experiments_of(db, _signed_in(request), now))})

    async def _check_name(self, request: Request) -> Response:
        name = fields.take(await request.json_object(), "name", str)
        try:
            await self._data.read(lambda db: experiments.check_free(db, name, _signed_in(request).user_id))
        except (p.ProtocolError, experiments.NameTaken) as error:
            return Response.json({"free": False, "reason": str(error)})
        return Response.json({"free": True, "reason": None})

    async def _create_experiment(self, request: Request) -> Response:
        me = _signed_in(request)
        name = fields.take(await request.json_object(), "name", str)
        found = await self._write(lambda db, now: experiments.create(db, name, me.user_id, me.email, now))
        return Response.json({"success": True, "name": found.name}, 201)

    async def _share(self, request: Request) -> Response:
        me, body = _signed_in(request), await request.json_object()
        email = fields.take(body, "email", str).strip()
        name, role = request.params["name"], fields.take(body, "role", str, WORK)
        found = await self._write(lambda db, now: experiments.share(
            db, name, email, role, me.user_id, me.email, now))
        if email.lower() == me.email.lower():
            raise HttpError(400, "this experiment is yours already; give the address of somebody else")
        return await self._shares(found)

    async def _unshare(self, request: Request) -> Response:
        me = _signed_in(request)
        email = fields.take(await request.json_object(), "email", str).strip()
        name = request.params["name"]
        return await self._shares(await self._write(lambda db, now: experiments.unshare(
            db, name, email, me.user_id, me.email, now)))

    async def _shares(self, found: Experiment) -> Response:
        shares = await self._data.read(lambda db: _shares_of(db, found))
        return Response.json({"success": True, "shared_with": shares})

    async def _reset_pin(self, request: Request) -> Response:
        """A PIN for the dashboard, told this once."""
        me, name = _signed_in(request), request.params["name"]
        await request.json_object()
        # Before a thread is taken up with it.
        await self._data.read(lambda db: experiments.active(db, name, me.user_id))
        pin = pins.new_pin()
        encoded = await self._hashers.run(lambda: pins.encode(pin))
        await self._write(lambda db, now: experiments.reset_pin(db, name, me.user_id, encoded, me.email, now))
        return Response.json({"success": True, "name": name, "pin": pin})

    async def _delete(self, request: Request) -> Response:
        me, name = _signed_in(request), request.params["name"]
        if fields.take(await request.json_object(), "confirm", str) != name:
            raise HttpError(400, "the name that was typed is not %s; nothing was deleted" % p.shown(name))
        await self._write(lambda db, now: experiments.delete(db, name, me.user_id, me.email, now))
        return Response.json({"success": True, "name": name})

    # ---- keys

    async def _keys(self, request: Request) -> Response:
        listed = await self._data.read(lambda db: accounts.list_keys(db, _signed_in(request).email))
        return Response.json({"now": self._data.clock(), "keys": [_key_facts(key) for key in listed]})

    async def _create_key(self, request: Request) -> Response:
        me = _signed_in(request)
        name = fields.take(await request.json_object(), "name", str)
        key, secret = await self._write(lambda db, now: accounts.create_key(
            db, me.email, name, me.email, now))
        return Response.json(dict(_key_facts(key), key=secret, hub_url=await self._url()), 201)

    async def _revoke_key(self, request: Request) -> Response:
        me = _signed_in(request)
        await request.json_object()
        try:
            key = await self._write(lambda db, now: _revoke(db, request.params["id"], me, now))
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
        admin = fields.take(body, "admin", bool, False)
        user, token = await self._write(lambda db, now: accounts.invite(db, email, admin, me.email, now))
        return await self._invited(user, token, 201)

    async def _link(self, request: Request) -> Response:
        me = _admin(request)
        email = fields.take(await request.json_object(), "email", str)
        user, token = await self._write(lambda db, now: accounts.invite_again(db, email, me.email, now))
        return await self._invited(user, token, 200)

    async def _invited(self, user: User, token: str, status: int) -> Response:
        return Response.json(dict(_user_facts(user), signup_url=signup_url(await self._url(), token)),
                             status)

    async def _suspend(self, request: Request) -> Response:
        me = _admin(request)
        email = fields.take(await request.json_object(), "email", str)
        if email.lower() == me.email.lower():
            raise HttpError(400, "you cannot suspend yourself; another administrator can")
        user = await self._write(lambda db, now: accounts.suspend(db, email, me.email, now))
        return Response.json(_user_facts(user))

    async def _resume(self, request: Request) -> Response:
        me = _admin(request)
        email = fields.take(await request.json_object(), "email", str)
        user = await self._write(lambda db, now: accounts.resume(db, email, me.email, now))
        return Response.json(_user_facts(user))

    # ---- steps

    async def _url(self) -> str:
        """As the sign-up links and JD_HUB_URL of the Hub's users begin."""
        return await asyncio.get_running_loop().run_in_executor(None, self._data.url)

    async def _write(self, change: Change[T]) -> T:
        """Make a change; its errors are told as to somebody who has no terminal here."""
        try:
            return await self._data.write(change)
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


def _experiments_of(db: sqlite3.Connection, me: SignedIn, now: float) -> List[Dict[str, Any]]:
    return [_own_facts(db, found, me, now) if found.owner_id == me.user_id
            else _experiment_facts(found, me, now)
            for found in experiments.list_experiments(db, me.user_id)]


def _own_facts(db: sqlite3.Connection, found: Experiment, me: SignedIn, now: float) -> Dict[str, Any]:
    return dict(_experiment_facts(found, me, now), shared_with=_shares_of(db, found),
                pin_waits=experiments.waiting_pin(db, found.id) is not None)


def _shares_of(db: sqlite3.Connection, found: Experiment) -> List[Dict[str, str]]:
    return [share._asdict() for share in experiments.shared_with(db, found.id)]


def _experiment_facts(found: Experiment, me: SignedIn, now: float) -> Dict[str, Any]:
    if found.server_url is None or found.server_seen_at is None:
        server = "none"
    else:
        server = "online" if abs(now - found.server_seen_at) < SERVER_SILENT else "silent"
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


def _revoke(db: sqlite3.Connection, key_id: int, me: SignedIn, now: float) -> Key:
    return accounts.revoke_key(db, key_id, me.email, now, me.user_id)
