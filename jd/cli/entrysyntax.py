"""Whether Python can read an entry script: a fault of syntax would fail every job."""

import warnings
from pathlib import Path

from jd.errors import UsageError

_MAX_BYTES = 4 * 1024 * 1024  # no hand-written script is longer


def check(script: Path) -> None:
    """Raises UsageError that names the line which this Python cannot read."""
    with open(str(script), "rb") as file:
        source = file.read(_MAX_BYTES + 1)
    if len(source) > _MAX_BYTES:
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(source, str(script), "exec", dont_inherit=True)
    except SyntaxError as error:
        raise UsageError("entry_script=: %s, line %s: %s" % (script, error.lineno or "?", error.msg),
                         "every job would fail") from None
    except ValueError as error:  # a NUL byte, before Python 3.12
        raise UsageError("entry_script=: %s: %s" % (script, error), "every job would fail") from None
    except (RecursionError, MemoryError):
        pass  # the script's own Python judges
