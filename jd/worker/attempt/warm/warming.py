"""`warm=true`: when jobs are forked from an interpreter, and when a new one is begun.

Whatever is wrong with one, a job is started from scratch then, and the log says why: a sweep with `warm=true`
has the results of one without.
"""

import os
import pkgutil
import threading
import time
from typing import Callable, Optional, Sequence, Set

from jd.node import helpers, orphans
from jd.worker.attempt.calling import entry, importing
from jd.worker.attempt.process import memory
from jd.worker.attempt.process.spawning import Begun, Command, spawn
from jd.worker.attempt.warm import interpreter
from jd.worker.attempt.warm.process import Changed, Ended, Imports, Interpreter, Kind, Missing, NotWarm, Unfit
from jd.worker.config import CWD_JOB, WorkerConfig

MOST_JOBS = 1000  # of one interpreter
GROWN = 2.0  # times what it had when it was ready
LOAD_TIME = 300.0  # seconds for its imports
PROBE_TIME = 10.0  # seconds for the answer whether a Python can be warm
TRIES = 3  # in a row that end before a job was forked
_SCRIPT = "what the script begins with"
_JD = "JD_"
_OF_A_JOB = ("PWD",)  # besides the variables of jd


class Warm:
    """The interpreter of one worker, for the jobs that it runs one after the other. `from_scratch` starts
    those that are not forked."""

    def __init__(self, config: WorkerConfig, log: Callable[[str], None],
                 from_scratch: Callable[[Command], Begun] = spawn) -> None:
        self._config = config
        self._log = log
        self._from_scratch = from_scratch
        self._entry = entry.of(config)
        self._leave_out: Set[str] = set()
        self._interpreter: Optional[Interpreter] = None
        self._failed = 0
        self._place: Optional[str] = None
        self._cold = False

    def introduce(self) -> None:
        """Say in the log what is meant to be warm."""
        names = [_SCRIPT if name == interpreter.SCRIPT else name for name in self._config.preload]
        self._log("warm=true: jobs are forked from an interpreter that has imported %s" % (
            ", ".join(names) or "nothing"))
        self._cold = not self._can_be_warm()

    def prepare(self, command: Command, named: Sequence[str]) -> bool:
        """Have an interpreter begin to load that fits a job, if there is none. `named` are the words of the
        job's command that are the same for all.

        True where `wait` has something to wait for. For the main thread of the worker, which it ends with.
        """
        if self._cold:
            return False
        kind = self._kind(command, named)
        running = self._interpreter
        if running is not None and (running.kind != kind or self._is_worn(running)):
            self._drop()
        if self._interpreter is None:
            try:
                self._interpreter = Interpreter(kind, self._imports(kind))
            except NotWarm as error:
                self._drop(error)
        return self._interpreter is not None and not self._interpreter.resident

    def wait(self, cancelled: threading.Event) -> None:
        """Return when the interpreter has loaded, as far as it will; in any thread."""
        loading = self._interpreter
        if loading is not None:
            loading.wait(cancelled, loading.began + LOAD_TIME)

    def begin(self, command: Command) -> Begun:
        """Start a job: forked if that can be, else from scratch. Raises StartFailure."""
        running = self._interpreter
        if running is not None:
            try:
                self._loaded(running)
                begun = running.fork(command)
                self._failed = 0
                return begun
            except Ended as error:
                self._drop(error)
            except NotWarm as error:
                if str(error):
                    self._log("this job is not forked: %s" % error)
        return self._from_scratch(command)

    def end(self) -> None:
        """End the interpreter."""
        self._drop()

    def _loaded(self, running: Interpreter) -> None:
        if running.resident:
            return
        try:
            running.become_ready()
        finally:
            printed = running.printed()
            if printed:
                self._log("while it imported, the interpreter printed:\n" + printed)
        self._log("the interpreter %d is ready after %.1f s, with %s" % (
            running.pid, time.monotonic() - running.began, memory.rounded(running.resident)))

    def _drop(self, why: Optional[NotWarm] = None) -> None:
        """End the interpreter; unless it is all over a new one is begun for the next job."""
        if self._interpreter is not None:
            self._interpreter.end()
            self._interpreter = None
        if why is None:
            return
        if isinstance(why, Missing):
            self._leave_out.update(why.names)
        elif isinstance(why, Changed):
            self._log("%s was changed: this job starts from scratch, and a new interpreter is begun" % why)
            return
        else:
            self._failed += 1
            self._cold = isinstance(why, Unfit) or self._failed >= TRIES
        self._log("the interpreter is of no use: %s; %s" % (
            why, "all jobs start from scratch" if self._cold else "this job starts from scratch"))

    def _is_worn(self, running: Interpreter) -> bool:
        if running.jobs >= MOST_JOBS:
            self._log("the interpreter has forked %d jobs: a new one is begun" % running.jobs)
            return True
        if running.resident and running.grown_to > GROWN * running.resident:
            self._log("the interpreter has grown to %s: a new one is begun" % (
                memory.rounded(running.grown_to)))
            return True
        return False

    def _kind(self, command: Command, named: Sequence[str]) -> Kind:
        environ = {name: value for name, value in command.environ.items()
                   if not name.startswith(_JD) and name not in _OF_A_JOB}
        environ["JD_WORKER_ID"] = command.environ.get("JD_WORKER_ID", "")  # by which the warden finds it
        directory = os.sep if self._config.cwd == CWD_JOB else str(command.cwd or os.curdir)
        return Kind(tuple(named), environ, directory, command.max_memory, self._place or "")

    def _imports(self, kind: Kind) -> Imports:
        words = kind.words[1:]
        if words[0] == "-m":
            first = "" if self._config.cwd == CWD_JOB else kind.directory
        elif words[0] == "-c":  # a module in a copy, see entry.py
            first = words[2]
        else:
            first = os.path.dirname(os.path.realpath(words[0]))
        return Imports(self._config.preload, sorted(self._leave_out), first, str(self._entry.script))

    def _can_be_warm(self) -> bool:
        """Whether this system, the script and its Python allow it; else the log says why not."""
        why = self._why_not()
        if why:
            self._log("warm=true: %s, so each job starts from scratch" % why)
        return not why

    def _why_not(self) -> str:
        if not orphans.become_subreaper():
            return "this system gives a worker no orphans"
        if not self._entry.module and not entry.is_python(self._entry.script):
            return "%s is no script of Python" % self._entry.script
        self._place = importing.kept(self._config.environ, interpreter.NAME + ".py", program())
        if self._place is None:
            return "its program cannot be kept in the cache"
        environ = dict(self._config.environ)
        environ.update({"PYTHONPATH": self._place, interpreter.VARIABLE: interpreter.PROBE})
        told = helpers.output_of([self._entry.interpreter, "-c", ""], environ, PROBE_TIME)
        if told is None:
            return "%s could not be asked whether it can be warm" % self._entry.interpreter
        if told != interpreter.CAN:
            answer = told.decode("utf-8", "replace").strip()
            return answer or "%s does not import sitecustomize" % self._entry.interpreter
        return ""


def program() -> bytes:
    """What a warm interpreter runs, as a file that does so when it is imported."""
    parts = [pkgutil.get_data(__package__, name) for name in ("interpreter.py", "ending.py")]
    return b"\n\n".join([part for part in parts if part is not None] + [b"main()\n"])
