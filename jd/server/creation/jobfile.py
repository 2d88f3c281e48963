"""`--jobs FILE`: jobs from .json, .jsonl, .csv or .tsv (see `jobtext`)."""

import os
from pathlib import Path

from jd.errors import UsageError
from jd.protocol import ProtocolError
from jd.server.creation import jobtext
from jd.server.creation.batch import Batch

MAX_FILE = 512 * 1024 * 1024


def read(path: Path) -> Batch:
    """The jobs of a file. Raises UsageError that names the file, the line or key, and the fault."""
    form = path.suffix.lower()[1:]
    if form in ("yaml", "yml"):
        raise UsageError("jobs file %s: %s" % (path, jobtext.yaml_to_json(path)))
    if form not in jobtext.FORMATS:
        raise UsageError("jobs file %s: its name must end in .json, .jsonl, .csv or .tsv" % path)
    try:
        size = os.stat(str(path)).st_size
        if size > MAX_FILE:
            raise UsageError("jobs file %s is %d bytes" % (path, size), "at most %d" % MAX_FILE)
        with open(str(path), "rb") as file:
            return jobtext.parse(file, form)
    except OSError as error:
        raise UsageError("jobs file %s: %s" % (path, error.strerror)) from None
    except ProtocolError as error:
        raise UsageError("jobs file %s: %s" % (path, error)) from None
