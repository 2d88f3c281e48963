"""From a URL to an open connection, through a proxy where one is set.

Loopback addresses never go through a proxy, whatever no_proxy says: the loopback of the proxy's own host is
never what was meant. Texts made here name hosts and ports, never credentials.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import sys
from functools import lru_cache
from urllib.parse import unquote, urlsplit

from jd import settingvalues
from jd.errors import UsageError
from jd.net.answerhead import NOT_AT_ALL, NotHttp
from jd.net.connection import Connection
from jd.net.peer.portowner import ForeignServer, check
from jd.net.peer.proof import Unproven
from jd.shape import Shape

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from typing import Any

# A dead host shows in this time, even where the answer itself may be waited for much longer.
CONNECT_SECONDS = 30.0
HELLO_SECONDS = 3.0  # at most for each wait, when a port is asked whether it speaks TLS
HELLO_SHARE = 0.25  # of the time of the call that asks: a worker's lease runs meanwhile
# NAT gateways drop a silent connection, often after 5 minutes; a held heartbeat is silent.
KEEPALIVE_IDLE_SECONDS = 60


class Address(Shape):
    """Where a server is. `prefix` is the URL's path without a slash at its end, often empty."""

    _SECRET = ("basic", "password")

    def __init__(self, scheme: str, host: str, port: int, prefix: str = "",
                 basic: str | None = None, password: str | None = None) -> None:
        self.scheme = scheme
        self.host = host
        self.port = port
        self.prefix = prefix
        self.basic = basic  # "Basic …", from user:password@
        self.password = password

    @classmethod
    def parse(cls, url: str) -> "Address":
        """The address of `url`; a bare host name gets http://. Raises UsageError."""
        try:
            if not url.strip().isprintable() or " " in url.strip():
                raise ValueError("a URL without spaces and control characters")
            parts = urlsplit(settingvalues.server_url(url))
            host = _ascii_host(parts.hostname or "")
        except ValueError as error:
            given = "this server URL" if "@" in url else "server URL %r" % url[:200]
            raise UsageError("%s cannot be used" % given, "give %s" % error) from None
        secure = parts.scheme == "https"
        return cls(parts.scheme, host, parts.port or (443 if secure else 80),
                   parts.path.rstrip("/"), _basic(parts.username, parts.password),
                   unquote(parts.password) if parts.password else None)

    @property
    def netloc(self) -> str:
        """host:port, the port left out where it is the scheme's own."""
        host = "[%s]" % self.host if ":" in self.host else self.host
        usual = 443 if self.scheme == "https" else 80
        return host if self.port == usual else "%s:%d" % (host, self.port)

    @property
    def shown(self) -> str:
        """The URL as error messages name it."""
        return "%s://%s%s" % (self.scheme, self.netloc, self.prefix)


class Proxy(Shape):
    """An HTTP proxy."""

    _SECRET = ("basic",)

    def __init__(self, host: str, port: int, basic: str | None = None) -> None:
        self.host = host
        self.port = port
        self.basic = basic

    @property
    def shown(self) -> str:
        return "%s:%d" % (self.host, self.port)


def _ascii_host(host: str) -> str:
    try:
        return host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError:
        raise ValueError("a URL with a host name that DNS can know") from None


def _basic(username: str | None, password: str | None) -> str | None:
    if username is None:
        return None
    pair = "%s:%s" % (unquote(username), unquote(password or ""))
    import base64  # for few URLs
    return "Basic " + base64.b64encode(pair.encode("utf-8")).decode("ascii")


# ---- proxies

@lru_cache(maxsize=16)  # each call asks
def is_own_machine(host: str) -> bool:
    """Whether `host` can only be this machine: localhost, 127.0.0.0/8, ::1, 0.0.0.0."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        number = ipaddress.ip_address(name.split("%")[0])
    except ValueError:
        return False
    mapped = getattr(number, "ipv4_mapped", None)
    return (mapped or number).is_loopback or (mapped or number).is_unspecified


def proxy_for(address: Address) -> Proxy | None:
    """The proxy that http_proxy, https_proxy or all_proxy ask for; None for a direct connection.

    Raises UsageError for a proxy that is no plain HTTP proxy.
    """
    if is_own_machine(address.host) or not may_have_proxies():
        return None
    import urllib.request  # which opens URLs of all kinds, for what it knows of proxies
    proxies = urllib.request.getproxies()
    url = proxies.get(address.scheme) or proxies.get("all")
    if not url or _is_exempt(address, proxies.get("no", "")):
        return None
    try:
        parts = urlsplit(url if "://" in url else "http://" + url)
        port = parts.port or 80
    except ValueError:
        parts, port = urlsplit(""), 0
    if parts.scheme != "http" or not parts.hostname:
        raise UsageError("the proxy for %s cannot be used: %s_proxy must be like http://host:3128"
                         % (address.shown, address.scheme),
                         "to go without it, add %s to no_proxy" % address.host)
    return Proxy(parts.hostname, port, _basic(parts.username, parts.password))


def may_have_proxies() -> bool:
    """Whether there is a variable that names one; macOS has settings for them as well."""
    return sys.platform == "darwin" or any(name.lower().endswith("_proxy") for name in os.environ)


def _is_exempt(address: Address, no_proxy: str) -> bool:
    """Whether no_proxy names the host; besides names also networks such as 10.0.0.0/8."""
    import urllib.request
    if urllib.request.proxy_bypass("%s:%d" % (address.host, address.port)):
        return True
    try:
        number = ipaddress.ip_address(address.host)
    except ValueError:
        return False
    for entry in no_proxy.split(","):
        try:
            if number in ipaddress.ip_network(entry.strip(), strict=False):
                return True
        except ValueError:
            continue
    return False


# ---- connections

def open_connection(address: Address, proxy: Proxy | None, timeout: float,
                    tls: ssl.SSLContext | None = None) -> Connection:
    """A connection to `address`, open, through `proxy` if one is given.

    `timeout` in seconds is for every later read or write; connecting has CONNECT_SECONDS at most.
    Raises OSError or NotHttp, and ForeignServer where another user of this machine has the port: nothing
    has been sent then.
    """
    patience = min(timeout, CONNECT_SECONDS)
    if proxy is None:
        connection = Connection(connect((address.host, address.port), patience))
    else:
        connection = Connection(_connect((proxy.host, proxy.port), patience))
    try:
        if address.scheme == "https":
            if proxy is not None:
                _tunnel(connection, address, proxy)
            if tls is None:
                from jd.net.clienttls import tls_context
                tls = tls_context()
            connection.secured(tls, address.host)
        _settle(connection.sock, timeout)
    except BaseException:
        connection.close()
        raise
    return connection


def _tunnel(connection: Connection, address: Address, proxy: Proxy) -> None:
    """Have a proxy connect us to the server. Raises OSError where it does not, and NotHttp."""
    target = "%s:%d" % ("[%s]" % address.host if ":" in address.host else address.host, address.port)
    headers = {"Host": target}
    if proxy.basic is not None:
        headers["Proxy-Authorization"] = proxy.basic
    connection.send_head("CONNECT", target, headers)
    answer = connection.answer("CONNECT")
    if answer.status != 200:
        raise OSError("Tunnel connection failed: %d %s" % (answer.status, answer.reason))


def connect(address: tuple[str, int], *more: Any) -> socket.socket:
    """As socket.create_connection, to a server: not to one of another user of this machine.

    A name may have several addresses, as localhost has ::1 and 127.0.0.1, and our server may listen on
    one of them only: who takes another one must not keep us away from it. Raises OSError, and
    ForeignServer if our server is at none of them.
    """
    try:
        return _own(_connect(address, *more))
    except ForeignServer as error:
        refused = error
    try:
        found = [str(entry[4][0]) for entry in socket.getaddrinfo(*address, type=socket.SOCK_STREAM)]
    except OSError:
        found = []
    for other in [name for name in dict.fromkeys(found) if name != refused.address]:
        try:
            return _own(_connect((other, address[1]), *more))
        except (OSError, ForeignServer):
            continue
    raise refused


def _own(connection: socket.socket) -> socket.socket:
    try:
        check(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(address: tuple[str, int], *more: Any) -> socket.socket:
    """As socket.create_connection. `localhost` is loopback also on a bare system that has no
    /etc/hosts to say so (RFC 6761, section 6.3)."""
    # For text, ASCII or not, `socket` imports what encodes names of all the world's letters.
    host: Any = address[0].encode("ascii") if address[0].isascii() else address[0]
    try:
        return socket.create_connection((host, address[1]), *more)
    except socket.gaierror:
        if address[0].lower().rstrip(".") != "localhost":
            raise
        return socket.create_connection(("127.0.0.1", address[1]), *more)


def _settle(sock: socket.socket, timeout: float) -> None:
    sock.settimeout(timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_SECONDS)


def speaks_tls(address: Address, timeout: float) -> bool:
    """Whether a port that was addressed as http:// takes a TLS handshake. Nothing else is sent. It is for a
    call that was to wait for `timeout` seconds."""
    from jd.net import clienttls
    try:
        with connect((address.host, address.port), min(HELLO_SECONDS, HELLO_SHARE * timeout)) as plain:
            return clienttls.takes_handshake(plain, address.host)
    except (OSError, ForeignServer):
        return False


def wrong_scheme(address: Address) -> tuple[str, str]:
    """What to say of an http:// URL whose port speaks TLS, and what to do about it."""
    host = "[%s]" % address.host if ":" in address.host else address.host
    return ("%s speaks https, not http" % address.shown,
            "give https://%s:%d%s, or server=@FILE, its access file, for a certificate of --tls auto"
            % (host, address.port, address.prefix))


# ---- failures in plain words

def plain_words(error: BaseException, timeout: float) -> tuple[str, str]:
    """What happened to a connection, as a clause for an error message, and what to do about it."""
    if "ssl" in sys.modules:
        from jd.net import clienttls
        told = clienttls.plain_words(error)
        if told is not None:
            return told
    if isinstance(error, (socket.timeout, TimeoutError)):
        return ("it timed out after %g s" % timeout,
                "the host may be down, behind a firewall or overloaded")
    if isinstance(error, (socket.gaierror, UnicodeError)):
        return "the host name is unknown", "check its spelling and this machine's DNS"
    if isinstance(error, Unproven):
        return ("what answers there does not show that it knows the token, which was therefore not sent: "
                + "it is an older jd_server, or another program has the port now", "")
    if isinstance(error, ConnectionRefusedError):
        return ("the connection was refused",
                "check that the server runs and that host and port are right")
    if isinstance(error, ConnectionError):
        return ("the connection was closed before the answer was complete",
                "the server may have been restarted, or something between closed it")
    if isinstance(error, NotHttp):
        why = "" if str(error) == NOT_AT_ALL else " (%s)" % error
        return ("what answers there does not speak HTTP%s" % why, "check the port and http:// or https://")
    if isinstance(error, OSError) and error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH):
        return "there is no way to that host from this machine", "check the network"
    detail = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return detail, "check the address and the network"
