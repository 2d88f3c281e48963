"""Whose server a client is about to talk to, where the server is on the same machine.

On a login node any user can take a port. While a user's own server is away, somebody else may listen there,
receive the token that workers send, and answer them. So a connection within the machine is examined before
its first byte (see `socketowner`): the other end has to belong to this user, to root, or to a user whom
JD_TRUST_USER names. Where the system does not tell, the connection is used.
"""

from __future__ import annotations

import os
from contextlib import contextmanager

from jd import settings
from jd.errors import ServerUnreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from typing import Iterator, Mapping

VARIABLE = "JD_TRUST_USER"
_ROOT = 0


class ForeignServer(ServerUnreachable):
    """Another user of this machine listens where our server should.

    It is of the kind of a server that is away: ours is not there, and may come back. `address` is the
    one that was called.
    """

    def __init__(self, what: str, *advice: str, address: str = "") -> None:
        super().__init__(what, *advice)
        self.address = address


def check(connected: socket.socket) -> None:
    """Raises ForeignServer for a connection to another user of this machine, OSError for one that is
    closed. To be called before anything is sent; what goes to another machine, or is within one that
    does not tell, is let pass."""
    from jd.net.peer import socketowner
    address, port = connected.getpeername()[:2]
    if not socketowner.is_within_machine(connected):
        return
    uid, own = socketowner.server_uid(connected), os.geteuid()
    if uid is None or uid in (own, _ROOT):
        connected.getpeername()  # nobody is known where there is nobody: then it has been closed
        return
    trusted = _trusted(os.environ)
    if str(uid) in trusted or socketowner.name_of(uid) in trusted:
        return
    who = socketowner.described(uid)
    if socketowner.is_ambiguous(uid):
        who = "a user who has no number in this container (shown as uid %d)" % uid
    raise ForeignServer("port %d of this machine is held by %s, not by you, %s: a token that is sent "
                        "there would go to that user" % (port, who, socketowner.described(own)),
                        "give the port of your own server, or set %s=%s if you mean that one"
                        % (VARIABLE, socketowner.name_of(uid)),
                        address=str(address))


def _trusted(environ: Mapping[str, str]) -> tuple[str, ...]:
    return settings.value_of(settings.WORKER, "trust_user", environ) or ()


def trusted_uids(environ: Mapping[str, str]) -> frozenset[int]:
    """The users that `environ` names, as far as this machine knows them."""
    import pwd
    found = set()
    for name in _trusted(environ):
        try:
            found.add(int(name) if name.isdecimal() else pwd.getpwnam(name).pw_uid)
        except (KeyError, OverflowError):
            pass  # a user of other machines alone
    return frozenset(found)


def trust(environ: Mapping[str, str]) -> None:
    """From now on this process trusts whom `environ` names: what a worker was launched with counts,
    also where `restart` is typed in another environment."""
    given = environ.get(VARIABLE)
    if given is None:
        os.environ.pop(VARIABLE, None)
    else:
        os.environ[VARIABLE] = given


@contextmanager
def trusting(names: str | None) -> Iterator[None]:
    """For this long the process trusts the users that `names` lists; None changes nothing."""
    before = {VARIABLE: os.environ[VARIABLE]} if VARIABLE in os.environ else {}
    if names is not None:
        trust({VARIABLE: names})
    try:
        yield
    finally:
        trust(before)
