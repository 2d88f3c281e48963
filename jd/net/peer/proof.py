"""A server proves that it knows the shared token before the token is sent to it.

On a network without TLS, whoever takes the port of a server that is away would be sent its token by the
next worker that tries. So on such a connection the client first sends

    GET /healthz?nonce=N&knows=HMAC("client", N)     and wants     {"proof": HMAC("server", N)}

where the HMAC-SHA256 are keyed with the token, and only then, on the same connection, its request. A server
proves nothing to a client that does not know the token either. An impostor has the client's HMAC, and can
try tokens against it at leisure: the token that a server makes for itself cannot be guessed, one that
people make up may be. This is no TLS: whoever sits between both sides still reads along.

It is for tokens that both sides have. The tokens of a Hub and API keys are not known to the server that
checks them.
"""

from __future__ import annotations

import json
import os
import re
from urllib.parse import urlencode

from jd import protocol
from jd.net.connection import Connection
from jd.net.peer import socketowner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Mapping

API_KEY_PREFIX = "jd_"
_NONCE = re.compile(r"[0-9a-f]{32}")
_MAX_ANSWER = 64 * 1024


class Unproven(ConnectionError):
    """What answers does not show that it knows the token; it was not sent."""


class OtherToken(Unproven):
    """What answers speaks this protocol, and says that our token is not its own."""


def is_shared(token: str | None) -> bool:
    """Whether server and client have this token alike: no API key, and no JWT (RFC 7519) of a Hub."""
    return token is not None and not token.startswith(API_KEY_PREFIX) and not (
        token.startswith("eyJ") and token.count(".") == 2)


def is_needed(connection: Connection) -> bool:
    """Whether nothing else has told whose server it is: neither a certificate nor the kernel, which has
    been asked when the connection was made (see `portowner`)."""
    if connection.secure:
        return False
    sock = connection.sock
    return not (socketowner.is_within_machine(sock) and socketowner.server_uid(sock) is not None)


def demand(connection: Connection, token: str, prefix: str, headers: Mapping[str, str]) -> None:
    """Have the server at the other end show that it knows `token`. The connection stays open.

    `prefix` is the path of the server's URL; `headers` have its Host. Raises Unproven, and OSError or
    NotHttp as any exchange.
    """
    nonce = os.urandom(16).hex()
    connection.send_head("GET", "%s%s?%s" % (prefix, protocol.HEALTH, urlencode(
        {"nonce": nonce, "knows": _mac(token, "client", nonce)})), headers)
    answer = connection.answer("GET")
    body = b""
    while not answer.ended and len(body) < _MAX_ANSWER:
        body += answer.read(_MAX_ANSWER - len(body))
    try:
        told = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        told = None
    shown = told.get("proof", "") if isinstance(told, dict) and answer.status == 200 else ""
    if shown is None:
        raise OtherToken
    if not isinstance(shown, str) or not _is_same(shown, _mac(token, "server", nonce)):
        raise Unproven
    if not (answer.ended and answer.keep):
        raise ConnectionResetError("it closes the connection after one answer")


def given(query: Mapping[str, str], token: str | None,
          refuse: Callable[[str], Exception]) -> Mapping[str, str | None]:
    """What a server answers to a question for proof: nothing where it was not asked, `proof` None to who
    does not know its token. `refuse` makes the error for a question of another form."""
    if "nonce" not in query or token is None:
        return {}
    nonce = query["nonce"]
    if not _NONCE.fullmatch(nonce):
        raise refuse("nonce must be 32 hexadecimal digits, not %s" % protocol.shown(nonce))
    known = _is_same(query.get("knows", ""), _mac(token, "client", nonce))
    return {"proof": _mac(token, "server", nonce) if known else None}


def _is_same(shown: str, mac: str) -> bool:
    import hmac
    return hmac.compare_digest(shown.encode("utf-8", "replace"), mac.encode("ascii"))


def _mac(token: str, side: str, nonce: str) -> str:
    import hmac  # which brings OpenSSL, and few connections of one machine need it
    return hmac.new(token.encode("utf-8", "surrogatepass"),
                    ("jd proof v1 of the %s: %s" % (side, nonce)).encode("ascii"), "sha256").hexdigest()
