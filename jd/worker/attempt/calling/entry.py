"""How an entry script is run: Python by the worker's interpreter or that of `python=`, else as it is.

    -m package.module       Python, from the directory of the launch
    *.py, *.pyz             Python; how one that lies in a package is run `packages` says
    begins with `#!`        the interpreter of that line, as the kernel would: also for a file that
                            is not executable, or lies where nothing may be executed (noexec)
    an executable program   itself

Everything else is refused before a job is taken for it.
"""

import os
import re
import shutil
import sys
from pathlib import Path
from typing import List, NamedTuple, Optional

from jd.errors import UsageError
from jd.files import plainfile
from jd.worker.attempt.calling import packages
from jd.worker.config import WorkerConfig

_PYTHON = (".py", ".pyz")
_FIRST_LINE_BYTES = 4096
_ADVICE = "give it a first line such as #!/bin/sh, or name a .py file"
# A script is read this far; no hand-written one is longer.
MAX_SOURCE_BYTES = 4 * 1024 * 1024


# `python -m` looks for a module in the directory that it is started in first: there may lie the original of
# what was copied. So this is run in its place, which looks in the copy.
_RUN_MODULE = ("import runpy, sys; sys.path[0], module = sys.argv[1:3]; del sys.argv[1:3]; "
               "runpy.run_module(module, run_name='__main__', alter_sys=True)")


class Entry(NamedTuple):
    """What a launch runs: a file; with `module` it is run as `python -m`, from `directory`. `python` is the
    interpreter of Python scripts, None for the worker's own. With `copied` it is in a copy of its
    directory."""

    script: Path
    module: str = ""
    python: Optional[Path] = None
    directory: Optional[Path] = None
    copied: bool = False

    @property
    def interpreter(self) -> str:
        """The Python that runs Python scripts."""
        return sys.executable if self.python is None else str(self.python)

    @property
    def shown(self) -> str:
        """For logs and messages."""
        return "-m %s (%s)" % (self.module, self.script) if self.module else str(self.script)


def of(config: WorkerConfig) -> Entry:
    """What a launch runs."""
    if config.snapshot is not None:
        return Entry(config.entry_script, config.module, config.python, config.snapshot.directory, True)
    return Entry(config.entry_script, config.module, config.python, config.directory)


class Command(NamedTuple):
    """What comes before the script, and the words that name it, to which arguments are added; where imports
    look before and behind the user's PYTHONPATH, "" for nowhere else."""

    interpreter: List[str]
    named: List[str]
    before: str = ""
    behind: str = ""

    @property
    def words(self) -> List[str]:
        """All of them."""
        return self.interpreter + self.named

    def python_path(self, given: str) -> str:
        """PYTHONPATH for it, from that of the user."""
        return os.pathsep.join(filter(None, (self.before, given, self.behind)))


def is_python(script: Path) -> bool:
    """Whether it is a script that Python runs, whatever its first line says."""
    return script.suffix.lower() in _PYTHON


def source(script: Path) -> bytes:
    """The beginning of a script, to look for what it mentions; nothing of a program that may be executed and
    not read. Raises OSError."""
    try:
        return plainfile.beginning(script, MAX_SOURCE_BYTES)
    except PermissionError:
        if os.access(str(script), os.X_OK):
            return b""
        raise


def command(entry: Entry, text: bytes = b"") -> Command:
    """How `entry` is run. `text` is its source, for who has read it.

    Raises UsageError, with what to do, for a file that cannot be run, and OSError for one that
    cannot be read.
    """
    script, python = entry.script, entry.interpreter
    if entry.module:
        return _of_module(entry, entry.module, str(entry.directory or ""))
    if is_python(script):
        is_text = script.suffix.lower() == ".py"
        if not text or not is_text:
            text = plainfile.beginning(script, MAX_SOURCE_BYTES if is_text else 0)
        found = packages.run_of(script, text)
        if found.module:
            return _of_module(entry, found.module, found.root)
        return Command([python], [str(script)], behind=found.root)
    head = _head(script)
    if head.startswith(b"#!"):
        return Command(first_line(script, head), [str(script)])
    if not os.access(str(script), os.X_OK):
        raise UsageError("%s is no .py file, does not begin with #! and is not executable" % script,
                         "%s, or chmod +x a program" % _ADVICE)
    # Whatever else the kernel knows how to run (binfmt_misc) is no text.
    if b"\0" not in head:
        raise UsageError("%s is executable, but neither a program nor a script that begins with #!"
                         % script,
                         _ADVICE)
    return Command([], [str(script)])


def _of_module(entry: Entry, module: str, root: str) -> Command:
    named = ["-c", _RUN_MODULE, root, module] if entry.copied else ["-m", module]
    return Command([entry.interpreter], named, before=root)


def _head(script: Path) -> bytes:
    try:
        with open(str(script), "rb") as file:
            return file.read(_FIRST_LINE_BYTES)
    except PermissionError:
        if os.access(str(script), os.X_OK):
            return b"\0"  # a program may be executable without being readable
        raise


def first_line(script: Path, head: bytes) -> List[str]:
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
    name = _looked_for(words)
    if name and shutil.which(name) is None:
        raise UsageError("the interpreter %s in the first line of %s is not in PATH" % (name, script),
                         "install it, activate its environment, or name another")
    return words


def _looked_for(words: List[str]) -> str:
    """What env(1) of a `#!` line looks for in PATH; nothing where options or variables leave that open."""
    if os.path.basename(words[0]) != "env" or len(words) < 2:
        return ""
    name = (re.sub(r"^-S\s*", "", words[1]).split() or [""])[0]
    return "" if name.startswith("-") or not re.fullmatch(r"[\w.+/-]+", name) else name
