"""How an entry script is run: Python by the worker's interpreter, anything else as it is.

    *.py, *.pyz             this very Python, as ever
    begins with `#!`        the interpreter of that line, as the kernel would: also for a file that
                            is not executable, or lies where nothing may be executed (noexec)
    an executable program   itself

Everything else is refused before a job is taken for it.
"""

import os
import shutil
import sys
from pathlib import Path
from typing import List

from jd.errors import UsageError

_PYTHON = (".py", ".pyz")
_FIRST_LINE_BYTES = 4096
_ADVICE = "give it a first line such as #!/bin/sh, or name a .py file"


def is_python(script: Path) -> bool:
    """Whether the worker's own interpreter runs it."""
    return script.suffix.lower() in _PYTHON


def command(script: Path) -> List[str]:
    """The words that run `script`, to which its arguments are added.

    Raises UsageError, with what to do, for a file that cannot be run, and OSError for one that
    cannot be read.
    """
    if is_python(script):
        with open(str(script), "rb"):
            return [sys.executable, str(script)]
    head = _head(script)
    if head.startswith(b"#!"):
        return _interpreter(script, head) + [str(script)]
    if not os.access(str(script), os.X_OK):
        raise UsageError("%s is no .py file, does not begin with #! and is not executable" % script,
                         "%s, or chmod +x a program" % _ADVICE)
    # Whatever else the kernel knows how to run (binfmt_misc) is no text.
    if b"\0" not in head:
        raise UsageError("%s is executable, but neither a program nor a script that begins with #!"
                         % script,
                         _ADVICE)
    return [str(script)]


def _head(script: Path) -> bytes:
    try:
        with open(str(script), "rb") as file:
            return file.read(_FIRST_LINE_BYTES)
    except PermissionError:
        if os.access(str(script), os.X_OK):
            return b"\0"  # a program may be executable without being readable
        raise


def _interpreter(script: Path, head: bytes) -> List[str]:
    """The interpreter of a `#!` line, and the one argument that the kernel makes of its rest."""
    line, end, _ = head[2:].partition(b"\n")
    if line.endswith(b"\r"):
        raise UsageError("the first line of %s ends like one from Windows, and no interpreter of that "
                         "name exists" % script,
                         "convert the file: sed -i 's/\\r$//' %s" % script.name)
    words = os.fsdecode(line).strip(" \t").split(None, 1)
    if not words or not end and len(head) == _FIRST_LINE_BYTES:
        raise UsageError("the first line of %s names no interpreter after #!" % script, _ADVICE)
    if shutil.which(words[0]) is None or not os.path.isabs(words[0]):
        raise UsageError("the interpreter %s in the first line of %s is not there or cannot be executed"
                         % (words[0], script),
                         "install it, or name another: #!/usr/bin/env finds one in PATH")
    return words
