"""What a program has run out of: memory, threads, processes or open files.

It is told in a line with what to do, whichever part of Python has met it. Nothing is imported here that
Python has not loaded by itself: there may be no memory left to import anything.
"""

from __future__ import annotations

import errno
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_MEMORY = ("there is not enough memory; raise the limit (ulimit -v), or that of the container or of the "
           "scheduler's job")
_THREADS = ("no further thread can be started; raise ulimit -u (processes and threads) or ulimit -v "
            "(memory), or what the container allows (pids, memory)")
_PROCESSES = ("no further process can be started; raise ulimit -u (processes and threads), or what the "
              "container allows (pids)")
_FILES = "too many files are open; raise ulimit -n where this is started"
_FILES_OF_ALL = "this machine has too many files open; end what opens them, or ask who looks after it"

_BY_NUMBER = {errno.ENOMEM: _MEMORY, errno.EMFILE: _FILES, errno.ENFILE: _FILES_OF_ALL}
# What the loader of shared libraries says, which Python hands on as the text of an ImportError.
_OF_LOADER = (("failed to map segment", _MEMORY), ("annot allocate memory", _MEMORY),
              ("annot create shared object descriptor", _MEMORY), ("oo many open files", _FILES))


def told(error: BaseException) -> str | None:
    """What is short and what to do about it, if that is what an error is about."""
    # SystemError is what comes of an allocation that failed inside Python itself.
    if isinstance(error, MemoryError) or (
            isinstance(error, SystemError) and "without exception set" in str(error)):
        return _MEMORY
    if isinstance(error, OSError):
        # EAGAIN is what fork(2) says; a stream that would block has a text of its own.
        if error.errno == errno.EAGAIN and error.strerror == os.strerror(errno.EAGAIN):
            return _PROCESSES
        return _BY_NUMBER.get(error.errno or 0)
    text = str(error)
    if isinstance(error, RuntimeError) and text.startswith("can't start new thread"):
        return _THREADS
    if isinstance(error, ImportError):
        return next((said for words, said in _OF_LOADER if words in text), None)
    return None


def of_files() -> str | None:
    """What is short if no file can be opened now: SQLite only says that it cannot open its own."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return told(error)
    return None


def end(error: BaseException) -> NoReturn:
    """End the program with the line on stderr and exit status 1; raises what is about anything else."""
    line = told(error)
    if line is None or os.environ.get("JD_DEBUG", "") == "1":
        raise error
    sys.stderr.write("error: %s\n" % line)
    sys.exit(1)
