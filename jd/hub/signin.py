"""Sign-up, sign-in and sign-out with a browser, and the guard of what a browser may ask."""

import asyncio
import sqlite3
from typing import Optional

from jd import fields
from jd.auth import passwords, secretfile, trylimit
from jd.auth.cookies import SignInCookie, take_path
from jd.auth.hashers import Hashers
from jd.auth.trylimit import TryLimit
from jd.hub.data import HubData
from jd.hub.store import accounts, signins
from jd.hub.store.signins import SignedIn
from jd.net.serving.proxies import Proxies
from jd.net.serving.routing import HttpError, Request, Response, Router

WEB = "/web/"  # what pages ask of who is signed in
COOKIE = SignInCookie("jd_hub_session", "Lax")

_BAD_LINK = "this link was used already or is older than 7 days; ask an administrator for a new one"
_WRONG = "the email address or the password is wrong"


class SignIn:
    """The sign-in of people at a browser."""

    def __init__(self, data: HubData, tries: Optional[TryLimit] = None,
                 proxies: Proxies = Proxies()) -> None:
        self._data = data
        self._proxies = proxies
        self._tries = tries if tries is not None else TryLimit()
        self.hashers = Hashers()

    def close(self) -> None:
        """Let the threads end."""
        self.hashers.close()

    def add_to(self, router: Router) -> None:
        """Put the rows into the table."""
        router.add("POST", WEB + "signin", self._signin, public=True)
        router.add("POST", WEB + "signout", self._signout, public=True)
        router.add("POST", WEB + "signup", self._signup, public=True)
        router.add("POST", WEB + "signup-link", self._signup_link, public=True)

    async def find(self, request: Request) -> Optional[SignedIn]:
        """Who is signed in, or None."""
        secrets = COOKIE.secrets(request)
        if not secrets:
            return None
        uid, now = self._proxies.user(request), self._data.clock()
        return await self._data.read(lambda db: next(filter(None, (
            signins.find(db, secret, uid, now) for secret in secrets)), None))

    async def guard(self, request: Request) -> None:
        """Set `request.principal` to the SignedIn. Raises HttpError (401)."""
        user = await self.find(request)
        if user is None:
            raise HttpError(401, "you are not signed in, or no longer; sign in")
        request.principal = user

    # ---- handlers

    async def _signin(self, request: Request) -> Response:
        body = await request.json_object()
        email, password = fields.take(body, "email", str).strip(), fields.take(body, "password", str)
        path = take_path(body)
        caller = trylimit.caller(request, self._proxies)
        account = caller.account(email)
        self._take(caller.subject(), *account)
        stored = await self._data.read(lambda db: accounts.password_of(db, email))
        if not await self.hashers.run(lambda: passwords.verify(password, stored)):
            raise HttpError(403, _WRONG)
        self._tries.succeeded(account[0][0])
        for name, _ in account[1:]:
            self._tries.take_back(name)
        return await self._open(request, path, email, str(stored))

    async def _signout(self, request: Request) -> Response:
        path = take_path(await request.json_object())
        secrets = COOKIE.secrets(request)

        def end(db: sqlite3.Connection, _now: float) -> None:
            for secret in secrets:
                signins.sign_out(db, secret)

        if secrets:
            await self._data.write(end)
        return Response.json({"success": True}, 200, {"Set-Cookie": await self._cookie("", 0, path)})

    async def _signup_link(self, request: Request) -> Response:
        """Whose link it is. A POST, since what is in a URL ends up in logs of proxies."""
        body = await request.json_object()
        self._take(trylimit.caller(request, self._proxies).subject())
        user = await self._link_user(fields.take(body, "token", str))
        return Response.json({"email": None if user is None else user.email,
                              "min_chars": passwords.MIN_CHARS})

    async def _signup(self, request: Request) -> Response:
        body = await request.json_object()
        token, password = fields.take(body, "token", str), fields.take(body, "password", str)
        email, path = fields.take(body, "email", str, None), take_path(body)
        self._take(trylimit.caller(request, self._proxies).subject())
        user = await self._link_user(token)
        if user is None:
            email = accounts.check_email((email or "").strip())
        # Refused here, before a thread is taken up with it.
        passwords.check(password)
        encoded = await self.hashers.run(lambda: passwords.encode(password))
        try:
            user = await self._data.write(lambda db, now: accounts.sign_up(db, token, encoded, email, now))
        except accounts.BadLink:
            raise HttpError(403, _BAD_LINK) from None
        for file in (self._data.signup_file, self._data.kept("signup", user.id)):
            secretfile.forget(file)
        return await self._open(request, path, user.email, encoded)

    # ---- steps

    def _take(self, *subjects: trylimit.Subject) -> None:
        wait = self._tries.take(subjects)
        if wait:
            raise HttpError(429, "too many attempts; try again in %s" % trylimit.spelled(wait),
                            {"Retry-After": str(wait)})

    async def _link_user(self, token: str) -> Optional[accounts.User]:
        try:
            return await self._data.read(lambda db: accounts.link_user(db, token, self._data.clock()))
        except accounts.BadLink:
            raise HttpError(403, _BAD_LINK) from None

    async def _open(self, request: Request, path: str, email: str, stored: str) -> Response:
        uid = self._proxies.user(request)
        secret = await self._data.write(lambda db, now: signins.sign_in(db, email, stored, uid, now))
        if secret is None:
            # Told only to who knows the password.
            raise HttpError(403, "the account %s is suspended; ask an administrator of this Hub" % email)
        cookie = await self._cookie(secret, signins.LIFETIME, path)
        return Response.json({"success": True, "email": email}, 200, {"Set-Cookie": cookie})

    async def _cookie(self, secret: str, lifetime: float, path: str) -> str:
        url = await asyncio.get_running_loop().run_in_executor(None, self._data.url)
        return COOKIE.header(secret, lifetime, url.startswith("https://"), path)
