"""Python, its modules, this package, and the entry script."""

import importlib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable, List, Mapping, Optional, Sequence, Tuple

import jd
from jd import settings
from jd.cli import packageowner
from jd.cli.checkup.finding import Finding, Notes
from jd.cli.launching import entryscript
from jd.errors import UsageError
from jd.worker.attempt.calling import entry, importing
from jd.worker.attempt.calling.environment import with_package

TOPIC = "Python"
OLDEST_PYTHON = (3, 8)
OLDEST_SQLITE = (3, 26, 0)
IMPORT_SECONDS = 5.0
_IMPORTS_JD = re.compile(rb"^\s*(?:import|from)\s+jd\b", re.MULTILINE)
_PREFIX = "import sys; print(sys.prefix)"
_MAX_SOURCE = 1024 * 1024  # bytes of a script that are looked at

Environ = Mapping[str, str]
RunChild = Callable[[Sequence[str], Mapping[str, str]], Tuple[int, str]]


def python(version: Tuple[int, ...] = sys.version_info[:3],
           executable: str = sys.executable) -> List[Finding]:
    """The interpreter that workers and scripts run with."""
    notes = Notes(TOPIC)
    text = "Python %s, %s" % (".".join(map(str, version)), executable or "executable unknown")
    if tuple(version[:2]) < OLDEST_PYTHON:
        return notes.problem(text, "use Python %d.%d or newer" % OLDEST_PYTHON)
    if not executable:
        return notes.problem(text, "scripts run with the worker's interpreter: start it by its path")
    return notes.ok(text)


def modules(load: Callable[[str], Any] = importlib.import_module) -> List[Finding]:
    """The optional parts of the standard library that are needed."""
    notes = Notes(TOPIC)
    try:
        version = load("sqlite3").sqlite_version_info
    except ImportError as error:
        notes.problem("this Python has no sqlite3 module (%s)" % error,
                      "workers keep their registry in SQLite: use another Python")
    else:
        text = "SQLite %s" % ".".join(map(str, version))
        if version < OLDEST_SQLITE:
            notes.problem(text, "use a Python with SQLite %s or newer"
                          % ".".join(map(str, OLDEST_SQLITE)))
        else:
            notes.ok(text)
    try:
        notes.ok(load("ssl").OPENSSL_VERSION)
    except ImportError as error:
        notes.problem("this Python has no ssl module (%s)" % error,
                      "no server can be reached without it: use another Python")
    return notes.findings


def package(environ: Environ, run: Optional[RunChild] = None) -> List[Finding]:
    """Which jd this is and whose, and whether a script gets the same one, from another directory."""
    notes = Notes(TOPIC)
    notes.ok("jd %s, %s, from %s" % (jd.__version__, jd.__product__, packageowner.place()))
    other = packageowner.other_package()
    if other is not None:
        notes.warn("%s %s of another vendor is installed for this Python too"
                   % (packageowner.DISTRIBUTION, other), packageowner.ADVICE)
    status, output = _ask([sys.executable], packageowner.QUESTION, environ, run)
    if status != 0:
        notes.problem("a script cannot import jd: %s" % _last_line(status, output),
                      "start jd_worker_cli with a Python that has it installed; look for PYTHONHOME"
                      " and for a jd.py or jd/ on PYTHONPATH")
    elif _is_same(notes, "a script", output):
        notes.ok("scripts can import jd")
    return notes.findings


def interpreter(environ: Environ, run: Optional[RunChild] = None) -> List[Finding]:
    """The Python of the entry script, where it is not that of the worker: that of `python=`, or of its first
    line. Which jd it gets there; and whether one that a first line names is passed over."""
    notes = Notes(TOPIC)
    try:
        given = settings.value_of(settings.WORKER, "entry_script", environ)
        if given is None:
            return notes.findings
        found = entryscript.checked(given, settings.value_of(settings.WORKER, "python", environ), environ,
                                    Path.cwd()).entry
        words = entry.command(found).interpreter
        head = entry.source(found.script)[:_MAX_SOURCE]
    except (UsageError, OSError):
        return notes.findings  # the check of the entry script says it
    if entry.is_python(found.script) and found.python is None:
        return _passed_over(notes, found.script, head, environ, run)
    if _IMPORTS_JD.search(head) is None or "python" not in " ".join(words):
        return notes.findings
    status, output = _ask(words, packageowner.QUESTION, environ, run)
    if status != 0:
        notes.warn("entry script %s imports jd, and its Python, %s, cannot: %s" % (
            found.script, " ".join(words), _last_line(status, output)),
            "give it a Python from 3.8 on, without -E or -I; without python= a script *.py runs with %s"
            % sys.executable)
    elif _is_same(notes, "entry script %s" % found.script, output):
        notes.ok("the Python of the entry script has the same jd")
    return notes.findings


def _passed_over(notes: Notes, script: Path, head: bytes, environ: Environ,
                 run: Optional[RunChild]) -> List[Finding]:
    """A .py whose first line names a Python runs with the worker's all the same: told if that is another."""
    if not head.startswith(b"#!") or b"python" not in head.split(b"\n")[0]:
        return notes.findings
    try:
        words = entry.first_line(script, head)
    except UsageError:
        return notes.findings  # it is not needed
    status, prefix = _ask(words, _PREFIX, environ, run)
    if status != 0 or prefix.strip() == sys.prefix:
        return notes.findings
    line = head.split(b"\n")[0].decode("utf-8", "replace").strip()
    text = "entry script %s has the first line %s, and jd runs it with %s" % (script, line, sys.executable)
    name = next(word for word in " ".join(words).split() if "python" in word)
    if name != words[0]:  # whichever comes first in PATH: most scripts mean any Python
        return notes.ok("%s; python=%s runs it with the former" % (text, name))
    return notes.warn(text, "python=%s runs it with that Python" % name)


def _ask(python: Sequence[str], question: str, environ: Environ,
         run: Optional[RunChild]) -> Tuple[int, str]:
    """What a Python says, in the environment of a job."""
    with tempfile.TemporaryDirectory(prefix="jd-doctor-") as place:
        importing.put(Path(place))
        child = {**environ, "PYTHONPATH": with_package(environ.get("PYTHONPATH", ""), place)}
        return (run if run is not None else _run)([*python, "-c", question], child)


def _last_line(status: int, output: str) -> str:
    return (output.strip().splitlines() or ["exit status %d" % status])[-1]


def _is_same(notes: Notes, who: str, output: str) -> bool:
    """Whether an answer to `packageowner.QUESTION` names the jd that this is; else it is noted."""
    owner, version, where = (output.strip().split(" ", 2) + ["", ""])[:3]
    if owner != "ours":
        notes.warn("%s that imports jd gets another vendor's package of this name, version %s from %s" % (
            who, version, where), "take it off PYTHONPATH; or " + packageowner.ADVICE)
    elif version != jd.__version__:
        notes.warn("%s that imports jd gets version %s from %s" % (who, version, where),
                   "take the other one off PYTHONPATH, or uninstall it")
    else:
        return True
    return False


def _run(command: Sequence[str], environ: Mapping[str, str]) -> Tuple[int, str]:
    try:
        done = subprocess.run(command, env=dict(environ), cwd=os.sep, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=IMPORT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return 1, "Python did not start within %g s" % IMPORT_SECONDS
    except OSError as error:
        return 1, "%s: %s" % (command[0], error.strerror)
    return done.returncode, done.stdout.decode("utf-8", "replace")


def encoding(file_system: str = sys.getfilesystemencoding()) -> List[Finding]:
    """Whether names and output may hold any character."""
    notes = Notes(TOPIC)
    if file_system.lower().replace("-", "") == "utf8":
        return notes.findings
    return notes.warn("text is encoded as %s: other characters in names and output fail"
                      % file_system, "set LANG=C.UTF-8, or PYTHONUTF8=1")


def entry_script(environ: Environ) -> List[Finding]:
    """JD_ENTRY_SCRIPT, where it is set: there, can be run, and if it is Python then its Python reads it."""
    notes = Notes(TOPIC)
    try:
        given = settings.value_of(settings.WORKER, "entry_script", environ)
        if given is None:
            return notes.findings
        found = entryscript.checked(given, settings.value_of(settings.WORKER, "python", environ), environ,
                                    Path.cwd())
    except UsageError as error:
        return notes.problem(error.what, error.advice)
    except OSError as error:
        return notes.problem("entry script %s: %s" % (given, error),
                             "give a script that can be read")
    own = "" if found.entry.python is None else ", with Python %s, %s" % (
        found.python_version, found.entry.python)
    return notes.ok("entry script %s%s" % (found.entry.shown, own))
