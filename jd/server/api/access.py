"""Who may call the server (docs/server.md, "Who may connect").

Without keys a server is for who started it: over loopback the system tells whose program calls,
and that of another user is refused. The request must have been meant for loopback, so that a web
page cannot reach the server from its owner's browser by a name of its own (DNS rebinding), and not
have come through a proxy, which is whoever uses it. Everybody else sends the server's token: that
of `--token-file`, which everybody has to know then, else the one that it has made for itself and
that stands in its access file. `--insecure` lets in anybody. With a Hub every request carries a
worker token of that Hub, on whatever address, and its role decides what it is good for
(docs/server.md, "What a guest may do"): each route of the API says which one it needs.
"""

import os
from pathlib import Path
from typing import AbstractSet, Callable, FrozenSet, Iterable, Mapping, NamedTuple, Optional

from jd.auth import checkpointkey, jwt, sharedtoken
from jd.errors import UsageError
from jd.net.addresses import is_loopback
from jd.net.peer import proof, socketowner
from jd.net.serving.proxies import is_direct, is_for_loopback
from jd.net.serving.routing import HttpError, Request, Route
from jd.protocol import shown

Verify = Callable[[str], jwt.WorkerClaims]

OWNER = jwt.OWNER  # may do everything
EDIT = jwt.EDIT  # may also create jobs, see all of them and what they uploaded
WORK = jwt.WORK  # may run jobs with workers of its own, and nothing more
_RANK = {WORK: 0, EDIT: 1, OWNER: 2}

_CHALLENGE = {"WWW-Authenticate": "Bearer"}


class Principal(NamedTuple):
    """Who a request comes from.

    `user` is the Hub's user, None without a Hub. `role` is OWNER, EDIT or WORK. `local` is whether
    the kernel has recognised the server's own user, or root, at the other end of the connection.
    """

    user: Optional[str]
    role: str
    local: bool = False

    @property
    def reach(self) -> Optional[str]:
        """The user whose workers and attempts it may touch; None: everybody's."""
        return None if self.role == OWNER else self.user or ""


def check_routes(routes: Iterable[Route]) -> None:
    """Raise ValueError for a guarded route that does not say which role it needs."""
    for route in routes:
        if not route.public and route.role not in _RANK:
            raise ValueError("%s %s does not say which role it needs" % (route.method, route.pattern))


def check_role(principal: Principal, route: Route, experiment: str, owner: Optional[str]) -> None:
    """Raise HttpError (403) where the route needs more than the principal may. `owner` is whose the
    experiment is, for the message."""
    needed = route.role or ""
    if _RANK[principal.role] >= _RANK[needed]:
        return
    way = "only its owner may do this"
    if needed == EDIT:
        way = ("this takes the role edit, which its owner gives on the Hub's page or with: "
               "jd_hub experiment share %s EMAIL --role edit" % experiment)
    raise HttpError(403, "experiment %s belongs to %s, and your token has the role %s: it may run its "
                         "jobs; %s" % (experiment, owner or "somebody else", principal.role, way))


def check_exclusive(token_file: Optional[Path], insecure: bool) -> None:
    """Raise UsageError for what a server with a Hub has no use for."""
    if insecure or token_file is not None:
        raise UsageError("a Hub and %s exclude each other: with a Hub workers send its tokens"
                         % ("--insecure" if insecure else "--token-file"))


class Access:
    """The rule of one server: called for each request, raises HttpError 401 or 403."""

    def __init__(self, host: str, token_file: Optional[Path], insecure: bool,
                 verify: Optional[Verify] = None,
                 allowed: AbstractSet[int] = frozenset(), proxied: bool = False) -> None:
        """`verify` judges the tokens of a Hub: it raises jwt.TokenError for a bad one. `allowed` are
        users of this machine that are let in like the owner. `proxied` is whether others are said to
        come another way than straight to the port: who is at its other end then speaks for anybody.

        A server without a Hub is given its own token by `settle`. Raises UsageError for settings
        that exclude each other.
        """
        if verify is not None:
            check_exclusive(token_file, insecure)
        self._verify = verify
        self._given = token_file is not None  # then everybody has to know it
        self._token = None if token_file is None else sharedtoken.read_token_file(token_file)
        self._open = insecure and not self._given
        self._proxied = proxied
        self._by_user = not self._given and not insecure and not proxied and verify is None
        self._on_loopback = is_loopback(host)
        self._access_file = ""
        self._checkpoint_key: Optional[str] = None
        self._owner = os.geteuid()
        self._allowed = allowed
        if allowed and not self._by_user:
            raise UsageError("--allow-user is for a server without a Hub, --token-file, --public-url and "
                             "--insecure: with these it is not the user of this machine that counts")

    def settle(self, make: Callable[[], str], access_file: str = "") -> Optional[str]:
        """The token that opens this server: of `--token-file`, else what `make` gives; None with a
        Hub, whose tokens are the only ones. Call it before the first request. `access_file` is where
        that token stands as well, for messages to anybody."""
        self._access_file = access_file
        if self._verify is None and self._token is None:
            self._token = make()
        if self._token is not None:
            self._checkpoint_key = checkpointkey.of_token(self._token)
        return self._token

    @property
    def checkpoint_key(self) -> Optional[str]:
        """What the owner's workers sign checkpoints with: who has the token of the server can work it
        out. None with a Hub, which gives each user a key."""
        return self._checkpoint_key

    def proof(self, request: Request) -> Mapping[str, Optional[str]]:
        """What `/healthz` adds for who wants to know whether this server has the token (`jd.net.peer.proof`).
        With a Hub it has none that others could know. Raises HttpError (400)."""
        return proof.given(request.query, self._token, lambda text: HttpError(400, text))

    def __call__(self, request: Request, _route: Optional[Route] = None) -> None:
        if self._verify is not None:
            claims = self._claims(request, self._verify)
            request.principal = Principal(str(claims.user_id), claims.role or WORK)
        elif self._open:
            local = not self._proxied and is_direct(request) and socketowner.is_trusted(request.peer_uid())
            request.principal = Principal(None, OWNER, local)
        else:
            request.principal = Principal(None, OWNER, self._is_local(request))

    def _is_local(self, request: Request) -> bool:
        """Whether the owner or root calls; False for somebody else who may. Raises HttpError."""
        uid = request.peer_uid() if self._by_user and is_direct(request) else None
        if socketowner.is_trusted(uid):
            return True
        if uid in self._allowed:
            return False
        given = sharedtoken.bearer(request.headers.get("authorization"))
        if given is None:
            raise self._refusal(request, uid)
        if self._token is None or not sharedtoken.same(given, self._token):
            raise HttpError(401, "the token is not %s" % self._whose, _CHALLENGE)
        return False

    @property
    def _whose(self) -> str:
        return "the one of the server's --token-file" if self._given else (
            "the one in the server's access file%s" % (self._access_file and ", " + self._access_file))

    def _refusal(self, request: Request, uid: Optional[int]) -> HttpError:
        """What to tell who sends no token, and is not known by `uid` to be let in."""
        if uid is not None:
            return HttpError(403, "this server belongs to %s, and you are %s: start a server of your "
                                  "own, or ask its owner for --allow-user %s or for its token" % (
                                      socketowner.described(self._owner), socketowner.described(uid),
                                      socketowner.name_of(uid)))
        if self._by_user and self._on_loopback and not is_for_loopback(request):
            return HttpError(403, "this server is for loopback only; call it as 127.0.0.1, "
                                  "localhost or [::1], or send its token")
        why = ""
        if self._by_user and is_loopback(request.peer):
            why = " (it is not known which user calls: %s)" % (
                "the system does not tell" if is_direct(request) else "this comes through a proxy")
        return HttpError(401, "a token is needed, %s%s; set JD_SERVER_TOKEN_FILE or JD_SERVER_TOKEN%s" % (
            self._whose, why, "" if self._given else ", or give server=@COPY of that file"), _CHALLENGE)

    @staticmethod
    def _claims(request: Request, verify: Verify) -> jwt.WorkerClaims:
        given = sharedtoken.bearer(request.headers.get("authorization"))
        if given is None:
            raise HttpError(401, "a worker token of the Hub is needed: send Authorization: Bearer …; "
                                 "workers get it with hub= and JD_API_KEY", _CHALLENGE)
        try:
            return verify(given)
        except jwt.TokenError as error:
            raise HttpError(401, str(error), _CHALLENGE) from None


def users(names: Iterable[str]) -> FrozenSet[int]:
    """The users of `--allow-user`, given by name or number. Raises UsageError for one that is not
    known."""
    found = {name: socketowner.uid_of(name) for name in names}
    for name, uid in found.items():
        if uid is None:
            raise UsageError("--allow-user: this machine knows no user %s" % shown(name),
                             "give a name that `id` knows, or a number")
    return frozenset(uid for uid in found.values() if uid is not None)
