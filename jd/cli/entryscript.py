"""Whether the entry script that somebody names can be run."""

import os
import stat
from pathlib import Path

from jd.errors import UsageError
from jd.worker.attempt import entry


def checked_script(path: Path) -> Path:
    """The entry script as an absolute path. Raises UsageError unless it is a file that can be run."""
    script = path.absolute()
    try:
        mode = os.stat(str(script)).st_mode
    except OSError as error:
        raise UsageError("entry_script=: cannot find %s: %s" % (script, error.strerror),
                         "give the path of a script") from None
    if not stat.S_ISREG(mode):
        raise UsageError("entry_script=: %s is %s"
                         % (script, "a directory" if stat.S_ISDIR(mode) else "not a regular file"),
                         "give the path of a script")
    # A program may be executable without being readable.
    if not os.access(str(script), os.R_OK) and (
            entry.is_python(script) or not os.access(str(script), os.X_OK)):
        raise UsageError("entry_script=: %s cannot be read by this user (uid %d)" % (script, os.getuid()),
                         "check its mode")
    try:
        entry.command(script)
    except UsageError as error:
        raise UsageError("entry_script=: %s" % error) from None
    except OSError as error:
        raise UsageError("entry_script=: %s cannot be read: %s" % (
            script, error.strerror)) from None
    return script
