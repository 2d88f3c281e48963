"""`server=@path`: where the job server is stands in a file, which the server writes itself.

The first line is the URL, the second, if there is one, the path of the file with the token that
workers need (docs/server.md, `--publish-url`). Lines that begin with # do not count.
"""

import os
import time
from pathlib import Path
from typing import Callable, Dict, Mapping, NamedTuple, Optional

from jd import settings, terminal
from jd.errors import StorageError

WAIT = 600.0  # seconds that a launch waits for the file: its server may still be queued
LOOK_EVERY = 1.0  # seconds
MAX_BYTES = 64 * 1024
TOKEN_FILE = "JD_SERVER_TOKEN_FILE"


class Place(NamedTuple):
    """What such a file says."""

    url: str
    token_file: Optional[str]


def file_of(server: str) -> Optional[Path]:
    """The file that a value of `server=` names; None for a URL."""
    return Path(server[len(settings.PUBLISHED):]) if server.startswith(settings.PUBLISHED) else None


def read(path: Path) -> Optional[Place]:
    """What the file says; None while there is none, or nothing in it.

    Raises StorageError for one that cannot be read or holds something else.
    """
    try:
        with open(str(path), "rb") as file:
            content = file.read(MAX_BYTES).decode("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError("server=@%s cannot be read: %s" % (
            path, getattr(error, "strerror", None) or "it is no text")) from None
    lines = [line.strip() for line in content.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines:
        return None
    try:
        return Place(settings.with_port(settings.server_url(lines[0]), _default_port()),
                     lines[1] if lines[1:] else None)
    except ValueError as error:
        raise StorageError("server=@%s: its first line is no server: give %s" % (path, error)) from None


def _default_port() -> int:
    return int(settings.value_of(settings.WORKER, "port", {}))


def now(path: Path) -> Place:
    """What the file says at once. Raises StorageError, also where there is none."""
    place = read(path)
    if place is None:
        raise StorageError("server=@%s: there is no such file yet; jd_server --publish-url %s writes it"
                           % (path, path))
    return place


def wait_for(path: Path, say: Callable[[str], None], patience: float = WAIT,
             clock: Callable[[], float] = time.monotonic,
             sleep: Callable[[float], None] = time.sleep) -> Place:
    """What the file says, once it is there. Raises StorageError after `patience` seconds."""
    place = read(path)
    if place is not None:
        return place
    until = clock() + patience
    say("waiting up to %s for %s, which the job server writes" % (terminal.duration(patience), path))
    while clock() < until:
        sleep(LOOK_EVERY)
        place = read(path)
        if place is not None:
            return place
    raise StorageError("server=@%s: no such file came within %s; is the server up? jd_server "
                       "--publish-url %s writes it" % (path, terminal.duration(patience), path))


def with_token_file(environ: Mapping[str, str], place: Place) -> Dict[str, str]:
    """`environ` with the token file of a place, unless it says itself which token counts."""
    own = any(environ.get(name, "").strip() for name in (TOKEN_FILE, "JD_SERVER_TOKEN"))
    if place.token_file is None or own:
        return dict(environ)
    return dict(environ, **{TOKEN_FILE: os.path.expanduser(place.token_file)})
