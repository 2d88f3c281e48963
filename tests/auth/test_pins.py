"""PINs: which there are, and how one is kept."""

import secrets

import pytest

from jd.auth import passwords, pins
from jd.errors import UsageError


@pytest.mark.parametrize("pin", ["", "12345", "1234567", "12345a", " 482913", "482913\n", "-48291", "4829.3",
                                 "\u0664\u0668\u0662\u0669\u0661\u0663",  # Arabic digits
                                 "000000", "777777", "123456", "654321", "890123", "109876", "121212",
                                     "123123"])
def test_what_is_no_pin(pin: str) -> None:
    with pytest.raises(pins.UnusablePin) as refused:
        pins.encode(pin)
    assert isinstance(refused.value, UsageError)
    assert pins.RULE in str(refused.value)


@pytest.mark.parametrize("pin", ["482913", "000001", "112233", "123457", "135791"])
def test_a_pin_verifies_and_no_other_does(pin: str) -> None:
    encoded = pins.encode(pin)
    assert passwords.verify(pin, encoded) and not passwords.verify("482914", encoded)
    assert pin not in encoded and passwords.is_usable(encoded)


def test_a_refused_pin_is_not_repeated() -> None:
    for pin in ("777777", "4829137"):
        with pytest.raises(pins.UnusablePin) as refused:
            pins.check(pin)
        assert pin not in str(refused.value).replace(pins.RULE, "")


def test_pins_are_made_up_until_one_can_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter([123456, 7, 0])
    monkeypatch.setattr(secrets, "randbelow", lambda limit: next(drawn))
    assert pins.new_pin() == "000007"


@pytest.mark.parametrize("encoded", [
    "", "482913", "md5$x$y", "scrypt$15$8$1$YQ==$YQ==",
    "scrypt$40$8$1$" + "A" * 24 + "$" + "A" * 44,  # would take 128 TiB
    "pbkdf2$99999999$" + "A" * 24 + "$" + "A" * 44,
    "pbkdf2$1000$" + "!" * 24 + "$" + "A" * 44])
def test_hashes_of_others_that_are_not_worked_with(encoded: str) -> None:
    assert not passwords.is_usable(encoded)


def test_a_hash_that_this_python_cannot_check(monkeypatch: pytest.MonkeyPatch) -> None:
    scrypt = "scrypt$15$8$1$" + "A" * 24 + "$" + "A" * 43 + "="
    monkeypatch.setattr(passwords, "_scrypt", lambda: object())
    assert passwords.is_usable(scrypt)
    monkeypatch.setattr(passwords, "_scrypt", lambda: None)
    assert not passwords.is_usable(scrypt)
    assert passwords.is_usable("pbkdf2$600000$" + "A" * 24 + "$" + "A" * 43 + "=")
