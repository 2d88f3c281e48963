"""Tokens of whoever knocks. `jd/auth/jwt.py`, `tokenfiles.py`."""

import base64
import json
from typing import Any

from jd.auth import jwt, tokenfiles
from jd.auth.jwt import TokenError
from tests.fuzz.material import Source, merged, utf8
from tests.fuzz.properties import Property, outcome, refused

SECRET = "k" * 32
NOW = 1_700_000_000.0


def _claims(source: Source) -> Any:
    claims = {
        "sub": "worker",
        "exp_id": "7",
        "exp_name": "demo",
        "user_id": 3,
        "jti": "j",
        "iat": NOW - 10,
        "exp": NOW + 600,
    }
    for name in [*claims, "nbf", "role"]:
        if source.chance(0.06):
            claims[name] = source.one(
                source.value(2), float(source.below(10**9)), "", None, True, -1, 10**400, NOW + 1e6, "edit"
            )
    if source.chance(0.1):
        return source.value(3, surrogates=True)
    return merged([claims, {source.key(): source.value(1)} if source.chance(0.2) else {}])


def _encoded(text: bytes) -> str:
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def make_token(source: Source) -> str:
    """A token of ours, or of somebody who tries."""
    head = (
        source.one(
            {"alg": "HS256", "typ": "JWT"},
            {"alg": "HS256"},
            {"alg": "none"},
            {"alg": ["HS256"]},
            {"alg": "HS256", "crit": []},
            source.value(2),
        )
        if source.chance(0.3)
        else {"alg": "HS256"}
    )
    segments = [_encoded(utf8(source.maybe(json.dumps(part), 0.1))) for part in (head, _claims(source))]
    if source.chance(0.02):
        segments[source.below(2)] = _encoded(source.nested().encode())
    signed = ".".join(segments)
    mac = (
        _encoded(jwt._mac(signed, SECRET))
        if source.chance(0.8)
        else _encoded(source.text(5).encode("utf-8", "replace"))
    )
    return source.maybe(signed + "." + mac, 0.2)


def check_token(token: str) -> None:
    """A worker's claims of the right types, or a TokenError that repeats neither token nor secret."""
    found = outcome(lambda: jwt.verify_worker(token, SECRET, NOW), TokenError)
    if refused(found):
        assert SECRET not in found[2] and (len(token) < 40 or token not in found[2])
    else:
        assert found.role in (None, *jwt.ROLES) and isinstance(found.exp_name, str)
        again = jwt.verify_worker(jwt.sign(found.to_json(), SECRET), SECRET, NOW)
        assert again == found, (again, found)
    end, left = tokenfiles.expiry(token), tokenfiles.lifetime(token)
    assert end == end and (left is None or left > 0)


PROPERTIES = (
    Property(
        "token",
        make_token,
        check_token,
        (
            "",
            "..",
            "a.b.c",
            "é.é.é",
            ".%s." % _encoded(b'{"exp": %s, "iat": 1}' % (b"9" * 400)),
            ".%s." % _encoded(b'{"exp": NaN, "iat": -Infinity}'),
            ".%s." % _encoded(b"[" * 50_000),
        ),
        weight=40,
    ),
)
