"""Worker tokens where they are kept on this machine, and how long they last.

A worker enters its newest token into its row of the local registry. A script that it started looks
there, since the token in its environment is as old as the script. Nothing here verifies a token:
that is the job server's business.
"""

from __future__ import annotations

import json

from jd import paths
from jd.errors import StorageError
from jd.files import plainfile, safedirs
from jd.protocol import is_experiment_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping

REGISTRY_FILE = "workers.db"
_LATEST = 1e11  # Unix seconds: more is no time
_PATIENCE = 2.0  # seconds for a lock on the registry; the token at hand is good enough after that


def claims(token: str) -> dict[str, Any]:
    """What a JWT says of itself, unverified; empty for a token of another form."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        padded = parts[1] + "=" * (-len(parts[1]) % 4)
        import base64
        told = json.loads(base64.urlsafe_b64decode(padded.encode("ascii")).decode("utf-8"))
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def expiry(token: str) -> float:
    """When a token expires, in Unix seconds of whoever signed it; 0 if it does not say."""
    end = _time(claims(token).get("exp"))
    return 0.0 if end is None else end


def lifetime(token: str) -> float | None:
    """Seconds from the issue of a token to its end, which no clock of this node has a say in."""
    told = claims(token)
    begin, end = _time(told.get("iat")), _time(told.get("exp"))
    return None if begin is None or end is None or end <= begin else end - begin


def _time(value: Any) -> float | None:
    """A claim that is a time. JSON of others has numbers that no float can hold, and NaN."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -_LATEST <= value <= _LATEST:
        return None
    return float(value)


def newest(environ: Mapping[str, str]) -> str | None:
    """The token of the running job: of JD_WORKER_TOKEN and the worker's row, the later to expire.

    None where the worker gave none. A registry that cannot be read counts as empty.
    """
    given = environ.get("JD_WORKER_TOKEN", "").strip()
    if not given:
        return None
    # Published clients hand the name on as it was typed; their registry has it in lower case, as ours.
    kept = _kept(environ.get("JD_EXP_ID", "").strip().lower(), environ.get("JD_WORKER_ID", "").strip(),
                 environ)
    return kept if kept and expiry(kept) > expiry(given) else given


def _kept(experiment: str, worker_id: str, environ: Mapping[str, str]) -> str:
    if not worker_id or not is_experiment_name(experiment):
        return ""
    import sqlite3  # not for scripts whose server wants no token
    try:
        path = paths.experiment_cache(experiment, environ) / REGISTRY_FILE
        safedirs.check_file(path, safedirs.CACHE, paths.cache_root(environ))
        plainfile.check(path)
        db = sqlite3.connect(path.absolute().as_uri() + "?mode=ro", uri=True, timeout=_PATIENCE)
        try:
            found = db.execute("SELECT worker_token FROM workers WHERE worker_id = ?",
                               (worker_id,)).fetchone()
        finally:
            db.close()
    except (sqlite3.Error, OSError, ValueError, StorageError):
        return ""
    return str(found[0] or "") if found is not None else ""
