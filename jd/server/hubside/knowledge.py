"""What a job server knows of its experiment from the Hub, also on disk, for a start while the Hub is away."""

import json
from pathlib import Path
from typing import Any, FrozenSet, NamedTuple, Optional

from jd import fields
from jd.auth import jwt
from jd.files import plainfile, wholefile

_MAX_BYTES = 16 * 1024 * 1024  # a token that was revoked takes 40


class Known(NamedTuple):
    """What the server has to know of its experiment to judge a token."""

    secret: str
    experiment_id: Optional[str]  # None from a Hub that does not tell
    revoked: FrozenSet[str] = frozenset()
    owner_id: Optional[str] = None  # likewise
    owner: Optional[str] = None  # email address, likewise
    refused_at: Optional[float] = None  # Unix seconds; since when the Hub refuses this server's key

    def role_of(self, claims: jwt.WorkerClaims) -> str:
        """What a token is good for. One that does not say comes from a Hub that knows no roles, or
        from before it did: where the Hub does not tell who the owner is either, all are alike."""
        if claims.role is not None:
            return claims.role
        return jwt.OWNER if self.owner_id in (None, str(claims.user_id)) else jwt.WORK


def keep(path: Path, hub_url: str, known: Known) -> None:
    """Write what the Hub at `hub_url` said. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wholefile.write(path, json.dumps({
        "hub_url": hub_url, "secret": known.secret, "experiment_id": known.experiment_id,
        "owner_id": known.owner_id, "owner": known.owner, "refused_at": known.refused_at,
        "revoked_jtis": sorted(known.revoked)}).encode("ascii"))


def kept(path: Path, hub_url: str) -> Optional[Known]:
    """What an earlier start was told by the same Hub; None where there is nothing of use."""
    try:
        found: Any = json.loads(plainfile.read(path, _MAX_BYTES).decode("utf-8"))
        if found["hub_url"] != hub_url:
            return None
        return Known(fields.take_name(found, "secret", limit=4096),
                     fields.take_name(found, "experiment_id", None), frozenset(found["revoked_jtis"]),
                     # Not kept by a version without roles: who the owner is shows when the Hub
                     # answers. Until then no token without a role is the owner's.
                     fields.take(found, "owner_id", str, None) if "owner_id" in found else "",
                     fields.take_name(found, "owner", None), fields.take_number(found, "refused_at"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
