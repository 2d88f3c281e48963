import base64
import hmac
import json
from typing import Any
from unittest.mock import Mock

import pytest

from jd.auth.jwt import (
    BadSignature,
    EarlyToken,
    ExpiredToken,
    MalformedToken,
    MissingClaim,
    TokenError,
    WorkerClaims,
    WrongAlgorithm,
    sign,
    verify,
    verify_worker,
)

SECRET = "s" * 32
NOW = 1_700_000_000
CLAIMS = {"sub": "worker", "exp_id": "e-1", "exp_name": "digits", "user_id": 7, "jti": "j-1",
          "iat": NOW, "exp": NOW + 3600}

# RFC 7515, appendix A.1.
A1_KEY = base64.urlsafe_b64decode(
    "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow==")
A1_TOKEN = ("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
            "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def forge(header: Any, claims: Any, secret: str = SECRET, digest: str = "sha256") -> str:
    """A token with any header, correctly signed with `secret`."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, claims)]
    signed = "%s.%s" % (b64(parts[0]), b64(parts[1]))
    return "%s.%s" % (signed, b64(hmac.new(secret.encode(), signed.encode(), digest).digest()))


HS256 = {"alg": "HS256", "typ": "JWT"}


def test_what_is_signed_is_verified() -> None:
    token = sign(CLAIMS, SECRET)
    assert verify(token, SECRET, NOW) == CLAIMS
    assert verify(token, SECRET.encode(), NOW) == CLAIMS
    assert token.count(".") == 2 and "=" not in token
    assert json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "==")) == HS256


def test_the_rfcs_own_token_verifies_but_for_the_claim_that_workers_need() -> None:
    with pytest.raises(MissingClaim, match="iat"):
        verify(A1_TOKEN, A1_KEY, 1300819379)
    with pytest.raises(ExpiredToken):
        verify(A1_TOKEN, A1_KEY, 1300819380 + 5)
    with pytest.raises(BadSignature):
        verify(A1_TOKEN, A1_KEY[:-1] + b"x", 1300819379)


def test_a_workers_claims_come_and_go() -> None:
    claims = WorkerClaims("e-1", "digits", 7, "j-1", NOW, NOW + 3600)
    assert verify_worker(sign(claims.to_json(), SECRET), SECRET, NOW, exp_name="digits") == claims
    assert claims.to_json() == CLAIMS
    numbered = verify_worker(sign(dict(CLAIMS, exp_id=12, user_id="u"), SECRET), SECRET, NOW)
    assert (numbered.exp_id, numbered.user_id) == ("12", "u")


@pytest.mark.parametrize("algorithm", ["none", "None", "HS512", "HS384", "RS256", "hs256", "HS256 ",
                                       "", None, 256, ["HS256"]])
def test_no_algorithm_but_hs256(algorithm: Any) -> None:
    token = forge({"alg": algorithm, "typ": "JWT"}, CLAIMS)
    with pytest.raises(WrongAlgorithm, match="HS256"):
        verify(token, SECRET, NOW)
    with pytest.raises((WrongAlgorithm, MalformedToken)):
        verify(token.rpartition(".")[0] + ".", SECRET, NOW)


def test_a_good_hs512_signature_is_refused() -> None:
    with pytest.raises(WrongAlgorithm):
        verify(forge({"alg": "HS512"}, CLAIMS, digest="sha512"), SECRET, NOW)
    with pytest.raises(WrongAlgorithm):
        verify(forge({"typ": "JWT"}, CLAIMS), SECRET, NOW)


def test_other_secrets_and_changed_claims_are_found() -> None:
    token = sign(CLAIMS, SECRET)
    head, body, signature = token.split(".")
    with pytest.raises(BadSignature):
        verify(token, "t" * 32, NOW)
    with pytest.raises(BadSignature):
        verify("%s.%s.%s" % (head, b64(json.dumps(dict(CLAIMS, user_id=1)).encode()), signature), SECRET, NOW)
    with pytest.raises(BadSignature):
        verify("%s.%s." % (head, body), SECRET, NOW)
    with pytest.raises(BadSignature):
        verify("%s.%s.%s" % (head, body, signature[:-3]), SECRET, NOW)
    other = b64(b'{"typ":"JWT","alg":"HS256"}')
    with pytest.raises(BadSignature):
        verify("%s.%s.%s" % (other, body, signature), SECRET, NOW)


def test_every_truncation_and_every_flipped_character_is_refused() -> None:
    token = sign(CLAIMS, SECRET)
    for length in range(len(token)):
        with pytest.raises(TokenError):
            verify(token[:length], SECRET, NOW)
    for at, character in enumerate(token):
        changed = token[:at] + ("A" if character != "A" else "B") + token[at + 1:]
        with pytest.raises(TokenError):
            verify(changed, SECRET, NOW)


@pytest.mark.parametrize("token", [
    "", ".", "..", "...", "a.b", "a.b.c.d", " ", "jd_" + "x" * 40, "\u00e4.b.c", "a.\ud800.c", "a\n.b.c"])
def test_what_is_no_token_is_malformed(token: str) -> None:
    with pytest.raises(MalformedToken):
        verify(token, SECRET, NOW)


def test_base64url_is_strict() -> None:
    head, body, signature = sign(CLAIMS, SECRET).split(".")
    for bad in (signature + "=", signature + "\n", " " + signature, signature.replace(signature[5], "+", 1),
                signature.replace(signature[5], "/", 1), "\u00e9" + signature[1:]):
        with pytest.raises(MalformedToken):
            verify("%s.%s.%s" % (head, body, bad), SECRET, NOW)
    # 43 characters hold 258 bits of which 256 count: the last two must be zero.
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    twin = last[last.index(signature[-1]) + 1]
    with pytest.raises(MalformedToken):
        verify("%s.%s.%s" % (head, body, signature[:-1] + twin), SECRET, NOW)
    with pytest.raises(MalformedToken, match="claims"):
        verify("%s.%s.%s" % (head, body + "\u00e9", signature), SECRET, NOW)


@pytest.mark.parametrize("header, claims", [
    (b'{"alg":"HS256","alg":"none"}', CLAIMS),
    (HS256, b'{"exp":1,"exp":9999999999}'),
    (HS256, b'{"exp":NaN}'), (HS256, b"[]"), (HS256, b'"worker"'), (HS256, b"\xff"), (HS256, b""),
    (b"[]", CLAIMS), (b"", CLAIMS), (b"{", CLAIMS),
    (HS256, b'{"a":' + b"[" * 100 + b"]" * 100 + b"}"),
    (dict(HS256, crit=["b64"], b64=False), CLAIMS),
])
def test_unusable_json_is_malformed_although_the_signature_is_good(header: Any, claims: Any) -> None:
    with pytest.raises(MalformedToken):
        verify(forge(header, claims), SECRET, NOW)


def test_size_has_a_limit() -> None:
    room = "x" * 2900
    assert len(sign(dict(CLAIMS, pad=room), SECRET)) > 4000
    assert verify(sign(dict(CLAIMS, pad="x" * 2700), SECRET), SECRET, NOW)
    with pytest.raises(MalformedToken, match="4096"):
        verify(sign(dict(CLAIMS, pad=room), SECRET), SECRET, NOW)


def test_time() -> None:
    token = sign(CLAIMS, SECRET)
    assert verify(token, SECRET, NOW + 3600 + 4.9)
    with pytest.raises(ExpiredToken, match="expired 5 s ago"):
        verify(token, SECRET, NOW + 3600 + 5)
    with pytest.raises(ExpiredToken):
        verify(token, SECRET, NOW + 3600, leeway=0)
    assert verify(token, SECRET, NOW - 299)  # a clock that is behind
    with pytest.raises(EarlyToken, match="301 s in the future"):
        verify(token, SECRET, NOW - 301)
    with pytest.raises(EarlyToken):
        verify(sign(dict(CLAIMS, nbf=NOW + 6), SECRET), SECRET, NOW)
    assert verify(sign(dict(CLAIMS, nbf=NOW + 4), SECRET), SECRET, NOW)


@pytest.mark.parametrize("name", ["exp", "iat"])
@pytest.mark.parametrize("value", ["1700003600", True, -1, 1e300, 10 ** 200, [], {}])
def test_times_must_be_times(name: str, value: Any) -> None:
    with pytest.raises(MalformedToken):
        verify(sign(dict(CLAIMS, **{name: value}), SECRET), SECRET, NOW)


@pytest.mark.parametrize("name", sorted(CLAIMS))
def test_every_claim_of_a_worker_must_be_there(name: str) -> None:
    for claims in ({k: v for k, v in CLAIMS.items() if k != name}, dict(CLAIMS, **{name: None})):
        with pytest.raises(MissingClaim, match=name):
            verify_worker(sign(claims, SECRET), SECRET, NOW)


def test_a_token_of_another_kind_or_experiment() -> None:
    with pytest.raises(MissingClaim, match="not a worker's"):
        verify_worker(sign(dict(CLAIMS, sub="admin"), SECRET), SECRET, NOW)
    with pytest.raises(MissingClaim, match="digits.*other"):
        verify_worker(sign(CLAIMS, SECRET), SECRET, NOW, exp_name="other")
    with pytest.raises(MalformedToken):
        verify_worker(sign(dict(CLAIMS, jti=5), SECRET), SECRET, NOW)


def test_short_secrets_do_not_sign_and_empty_ones_do_not_verify() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        sign(CLAIMS, "x" * 31)
    with pytest.raises(ValueError, match="empty"):
        verify(sign(CLAIMS, SECRET), "", NOW)


def test_the_signature_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compare = Mock(return_value=False)
    monkeypatch.setattr(hmac, "compare_digest", compare)
    with pytest.raises(BadSignature):
        verify(sign(CLAIMS, SECRET), SECRET, NOW)
    compare.assert_called_once()
    assert len(compare.call_args[0][1]) == 32


def test_errors_repeat_neither_token_nor_secret() -> None:
    token = sign(CLAIMS, SECRET)
    for bad in (token + "x", token[:-2], "x" + token, token.replace(".", "..", 1), token * 40):
        with pytest.raises(TokenError) as raised:
            verify(bad, SECRET, NOW)
        assert SECRET not in str(raised.value)
        assert all(part not in str(raised.value) for part in token.split("."))
