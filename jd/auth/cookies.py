"""The cookie of a sign-in at a browser: a random secret that no script of a page can read."""

from typing import Optional

from jd.net.serving.routing import Request


class SignInCookie:
    """A cookie by its name, which on https begins with `__Host-`: no other host and no unencrypted
    page can set it then (RFC 6265bis).

    Cookies do not know of ports: services on one host need names of their own.
    """

    def __init__(self, name: str, same_site: str) -> None:
        """`same_site` is Lax, or Strict: then a page that another site leads to comes without it."""
        self._name = name
        self._secure_name = "__Host-" + name
        self._same_site = same_site

    def secret(self, request: Request) -> Optional[str]:
        """What the browser sent; None if it sent nothing."""
        return request.cookie(self._secure_name) or request.cookie(self._name) or None

    def header(self, secret: str, lifetime: float, secure: bool) -> str:
        """The value of Set-Cookie. `lifetime` in seconds, 0 takes the cookie away; `secure` on https."""
        return "%s=%s; Path=/; Max-Age=%d; HttpOnly; SameSite=%s%s" % (
            self._secure_name if secure else self._name, secret, lifetime, self._same_site,
            "; Secure" if secure else "")
