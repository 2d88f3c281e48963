"""Which proxies may say on whose behalf they ask, and which requests have come through none.

`X-Forwarded-For: client, proxy, proxy` is written by whoever comes first, so it is read from its end, and
only as far as addresses that the server's owner has named as proxies have written it.
"""

import ipaddress
from typing import Optional, Sequence, Union

from jd.net.addresses import is_loopback
from jd.net.serving.routing import Request

Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
MAX_HOPS = 20
# What proxies add for whom they speak for (RFC 9110, 7.6.3; RFC 7239; and custom).
_OF_PROXIES = frozenset(("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip"))


class Proxies:
    """The trusted ones; by default none."""

    def __init__(self, trusted: Optional[Sequence[Network]] = None) -> None:
        self._trusted = tuple(trusted or ())

    def client(self, request: Request) -> str:
        """The address that a request comes from, as far as it can be believed."""
        named = request.headers.get("x-forwarded-for", "").split(",")[::-1][:MAX_HOPS]
        address = parsed(request.peer)
        for name in named:
            if not self._trusts(address):
                break
            before = parsed(name.strip())
            if before is None:
                break  # as much as that proxy told
            address = before
        return request.peer if address is None else str(address)

    def user(self, request: Request) -> Optional[int]:
        """The user of this machine who asks, and for himself; None from elsewhere, through a proxy, and
        where it is not known."""
        return self.sender(request) if is_direct(request) else None

    def sender(self, request: Request) -> Optional[int]:
        """The user of this machine whose program sends it, whatever it says of others; None from
        elsewhere, from a proxy that was named, and where it is not known."""
        if not is_loopback(request.peer) or self._trusts(parsed(request.peer)):
            return None
        return request.peer_uid()

    def _trusts(self, address: Optional[Address]) -> bool:
        return address is not None and any(address in network for network in self._trusted)


def parsed(text: str) -> Optional[Address]:
    """An address; None for what is none. IPv4 as a socket for both kinds shows it is IPv4."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    # A socket for both kinds shows IPv4 as ::ffff:192.0.2.1, all of it in one /64.
    return getattr(found, "ipv4_mapped", None) or found


def is_direct(request: Request) -> bool:
    """Whether the program at the other end is one of this machine that asks for itself, and means this
    machine: only then is it of any use to know whose it is."""
    return (is_loopback(request.peer) and is_for_loopback(request)
            and _OF_PROXIES.isdisjoint(request.headers))


def is_for_loopback(request: Request) -> bool:
    """Whether it was sent to a name of loopback, which no web page elsewhere can have."""
    return is_loopback(_host_name(request.headers.get("host", "")))


def _host_name(host: str) -> str:
    """The name in a Host header, without port and brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
