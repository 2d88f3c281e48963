"""Which job server a command means, and how it was found.

What is typed or set wins, then the server of a worker that runs, then the Hub's, then that of the
experiment's access file, then the default of `server=`.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Dict, Mapping, Optional

from jd import settings
from jd.auth import hubtoken
from jd.cli.catalog import argument
from jd.errors import JdError
from jd.net import accessfile, published
from jd.net.client import Client
from jd.net.published import Place

if TYPE_CHECKING:
    from jd.cli.context import Context
    from jd.worker.registry import Row

WORKER = "a running worker"
HUB = "the Hub"
ACCESS_FILE = "access file"
DEFAULT = "the default"


@dataclass(frozen=True)
class Source:
    """How a server is found, before anybody is asked: `by` is an argument, a variable, or one of the
    words above. `url` is None where it takes a file or the Hub to know."""

    by: str
    url: Optional[str] = None
    path: Optional[Path] = None
    row: Optional["Row"] = None

    @property
    def is_named(self) -> bool:
        """Whether somebody has said which server; a default is nobody's word."""
        return self.by != DEFAULT

    @property
    def shown(self) -> str:
        """For people."""
        return "access file %s" % self.path if self.by == ACCESS_FILE else self.by

    def to_json(self) -> Dict[str, Optional[str]]:
        """For programs."""
        return {"found_by": self.by, "file": None if self.path is None else str(self.path)}


@dataclass(frozen=True)
class Way:
    """The server, and what opens it. `grant` is the token that a Hub gave."""

    source: Source
    place: Place
    environ: Mapping[str, str] = field(repr=False)
    grant: Optional[str] = field(default=None, repr=False)

    def token(self) -> Optional[str]:
        """The token to send. Raises StorageError, UsageError."""
        return self.grant or self.place.bearer(self.environ)

    def client(self, timeout: float, experiment: Optional[str]) -> Client:
        """A client that sends it, for calls that are meant for `experiment`."""
        return Client(self.place.url, self.token, timeout, experiment, self.place.certificate,
                      self.place.hint)


def source(context: "Context", row: Optional["Row"] = None) -> Source:
    """How the server is found; nothing but files is looked at. `row` is the worker it is about.

    Raises UsageError for a value that cannot be used.
    """
    arguments, environ = context.arguments, context.environ
    values = settings.resolve([argument("server"), argument("port")], arguments, environ)
    for name in ("server", "port"):
        given = settings.lookup(argument(name), arguments, environ)
        if given is not None:
            path = published.file_of(values["server"])
            url = None if path else settings.with_port(values["server"], values["port"])
            return Source(given.origin, url, path)
    experiment = context.experiment
    if experiment is not None:
        rows = [row] if row is not None else context.registry.rows()
        stored = next((found for found in rows if found.config.get("server")), None)
        if stored is not None and (not stored.config.get("hub") or context.hub is None):
            path_text = stored.config.get("server_file")
            return Source(WORKER, str(stored.config["server"]), Path(path_text) if path_text else None,
                          stored)
        if context.hub is not None:
            return Source(HUB)
        try:
            path = accessfile.path_of(experiment, environ)
        except JdError:
            path = None  # no home directory
        if path is not None and accessfile.find(experiment, environ) is not None:
            return Source(ACCESS_FILE, None, path)
    return Source(DEFAULT, settings.with_port(values["server"], values["port"]))


def way(context: "Context", row: Optional["Row"] = None) -> Way:
    """The server and its token; the Hub is asked, or the file read, if that is how.

    Raises what `hubtoken.grant_for`, `published.now` and `published.found` do.
    """
    found, environ = source(context, row), context.environ
    if found.by == HUB:
        assert context.experiment is not None and context.hub is not None
        grant = hubtoken.grant_for(context.hub, context.experiment)
        return Way(found, Place(grant.server), environ, grant.token)
    if found.row is not None:
        place = published.current(str(found.url), None if found.path is None else str(found.path))
        return Way(found, place, environ, found.row.worker_token or None)
    if found.by == ACCESS_FILE:
        assert context.experiment is not None
        by_name = published.found(context.experiment, environ)
        if by_name is not None:
            return Way(found, by_name, environ)
        found = Source(DEFAULT, default())  # its server has ended just now
    if found.path is not None:
        return Way(found, published.now(found.path), environ)
    return Way(found, Place(str(found.url), hint=_unnamed(context, found)), environ)


def _unnamed(context: "Context", found: Source) -> str:
    """What is to be said where the default server does not answer."""
    if found.is_named or context.experiment is None:
        return ""
    try:
        path: Optional[Path] = accessfile.path_of(context.experiment, context.environ)
    except JdError:
        path = None  # no home directory
    return published.nothing_names(context.experiment, path)


def default() -> str:
    """The server where nobody says which."""
    values = settings.resolve([argument("server"), argument("port")], {}, {})
    return settings.with_port(values["server"], values["port"])
