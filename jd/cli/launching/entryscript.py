"""Whether the entry script that somebody names can be run, and by which Python."""

import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Mapping, NamedTuple, Optional

from jd import settingvalues
from jd.cli.launching import entrysyntax, interpreters
from jd.errors import JdError, UsageError
from jd.worker.attempt.calling import entry
from jd.worker.attempt.calling.entry import Entry
from jd.worker.config import WorkerConfig

_MAIN = "__main__.py"


class Checked(NamedTuple):
    """An entry script that can be run, and the version of its Python where `python=` names it, else ""."""

    entry: Entry
    python_version: str


def checked(given: Path, python: Optional[str], environ: Mapping[str, str], directory: Path) -> Checked:
    """The entry script that `entry_script=` and `python=` name, in a launch from `directory`.

    Raises UsageError, with what to do, unless it is there and can be run.
    """
    found = None if python is None else interpreters.checked(python, environ, directory)
    version = "" if found is None else found.version
    path = None if found is None else found.path
    module = settingvalues.module_of(given)
    if module:
        wanted = Entry(Path(os.curdir), module, path, directory)
        return Checked(wanted._replace(script=_file_of(wanted, environ, directory)), version)
    wanted = Entry(_file(given), "", path, directory)
    _check_command(wanted)
    if path is not None and not entry.is_python(wanted.script):
        raise UsageError("python=: %s is no .py file, so its first line says what runs it" % wanted.script,
                         "leave python= out, or name a .py file")
    if wanted.script.suffix.lower() == ".py":
        entrysyntax.check(wanted.script, None if path is None else str(path))
    return Checked(wanted, version)


def still_there(config: WorkerConfig) -> WorkerConfig:
    """A launch that was made before, with the version that its Python has now.

    Raises JdError where its entry script or its Python is gone.
    """
    if not config.entry_script.is_file():
        raise JdError("its entry script %s is gone" % config.entry_script)
    if config.python is None:
        return config
    try:
        python = interpreters.checked(str(config.python), config.environ, config.directory)
    except UsageError as error:
        raise JdError(str(error)) from None
    return replace(config, python_version=python.version)


def _file(given: Path) -> Path:
    """A script as an absolute path, of a directory that can be run its `__main__.py`."""
    script = given.absolute()
    try:
        mode = os.stat(str(script)).st_mode
    except OSError as error:
        raise UsageError("entry_script=: cannot find %s: %s" % (script, error.strerror),
                         _meant(str(given))) from None
    if stat.S_ISDIR(mode):
        if (script / _MAIN).is_file():
            return _file(script / _MAIN)
        raise UsageError("entry_script=: %s is a directory without a %s" % (script, _MAIN),
                         "give the path of a script")
    if not stat.S_ISREG(mode):
        raise UsageError("entry_script=: %s is not a regular file" % script, "give the path of a script")
    # A program may be executable without being readable.
    if not os.access(str(script), os.R_OK) and (
            entry.is_python(script) or not os.access(str(script), os.X_OK)):
        raise UsageError("entry_script=: %s cannot be read by this user (uid %d)" % (script, os.getuid()),
                         "check its mode")
    return script


def _meant(given: str) -> str:
    """What to do about a script that is not there."""
    words = given.split()
    script = next((word for word in words if os.path.isfile(word)), None)
    if len(words) > 1 and script is not None:
        return 'give entry_script=%s; words for it are args="…", and another Python is python=' % script
    if os.path.isfile(given.replace(".", os.sep) + ".py"):
        return 'for a module give entry_script="-m %s"' % given
    return "give the path of a script"


def _check_command(wanted: Entry) -> None:
    try:
        entry.command(wanted)
    except UsageError as error:
        raise UsageError("entry_script=: %s" % error) from None
    except OSError as error:
        raise UsageError("entry_script=: %s cannot be read: %s" % (
            wanted.script, error.strerror)) from None


def _file_of(wanted: Entry, environ: Mapping[str, str], directory: Path) -> Path:
    """The file that `python -m` runs."""
    found = interpreters.module(wanted.module, wanted.interpreter, environ, directory)
    if not found.exists:
        raise UsageError("entry_script=: %s finds no module %s in %s" % (
            wanted.interpreter, wanted.module, directory),
            "start in the directory that has %s in it, or give the path of the script"
            % wanted.module.split(".")[0])
    if found.file is None or not found.file.is_file():
        if found.is_package:
            raise UsageError("entry_script=: the package %s has no %s, so -m cannot run it" % (
                wanted.module, _MAIN), "name one of its modules")
        raise UsageError("entry_script=: the module %s has no file that could be run" % wanted.module,
                         "give the path of a script")
    return found.file
