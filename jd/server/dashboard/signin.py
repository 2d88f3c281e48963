"""Sign-in with the PIN, and the guard of what a browser may ask."""

from typing import Any, Dict, List, Mapping, Optional, Tuple

import jd
from jd import fields
from jd import protocol as p
from jd.auth import apikeys, passwords, pins, secretfile, trylimit
from jd.auth.cookies import SignInCookie, take_path
from jd.auth.hashers import Hashers
from jd.auth.trylimit import TryLimit
from jd.net.serving.proxies import Proxies
from jd.net.serving.routing import HttpError, Request, Response, Route, Router
from jd.server import dashboardpin
from jd.server.experiment import Experiment
from jd.server.store.operators import pin as stored_pin
from jd.server.store.operators import signins, wrongpins
from jd.server.store.operators.wrongpins import WrongPins
from jd.server.store.transaction import Transaction

WEB = "/web/"  # what pages ask
PER_ADDRESS = 10  # attempts within trylimit.PERIOD, also of a user of this machine
# Wrong ones of everybody together, 300: half a million, in which a PIN is found on average, take 11 days
# and not the hours that a thousand addresses, or numbers of users, would need with 10 each.
IN_ALL = {trylimit.ELSEWHERE: 200, trylimit.HERE: 100}

_WRONG = "the PIN is wrong"


class SignIn:
    """Who is signed in to one experiment's dashboard.

    `hub_url` is for the pages: the Hub that the server belongs to, once that is known.
    """

    def __init__(self, experiment: Experiment, tries: Optional[TryLimit] = None,
                 proxies: Proxies = Proxies()) -> None:
        self._experiment = experiment
        self._proxies = proxies
        self._tries = tries if tries is not None else TryLimit()
        self._hashers = Hashers()
        # Strict: no link on another site opens anything but the sign-in, whose script goes on from there.
        self._cookie = SignInCookie("jd_dashboard_" + experiment.server_id, "Strict")
        self.hub_url: Optional[str] = None

    @property
    def experiment_name(self) -> str:
        """What the sign-in is for."""
        return self._experiment.name

    def close(self) -> None:
        """Let the threads end."""
        self._hashers.close()

    def add_to(self, router: Router) -> None:
        """Put the routes into a router."""
        router.add("POST", WEB + "signin", self._signin, public=True)
        router.add("POST", WEB + "signout", self._signout, public=True)
        router.add("POST", WEB + "pin", self._change_pin)
        router.add("GET", WEB + "me", self._me)

    async def find(self, request: Request) -> Optional[str]:
        """The digest of the sign-in that a request belongs to, or None."""
        digests = self._digests(request)
        if not digests:
            return None
        uid, now = self._proxies.user(request), self._experiment.clock()
        return await self._experiment.read(lambda db: next(
            (digest for digest in digests if signins.lasts(db, digest, uid, now)), None))

    def _digests(self, request: Request) -> List[str]:
        return list(map(apikeys.digest, self._cookie.secrets(request)))

    async def guard(self, request: Request, _route: Optional[Route]) -> None:
        """Set `request.principal` to the sign-in's digest. Raises HttpError (401)."""
        request.principal = await self.find(request)
        if request.principal is None:
            raise HttpError(401, "you are not signed in, or no longer; sign in with the PIN")

    # ---- handlers

    async def _signin(self, request: Request) -> Response:
        body = await request.json_object()
        pin, path = "".join(_take_pin(body, "pin").split()), take_path(body)
        if not pins.has_form(pin):
            raise p.ProtocolError("a PIN has %d digits" % pins.DIGITS)
        known, uid = await self._known(request, pin), self._proxies.user(request)
        begun = await self._experiment.write(lambda t: _sign_in(t, known, uid))
        if begun is None:
            raise HttpError(403, _WRONG)
        secret, wrong = begun
        return self._answer(request, path, secret, signins.LIFETIME,
                            {} if wrong is None else {"wrong_pins": wrong.to_json()})

    async def _signout(self, request: Request) -> Response:
        path = take_path(await request.json_object())
        digests = self._digests(request)

        def end(t: Transaction) -> None:
            for digest in digests:
                signins.end(t, digest)

        if await self.find(request) is not None:
            await self._experiment.write(end)
        return self._answer(request, path, "", 0)

    async def _change_pin(self, request: Request) -> Response:
        body = await request.json_object()
        current, new, path = _take_pin(body, "current"), _take_pin(body, "new"), take_path(body)
        try:
            pins.check(new)  # before a thread is taken up with it
        except pins.UnusablePin as error:
            raise p.ProtocolError("new: %s" % error) from None
        known = await self._known(request, current)
        encoded = await self._hashers.run(lambda: pins.encode(new))
        await self._experiment.begun.to_its_end(self._replace_pin(known, encoded), "a change of the PIN")
        return self._answer(request, path, "", 0)

    async def _replace_pin(self, known: Optional[str], encoded: str) -> None:
        if not await self._experiment.write(lambda t: stored_pin.replace(t, known, encoded)):
            raise HttpError(409, "the PIN was changed by somebody else meanwhile; sign in again")
        secretfile.forget(dashboardpin.file_of(self._experiment.meta_dir))

    async def _me(self, _request: Request) -> Response:
        return Response.json({
            "expId": self._experiment.name, "version": jd.__version__,
            "server_id": self._experiment.server_id, "hub": self.hub_url is not None,
            "hub_url": self.hub_url, "server_url": self._experiment.server_url,
            "now": self._experiment.clock()})

    # ---- steps

    async def _known(self, request: Request, pin: str) -> Optional[str]:
        """The stored hash that `pin` is right for. Raises HttpError: 429, and 403 if it is wrong."""
        caller = trylimit.caller(request, self._proxies)
        own, crowd = caller.subject(PER_ADDRESS), caller.crowd
        wait = self._tries.take([own] if crowd is None else [own, (crowd, IN_ALL[crowd])])
        if wait:
            raise HttpError(429, "too many wrong PINs; try again in %s" % trylimit.spelled(wait),
                            {"Retry-After": str(wait)})
        known = await self._experiment.read(stored_pin.stored)
        try:
            right = await self._hashers.run(lambda: passwords.verify(pin, known))
        except ValueError as error:
            raise HttpError(503, "%s; make another PIN on the server's machine: jd_server pin reset"
                            % error) from None
        if not right:
            await self._experiment.write(lambda t: wrongpins.count(t, caller.name))
            raise HttpError(403, _WRONG)
        self._tries.succeeded(own[0])
        if crowd is not None:
            self._tries.take_back(crowd)
        return known

    def _answer(self, request: Request, path: str, secret: str, lifetime: float,
                facts: Mapping[str, Any] = {}) -> Response:
        # Behind a TLS proxy the browser tells that the page is https; its host was compared before.
        secure = request.secure or request.headers.get("origin", "").lower().startswith("https://")
        return Response.json(dict(facts, success=True), 200, {
            "Set-Cookie": self._cookie.header(secret, lifetime, secure, path)})


def _take_pin(body: Dict[str, Any], name: str) -> str:
    """A field that no error repeats. Raises ProtocolError."""
    if body.get(name) is not None and not isinstance(body[name], str):
        raise p.ProtocolError("%s must be a string of %d digits" % (name, pins.DIGITS))
    return fields.take(body, name, str)


def _sign_in(t: Transaction, known: Optional[str],
             uid: Optional[int]) -> Optional[Tuple[str, Optional[WrongPins]]]:
    """The secret of a new sign-in and which wrong PINs there were since the last one, or None if the PIN
    was changed while it was being checked."""
    if stored_pin.stored(t.db) != known:
        return None
    return signins.begin(t, uid), wrongpins.end(t)
