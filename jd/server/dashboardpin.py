"""The PIN of the dashboard: made up at the first start, set by the command line, or reset at the Hub."""

from pathlib import Path
from typing import Callable, Optional

from jd.auth import passwords, pins, secretfile
from jd.server.store.operators import pin as stored_pin
from jd.storage.database import Database

FILE = "pin"  # in the meta directory, beside the token


def file_of(meta: Path) -> Path:
    """Where a PIN stands that was made up and could not be shown on a terminal, until it is changed."""
    return meta / FILE


def settle(database: Database, wanted: Optional[str], shown: bool) -> Optional[str]:
    """Make `wanted` the PIN, or make one up if there is none: that one is returned, to be told once.

    One that is not to be `shown` is kept in its file. A PIN that is new signs everybody out. Takes about
    0.1 s: not for the event loop. Raises StorageError.
    """
    file = file_of(database.path.parent)
    known = database.read(stored_pin.stored).result()
    if wanted is not None:
        if known is None or not _is(wanted, known):
            encoded = pins.encode(wanted)
            database.write(lambda db: stored_pin.change(db, encoded)).result()
            secretfile.forget(file)
        return None
    if known is not None:
        return None
    made = pins.new_pin()
    encoded = pins.encode(made)
    if not shown:
        secretfile.keep(file, made)
    # A command beside the server may have set one in this moment.
    if database.write(lambda db: stored_pin.replace(db, None, encoded)).result():
        return made
    secretfile.forget(file)
    return None


def _is(pin: str, known: str) -> bool:
    try:
        return passwords.verify(pin, known)
    except ValueError:  # stored by a Python with other abilities
        return False


class HubPin:
    """What the link to a Hub does with the PIN. Every method waits for the database."""

    def __init__(self, database: Database, warn: Callable[[str], None]) -> None:
        self._database = database
        self._warn = warn
        self._refused = 0

    def taken(self) -> int:
        """The number of the latest PIN of the Hub that counted here, 0 if there was none."""
        return self._database.read(stored_pin.from_hub).result()

    def take(self, number: int, encoded: str) -> None:
        """Make a PIN of the Hub the one of the dashboard, if it did not count here before."""
        if number <= self._refused:
            return
        if not passwords.is_usable(encoded):
            self._refused = number
            self._warn("the Hub has a new PIN for the dashboard that this Python cannot check; set one "
                       "here: jd_server pin set")
            return
        if self._database.write(lambda db: stored_pin.take_from_hub(db, number, encoded)).result():
            secretfile.forget(file_of(self._database.path.parent))
            self._warn("the PIN of the dashboard was reset at the Hub; everybody is signed out")
