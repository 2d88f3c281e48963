"""The PIN that `--pin-file` or JD_SERVER_PIN gives."""

from pathlib import Path
from typing import Any, Mapping, Optional

from jd.auth import pins
from jd.errors import StorageError, UsageError

MAX_FILE_BYTES = 1000  # a PIN has six; more is another file


def given(values: Mapping[str, Any]) -> Optional[str]:
    """The PIN that `--pin-file`, else JD_SERVER_PIN says. Raises UsageError, StorageError."""
    if values["pin_file"] is not None:
        return read_file(values["pin_file"])
    pin: Optional[str] = values["pin"]
    if pin is not None:
        _check(pin, "JD_SERVER_PIN")
    return pin


def read_file(path: Path) -> str:
    """The PIN in a file; blanks around it do not count. Raises UsageError, StorageError."""
    origin = "PIN file %s" % path
    try:
        with open(str(path), "rb") as file:
            content = file.read(MAX_FILE_BYTES)
    except FileNotFoundError:
        raise StorageError("%s does not exist" % origin, "check the path") from None
    except OSError as error:
        raise StorageError("%s cannot be read: %s" % (origin, error.strerror or error),
                           "check the path, its owner and mode") from None
    pin = content.decode("latin-1").strip()
    _check(pin, origin)
    return pin


def _check(pin: str, origin: str) -> None:
    try:
        pins.check(pin)
    except pins.UnusablePin as error:
        raise UsageError("%s: %s" % (origin, error)) from None
