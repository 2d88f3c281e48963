"""API keys, and other random words that stand for a person: how they look and how they are stored.

A key is `jd_` and 40 random letters and digits, 238 bits. It is stored as its SHA-256: a slow or
salted hash is for secrets that people choose and that can be guessed; nobody guesses 238 bits, and
a plain digest can be looked up by an index on every request.
"""

import hashlib
import re
import secrets
import string

PREFIX = "jd_"
RANDOM_CHARS = 40
_ALPHABET = string.ascii_letters + string.digits
_KEY = re.compile(r"jd_[A-Za-z0-9]{40}")
_SHOWN_CHARS = 4


def new_key() -> str:
    """A new API key. It is shown to its owner once; only its digest is kept."""
    return PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(RANDOM_CHARS))


def is_key(text: str) -> bool:
    """Whether `text` has the form of an API key."""
    return _KEY.fullmatch(text) is not None


def new_link_token() -> str:
    """The random part of a one-time link, 256 bits, fit for a URL."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """What is stored of a key or link, in hexadecimal."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def prefix(key: str) -> str:
    """What lists show of a key, so that its owner knows it: `jd_ab12…`."""
    return key[:len(PREFIX) + _SHOWN_CHARS] + "\N{HORIZONTAL ELLIPSIS}"
