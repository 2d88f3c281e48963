"""Who may call the server (DESIGN.md, "Security"; docs/server.md, "Who may connect").

Without keys a server is for this machine alone: it listens on loopback and takes requests that
were meant for loopback, so that a web page cannot reach it by a name of its own (DNS rebinding).
On any other address it wants a shared token, or an explicit `--insecure`.
"""

import ipaddress
from pathlib import Path
from typing import Any, Optional

from jd.auth import shared
from jd.errors import UsageError
from jd.net.routing import HttpError, Request


def is_loopback(host: str) -> bool:
    """Whether an address or name is this machine's loopback."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Access:
    """The rule of one server: called for each request, raises HttpError 401 or 403."""

    def __init__(self, host: str, token_file: Optional[Path], insecure: bool) -> None:
        """Raises UsageError for settings that would let in anybody without saying so."""
        self._token = shared.read_token_file(token_file) if token_file is not None else None
        self._loopback_only = self._token is None and not insecure
        if self._loopback_only and not is_loopback(host):
            raise UsageError(
                "--host %s lets other machines in: give --token-file FILE (workers send its token),"
                " or --insecure if anybody on that network may use this server" % host)

    def __call__(self, request: Request, _route: Any) -> None:
        if self._token is not None:
            given = shared.bearer(request.headers.get("authorization"))
            if given is None:
                raise HttpError(401, "a token is needed: set JD_SERVER_TOKEN_FILE or "
                                     "JD_SERVER_TOKEN to the one of the server's --token-file",
                                {"WWW-Authenticate": "Bearer"})
            if not shared.same(given, self._token):
                raise HttpError(401, "the token is not the one of the server's --token-file",
                                {"WWW-Authenticate": "Bearer"})
        elif self._loopback_only and not is_loopback(_host_name(request.headers.get("host", ""))):
            raise HttpError(403, "this server is for loopback only; call it as 127.0.0.1, "
                                 "localhost or [::1]")


def _host_name(host: str) -> str:
    """The name in a Host header, without port and brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
