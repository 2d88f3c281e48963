"""Whether the server behind a URL is this user's own: the kernel says so, not the server."""

import os
import socket

from jd.net import peers
from jd.net.addresses import is_loopback
from jd.net.outbound import Address

TIMEOUT = 5.0  # seconds to connect within this machine


def is_own(url: str) -> bool:
    """Whether what listens there does so on loopback, as this user or as root.

    False where nobody can tell. Raises UsageError for a URL that cannot be used.
    """
    address = Address.parse(url)
    try:
        with socket.create_connection((address.host, address.port), TIMEOUT) as connected:
            if not is_loopback(connected.getpeername()[0]):
                return False
            uid = peers.server_uid(connected)
    except OSError:
        return False
    return uid in (0, os.geteuid()) and not peers.is_ambiguous(uid)
