import hashlib
import re
from unittest.mock import Mock

import pytest

from jd.auth import apikeys, passwords

GOOD = "correct horse battery"


def test_keys_are_random_and_look_like_keys() -> None:
    made = {apikeys.new_key() for _ in range(50)}
    assert len(made) == 50
    assert all(re.fullmatch(r"jd_[A-Za-z0-9]{40}", key) and apikeys.is_key(key) for key in made)
    assert len(set("".join(made))) > 50  # letters of both cases and digits


@pytest.mark.parametrize("text", ["", "jd_", "jd_" + "a" * 39, "jd_" + "a" * 41, "JD_" + "a" * 40,
                                  "jd_" + "a" * 39 + "\n", "jd_" + "a" * 40 + "\n", "jd_" + "\u00e4" * 40,
                                  "jd_" + "-" * 40])
def test_what_is_no_key(text: str) -> None:
    assert not apikeys.is_key(text)


def test_a_digest_is_stored_and_a_prefix_shown() -> None:
    key = "jd_ab12" + "x" * 36
    assert apikeys.digest(key) == hashlib.sha256(key.encode()).hexdigest()
    assert apikeys.prefix(key) == "jd_ab12\u2026"
    assert len(apikeys.new_link_token()) >= 43 and apikeys.new_link_token() != apikeys.new_link_token()


@pytest.fixture(params=["scrypt", "pbkdf2"])
def encoded(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """GOOD, hashed in each way."""
    if request.param == "pbkdf2":
        monkeypatch.delattr(hashlib, "scrypt", raising=False)
        monkeypatch.setattr(passwords, "_ROUNDS", 1000)
    elif not hasattr(hashlib, "scrypt"):
        pytest.skip("this Python has no scrypt")
    return passwords.encode(GOOD)


def test_a_password_verifies_and_no_other_does(encoded: str) -> None:
    assert passwords.verify(GOOD, encoded)
    assert not passwords.verify(GOOD + "x", encoded) and not passwords.verify("", encoded)
    assert not passwords.verify("x" * 2000, encoded)
    assert GOOD not in encoded and encoded != passwords.encode(GOOD)


def test_the_parameters_stand_with_the_hash(encoded: str) -> None:
    assert re.match(r"scrypt\$15\$8\$1\$|pbkdf2\$1000\$", encoded)


def test_one_spelling_of_what_keyboards_spell_differently() -> None:
    assert passwords.verify("schl\u00fcssel-wort", passwords.encode("schlu\u0308ssel-wort"))


def test_nobodys_password_costs_the_same_and_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    derive = Mock(wraps=passwords._derive)
    monkeypatch.setattr(passwords, "_derive", derive)
    assert not passwords.verify("no password at all", None)
    assert derive.called


@pytest.mark.parametrize("password, says", [("short", "at least 10"), ("\u00e4" * 9, "9 characters"),
                                            ("x" * 1025, "1024"), ("\u00e4" * 513, "1024")])
def test_length_limits(password: str, says: str) -> None:
    with pytest.raises(passwords.UnusablePassword, match=says) as raised:
        passwords.encode(password)
    assert password not in str(raised.value)


@pytest.mark.parametrize("damaged", ["", "plain", "md5$1$YQ==$YQ==", "scrypt$15$8$YQ==$YQ==",
                                     "pbkdf2$1$!$!"])
def test_damaged_hashes_are_an_error_not_a_way_in(damaged: str) -> None:
    with pytest.raises(ValueError, match="damaged"):
        passwords.verify(GOOD, damaged)
