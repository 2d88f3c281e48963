"""Who may call the server (docs/server.md, "Who may connect").

Without keys a server is for this machine alone: it listens on loopback and takes requests that
were meant for loopback, so that a web page cannot reach it by a name of its own (DNS rebinding).
On any other address it wants a shared token, or an explicit `--insecure`. With a Hub every request
carries a worker token of that Hub, on whatever address.
"""

from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional

from jd.auth import jwt, shared
from jd.errors import UsageError
from jd.net.addresses import is_loopback
from jd.net.routing import HttpError, Request

Verify = Callable[[str], jwt.WorkerClaims]

OWNER = "owner"  # may do everything
EDIT = "edit"  # may also create, change and delete jobs, and steer workers
WORK = "work"  # may run jobs, and nothing more

_CHALLENGE = {"WWW-Authenticate": "Bearer"}


class Principal(NamedTuple):
    """Who a request comes from.

    `user` is the Hub's user, None without a Hub. `role` is OWNER, EDIT or WORK. `local` is whether
    the kernel has recognised the server's own user, or root, at the other end of the connection.
    """

    user: Optional[str]
    role: str
    local: bool = False


class Access:
    """The rule of one server: called for each request, raises HttpError 401 or 403."""

    def __init__(self, host: str, token_file: Optional[Path], insecure: bool,
                 verify: Optional[Verify] = None) -> None:
        """`verify` judges the tokens of a Hub: it raises jwt.TokenError for a bad one.

        Raises UsageError for settings that would let in anybody without saying so.
        """
        if verify is not None and (insecure or token_file is not None):
            raise UsageError("a Hub and %s exclude each other: with a Hub workers send its tokens"
                             % ("--insecure" if insecure else "--token-file"))
        self._verify = verify
        self._token = shared.read_token_file(token_file) if token_file is not None else None
        self._loopback_only = self._token is None and not insecure and verify is None
        if self._loopback_only and not is_loopback(host):
            raise UsageError(
                "--host %s lets other machines in: give --token-file FILE (workers send its token),"
                " --hub URL, or --insecure if anybody on that network may use this server" % host)

    def __call__(self, request: Request, _route: Any = None) -> None:
        request.principal = Principal(None, OWNER)
        if self._verify is not None:
            claims = self._claims(request, self._verify)
            request.principal = Principal(str(claims.user_id), OWNER)
        elif self._token is not None:
            given = shared.bearer(request.headers.get("authorization"))
            if given is None:
                raise HttpError(401, "a token is needed: set JD_SERVER_TOKEN_FILE or "
                                     "JD_SERVER_TOKEN to the one of the server's --token-file",
                                _CHALLENGE)
            if not shared.same(given, self._token):
                raise HttpError(401, "the token is not the one of the server's --token-file",
                                _CHALLENGE)
        elif self._loopback_only and not is_loopback(_host_name(request.headers.get("host", ""))):
            raise HttpError(403, "this server is for loopback only; call it as 127.0.0.1, "
                                 "localhost or [::1]")

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
