"""From a URL to an open connection, through a proxy where one is set.

Loopback addresses never go through a proxy, whatever no_proxy says: the loopback of the proxy's own host is
never what was meant. Certificates are checked against the one that is pinned, else against JD_CA_BUNDLE (a
PEM file) if it is set, else against the system's. Texts made here name hosts and ports, never credentials.
"""

import base64
import errno
import http.client
import ipaddress
import os
import socket
import ssl
from dataclasses import dataclass, field
from typing import Any, Optional, Tuple, cast
from urllib.parse import unquote, urlsplit

from jd import settingvalues
from jd.errors import UsageError
from jd.net.peer.portowner import ForeignServer, check
from jd.net.peer.proof import Unproven

# A dead host shows in this time, even where the answer itself may be waited for much longer.
CONNECT_SECONDS = 30.0
HELLO_SECONDS = 3.0  # for each wait, when a port is asked whether it speaks TLS
# NAT gateways drop a silent connection, often after 5 minutes; a held heartbeat is silent.
KEEPALIVE_IDLE_SECONDS = 60
CA_VARIABLE = "JD_CA_BUNDLE"


@dataclass(frozen=True)
class Address:
    """Where a server is. `prefix` is the URL's path without a slash at its end, often empty."""

    scheme: str
    host: str
    port: int
    prefix: str = ""
    basic: Optional[str] = field(default=None, repr=False)  # "Basic …", from user:password@
    password: Optional[str] = field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str) -> "Address":
        """The address of `url`; a bare host name gets http://. Raises UsageError."""
        try:
            # http.client would refuse such a name later, with the whole URL in its message.
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


@dataclass(frozen=True)
class Proxy:
    """An HTTP proxy."""

    host: str
    port: int
    basic: Optional[str] = field(default=None, repr=False)

    @property
    def shown(self) -> str:
        return "%s:%d" % (self.host, self.port)


def _ascii_host(host: str) -> str:
    try:
        return host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError:
        raise ValueError("a URL with a host name that DNS can know") from None


def _basic(username: Optional[str], password: Optional[str]) -> Optional[str]:
    if username is None:
        return None
    pair = "%s:%s" % (unquote(username), unquote(password or ""))
    return "Basic " + base64.b64encode(pair.encode("utf-8")).decode("ascii")


# ---- proxies

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


def proxy_for(address: Address) -> Optional[Proxy]:
    """The proxy that http_proxy, https_proxy or all_proxy ask for; None for a direct connection.

    Raises UsageError for a proxy that is no plain HTTP proxy.
    """
    if is_own_machine(address.host):
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

class OtherCertificate(ssl.SSLError):
    """The server has shown another certificate than the one that is pinned."""


class _Pinned(ssl.SSLContext):
    """Trusts one certificate, whatever it says of names and dates. Whoever shows it has its key:
    that is what the handshake proves."""

    der: bytes

    def wrap_socket(self, *arguments: Any, **more: Any) -> ssl.SSLSocket:
        """As SSLContext's. Raises OtherCertificate before a byte of ours is sent."""
        wrapped = super().wrap_socket(*arguments, **more)
        if wrapped.getpeercert(True) != self.der:
            wrapped.close()
            raise OtherCertificate("another certificate")
        return wrapped


def pinned_context(certificate: str) -> ssl.SSLContext:
    """For the one server whose certificate, in PEM form, is this one. Raises UsageError."""
    context = _Pinned(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.der = ssl.PEM_cert_to_DER_cert(certificate)
    except ValueError:
        raise UsageError("the certificate of the server's access file is not in PEM form") from None
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def tls_context(certificate: Optional[str] = None) -> ssl.SSLContext:
    """Certificates are checked, against `certificate` if it is given (PEM, and then nothing else
    counts), else against JD_CA_BUNDLE or the system's. Raises UsageError."""
    if certificate is not None:
        return pinned_context(certificate)
    bundle = os.path.expanduser(os.environ.get(CA_VARIABLE, "").strip())
    try:
        context = ssl.create_default_context(cafile=bundle or None)
    except OSError as error:  # ssl.SSLError is one
        raise UsageError("%s: %s cannot be used: %s"
                         % (CA_VARIABLE, bundle, error.strerror or "it holds no certificate"),
                         "give a file of certificates in PEM form") from None
    context.set_alpn_protocols(["http/1.1"])
    return context


class _Pieces:
    """What an answer is read from, without the way to read all that comes: http.client takes it for a chunk
    whose size is said to be -1."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        """As of a file. Raises HTTPException where no size is given."""
        if size < 0:
            raise http.client.HTTPException("a part of the answer has no size")
        return bytes(self._file.read(size))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class _Answer(http.client.HTTPResponse):
    """An answer that is read in pieces of a size."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.fp = cast(Any, _Pieces(self.fp))


def open_connection(address: Address, proxy: Optional[Proxy], timeout: float,
                    tls: Optional[ssl.SSLContext] = None) -> http.client.HTTPConnection:
    """A connection to `address`, open, through `proxy` if one is given.

    `timeout` in seconds is for every later read or write; connecting has CONNECT_SECONDS at most.
    Raises OSError or http.client.HTTPException, and ForeignServer where another user of this machine
    has the port: nothing has been sent then.
    """
    host, port = (proxy.host, proxy.port) if proxy else (address.host, address.port)
    patience = min(timeout, CONNECT_SECONDS)
    if address.scheme == "https":
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, port, timeout=patience, context=tls or tls_context())
        if proxy:
            headers = {"Proxy-Authorization": proxy.basic} if proxy.basic else {}
            connection.set_tunnel(address.host, address.port, headers)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=patience)
    connection.response_class = _Answer
    setattr(connection, "_create_connection", _connect if proxy else connect)
    try:
        connection.connect()
        _settle(connection.sock, timeout)
    except BaseException:
        connection.close()
        raise
    return connection


def connect(address: Tuple[str, int], *more: Any) -> socket.socket:
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


def _connect(address: Tuple[str, int], *more: Any) -> socket.socket:
    """As socket.create_connection. `localhost` is loopback also on a bare system that has no
    /etc/hosts to say so (RFC 6761, section 6.3)."""
    try:
        return socket.create_connection(address, *more)
    except socket.gaierror:
        if address[0].lower().rstrip(".") != "localhost":
            raise
        return socket.create_connection(("127.0.0.1", address[1]), *more)


def _settle(sock: socket.socket, timeout: float) -> None:
    sock.settimeout(timeout)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_SECONDS)


def speaks_tls(address: Address) -> bool:
    """Whether a port that was addressed as http:// takes a TLS handshake. Nothing else is sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with connect((address.host, address.port), HELLO_SECONDS) as plain:
            with context.wrap_socket(plain, server_hostname=address.host):
                return True
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")  # it refuses this handshake, in TLS
    except (OSError, ValueError, ForeignServer):
        return False


def wrong_scheme(address: Address) -> Tuple[str, str]:
    """What to say of an http:// URL whose port speaks TLS, and what to do about it."""
    host = "[%s]" % address.host if ":" in address.host else address.host
    return ("%s speaks https, not http" % address.shown,
            "give https://%s:%d%s, or server=@FILE, its access file, for a certificate of --tls auto"
            % (host, address.port, address.prefix))


# ---- failures in plain words

def plain_words(error: BaseException, timeout: float) -> Tuple[str, str]:
    """What happened to a connection, as a clause for an error message, and what to do about it."""
    if isinstance(error, OtherCertificate):
        return ("its TLS certificate is not the one in the access file",
                "it is another server, or somebody in between; nothing was sent to it")
    if isinstance(error, ssl.SSLCertVerificationError):
        return ("its TLS certificate is not trusted (%s)" % error.verify_message,
                "set %s to the PEM file of the authority that signed it" % CA_VARIABLE)
    if isinstance(error, ssl.SSLError):
        return ("the TLS handshake failed (%s)" % (error.reason or "unknown reason"),
                "check that the port speaks https")
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
    if isinstance(error, (ConnectionError, http.client.IncompleteRead)):
        return ("the connection was closed before the answer was complete",
                "the server may have been restarted, or something between closed it")
    if isinstance(error, http.client.HTTPException):
        return "what answers there does not speak HTTP", "check the port and http:// or https://"
    if isinstance(error, OSError) and error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH):
        return "there is no way to that host from this machine", "check the network"
    detail = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return detail, "check the address and the network"
