"""The server's URL in a file that the server writes itself: `server=@path`, or the access file of an
experiment.

The access file is looked for where nobody names a server. A file of `--publish-url` has the URL in its
first line; the second, if there is one, is the path of the file with the token that workers need. Lines
that begin with # do not count. An access file (jd/net/finding/accessfile.py) is JSON and holds the token
itself.

Either decides where workers take code from and which token they send there. So it counts only where nobody
else can have written it: the file and the directories above it are examined as other places are
(jd/files/safedirs.py). A colleague's file can be used by naming its owner in JD_TRUST_USER.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from jd import protocol, settings, settingvalues, terminal
from jd.errors import JdError, StorageError
from jd.files import plainfile, safedirs
from jd.net.finding import accessfile
from jd.net.peer import portowner
from jd.shape import Shape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Mapping, Sequence

WAIT = 600.0  # seconds that a launch waits for the file: its server may still be queued
LOOK_EVERY = 1.0  # seconds
MAX_BYTES = 64 * 1024
TRY_SECONDS = 3.0  # for one of several URLs


class Stale(StorageError):
    """An access file whose server has ended without removing it."""


class Place(Shape):
    """A job server as such a file names it. `certificate` is PEM, and then the only one to trust;
    `hint` says what to look at when the server does not answer."""

    _SECRET = ("token", "certificate")
    _BESIDE = ("hint",)

    def __init__(self, url: str, token_file: str | None = None, token: str | None = None,
                 certificate: str | None = None, hint: str = "") -> None:
        self.url = url
        self.token_file = token_file
        self.token = token
        self.certificate = certificate
        self.hint = hint


def file_of(server: str) -> Path | None:
    """The file that a value of `server=` names; None for a URL."""
    return Path(server[len(settingvalues.PUBLISHED):]) if server.startswith(settingvalues.PUBLISHED) else None


def read(path: Path, preferred: str | None = None, ask: bool = True) -> Place | None:
    """What the file says; None while there is none, or nothing in it.

    Of the URLs of an access file the first that answers is taken, with `ask` false the first of all;
    `preferred` unseen if it is one of them. Raises StorageError for a file that cannot be used, that
    somebody else could have written or that holds something else, and for an access file whose server
    cannot be reached from here, or has ended (Stale).
    """
    try:
        if not safedirs.check_file(path, purpose()):
            return None
        content = plainfile.beginning(path, MAX_BYTES)
        if content.lstrip().startswith(b"{"):
            access = accessfile.read(path)
            return None if access is None else of_access(path, access, preferred, ask)
        text = content.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and not os.path.lexists(str(path)):
            return None
        raise StorageError("server=@%s cannot be read: %s" % (
            path, getattr(error, "strerror", None) or "it is no text")) from None
    return _of_lines(path, text)


def found(experiment: str, environ: Mapping[str, str], ask: bool = True) -> Place | None:
    """The server of the experiment by its access file, as `read` tells it; None where there is none.

    Raises StorageError as `read` and `accessfile.find`.
    """
    access = accessfile.find(experiment, environ)
    if access is None:
        return None
    return of_access(accessfile.path_of(experiment, environ), access, None, ask)


def of_access(path: Path, access: accessfile.Place, preferred: str | None = None,
              ask: bool = True) -> Place:
    """The server of an access file as it is reached from here, as `read` tells it. Raises StorageError."""
    again = "jd_server --expId %s" % access.experiment
    if access.hub is not None:
        raise StorageError("the server of %s wants tokens of the Hub %s (%s says so): set JD_API_KEY to "
                           "a key of yours, and JD_HUB_URL=%s" % (
                               access.experiment, access.hub, path, access.hub))
    if access.seat.is_over():
        raise Stale("%s is of a server that was killed (pid %d on %s)"
                    % (path, access.seat.pid, access.host),
                    "start it again: %s" % again)
    urls = access.reachable()
    if not urls:
        raise StorageError("the server of %s listens on the loopback of %s only (%s), and this is another "
                           "machine" % (access.experiment, access.host, path),
                           "start it there with --host 0.0.0.0")
    hint = "%s names pid %d on %s; if that has ended, start it again: %s" % (
        path, access.seat.pid, access.host, again)
    url = preferred if preferred in urls else _answering(access, urls) if ask else urls[0]
    return Place(url, None, access.token, access.certificate, hint)


def current(server: str, path: str | None) -> Place:
    """The server of a launch that was stored: where `path`, the file that named it, says now, else
    where it was."""
    try:
        place = read(Path(path), server) if path else None
    except StorageError as error:
        return Place(server, hint=str(error))
    return Place(server) if place is None else place


def now(path: Path) -> Place:
    """What the file says at once. Raises StorageError, also where there is none."""
    place = read(path)
    if place is None:
        raise StorageError("server=@%s: there is no such file yet" % path, _who_writes(path))
    return place


def wait_for(path: Path, say: Callable[[str], None], patience: float = WAIT,
             clock: Callable[[], float] = time.monotonic,
             sleep: Callable[[float], None] = time.sleep) -> Place:
    """What the file says, once it is there, and is not that of a server that was killed.

    Raises StorageError after `patience` seconds.
    """
    until = clock() + patience
    said = False
    while True:
        stale: Stale | None = None
        try:
            place = read(path)
        except Stale as error:
            place, stale = None, error
        if place is not None:
            return place
        if clock() >= until:
            raise stale or StorageError("server=@%s: no such file came within %s"
                                        % (path, terminal.duration(patience)),
                                        "is the server up? %s" % _who_writes(path))
        if not said:
            said = True
            say("waiting up to %s for %s, which the job server writes" % (
                terminal.duration(patience), path))
        sleep(LOOK_EVERY)


def nothing_names(experiment: str, path: Path | None) -> str:
    """For messages about the default address: that nobody names a server of the experiment, and that
    its access file, `path`, is not here either; None stands for no home directory."""
    there = "there is no home directory to look for its access file in" if path is None else (
        "there is no access file %s" % path)
    return "nothing names a server of experiment %s, and %s" % (experiment, there)


def purpose() -> safedirs.Purpose:
    """Where a published file counts: what is ours, root's, and of the users whom this process trusts."""
    return safedirs.PUBLISHED._replace(
        trusted=portowner.trusted_uids(os.environ),
        otherwise="take the URL from a file of your own, or set %s to its owner if you mean that user's "
                  "server" % portowner.VARIABLE)


# ---- how

def _of_lines(path: Path, text: str) -> Place | None:
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines:
        return None
    try:
        return Place(settingvalues.with_port(settingvalues.server_url(lines[0]), _default_port()),
                     lines[1] if lines[1:] else None)
    except ValueError as error:
        raise StorageError("server=@%s: its first line is no server: give %s" % (path, error)) from None


def _default_port() -> int:
    return int(settings.value_of(settings.WORKER, "port", {}))


def _who_writes(path: Path) -> str:
    if path.suffix == accessfile.SUFFIX:
        return "jd_server --expId %s writes it, or it can be a copy of its access file" % path.stem
    return ("it is what jd_server --publish-url %s writes, or a copy of the server's access file, "
            "~/.jd/servers/NAME%s" % (path, accessfile.SUFFIX))


def _answering(access: accessfile.Place, urls: Sequence[str]) -> str:
    """The first URL at which the experiment's server answers, without a token; else the first."""
    if len(urls) > 1:
        from jd.net.client import Client  # what a script with one URL can do without
        for url in urls:
            try:
                told = Client(url, timeout=TRY_SECONDS, certificate=access.certificate).call(
                    "GET", protocol.HEALTH)
            except JdError:
                continue
            if isinstance(told, dict) and told.get("expId") == access.experiment:
                return url
    return urls[0]
