"""Whether the server at the other end of a connection belongs to this user, as the kernel tells."""

import os
import socket

from jd.net.addresses import is_loopback
from jd.net.peer import socketowner


def is_own(connected: socket.socket) -> bool:
    """Whether it is on this machine's loopback, and is this user's or root's. False where nobody can tell.

    To be asked before the server has answered: afterwards it may have closed its end.
    """
    try:
        if not is_loopback(str(connected.getpeername()[0])):
            return False
    except OSError:
        return False
    uid = socketowner.server_uid(connected)
    return uid in (0, os.geteuid()) and not socketowner.is_ambiguous(uid)
