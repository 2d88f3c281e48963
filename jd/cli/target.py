"""Which job server a command means, and how it was found.

What is typed or set wins, then the server of a worker that runs, then the Hub's, then that of the
experiment's access file, then the default of `server=`.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Mapping, Optional, Protocol

from jd import settings, settingvalues
from jd.auth import hubtoken, tokentosend
from jd.cli.catalog import argument
from jd.errors import JdError, StorageError, UsageError
from jd.net.client import Client
from jd.net.finding import accessfile, published
from jd.net.finding.published import Place
from jd.net.outbound import Address
from jd.worker.local.registry import Registry
from jd.worker.local.rows import Row

WORKER = "a running worker"
HUB = "the Hub"
ACCESS_FILE = "access file"
DEFAULT = "the default"


class Line(Protocol):
    """What a command line says that a server is found by."""

    @property
    def arguments(self) -> Mapping[str, str]:
        """What was typed."""

    @property
    def environ(self) -> Mapping[str, str]:
        """The variables."""

    @property
    def experiment(self) -> Optional[str]:
        """Whose server it is about."""

    @property
    def registry(self) -> Registry:
        """The registry of the experiment."""

    @property
    def hub(self) -> Optional[hubtoken.Access]:
        """Hub and key in Hub mode. Raises as `hubtoken.access`."""


@dataclass(frozen=True)
class Source:
    """How a server is found, before anybody is asked: `by` is an argument, a variable, or one of the
    words above. `url` is None where it takes a file or the Hub to know; `hub` is that Hub's URL."""

    by: str
    url: Optional[str] = None
    path: Optional[Path] = None
    row: Optional[Row] = None
    hub: Optional[str] = None

    @property
    def is_named(self) -> bool:
        """Whether somebody has said which server; a default is nobody's word."""
        return self.by != DEFAULT

    @property
    def shown(self) -> str:
        """For people."""
        if self.hub is not None:
            return "%s %s" % (self.by, self.hub)
        return "access file %s" % self.path if self.by == ACCESS_FILE else self.by

    def to_json(self) -> Dict[str, Optional[str]]:
        """For programs."""
        return {"found_by": self.by, "file": None if self.path is None else str(self.path),
                "hub": self.hub}


@dataclass(frozen=True)
class Known:
    """What is known of the server here, with nobody asked. `url` is None where only a Hub or a file that
    is not there would tell; `access` is the access file that told it, and `error` what is wrong."""

    source: Optional[Source] = None
    url: Optional[str] = None
    access: Optional[accessfile.Place] = None
    error: Optional[str] = None

    @property
    def shown(self) -> str:
        """For people: where, and how that was found."""
        if self.source is None:
            return "not known"
        how = self.source.shown
        if self.access is not None:
            how += "; pid %d on %s" % (self.access.seat.pid, self.access.host)
        elif self.source.path is not None and self.source.by != ACCESS_FILE:
            how += ", %s" % self.source.path
        return how if self.url is None else "%s  (%s)" % (shown_url(self.url), how)

    def to_json(self) -> Dict[str, Optional[str]]:
        """For programs."""
        told = {"found_by": None, "file": None, "hub": None} if self.source is None else self.source.to_json()
        return dict({"url": None if self.url is None else shown_url(self.url)}, **told)


@dataclass(frozen=True)
class Target:
    """The server, and what opens it. `grant` is the token that a Hub gave."""

    source: Source
    place: Place
    environ: Mapping[str, str] = field(repr=False)
    grant: Optional[str] = field(default=None, repr=False)

    def token(self) -> Optional[str]:
        """The token to send. Raises StorageError, UsageError."""
        return self.grant or tokentosend.bearer(self.place, self.environ)

    def client(self, timeout: float, experiment: Optional[str]) -> Client:
        """A client that sends it, for calls that are meant for `experiment`."""
        return Client(self.place.url, self.token, timeout, experiment, self.place.certificate,
                      self.place.hint)


def source(line: Line, row: Optional[Row] = None, workers: bool = True) -> Source:
    """How the server is found; nothing but files is looked at. `row` is the worker it is about. Without
    `workers` it is that of a launch, which looks at no other worker's.

    Raises UsageError for a value that cannot be used, StorageError for a registry or access file.
    """
    arguments, environ = line.arguments, line.environ
    values = settings.resolve([argument("server"), argument("port")], arguments, environ)
    for name in ("server", "port"):
        given = settings.lookup(argument(name), arguments, environ)
        if given is not None:
            path = published.file_of(values["server"])
            url = None if path else settingvalues.with_port(values["server"], values["port"])
            return Source(given.origin, url, path)
    experiment = line.experiment
    if experiment is not None:
        rows = [row] if row is not None else line.registry.rows() if workers else []
        stored = next((found for found in rows if found.server), None)
        if stored is not None and (not stored.config.get("hub") or line.hub is None):
            path_text = stored.config.get("server_file")
            return Source(WORKER, stored.server, Path(path_text) if path_text else None,
                          stored)
        if line.hub is not None:
            return Source(HUB, hub=line.hub.client().shown)
        try:
            path = accessfile.path_of(experiment, environ)
        except JdError:
            path = None  # no home directory
        if path is not None and accessfile.find(experiment, environ) is not None:
            return Source(ACCESS_FILE, None, path)
    return Source(DEFAULT, settingvalues.with_port(values["server"], values["port"]))


def known(line: Line) -> Known:
    """What files tell of the server; nobody is asked, and what is wrong stands in the answer."""
    try:
        found = source(line)
    except JdError as error:
        return Known(error=str(error))
    access: Optional[accessfile.Place] = None
    url = found.url
    try:
        if found.by == ACCESS_FILE and line.experiment is not None:
            access = accessfile.find(line.experiment, line.environ)
            url = None if access is None else access.urls[0]
        if found.path is not None:
            place = published.read(found.path, url, ask=False)
            url = url if place is None else place.url
    except StorageError as error:
        return Known(found, url, access, str(error))
    return Known(found, url, access)


def find(line: Line, row: Optional[Row] = None, found: Optional[Source] = None) -> Target:
    """The server and its token; the Hub is asked, or the file read, if that is how. `found` is the
    source where that is known.

    Raises what `hubtoken.grant_for`, `published.now` and `published.found` do.
    """
    found, environ = found or source(line, row), line.environ
    if found.by == HUB:
        assert line.experiment is not None and line.hub is not None
        grant = hubtoken.grant_for(line.hub, line.experiment)
        return Target(found, Place(grant.server), environ, grant.token)
    if found.row is not None:
        place = published.current(str(found.url), None if found.path is None else str(found.path))
        return Target(found, place, environ, found.row.worker_token or None)
    if found.by == ACCESS_FILE:
        assert line.experiment is not None
        by_name = published.found(line.experiment, environ)
        if by_name is not None:
            return Target(found, by_name, environ)
        found = Source(DEFAULT, default())  # its server has ended just now
    if found.path is not None:
        return Target(found, published.now(found.path), environ)
    return Target(found, Place(str(found.url), hint=_unnamed(line, found)), environ)


def _unnamed(line: Line, found: Source) -> str:
    """What is to be said where the default server does not answer."""
    if found.is_named or line.experiment is None:
        return ""
    try:
        path: Optional[Path] = accessfile.path_of(line.experiment, line.environ)
    except JdError:
        path = None  # no home directory
    return published.nothing_names(line.experiment, path)


def shown_url(url: str) -> str:
    """A server URL as it may be shown: without user and password, and safe on a terminal."""
    try:
        return Address.parse(url).shown
    except UsageError:
        return "".join(char if char.isprintable() else "?" for char in url.rpartition("@")[2])


def default() -> str:
    """The server where nobody says which."""
    values = settings.resolve([argument("server"), argument("port")], {}, {})
    return settingvalues.with_port(values["server"], values["port"])
