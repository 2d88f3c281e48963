"""What a token says of its times, whoever made it."""

import base64

import pytest

from jd.auth import tokenfiles


def token(claims: str) -> str:
    return "e30.%s.x" % base64.urlsafe_b64encode(claims.encode()).decode().rstrip("=")


def test_times_of_a_token() -> None:
    told = token('{"iat": 100, "exp": 160.5}')
    assert (tokenfiles.expiry(told), tokenfiles.lifetime(told)) == (160.5, 60.5)


@pytest.mark.parametrize("claims", [
    '{"iat": 1, "exp": %s}' % ("9" * 400), '{"iat": -Infinity, "exp": NaN}', '{"iat": 1, "exp": 1e999}',
    '{"exp": true}', "[]", '{"iat": 5, "exp": "9"}', "[" * 50_000])
def test_what_is_no_time_is_not_known(claims: str) -> None:
    assert (tokenfiles.expiry(token(claims)), tokenfiles.lifetime(token(claims))) == (0.0, None)
