"""The PIN of the dashboard: made up at the first start, set by the command line, or reset at the Hub."""

from pathlib import Path
from typing import Callable, Optional

from jd.auth import passwords, pins, secretfile
from jd.server.experiment import Experiment
from jd.server.store.operators import pin as stored_pin

FILE = "pin"  # in the meta directory, beside the token


def file_of(meta: Path) -> Path:
    """Where a PIN stands that was made up and could not be shown on a terminal, until it is changed."""
    return meta / FILE


def settle(experiment: Experiment, wanted: Optional[str], shown: bool) -> Optional[str]:
    """Make `wanted` the PIN, or make one up if there is none: that one is returned, to be told once.

    One that is not to be `shown` is kept in its file. A PIN that is new signs everybody out. Takes about
    0.1 s: not for the event loop. Raises StorageError.
    """
    file = file_of(experiment.meta_dir)
    known = experiment.read_now(stored_pin.stored)
    if wanted is not None:
        if known is None or not _is(wanted, known):
            encoded = pins.encode(wanted)
            experiment.write_now(lambda t: stored_pin.change(t, encoded))
            secretfile.forget(file)
        return None
    if known is not None:
        return None
    made = pins.new_pin()
    encoded = pins.encode(made)
    if not shown:
        secretfile.keep(file, made)
    # A command beside the server may have set one in this moment.
    if experiment.write_now(lambda t: stored_pin.replace(t, None, encoded)):
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

    def __init__(self, experiment: Experiment, warn: Callable[[str], None]) -> None:
        self._experiment = experiment
        self._warn = warn
        self._refused = 0

    def taken(self) -> int:
        """The number of the latest PIN of the Hub that counted here, 0 if there was none."""
        return self._experiment.read_now(stored_pin.from_hub)

    def take(self, number: int, encoded: str) -> None:
        """Make a PIN of the Hub the one of the dashboard, if it did not count here before."""
        if number <= self._refused:
            return
        if not passwords.is_usable(encoded):
            self._refused = number
            self._warn("the Hub has a new PIN for the dashboard that this Python cannot check; set one "
                       "here: jd_server pin set")
            return
        if self._experiment.write_now(lambda t: stored_pin.take_from_hub(t, number, encoded)):
            secretfile.forget(file_of(self._experiment.meta_dir))
            self._warn("the PIN of the dashboard was reset at the Hub; everybody is signed out")
