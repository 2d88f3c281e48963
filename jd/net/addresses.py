"""Addresses that a server listens on: who can reach them, and how they look in a URL."""

import functools
import ipaddress
import socket
from urllib.parse import unquote, urlsplit

ANY = ("0.0.0.0", "::", "")  # all addresses of this machine


@functools.lru_cache(maxsize=1024)  # a server asks it for each request
def is_loopback(host: str) -> bool:
    """Whether an address or name is this machine's loopback and nothing else.

    Strict, since it decides who is let in: 0.0.0.0 and names below localhost are not.
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def reachable_name(host: str) -> str:
    """What other programs put into a URL for the address that a server listens on."""
    if host in ANY:
        return socket.gethostname() or "localhost"
    return "[%s]" % host if ":" in host else host


def url_of(host: str, port: int, secure: bool) -> str:
    """The URL of a server that listens on `host`; https if it is `secure`."""
    return "%s://%s:%d" % ("https" if secure else "http", reachable_name(host), port)


def path_of(url: str) -> str:
    """The path of a URL as requests show it, without a slash at its end: "" or "/node/host/5050"."""
    return unquote(urlsplit(url).path).rstrip("/")
