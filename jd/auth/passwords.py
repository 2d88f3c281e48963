"""Passwords: what is allowed, and what is stored of one.

Stored is `scrypt$log2 N$r$p$salt$hash`, or `pbkdf2$rounds$salt$hash` where the interpreter was
built without scrypt (RFC 7914, RFC 8018). The parameters stand with the hash, so that they can be
raised later. Hashing takes about 0.1 s and 32 MiB by intent: call it where it blocks nobody.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import unicodedata
from typing import Callable, Optional, Sequence, Tuple

from jd.errors import UsageError

MIN_CHARS = 10
MAX_BYTES = 1024  # hashing must not become a way to keep the Hub busy

_LOG_N, _R, _P = 15, 8, 1
_ROUNDS = 600_000
_SALT_BYTES = 16
_HASH_BYTES = 32
_FOREIGN = re.compile(r"(?:scrypt\$[0-9]{1,2}\$8\$1|pbkdf2\$[1-9][0-9]{0,7})\$[^$]{16,64}\$[^$]{40,64}")


class UnusablePassword(UsageError):
    """Too short or too long."""


def check(password: str) -> None:
    """Raises UnusablePassword for a password of fewer than 10 characters or over 1024 bytes."""
    if len(password) < MIN_CHARS:
        raise UnusablePassword("the password has %d characters" % len(password),
                               "give at least %d" % MIN_CHARS)
    if len(_bytes(password)) > MAX_BYTES:
        raise UnusablePassword("the password is longer than the allowed %d bytes" % MAX_BYTES)


def encode(password: str) -> str:
    """What to store. Raises as `check`."""
    check(password)
    return hashed(password)


def hashed(secret: str) -> str:
    """What to store of a secret with rules of its own."""
    salt = secrets.token_bytes(_SALT_BYTES)
    if _scrypt() is not None:
        head = "scrypt$%d$%d$%d" % (_LOG_N, _R, _P)
    else:
        head = "pbkdf2$%d" % _ROUNDS
    return "%s$%s$%s" % (head, _text(salt), _text(_derive(secret, head.split("$"), salt)))


def verify(password: str, encoded: Optional[str]) -> bool:
    """Whether `password` is the one that was stored, in a time that does not tell where it differs.

    With None (no such user, or one without a password) the same work is done and the answer is
    False, so that the time does not tell who has an account. ValueError if `encoded` is damaged.
    """
    if len(_bytes(password)) > MAX_BYTES:
        return False
    if encoded is None:
        hashed("no password at all")
        return False
    head, salt, expected = _parse(encoded)
    return hmac.compare_digest(_derive(password, head, salt), expected)


def is_usable(encoded: str) -> bool:
    """Whether `verify` can work with what another program encoded, and in a bearable time."""
    if _FOREIGN.fullmatch(encoded) is None:
        return False
    try:
        head, _, _ = _parse(encoded)
    except ValueError:
        return False
    if head[0] == "scrypt":
        return _scrypt() is not None and int(head[1]) <= _LOG_N + 2
    return int(head[1]) <= 4 * _ROUNDS


def _parse(encoded: str) -> Tuple[Sequence[str], bytes, bytes]:
    parts = encoded.split("$")
    try:
        salt, expected = (base64.b64decode(part, validate=True) for part in parts[-2:])
    except (ValueError, binascii.Error):
        raise ValueError("the stored hash is damaged") from None
    return parts[:-2], salt, expected


def _derive(password: str, head: Sequence[str], salt: bytes) -> bytes:
    if head[0] == "scrypt" and len(head) == 4:
        scrypt = _scrypt()
        if scrypt is None:
            raise ValueError("the stored hash needs scrypt, which this Python was built without")
        log_n, r, p = (int(number) for number in head[1:])
        # OpenSSL refuses to take more than 32 MiB unless it is told to.
        return scrypt(_bytes(password), salt=salt, n=2 ** log_n, r=r, p=p,
                      maxmem=(128 * r * (2 ** log_n + p) + 2 ** 20), dklen=_HASH_BYTES)
    if head[0] == "pbkdf2" and len(head) == 2:
        return hashlib.pbkdf2_hmac("sha256", _bytes(password), salt, int(head[1]), _HASH_BYTES)
    raise ValueError("the stored hash is damaged")


def _scrypt() -> Optional[Callable[..., bytes]]:
    return getattr(hashlib, "scrypt", None)


def _bytes(password: str) -> bytes:
    """One spelling of what keyboards spell differently (NIST SP 800-63B, 5.1.1.2)."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
