"""The cookie of a sign-in at a browser: a random secret that no script of a page can read."""

import re
from typing import Any, List, Mapping

from jd import fields
from jd.net.serving.routing import Request
from jd.protocol import ProtocolError

# Where a service begins in the address that a browser has: nothing that ends the attribute of a cookie.
_PATH = re.compile(r"/(?:[0-9A-Za-z._~%!$&'()*+,=:@-]+/)*")
_LONGEST_PATH = 500


def take_path(body: Mapping[str, Any]) -> str:
    """Where the service begins for the browser, as a page of it tells: a proxy may hide that from us. Raises
    ProtocolError."""
    path = fields.take(body, "path", str, "/")
    if len(path) > _LONGEST_PATH or not _PATH.fullmatch(path):
        raise ProtocolError("path must be that of a URL, with a slash at its end and at most %d characters"
                            % _LONGEST_PATH)
    return path


class SignInCookie:
    """A cookie by its name, which on https begins with `__Host-`: no other host and no unencrypted
    page can set it then (RFC 6265bis). That needs the path "/"; of a service below a path it begins with
    `__Secure-`, which no unencrypted page can set, and goes to nothing else on that host.

    Cookies do not know of ports: services on one host need names of their own.
    """

    def __init__(self, name: str, same_site: str) -> None:
        """`same_site` is Lax, or Strict: then a page that another site leads to comes without it."""
        self._name = name
        self._names = ("__Host-" + name, "__Secure-" + name, name)
        self._same_site = same_site

    def secrets(self, request: Request) -> List[str]:
        """What the browser sent, the safest first. Who opens a service below a path and at the root of the
        same host has a cookie of each there, and either sign-in may be over: one that is not counts."""
        return list(filter(None, map(request.cookie, self._names)))

    def header(self, secret: str, lifetime: float, secure: bool, path: str = "/") -> str:
        """The value of Set-Cookie. `lifetime` in seconds, 0 takes the cookie away; `secure` on https; `path`
        is where the service begins, as the browser sees it, with a slash at its end."""
        host_name, secure_name, name = self._names
        if secure:
            name = host_name if path == "/" else secure_name
        return "%s=%s; Path=%s; Max-Age=%d; HttpOnly; SameSite=%s%s" % (
            name, secret, path, lifetime, self._same_site, "; Secure" if secure else "")
