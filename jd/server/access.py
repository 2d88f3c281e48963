"""Who may call the server (docs/server.md, "Who may connect").

Without keys a server is for this machine alone: it listens on loopback and takes requests that
were meant for loopback, so that a web page cannot reach it by a name of its own (DNS rebinding).
On any other address it wants a token: that of `--token-file`, else the one that it has made for
itself and that stands in its access file; or an explicit `--insecure`. With a Hub every request
carries a worker token of that Hub, on whatever address, and its role decides what it is good for
(docs/server.md, "What a guest may do"): each route of the API says which one it needs.
"""

from pathlib import Path
from typing import Any, Callable, Iterable, NamedTuple, Optional

from jd.auth import jwt, shared
from jd.errors import UsageError
from jd.net.addresses import is_loopback
from jd.net.routing import HttpError, Request, Route

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
    raise HttpError(403, "experiment %s belongs to %s, and your token has the role %s: it may run its jobs; %s"
                    % (experiment, owner or "somebody else", principal.role, way))


class Access:
    """The rule of one server: called for each request, raises HttpError 401 or 403."""

    def __init__(self, host: str, token_file: Optional[Path], insecure: bool,
                 verify: Optional[Verify] = None) -> None:
        """`verify` judges the tokens of a Hub: it raises jwt.TokenError for a bad one.

        A server without a Hub is given its own token by `settle`. Raises UsageError for settings
        that exclude each other.
        """
        if verify is not None and (insecure or token_file is not None):
            raise UsageError("a Hub and %s exclude each other: with a Hub workers send its tokens"
                             % ("--insecure" if insecure else "--token-file"))
        self._verify = verify
        self._token = shared.read_token_file(token_file) if token_file is not None else None
        self._given = self._token is not None  # by --token-file, which everybody has to know then
        open_to_all = self._given or insecure or verify is not None
        self._loopback_only = not open_to_all and is_loopback(host)
        self._wants_token = self._given or not (open_to_all or self._loopback_only)

    def settle(self, make: Callable[[], str]) -> Optional[str]:
        """The token that opens this server: of `--token-file`, else what `make` gives; None with a
        Hub, whose tokens are the only ones. Call it before the first request."""
        if self._verify is None and self._token is None:
            self._token = make()
        return self._token

    def __call__(self, request: Request, _route: Any = None) -> None:
        request.principal = Principal(None, OWNER)
        if self._verify is not None:
            claims = self._claims(request, self._verify)
            request.principal = Principal(str(claims.user_id), claims.role or WORK)
        elif self._wants_token:
            self._check_token(shared.bearer(request.headers.get("authorization")))
        elif self._loopback_only and not is_loopback(_host_name(request.headers.get("host", ""))):
            raise HttpError(403, "this server is for loopback only; call it as 127.0.0.1, "
                                 "localhost or [::1]")

    def _check_token(self, given: Optional[str]) -> None:
        whose = "of the server's --token-file" if self._given else (
            "in the server's access file, ~/.jd/servers/<expId>.json")
        if given is None:
            raise HttpError(401, "a token is needed, the one %s: set JD_SERVER_TOKEN_FILE or "
                                 "JD_SERVER_TOKEN, or give server=@ACCESS_FILE" % whose, _CHALLENGE)
        if self._token is None or not shared.same(given, self._token):
            raise HttpError(401, "the token is not the one %s" % whose, _CHALLENGE)

    @staticmethod
    def _claims(request: Request, verify: Verify) -> jwt.WorkerClaims:
        given = shared.bearer(request.headers.get("authorization"))
        if given is None:
            raise HttpError(401, "a worker token of the Hub is needed: send Authorization: Bearer …; "
                                 "workers get it with hub= and JD_API_KEY", _CHALLENGE)
        try:
            return verify(given)
        except jwt.TokenError as error:
            raise HttpError(401, str(error), _CHALLENGE) from None


def _host_name(host: str) -> str:
    """The name in a Host header, without port and brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
