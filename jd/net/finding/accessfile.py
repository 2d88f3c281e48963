"""The access file of a server: where it is and how its owner is let in, found by experiment name.

    <home>/.jd/servers/<expId>.json      mode 0600, the directory 0700

A server without a Hub writes it when it is ready and removes it at its end. Whoever can read it may do
everything on that server, and whoever can write it decides which server workers take code from. So a file
counts only if it belongs to this user alone, and is looked for only in a directory of theirs. No text made
here shows the token.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

from jd import paths, protocol, settingvalues
from jd.errors import JdError, StorageError
from jd.fields import take
from jd.files import safedirs, wholefile
from jd.net.outbound import is_own_machine
from jd.protocol import ProtocolError
from jd.shape import NamedTuple, Shape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping

FORMAT = 1
MAX_BYTES = 64 * 1024
MAX_URLS = 32
SUFFIX = ".json"
VARIABLE = "JD_ACCESS_DIR"


class Seat(NamedTuple):
    """The process of a server: the machine it is on and how to know whether it still runs.

    `machine` stands for a boot and a network namespace, so that equal ones share their loopback;
    `pids` for the pid namespace, without which a pid says nothing.
    """

    machine: str
    pids: str
    pid: int
    started: str

    @classmethod
    def own(cls) -> Seat:
        """That of this process."""
        from jd.node.identity import Here  # scripts that find no access file do without
        here = Here()
        return cls("%s %s" % (here.own.boot_id, _namespace("net")), here.pid_namespace, here.own.pid,
                   here.own.start_time)

    def is_over(self) -> bool:
        """Whether the process is known to have ended; False where nobody can tell from here."""
        from jd.node.identity import Here
        own = Seat.own()
        if not own.machine.strip() or (own.machine, own.pids) != (self.machine, self.pids):
            return False
        return Here().start_time(self.pid) != self.started


class Place(Shape):
    """What an access file says. `urls` are those of the API, the best one for other machines first
    after those of loopback. `certificate` is PEM, and then the only one to trust; `hub` is the URL of
    the Hub whose tokens the server wants, which then has no token here."""

    _SECRET = ("token", "certificate")

    def __init__(self, experiment: str, server_id: str, urls: tuple[str, ...], host: str, seat: Seat,
                 token: str | None = None, certificate: str | None = None,
                 hub: str | None = None) -> None:
        self.experiment = experiment
        self.server_id = server_id
        self.urls = urls
        self.host = host
        self.seat = seat
        self.token = token
        self.certificate = certificate
        self.hub = hub

    def reachable(self) -> tuple[str, ...]:
        """The URLs to try from here, best first; empty for a server that listens on the loopback of
        another machine."""
        own = tuple(url for url in self.urls if _is_loopback(url))
        others = tuple(url for url in self.urls if url not in own)
        return own + others if self.seat.machine == Seat.own().machine else others

    def hub_here(self) -> str | None:
        """The Hub's URL. Raises StorageError for one that listens on the loopback of another machine."""
        if (self.hub is not None and _is_loopback(self.hub)
                and self.seat.machine != Seat.own().machine):
            raise StorageError("the Hub of %s, %s, listens on the loopback of %s only, and this is "
                               "another machine" % (self.experiment, self.hub, self.host),
                               "start it there with --host 0.0.0.0")
        return self.hub

    def to_json(self) -> dict[str, Any]:
        return {"format": FORMAT, "experiment": self.experiment, "server_id": self.server_id,
                "urls": list(self.urls), "host": self.host, "machine": self.seat.machine,
                "pid_namespace": self.seat.pids, "pid": self.seat.pid, "started": self.seat.started,
                "token": self.token, "certificate": self.certificate, "hub": self.hub}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Place:
        """Raises ProtocolError or ValueError."""
        urls = take(body, "urls", list)
        if not 1 <= len(urls) <= MAX_URLS or not all(isinstance(url, str) for url in urls):
            raise ValueError("urls must be 1 to %d URLs" % MAX_URLS)
        token = take(body, "token", str, None)
        hub = take(body, "hub", str, None)
        return cls(
            experiment=protocol.check_experiment_name(take(body, "experiment", str)),
            server_id=take(body, "server_id", str),
            urls=tuple(settingvalues.server_url(url) for url in urls),
            host=settingvalues.text(take(body, "host", str)),
            seat=Seat(take(body, "machine", str), take(body, "pid_namespace", str),
                      take(body, "pid", int), take(body, "started", str)),
            token=None if token is None else settingvalues.secret(token),
            certificate=take(body, "certificate", str, None),
            hub=None if hub is None else settingvalues.server_url(hub))


# ---- where

def directory(environ: Mapping[str, str] = os.environ) -> Path:
    """Where access files are: `<home>/.jd/servers`, or JD_ACCESS_DIR. Raises UsageError where there is
    no home directory."""
    return paths.access_dir(environ)


def path_of(experiment: str, environ: Mapping[str, str] = os.environ) -> Path:
    """The access file of an experiment, which need not exist. Raises UsageError as `directory`."""
    return directory(environ) / (protocol.check_experiment_name(experiment) + SUFFIX)


# ---- reading

def read(path: Path) -> Place | None:
    """What the file says; None where there is none.

    Raises StorageError for a file that is not ours alone, and for one that says something else.
    """
    try:
        handle = os.open(str(path), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if not os.path.lexists(str(path)):
            return None  # a home that is not ours to look into holds no server of ours
        raise StorageError("%s cannot be read: %s" % (path, error.strerror),
                           "give server= instead, or remove it") from None
    try:
        _check_file(path, os.fstat(handle))
        with open(handle, "rb", closefd=False) as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise StorageError("%s cannot be read: %s" % (path, error.strerror)) from None
    finally:
        os.close(handle)
    return parse(path, content)


def parse(path: Path, content: bytes) -> Place:
    """The content of the file `path`. Raises StorageError, which repeats nothing of it."""
    try:
        if len(content) > MAX_BYTES:
            raise ValueError("it is larger than %d bytes" % MAX_BYTES)
        body = json.loads(content.decode("utf-8"))
        if not isinstance(body, dict) or body.get("format") != FORMAT:
            raise ValueError("it has another format")
        return Place.from_json(body)
    except (ProtocolError, ValueError, RecursionError) as error:
        what = "it is no JSON" if isinstance(error, (json.JSONDecodeError, UnicodeDecodeError)) else (
            "it is nested too deeply" if isinstance(error, RecursionError) else str(error))
        raise StorageError("%s is no access file of this version: %s" % (path, what),
                           "start the server again, or give server=") from None


def find(experiment: str, environ: Mapping[str, str] = os.environ) -> Place | None:
    """The access file of the experiment; None where there is none.

    Raises StorageError as `read`, for a directory in which others can write, and for the file of
    another experiment, which a file system that does not tell upper and lower case apart may give.
    """
    try:
        path = path_of(experiment, environ)
    except JdError:
        return None  # no home directory, so no file in it
    place = read(path)
    if place is None:
        return None
    try:
        safedirs.check(path.parent, safedirs.ACCESS)
    except OSError as error:
        raise StorageError("%s cannot be examined: %s" % (path.parent, error.strerror)) from None
    if place.experiment != experiment:
        raise StorageError("%s is of the experiment %s, not %s: this file system does not tell their "
                           "names apart" % (path, place.experiment, experiment),
                           "give server=, or set %s" % VARIABLE)
    return place


def found(environ: Mapping[str, str] = os.environ) -> tuple[Path, ...]:
    """All access files, whatever they say."""
    try:
        names = sorted(os.listdir(str(directory(environ))))
        return tuple(directory(environ) / name for name in names
                     if name.endswith(SUFFIX) and protocol.is_experiment_name(name[:-len(SUFFIX)]))
    except (JdError, OSError):
        return ()


# ---- writing

def write(path: Path, place: Place) -> None:
    """Write the file, whole or not at all. Raises StorageError, also for a directory in which others
    could put another in its place."""
    try:
        safedirs.make(path.parent, safedirs.ACCESS)
        wholefile.tidy(path.parent)
        wholefile.write(path, json.dumps(place.to_json(), indent=2).encode("ascii") + b"\n")
    except OSError as error:
        raise StorageError("%s cannot be written: %s" % (path, error.strerror)) from None


def remove(path: Path, place: Place) -> None:
    """Remove the file if it is still the one of this very server."""
    try:
        now = read(path)
    except StorageError:
        return  # not ours to judge
    if now is not None and (now.server_id, now.seat) == (place.server_id, place.seat):
        _remove(path)


# ---- how

def _namespace(kind: str) -> str:
    try:
        return os.readlink("/proc/self/ns/" + kind)
    except OSError:
        return ""


def _is_loopback(url: str) -> bool:
    from urllib.parse import urlsplit
    return is_own_machine(urlsplit(url).hostname or "")


def _check_file(path: Path, found_stat: os.stat_result) -> None:
    if not stat.S_ISREG(found_stat.st_mode):
        raise StorageError("%s is no file" % path, "remove it")
    if found_stat.st_uid not in (0, os.geteuid()):
        raise StorageError("%s belongs to uid %d, and would decide where workers take jobs from"
                           % (path, found_stat.st_uid),
                           "remove it, or give server=")
    # A mounted secret belongs to root, and may be readable by a group of ours.
    mounted = found_stat.st_uid != os.geteuid()
    open_to = stat.S_IRWXO | (stat.S_IWGRP if mounted else stat.S_IRWXG)
    if found_stat.st_mode & open_to:
        raise StorageError("%s holds a token, and others can read or write it: chmod 600 it" % path,
                           "if somebody may have read it, remove meta/token of the server's data and "
                           "start the server again")


def _remove(path: Path) -> None:
    try:
        os.unlink(str(path))
    except OSError:
        pass
