"""What SQLite says of a database that it cannot use, as one line.

SQLite repeats in some messages what stands in the file. Where that is no text any more, Python raises a
UnicodeDecodeError in place of an sqlite3.Error. A byte of a text in a row is nothing that SQLite notices: who
reads the row as JSON does. So whoever catches one of these catches ERRORS.
"""

import json
import sqlite3

ERRORS = (sqlite3.Error, UnicodeDecodeError, json.JSONDecodeError)

_MAX_CHARS = 200
_SAID_OF_DAMAGE = ("malformed", "not a database", "could not decode", "unsupported file format",
                   "no such table", "no such column", "already exists", "no such index")


def reason(error: Exception) -> str:
    """What is wrong, on one line that a terminal can show."""
    if isinstance(error, json.JSONDecodeError):
        return "a row of it cannot be read (%s)" % one_line(error.msg)
    if isinstance(error, UnicodeError):
        return "its schema is no text"
    return one_line(getattr(error, "strerror", None) or str(error) or type(error).__name__)


def one_line(text: str) -> str:
    """The same for a text that may repeat what stands in the file."""
    return "".join(char if char.isprintable() else "?" for char in text[:_MAX_CHARS])


def is_damage(error: Exception) -> bool:
    """Whether the file itself is to blame, and not a lock, a full disk or a missing permission."""
    if isinstance(error, (UnicodeError, json.JSONDecodeError)):
        return True
    said = str(error).lower()
    return any(words in said for words in _SAID_OF_DAMAGE)
