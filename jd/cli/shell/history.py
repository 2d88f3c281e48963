"""The command history of interactive mode: a file of lines, and readline where there is one.

    <JD_CACHE_PATH or ~/.jd_cache>/.cache/jd_worker_history       mode 0600

A line that may hold a key or a token is not kept anywhere. What cannot be read or written is no
error: the shell just remembers less.
"""

import os
import re
from types import ModuleType
from typing import Callable, List, Mapping, Optional

from jd import paths
from jd.errors import StorageError
from jd.files import plainfile, safedirs, wholefile

FILE_NAME = "jd_worker_history"
MAX_LINES = 1000
_LONGEST_LINE = 10_000
_APPENDING = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
_MAX_BYTES = 4 * MAX_LINES * _LONGEST_LINE

# Names of secrets, Hub keys, JSON web tokens, and passwords in URLs.
_SECRET = re.compile(r"api.?key|token|secret|passw|\bjd_[A-Za-z0-9]{12}|\beyJ[\w-]{10}|://[^/\s]*@",
                     re.IGNORECASE)


def may_hold_secret(line: str) -> bool:
    """Whether a line looks as if it had a key or a token in it."""
    return _SECRET.search(line) is not None


def import_readline() -> Optional[ModuleType]:
    """The readline module; None where Python was built without it."""
    try:
        import readline
    except ImportError:
        return None
    return readline


class History:
    """Lines typed in this and earlier sessions, at most MAX_LINES of them."""

    def __init__(self, environ: Mapping[str, str], readline: Optional[ModuleType] = None) -> None:
        self._top = paths.cache_root(environ)
        self.path = self._top / ".cache" / FILE_NAME
        self._readline = readline
        self._last = ""
        lines = self._read()
        self._count = len(lines)
        if readline is not None:
            readline.set_auto_history(False)
            for line in lines[-MAX_LINES:]:
                readline.add_history(line)
        if len(lines) > MAX_LINES:
            self._shorten()

    def add(self, line: str) -> None:
        """Remember a line at once: a session may end with its connection."""
        line = line.strip()
        if (not line or line == self._last or len(line) > _LONGEST_LINE
                or not line.isprintable() or may_hold_secret(line)):
            return
        self._last = line
        if self._readline is not None:
            self._readline.add_history(line)
        try:
            safedirs.make(self.path.parent, safedirs.CACHE, self._top)
            safedirs.check_file(self.path, safedirs.CACHE, self._top)
            fd = os.open(str(self.path), _APPENDING, 0o600)
            try:
                os.fchmod(fd, 0o600)  # other clients may have made it
                os.write(fd, line.encode("utf-8", "surrogateescape") + b"\n")
            finally:
                os.close(fd)
        except (OSError, StorageError, UnicodeError):
            return
        self._count += 1
        if self._count > MAX_LINES:
            self._shorten()

    def _read(self) -> List[str]:
        try:
            safedirs.check_file(self.path, safedirs.CACHE, self._top)
            content = plainfile.read(self.path, _MAX_BYTES)
        except (OSError, StorageError):
            return []
        lines = content.decode("utf-8", "replace").splitlines()
        return [line for line in lines if line.strip() and not may_hold_secret(line)]

    def _shorten(self) -> None:
        """Write the newest lines anew; other sessions may have added some of them."""
        lines = self._read()[-MAX_LINES:]
        try:
            wholefile.write(self.path, "".join(line + "\n" for line in lines).encode("utf-8", "replace"))
            self._count = len(lines)
        except OSError:
            pass  # it stays too long


def complete_with(readline: ModuleType, candidates: Callable[[List[str]], List[str]]) -> None:
    """Let Tab offer `candidates(words up to the cursor)`, where the line editor can."""
    found: List[str] = []

    def complete(_text: str, state: int) -> Optional[str]:
        if state == 0:
            typed = readline.get_line_buffer()[:readline.get_endidx()]
            words = typed.rpartition(";")[2].split(" ")
            found[:] = [word if word.endswith(("=", "/")) else word + " "
                        for word in candidates([w for w in words[:-1] if w] + words[-1:])]
        return found[state] if state < len(found) else None

    readline.set_completer(complete)
    readline.set_completer_delims(" \t\n;")
    libedit = "libedit" in (readline.__doc__ or "")
    readline.parse_and_bind("bind ^I rl_complete" if libedit else "tab: complete")
