"""`--jobs FILE`: jobs from .json, .jsonl, .csv or .tsv (see `jobtext`)."""

import os
from pathlib import Path
from typing import BinaryIO

from jd.errors import UsageError
from jd.files import plainfile
from jd.protocol import ProtocolError
from jd.server.creation import jobtext
from jd.server.creation.batch import Batch

MAX_FILE = 512 * 1024 * 1024


def size(path: Path) -> int:
    """Its bytes. Raises UsageError for what is wrong with a file that was not read yet."""
    form = _form(path)
    if form in ("yaml", "yml"):
        raise UsageError("jobs file %s: %s" % (path, jobtext.yaml_to_json(path)))
    if form not in jobtext.FORMATS:
        raise UsageError("jobs file %s: its name must end in .json, .jsonl, .csv or .tsv" % path)
    with opened(path) as file:
        found = os.fstat(file.fileno()).st_size
    if found > MAX_FILE:
        raise UsageError("jobs file %s is %d bytes" % (path, found), "at most %d" % MAX_FILE)
    return found


def opened(path: Path) -> BinaryIO:
    """The file, to be read. Raises UsageError, also for a pipe: nothing waits for who writes into it, and
    jobs are read more than once."""
    try:
        plainfile.check(path)
        return open(str(path), "rb")
    except OSError as error:
        raise UsageError("jobs file %s: %s" % (path, error.strerror)) from None


def read(path: Path) -> Batch:
    """The jobs of a file. Raises UsageError that names the file, the line or key, and the fault."""
    size(path)
    with opened(path) as file:
        return parsed(path, file)


def parsed(path: Path, file: BinaryIO) -> Batch:
    """The same of one that was opened, and has passed `size`. Another thread may close it: that ends this
    with a ValueError."""
    try:
        return jobtext.parse(file, _form(path))
    except OSError as error:
        raise UsageError("jobs file %s: %s" % (path, error.strerror)) from None
    except ProtocolError as error:
        raise UsageError("jobs file %s: %s" % (path, error)) from None


def _form(path: Path) -> str:
    return path.suffix.lower()[1:]
