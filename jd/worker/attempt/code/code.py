"""Which code runs: the entry script, the commit of its repository, its interpreter, what it imports.

All of it is looked up in a thread, so that neither a job nor the worker waits for a file server or a slow
git. What was found is kept, and looked up again only where script or repository have changed; whether the
repository is clean, which no single file tells, also now and then. Whether the repository has changed is not
asked for each of many short jobs.
"""

import hashlib
import json
import os
import pkgutil
import platform
import shutil
import sys
import threading
import time
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from jd import threads
from jd.messages import Code
from jd.node import helpers
from jd.threads import NoThread, Reported
from jd.worker.attempt.calling import entry
from jd.worker.attempt.code import distributions, repository
from jd.worker.config import WorkerConfig

CLEAN_FOR = 60.0  # seconds; after that git is asked again
FRESH = 1.0  # seconds that the state of a repository counts while its script stays the same
CLEAN_SHARE = 50.0  # at most this part of the time goes to asking it
PROBE_TIME = 20.0  # seconds for another interpreter to tell what it has installed
MAX_HASHED = 256 * 1024 * 1024  # bytes of an entry script; one that is larger is a program with its data
MAX_PARSED = 4 * 1024 * 1024  # no script that somebody wrote is longer
_CHUNK = 1024 * 1024

Stamp = Tuple[int, int, int]


class _Script(NamedTuple):
    hash: Optional[str]
    modules: List[str]  # that it imports and somebody has to have installed


class _Interpreter(NamedTuple):
    path: Optional[str] = None
    version: Optional[str] = None
    distributions: Optional[Dict[str, str]] = None


class Lookup:
    """What runs as one attempt: `begin` right before its script starts, then `code`."""

    def __init__(self, begin: Callable[["Lookup"], None]) -> None:
        self.stamp: Optional[Stamp] = None
        self.found: Optional[Code] = None
        self.done = threading.Event()
        self._begin = begin
        self._begun = False

    def begin(self) -> None:
        """Start to look; returns at once."""
        self._begun = True
        self._begin(self)

    def code(self, wait: float = 0.0) -> Optional[Code]:
        """What was found; None where nothing was, within `wait` seconds."""
        if self._begun and wait:
            self.done.wait(wait)
        return self.found if self.done.is_set() else None


class Codes:
    """Looks for one worker. `log` gets a line for what should not happen."""

    def __init__(self, config: WorkerConfig, log: Callable[[str], None],
                 clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._log = log
        self._clock = clock
        self._latest: Optional[Lookup] = None
        self._script: Optional[Tuple[Stamp, _Script]] = None
        self._interpreter: Optional[Tuple[List[str], List[str], _Interpreter]] = None
        self._state: Optional[Tuple[object, repository.State]] = None
        self._ask_git_at = 0.0
        self._began = 0.0
        self._reported = Reported("which code runs is not recorded", log)

    def lookup(self) -> Lookup:
        """For one attempt."""
        return Lookup(self._begin)

    def _begin(self, lookup: Lookup) -> None:
        try:
            lookup.stamp = _stamp(os.stat(str(self._config.entry_script)))
        except OSError:
            lookup.done.set()  # it will not start either
            return
        latest, now = self._latest, self._clock()
        if latest is not None and not latest.done.is_set():
            lookup.done.set()  # the file system hangs: of this attempt it is not known
            return
        if latest is not None and latest.stamp == lookup.stamp and latest.found and now < self._began + FRESH:
            lookup.found, lookup.done = latest.found, latest.done
            return
        self._latest, self._began = lookup, now
        try:
            threads.start(self._work, "jd-code", (lookup,))
        except NoThread as error:
            self._log("which code runs is not recorded: %s" % error)
            lookup.done.set()

    def _work(self, lookup: Lookup) -> None:
        with self._reported:
            lookup.found = self._find(lookup.stamp)
        lookup.done.set()

    def _find(self, stamp: Optional[Stamp]) -> Code:
        config = self._config
        script = self._read(stamp)
        interpreter = self._run_by(script.modules)
        snapshot = config.snapshot
        state = (repository.State(snapshot.commit, snapshot.clean) if snapshot is not None
                 else self._checked_out())
        return Code(script=_text(config.entry_script.name), hash=script.hash, commit=state.commit,
                    clean=state.clean, interpreter=interpreter.path, version=interpreter.version,
                    distributions=interpreter.distributions,
                    snapshot=None if snapshot is None else snapshot.hash)

    # ---- the script

    def _read(self, stamp: Optional[Stamp]) -> _Script:
        if self._script is not None and self._script[0] == stamp:
            return self._script[1]
        path = self._config.entry_script
        try:
            with open(str(path), "rb") as file:
                found, digest, source = _stamp(os.fstat(file.fileno())), hashlib.sha256(), b""
                while found[1] <= MAX_HASHED:
                    chunk = file.read(_CHUNK)
                    if not chunk:
                        break
                    digest.update(chunk)
                    source += chunk if len(source) < MAX_PARSED else b""
        except OSError:
            return _Script(None, [])  # a program may be executable without being readable
        if found != stamp or found[1] > MAX_HASHED:
            return _Script(None, [])  # it was changed since it was started
        modules = distributions.imported(source, str(path.parent)) if found[1] <= MAX_PARSED else []
        self._script = found, _Script(digest.hexdigest(), modules)
        return self._script[1]

    # ---- what runs it

    def _run_by(self, modules: List[str]) -> _Interpreter:
        words = entry.command(entry.of(self._config)).interpreter
        if self._interpreter is None or self._interpreter[:2] != (words, modules):
            self._interpreter = words, modules, self._look_at(words, modules)
        return self._interpreter[2]

    def _look_at(self, words: List[str], modules: Sequence[str]) -> _Interpreter:
        path = _program(words, self._config.environ.get("PATH", os.defpath))
        if path is None:
            return _Interpreter()
        if path == sys.executable:
            return _Interpreter(_text(path), platform.python_version(),
                                distributions.versions(modules) if modules else {})
        if not os.path.basename(path).startswith(("python", "pypy")):
            return _Interpreter(_text(path))
        source = pkgutil.get_data(distributions.__package__, "distributions.py") or b""
        told = helpers.output_of([path, "-c", source.decode("utf-8"), *modules], self._config.environ,
                                 PROBE_TIME, str(self._config.entry_script.parent))
        try:
            answer = json.loads(told or b"null")
            return _Interpreter(_text(path), str(answer["version"]), dict(answer["distributions"]))
        except (ValueError, TypeError, KeyError):
            return _Interpreter(_text(path))  # too old to tell, or not what its name says

    # ---- the repository

    def _checked_out(self) -> repository.State:
        found = repository.find(self._config.entry_script.parent)
        if found is None:
            return repository.State()
        signature, now = (found.own, found.signature()), self._clock()
        if self._state is None or self._state[0] != signature or now >= self._ask_git_at:
            self._state = signature, repository.state(found, self._config.environ)
            took = self._clock() - now
            self._ask_git_at = now + max(CLEAN_FOR, CLEAN_SHARE * took)
        return self._state[1]


def _program(words: Sequence[str], path: str) -> Optional[str]:
    """The interpreter that some words name: env(1) looks for another one."""
    if not words:
        return None
    if os.path.basename(words[0]) != "env":
        return words[0]
    name = next((word for word in " ".join(words[1:]).split()
                 if not word.startswith("-") and "=" not in word), None)
    return None if name is None else shutil.which(name, path=path) or name


def _stamp(found: os.stat_result) -> Stamp:
    return found.st_mtime_ns, found.st_size, found.st_ino


def _text(path: object) -> str:
    """A path as text that can be sent, whatever bytes it has."""
    return str(path).encode("utf-8", "replace").decode("utf-8")
