"""Whether Python can read an entry script: a fault of syntax would fail every job."""

import os
import warnings
from pathlib import Path
from typing import Optional

from jd.cli.launching import interpreters
from jd.errors import UsageError

_EXIT_STATUS = 3
_COMPILE = """
import sys
try:
    compile(open(sys.argv[1], "rb").read(), sys.argv[1], "exec")
except SyntaxError:
    error = sys.exc_info()[1]
    sys.stdout.write("line %%s: %%s" %% (error.lineno or "?", error.msg))
    sys.exit(%d)
""" % _EXIT_STATUS
_MAX_BYTES = 4 * 1024 * 1024  # no hand-written script is longer


def check(script: Path, python: Optional[str] = None) -> None:
    """Raises UsageError that names the line which this Python, or another one, cannot read."""
    if python is not None:
        _ask(script, python)
        return
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


def _ask(script: Path, python: str) -> None:
    status, output, _ = interpreters.asked([python, "-c", _COMPILE, str(script)], os.environ, script.parent)
    if status == _EXIT_STATUS:
        raise UsageError("entry_script=: %s, %s, says %s" % (script, output.strip(), python),
                         "every job would fail")
