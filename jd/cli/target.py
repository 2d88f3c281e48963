"""Which job server a command means, and how it was found.

What is typed or set wins, then the server of a worker that runs, then the Hub's, then that of the
experiment's access file, then the default of `server=`.
"""

from __future__ import annotations

from pathlib import Path

from jd.auth import jobserver
from jd.auth.jobserver import ACCESS_FILE, Source, Target
from jd.errors import JdError, StorageError, UsageError
from jd.net.finding import accessfile, published
from jd.net.outbound import Address
from jd.shape import Shape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from jd.worker.local.registry import Registry
    from jd.worker.local.rows import Row

    class Line(jobserver.Line, Protocol):
        """What a command line says that a server is found by."""

        @property
        def registry(self) -> Registry:
            """The registry of the experiment."""


WORKER = "a running worker"


class Known(Shape):
    """What is known of the server here, with nobody asked. `url` is None where only a Hub or a file that
    is not there would tell; `access` is the access file that told it, and `error` what is wrong."""

    def __init__(self, source: Source | None = None, url: str | None = None,
                 access: accessfile.Place | None = None, error: str | None = None) -> None:
        self.source = source
        self.url = url
        self.access = access
        self.error = error

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

    def to_json(self) -> dict[str, str | None]:
        """For programs."""
        told = {"found_by": None, "file": None, "hub": None} if self.source is None else self.source.to_json()
        return dict({"url": None if self.url is None else shown_url(self.url)}, **told)


def source(line: Line, row: Row | None = None, workers: bool = True) -> Source:
    """How the server is found; nothing but files is looked at. `row` is the worker it is about. Without
    `workers` it is that of a launch, which looks at no other worker's.

    Raises UsageError for a value that cannot be used, StorageError for a registry or access file.
    """
    found = jobserver.named(line.arguments, line.environ)
    if found is None and line.experiment is not None:
        rows = [row] if row is not None else line.registry.rows() if workers else []
        stored = next((one for one in rows if one.config.get("server")), None)
        if stored is not None and (not stored.config.get("hub") or line.hub is None):
            path = stored.config.get("server_file")
            found = Source(WORKER, str(stored.config["server"]), Path(path) if path else None,
                           stored=True, token=stored.worker_token or None)
    return found or jobserver.unnamed(line)


def known(line: Line) -> Known:
    """What files tell of the server; nobody is asked, and what is wrong stands in the answer."""
    try:
        found = source(line)
    except JdError as error:
        return Known(error=str(error))
    access: accessfile.Place | None = None
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


def find(line: Line, row: Row | None = None, found: Source | None = None) -> Target:
    """The server and its token; `found` is the source where that is known. Raises as `jobserver.find`."""
    return jobserver.find(line, found or source(line, row))


def shown_url(url: str) -> str:
    """A server URL as it may be shown: without user and password, and safe on a terminal."""
    try:
        return Address.parse(url).shown
    except UsageError:
        return "".join(char if char.isprintable() else "?" for char in url.rpartition("@")[2])
