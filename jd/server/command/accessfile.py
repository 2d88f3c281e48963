"""The server's access file: written when it is ready, removed when it ends (jd/net/finding/accessfile.py).

A file that cannot be written is a warning: the server serves, and its users name it themselves.
"""

import fcntl
import re
import socket
import struct
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

from jd import paths, protocol
from jd.errors import JdError
from jd.net.addresses import ANY, is_loopback, url_of
from jd.net.client import Client
from jd.net.finding import accessfile
from jd.net.finding.accessfile import Place, Seat
from jd.server.experiment import Experiment

_SIOCGIFADDR = 0x8915  # netdevice(7)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,252}", re.ASCII)
_PATIENCE = 2.0  # seconds for the server whose file is to be replaced

Warn = Callable[[str], None]


class AccessFile:
    """The access file of one running server. `token`, `certificate` and `hub` as in `Place`."""

    def __init__(self, experiment: Experiment, warn: Warn) -> None:
        self._experiment = experiment
        self._warn = warn
        self._path: Optional[Path] = None
        self._place: Optional[Place] = None
        try:
            self._path = accessfile.path_of(experiment.name)
        except JdError as error:
            self._unwritten(str(error))

    @property
    def shown(self) -> str:
        """Its path for anybody: of the home directory no more than `~`; empty where it is elsewhere."""
        try:
            return "" if self._path is None else "~/%s" % self._path.relative_to(paths.home())
        except (JdError, ValueError):
            return ""

    def tidy(self) -> None:
        """Remove the file that an earlier server of this very data left when it was killed: its
        successor, which holds the data now, is not ready yet."""
        left = self._read()
        if left is not None and self._path is not None and left.server_id == self._experiment.server_id:
            accessfile.remove(self._path, left)

    def publish(self, urls: List[str], token: Optional[str], certificate: Optional[str],
                hub: Optional[str]) -> None:
        """Write it. `urls` as `urls_of` gives them."""
        if self._path is None:
            return
        place = Place(self._experiment.name, self._experiment.server_id, tuple(urls),
                      _printable(socket.gethostname()), Seat.own(), token, certificate, hub)
        other = self._read()
        if other is not None and other.server_id != place.server_id and _is_live(other):
            self._warn("%s was the access file of another server, of experiment %s at %s (pid %d on %s): "
                       "commands that name no server find this one now" % (
                           self._path, other.experiment, other.urls[0], other.seat.pid, other.host))
        try:
            accessfile.write(self._path, place)
        except JdError as error:
            self._unwritten(str(error))
        else:
            self._place = place

    def withdraw(self) -> None:
        """Remove it, unless another server has taken its place."""
        if self._path is not None and self._place is not None:
            accessfile.remove(self._path, self._place)

    def _read(self) -> Optional[Place]:
        try:
            return None if self._path is None else accessfile.read(self._path)
        except JdError:
            return None  # it will be replaced, or the reason is told then

    def _unwritten(self, why: str) -> None:
        variable = accessfile.VARIABLE
        other = "" if variable in why else "; set %s to a directory of your own" % variable
        self._warn("no access file, so workers and commands do not find this server by themselves: %s%s, or "
                   "give them server=URL" % (why, other))


def urls_of(host: str, port: int, secure: bool, public: Optional[str]) -> List[str]:
    """Where a server that listens on `host` can be reached, best first: on loopback, by the URL that
    was given, by name, by number. May ask the name server."""
    given = [] if public is None else [public]
    if host in ANY:
        near = url_of("::1" if host == "::" else "127.0.0.1", port, secure)
        urls = [near] + given + [url_of(name, port, secure) for name in names() + numbers()]
    else:
        own = [url_of(host, port, secure)]
        urls = own + given if is_loopback(host) else given + own
    return list(dict.fromkeys(urls))[:accessfile.MAX_URLS]


def names() -> List[str]:
    """Names of this machine that others may know. May ask the name server."""
    found = [socket.gethostname()]
    try:
        found.append(socket.getfqdn())
    except (OSError, UnicodeError):
        pass  # a host name that no name server could know
    return [name for name in dict.fromkeys(found) if _NAME.fullmatch(name)
            and not is_loopback(name) and not name.startswith("localhost")]


def numbers() -> List[str]:
    """Its IPv4 addresses, of every interface where that can be told (Linux)."""
    found: List[str] = []
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for _, name in socket.if_nameindex():
                try:
                    answer = fcntl.ioctl(sock, _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
                except OSError:
                    continue  # an interface without such an address, or a system without the call
                found.append(socket.inet_ntoa(answer[20:24]))
    except (OSError, AttributeError):
        pass
    return [number for number in found if not is_loopback(number)]


def _is_live(other: Place) -> bool:
    """Whether the server of another file still answers."""
    if other.seat.is_over():
        return False
    answers: Dict[str, Any] = {}
    for url in other.reachable()[:2]:
        try:
            answers = Client(url, timeout=_PATIENCE, certificate=other.certificate).call(
                "GET", protocol.HEALTH)
        except JdError:
            continue
        return isinstance(answers, dict) and answers.get("expId") == other.experiment
    return False


def _printable(name: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in name[:200])
