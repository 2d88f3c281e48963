"""What SQLite says of a database that it cannot use, as one line.

SQLite repeats in some messages what stands in the file. Where that is no text any more, Python raises a
UnicodeDecodeError in place of an sqlite3.Error; before 3.11 it is a DatabaseError that says nothing. A byte
of a text in a row is nothing that SQLite notices: who reads the row as JSON does (`parsed`). So whoever
catches one of these catches ERRORS.
"""

from __future__ import annotations

import json
import sqlite3

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class DamagedRow(ValueError):
    """What stands in a row is not what was written there; the message names the row."""


ERRORS = (sqlite3.Error, UnicodeDecodeError, json.JSONDecodeError, DamagedRow)

_MAX_CHARS = 200
_SAID_OF_DAMAGE = ("malformed", "not a database", "could not decode", "unsupported file format",
                   "no such table", "no such column", "already exists", "no such index")
_SAID_OF_DISK = ("disk is full", "disk i/o error", "readonly database", "unable to open database file")


def parsed(text: str | bytes, what: str) -> Any:
    """The JSON that stands in a row; bytes where it may be no text any more. Raises DamagedRow, which names
    `what` it is."""
    try:
        return json.loads(text if isinstance(text, str) else text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        why = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise DamagedRow("%s cannot be read (%s)" % (what, one_line(why))) from None


def reason(error: Exception) -> str:
    """What is wrong, on one line that a terminal can show."""
    if isinstance(error, json.JSONDecodeError):
        return "a row of it cannot be read (%s)" % one_line(error.msg)
    if _is_of_no_text(error):
        return "its schema is no text"
    return one_line(getattr(error, "strerror", None) or str(error) or type(error).__name__)


def one_line(text: str) -> str:
    """The same for a text that may repeat what stands in the file."""
    return "".join(char if char.isprintable() else "?" for char in text[:_MAX_CHARS])


def check_whole(connection: sqlite3.Connection) -> None:
    """Read all of a database. Raises sqlite3.DatabaseError, which is about damage, for the first fault.

    SQLite copies damaged pages as they are, and meets them only when they are read."""
    said = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if said != "ok":
        raise sqlite3.DatabaseError("database disk image is malformed (%s)" % one_line(said.splitlines()[-1]))


def is_damage(error: Exception) -> bool:
    """Whether the file itself is to blame, and not a lock, a full disk or a missing permission."""
    if _is_of_no_text(error) or isinstance(error, (json.JSONDecodeError, DamagedRow)):
        return True
    said = str(error).lower()
    return any(words in said for words in _SAID_OF_DAMAGE)


def is_of_disk(error: Exception) -> bool:
    """Whether it is the disk that takes or gives nothing now: what was to be done is not to blame."""
    return isinstance(error, sqlite3.OperationalError) and any(words in str(error).lower()
                                                               for words in _SAID_OF_DISK)


def _is_of_no_text(error: Exception) -> bool:
    """Whether SQLite's message could not be made a text (see above)."""
    return isinstance(error, UnicodeError) or type(error) is sqlite3.DatabaseError and not error.args
