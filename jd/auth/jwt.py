"""Worker tokens: JSON Web Tokens (RFC 7519) in compact form (RFC 7515), with HS256 and nothing else.

A Hub signs them with the secret of an experiment; its job server verifies them without asking the
Hub. The algorithm is ours to choose, never the token's: `alg` must say HS256 (RFC 8725, 3.1).
No text made here repeats a token or a secret.
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional, Union

from jd.errors import JdError
from jd.net.jsonbody import parse_json
from jd.protocol import ProtocolError, shown

ALGORITHM = "HS256"
WORKER = "worker"  # the `sub` of a worker token
# What a worker token is good for; what each may do is the job server's to know.
OWNER, EDIT, WORK = ROLES = ("owner", "edit", "work")
MAX_TOKEN_BYTES = 4096
MIN_SECRET_BYTES = 32  # RFC 7518, 3.2: as long as the hash
LEEWAY = 5.0  # seconds that two clocks may differ
FUTURE = 300.0  # seconds that `iat` may be ahead: more is a broken clock or an invented token

_SEGMENT = re.compile(r"[A-Za-z0-9_-]*")

Secret = Union[str, bytes]


class TokenError(JdError):
    """A token that must not be accepted; the kinds below say why."""


class MalformedToken(TokenError):
    """It is not a JWT, or is too long, or a claim has the wrong type."""


class WrongAlgorithm(TokenError):
    """Its header asks for something other than HS256."""


class BadSignature(TokenError):
    """Whoever made it does not have the secret, or it was changed."""


class ExpiredToken(TokenError):
    """Its time is over."""


class EarlyToken(TokenError):
    """Its time has not begun: `nbf`, or an `iat` far in the future."""


class MissingClaim(TokenError):
    """It is genuine, but does not say what it must."""


@dataclass(frozen=True)
class WorkerClaims:
    """What a worker token says. Times are Unix seconds; `jti` is the name to revoke it by; `role` is
    one of ROLES, None from a Hub that knows no roles."""

    exp_id: str
    exp_name: str
    user_id: Union[int, str]
    jti: str
    iat: float
    exp: float
    role: Optional[str] = None

    def to_json(self) -> Dict[str, Any]:
        claims = dict(self.__dict__, sub=WORKER)
        if self.role is None:
            del claims["role"]
        return claims


def sign(claims: Mapping[str, Any], secret: Secret) -> str:
    """A token with these claims. ValueError for a secret that is shorter than HS256 allows."""
    if len(_bytes(secret)) < MIN_SECRET_BYTES:
        raise ValueError("a secret of at least %d bytes is needed" % MIN_SECRET_BYTES)
    head = _encode(json.dumps({"alg": ALGORITHM, "typ": "JWT"}, separators=(",", ":")).encode())
    body = _encode(json.dumps(claims, separators=(",", ":"), allow_nan=False).encode())
    signed = head + "." + body
    return signed + "." + _encode(_mac(signed, secret))


def verify(token: str, secret: Secret, now: float, leeway: float = LEEWAY) -> Dict[str, Any]:
    """The claims of a token that is genuine and valid at `now` (Unix seconds).

    `exp` and `iat` must be there. Raises the kind of TokenError that fits. Nothing of the claims
    is looked at before the signature is known to be good.
    """
    if not secret:
        raise ValueError("an empty secret verifies anything")
    if len(token) > MAX_TOKEN_BYTES:
        raise MalformedToken("the token is longer than the allowed %d bytes" % MAX_TOKEN_BYTES)
    segments = token.split(".")
    if len(segments) != 3:
        raise MalformedToken("a token has three parts separated by dots, this one has %d"
                             % len(segments))
    _check_header(_object(segments[0], "header"))
    _decode(segments[1], "claims")
    given = _decode(segments[2], "signature")
    if not hmac.compare_digest(given, _mac(segments[0] + "." + segments[1], secret)):
        raise BadSignature("the token was not signed with the secret of this experiment")
    claims = _object(segments[1], "claims")
    _check_times(claims, now, leeway)
    return claims


def verify_worker(token: str, secret: Secret, now: float, leeway: float = LEEWAY,
                  exp_name: Optional[str] = None) -> WorkerClaims:
    """`verify`, and that it is a worker's token with all its claims.

    With `exp_name` it must be of that experiment. Raises as `verify`.
    """
    claims = verify(token, secret, now, leeway)
    if _claim(claims, "sub", (str,)) != WORKER:
        raise MissingClaim("the token is not a worker's: sub is %s" % shown(claims["sub"]))
    found = WorkerClaims(
        exp_id=str(_claim(claims, "exp_id", (str, int))),
        exp_name=_claim(claims, "exp_name", (str,)),
        user_id=_claim(claims, "user_id", (str, int)),
        jti=_claim(claims, "jti", (str,)),
        iat=float(claims["iat"]), exp=float(claims["exp"]), role=_role(claims))
    if exp_name is not None and found.exp_name != exp_name:
        raise MissingClaim("the token is for experiment %s, not for %s" % (
            shown(found.exp_name), shown(exp_name)))
    return found


def _role(claims: Mapping[str, Any]) -> Optional[str]:
    role: Optional[str] = claims.get("role")
    if role is not None and role not in ROLES:
        raise MalformedToken("the token's role is %s; this version knows %s" % (
            shown(role), ", ".join(ROLES)))
    return role


def _check_header(header: Mapping[str, Any]) -> None:
    algorithm = header.get("alg")
    if algorithm != ALGORITHM:
        raise WrongAlgorithm("the token's algorithm must be %s, not %s" % (
            ALGORITHM, shown(algorithm)))
    if "crit" in header:  # extensions that we would have to understand (RFC 7515, 4.1.11)
        raise MalformedToken("the token's header asks for an extension (crit) that is not known")


def _check_times(claims: Mapping[str, Any], now: float, leeway: float) -> None:
    expires = _time(claims, "exp")
    if now >= expires + leeway:
        raise ExpiredToken("the token expired %d s ago" % (now - expires), "get a new one")
    issued = _time(claims, "iat")
    if issued > now + max(leeway, FUTURE):
        raise EarlyToken("the token was issued %d s in the future" % (issued - now),
                         "check the clocks of the Hub and of this machine")
    if "nbf" in claims and _time(claims, "nbf") > now + leeway:
        raise EarlyToken("the token is not valid yet")


def _time(claims: Mapping[str, Any], name: str) -> float:
    value = _claim(claims, name, (int, float))
    if not 0 <= value < 1e11:
        raise MalformedToken("claim %s of the token is no time" % name)
    return float(value)


def _claim(claims: Mapping[str, Any], name: str, kinds: Any) -> Any:
    value = claims.get(name)
    if value is None or value == "":
        raise MissingClaim("the token lacks the claim %s" % name)
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise MalformedToken("claim %s of the token has the wrong type" % name)
    return value


def _object(segment: str, what: str) -> Dict[str, Any]:
    """A segment as a JSON object. Duplicate names, NaN and deep nesting are refused."""
    try:
        value = parse_json(_decode(segment, what))
    except ProtocolError:
        raise MalformedToken("the token's %s is not usable JSON" % what) from None
    if not isinstance(value, dict):
        raise MalformedToken("the token's %s is not a JSON object" % what)
    return value


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _decode(segment: str, what: str) -> bytes:
    """base64url without padding (RFC 7515, 2), in its one canonical spelling."""
    if _SEGMENT.fullmatch(segment):
        try:
            data = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
        except (binascii.Error, ValueError):
            pass
        else:
            if _encode(data) == segment:
                return data
    raise MalformedToken("the token's %s is not base64url without padding" % what)


def _mac(signed: str, secret: Secret) -> bytes:
    return hmac.new(_bytes(secret), signed.encode("ascii"), hashlib.sha256).digest()


def _bytes(secret: Secret) -> bytes:
    return secret.encode("utf-8") if isinstance(secret, str) else secret
