"""Which token is sent to a job server: that of the file that names the server, or the user's own.

A published file may name a token file. Whoever wrote it could name another secret of this user's, so that
file is examined before it is read.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from jd import paths
from jd.auth.sharedtoken import worker_token
from jd.errors import StorageError, UsageError
from jd.files import safedirs
from jd.net.finding.published import Place
from jd.net.peer import portowner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Mapping

TOKEN_FILE = "JD_SERVER_TOKEN_FILE"


def bearer(place: Place, environ: Mapping[str, str]) -> str | None:
    """The token to send: of an access file its own, which is that of this very server; else as
    `environ` says, or the token file. Raises StorageError, UsageError."""
    return place.token or worker_token(with_token_file(environ, place))


def with_token_file(environ: Mapping[str, str], place: Place) -> Mapping[str, str]:
    """`environ` with the token file of a place, unless it says itself which token counts.

    Raises StorageError for one that could be another secret of this user's, or another user's.
    """
    if place.token_file is None or any(
            environ.get(name, "").strip() for name in (TOKEN_FILE, "JD_SERVER_TOKEN")):
        return environ
    path = Path(os.path.expanduser(place.token_file)).absolute()
    _check_token_file(path, environ)
    return dict(environ, **{TOKEN_FILE: str(path)})


def _check_token_file(path: Path, environ: Mapping[str, str]) -> None:
    """Raises StorageError for a file that should not be sent as a token."""
    wanted = safedirs.Purpose("token file", TOKEN_FILE, trusted=portowner.trusted_uids(os.environ),
                              otherwise="set JD_SERVER_TOKEN_FILE to a token file of your own")
    try:
        if not safedirs.check_file(path, wanted):
            return  # who reads it says so
        found_stat = os.stat(str(path))
        home = os.path.realpath(str(paths.home(environ) / ".jd"))
    except OSError as error:
        raise StorageError("token file %s cannot be examined: %s" % (path, error.strerror)) from None
    except UsageError:
        home = ""
    if found_stat.st_uid == os.geteuid() and found_stat.st_mode & stat.S_IROTH:
        raise StorageError("token file %s is not used: everybody can read it (mode %04o)"
                           % (path, stat.S_IMODE(found_stat.st_mode)),
                           "give the server another token, in a file of mode 600")
    if home and (os.path.realpath(str(path)) + "/").startswith(home + "/"):
        raise StorageError("token file %s is not used: keys of this user's are there, which no server gets"
                           % path,
                           "set JD_SERVER_TOKEN_FILE to a token file")
