"""Which job server is meant, how it is found, and what opens it.

What is named wins, then the Hub's, then that of the experiment's access file, then the default of `server=`.
"""

from __future__ import annotations

from pathlib import Path

from jd import settings, settingvalues
from jd.auth import hubtoken, tokentosend
from jd.errors import JdError
from jd.net.client import Client
from jd.net.finding import accessfile, published
from jd.net.finding.published import Place
from jd.settings import WORKER as TABLE
from jd.settings import Setting
from jd.shape import Shape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Mapping, Protocol

    class Line(Protocol):
        """What is said that a server is found by."""

        @property
        def arguments(self) -> Mapping[str, str]:
            """What was typed."""

        @property
        def environ(self) -> Mapping[str, str]:
            """The variables."""

        @property
        def experiment(self) -> str | None:
            """Whose server it is about."""

        @property
        def hub(self) -> hubtoken.Access | None:
            """Hub and key in Hub mode. Raises as `hubtoken.access`."""


HUB = "the Hub"
ACCESS_FILE = "access file"
DEFAULT = "the default"


class Source(Shape):
    """How a server is found, before anybody is asked: `by` is an argument, a variable, one of the words
    above, or a word for where it was stored. `url` is None where it takes a file or the Hub to know; `hub`
    is that Hub's URL, `token` what was stored with the server."""

    _SECRET = ("token",)

    def __init__(self, by: str, url: str | None = None, path: Path | None = None,
                 hub: str | None = None, stored: bool = False, token: str | None = None) -> None:
        self.by = by
        self.url = url
        self.path = path
        self.hub = hub
        self.stored = stored
        self.token = token

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

    def to_json(self) -> dict[str, str | None]:
        """For programs."""
        return {"found_by": self.by, "file": None if self.path is None else str(self.path),
                "hub": self.hub}


class Target(Shape):
    """The server, and what opens it. `grant` is the token that a Hub gave."""

    _SECRET = ("environ", "grant")

    def __init__(self, source: Source, place: Place, environ: Mapping[str, str],
                 grant: str | None = None) -> None:
        self.source = source
        self.place = place
        self.environ = environ
        self.grant = grant

    def token(self) -> str | None:
        """The token to send. Raises StorageError, UsageError."""
        return self.grant or tokentosend.bearer(self.place, self.environ)

    def client(self, timeout: float, experiment: str | None) -> Client:
        """A client that sends it, for calls that are meant for `experiment`."""
        return Client(self.place.url, self.token, timeout, experiment, self.place.certificate,
                      self.place.hint, keep=True)


def named(arguments: Mapping[str, str], environ: Mapping[str, str]) -> Source | None:
    """The server that an argument or a variable names. Raises UsageError for a value that cannot be used."""
    values = settings.resolve([_setting("server"), _setting("port")], arguments, environ)
    for name in ("server", "port"):
        given = settings.lookup(_setting(name), arguments, environ)
        if given is not None:
            path = published.file_of(values["server"])
            url = None if path else settingvalues.with_port(values["server"], values["port"])
            return Source(given.origin, url, path)
    return None


def unnamed(line: Line) -> Source:
    """How the server is found that nobody names. Raises StorageError for an access file."""
    experiment = line.experiment
    if experiment is not None:
        if line.hub is not None:
            return Source(HUB, hub=line.hub.client().shown)
        try:
            path = accessfile.path_of(experiment, line.environ)
        except JdError:
            path = None  # no home directory
        if path is not None and accessfile.find(experiment, line.environ) is not None:
            return Source(ACCESS_FILE, None, path)
    return Source(DEFAULT, default())


def find(line: Line, found: Source, fresh: bool = False) -> Target:
    """The server and its token; the Hub is asked, or the file read, if that is how. `fresh` as in
    `hubtoken.grant_for`.

    Raises what `hubtoken.grant_for`, `published.now` and `published.found` do.
    """
    environ = line.environ
    if found.by == HUB:
        assert line.experiment is not None and line.hub is not None
        grant = hubtoken.grant_for(line.hub, line.experiment, fresh)
        return Target(found, Place(grant.server), environ, grant.token)
    if found.stored:
        place = published.current(str(found.url), None if found.path is None else str(found.path))
        return Target(found, place, environ, found.token)
    if found.by == ACCESS_FILE:
        assert line.experiment is not None
        by_name = published.found(line.experiment, environ)
        if by_name is not None:
            return Target(found, by_name, environ)
        found = Source(DEFAULT, default())  # its server has ended just now
    if found.path is not None:
        return Target(found, published.now(found.path), environ)
    return Target(found, Place(str(found.url), hint=_nothing_names(line, found)), environ)


def default() -> str:
    """The server where nobody says which."""
    values = settings.resolve([_setting("server"), _setting("port")], {}, {})
    return settingvalues.with_port(values["server"], values["port"])


def _nothing_names(line: Line, found: Source) -> str:
    """What is to be said where the default server does not answer."""
    if found.is_named or line.experiment is None:
        return ""
    try:
        path: Path | None = accessfile.path_of(line.experiment, line.environ)
    except JdError:
        path = None  # no home directory
    return "%s; this is about the default, %s" % (published.nothing_names(line.experiment, path), found.url)


def _setting(name: str) -> Setting:
    return next(setting for setting in TABLE if setting.name == name)
