"""The PIN of a dashboard: six digits.

A million of them could be searched, so attempts are limited wherever a PIN is asked for, and it is
stored hashed as a password (see `passwords`), which slows down who has stolen the database. No text
made here repeats a PIN.
"""

import re
import secrets

from jd.auth import passwords
from jd.errors import UsageError

DIGITS = 6
RULE = "a PIN has %d digits, neither a row such as 123456 or 654321 nor repeated as in 111111, " \
       "121212 and 123123" % DIGITS

_PIN = re.compile("[0-9]{%d}" % DIGITS)
_ROW_STEPS = (1, 9)  # up or down, 9 next to 0


class UnusablePin(UsageError):
    """It has another form, or is among the first that anybody would try."""


def has_form(pin: str) -> bool:
    """Whether that is six digits."""
    return _PIN.fullmatch(pin) is not None


def check(pin: str) -> None:
    """Raises UnusablePin for what cannot be a PIN."""
    if not has_form(pin):
        raise UnusablePin("that is not %d digits" % DIGITS, RULE)
    if _is_row(pin) or any(pin == pin[:period] * (DIGITS // period) for period in (1, 2, 3)):
        raise UnusablePin("that PIN is too easy to guess", RULE)


def new_pin() -> str:
    """A random PIN that `check` takes."""
    while True:
        pin = "%0*d" % (DIGITS, secrets.randbelow(10 ** DIGITS))
        try:
            check(pin)
        except UnusablePin:
            continue
        return pin


def encode(pin: str) -> str:
    """What to store. Takes about 0.1 s; raises as `check`."""
    check(pin)
    return passwords.hashed(pin)


def _is_row(pin: str) -> bool:
    steps = {(int(second) - int(first)) % 10 for first, second in zip(pin, pin[1:])}
    return len(steps) == 1 and steps.pop() in _ROW_STEPS
