"""A server and workers of this machine, for a sweep that names its script and has no server.

They are processes of their own, out of the reach of a Ctrl-C in the terminal. They are stopped when the
program ends, unless they are to go on: then the next program of the experiment takes them over (`leftover`).
"""

import atexit
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence

from jd import program, protocol, terminal
from jd.auth.jobserver import ACCESS_FILE
from jd.errors import JdError, ServerUnreachable
from jd.files import safedirs
from jd.net.finding import accessfile
from jd.node import cpus
from jd.sweep import leftover
from jd.sweep import session as sessions
from jd.sweep.errors import FileTrouble
from jd.sweep.leftover import Process
from jd.sweep.session import Session, say

PLACE = "local"  # the directory below that of the experiment with what they print
_SERVER, _WORKERS = "server", "workers"  # what a program leaves
_MEETING = 2.0  # seconds that a server may take which has left an access file
_START = 60.0  # seconds until a server listens
_END = 30.0  # seconds until one that was told to stop has ended
_LINES = 5  # of what they print, in a message


class DidNotStart(JdError, RuntimeError):
    """A server or workers of this machine have not started, or have ended before their work was done."""


class Local:
    """What runs on this machine for a session: workers, and the server where it was started here."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._server: Optional[Process] = None
        self._workers: Optional[Process] = None
        self._launch: Sequence[str] = ()
        self._is_left = False
        session.is_lost = self._look_for_server
        atexit.register(self.stop)

    @property
    def has_server(self) -> bool:
        """Whether the server was started here."""
        return self._server is not None

    @property
    def is_there(self) -> bool:
        """Whether its server goes on, as far as it is known here."""
        return self._server is None or self._server.poll() is None

    @property
    def wants_workers(self) -> bool:
        """Whether the jobs need workers of this machine: some are from here, or its server is, or that has no
        others."""
        if self._server is not None or self._workers is not None:
            return True
        if not self.session.offers(protocol.EXT_DRIVE):
            return False
        told = self.session.call("GET", protocol.SWEEP).get("workers")
        return isinstance(told, dict) and not any(told.values())

    def serve(self) -> None:
        """Start a server of the experiment, on free ports of its own, and return when it can be found: its
        access file is the last that it does before it waits for calls.

        A job that fails is not tried again by itself: who has started all this looks at it, and says
        `retry`. Raises DidNotStart, FileTrouble.
        """
        log = self._log("server.log")
        self._server = self._started(program.command(program.SERVER) + [
            "--expId", self.session.exp_id, "--port", "0", "--dashboard-port", "0", "--json",
            "--max-attempts", "1", "--pause-broken", "false"], log)
        until = time.monotonic() + _START
        while not self._is_found():
            if self._server.poll() is not None or time.monotonic() > until:
                self.stop()
                raise DidNotStart("the server of %s has not started: %s" % (
                    self.session.exp_id, _end_of(log)), "all that it said is in %s" % log)
            time.sleep(0.05)
        say(_where_to_watch(self.session.exp_id, log))

    def work(self, script: str, number: int) -> None:
        """Have workers that run the script until no job is left. Those that run already go on."""
        self._launch = program.command(program.WORKER) + [
            "expId=" + self.session.exp_id, "entry_script=" + script, "num_workers=%d" % number,
            "foreground=true", "exit_when_empty=true", *(
                "%s=%s" % (name, value) for name, value in self.session.arguments.items())]
        if self._workers is None or self._workers.poll() is not None:
            self._begin()

    def check(self) -> None:
        """Have the workers go on that have ended although there is work. Raises DidNotStart where they have
        failed."""
        if self._workers is None or self._workers.poll() is None:
            return
        if self._workers.returncode:
            log = self._log("workers.log")
            raise DidNotStart("the workers have ended with exit status %d: %s" % (
                self._workers.returncode, _end_of(log)), "all that they said is in %s" % log)
        self._begin()

    def take_over(self) -> None:
        """Take what an earlier program of this experiment has left running for its own."""
        left = leftover.taken(place(self.session))
        self._server, self._workers = left.get(_SERVER), left.get(_WORKERS)

    def keep(self) -> None:
        """Have what `leave` has left end with this program after all, unless another has taken it over."""
        if self._is_left and leftover.taken(place(self.session)):
            self._is_left = False
            atexit.register(self.stop)
            _here[self.session.exp_id] = self

    def leave(self) -> str:
        """Let all go on when this program has ended, for the next one to take over; how it is ended by hand.
        Raises FileTrouble."""
        directory = place(self.session)
        try:
            leftover.write(directory, {_SERVER: self._server, _WORKERS: self._workers})
        except OSError as error:
            raise FileTrouble("%s cannot be written: %s" % (directory, error.strerror or error)) from None
        self._is_left = True
        atexit.unregister(self.stop)
        _here.pop(self.session.exp_id, None)
        words = ["%s expId=%s stop all" % (program.typed(program.WORKER), self.session.exp_id)]
        if self._server is not None:
            words.append("kill %d" % self._server.pid)
        return " && ".join(words)

    def stop(self) -> None:
        """Stop the workers, whose jobs others may take, and then the server."""
        atexit.unregister(self.stop)
        _here.pop(self.session.exp_id, None)
        for process in (self._workers, self._server):
            if process is not None:
                _end(process)
        if self._server is not None:
            self.session.end("the server of %s that jd.sweep had started was stopped" % self.session.exp_id,
                             "call jd.sweep again: it finds what is done")
            if sessions.existing() is self.session:
                sessions.use(None)

    # ---- how

    def _look_for_server(self) -> None:
        """End the session if its server, which was started here, has ended: nobody waits for it."""
        if not self.is_there and self._server is not None:
            log = self._log("server.log")
            status = self._server.returncode or 0
            how = "was killed by signal %d" % -status if status < 0 else "has ended"
            self.session.end("the server of %s, which jd.sweep had started, %s: %s" % (
                self.session.exp_id, how, _end_of(log)),
                "all that it said is in %s; call jd.sweep again: it finds what is done" % log)

    def _is_found(self) -> bool:
        """Whether the access file is that of the server which was started here."""
        there = accessfile.find(self.session.exp_id, self.session.environ)
        return there is not None and self._server is not None and there.seat.pid == self._server.pid

    def _begin(self) -> None:
        self._workers = self._started(list(self._launch), self._log("workers.log"))

    def _log(self, name: str) -> Path:
        return place(self.session) / name

    def _started(self, words: List[str], log: Path) -> "subprocess.Popen[bytes]":
        try:
            with open(str(log), "wb") as stream:
                return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream,
                                        env=_environment(self.session.environ), start_new_session=True)
        except OSError as error:
            raise FileTrouble("%s cannot be written: %s" % (log, error.strerror or error)) from None


_here: Dict[str, Local] = {}


def host(name: str, exp_id: Optional[str]) -> Local:
    """Have a server, and a session that uses it: that of the session which somebody has begun, or the one of
    the experiment, which is started here where nobody names one. The experiment is `exp_id`, else what the
    variables say, else `name`. Raises DidNotStart, and what the function `init` does."""
    known = sessions.existing()
    if known is not None and exp_id in (None, known.exp_id):
        begun = _here.get(known.exp_id) or Local(known)
        # Else another script has the server of its own, or this one has left it.
        if not begun.has_server and not leftover.is_there(place(known)):
            return _here.setdefault(known.exp_id, begun)
    session = sessions.planned(exp_id, name)
    found = _here.get(session.exp_id)
    if found is not None and found.is_there:
        sessions.use(found.session)
        return found
    found = Local(session)
    found.take_over()
    source = session.source()
    try:
        if not source.is_named:
            raise sessions.NoServer("nobody names a server")
        session.meet(_MEETING if source.by == ACCESS_FILE else sessions.MEETING)
    except ServerUnreachable:
        if source.is_named and source.by != ACCESS_FILE:
            raise
        found.serve()  # the file is of a server that has ended, or there is none
        session.meet(sessions.MEETING)
    sessions.use(session)
    _here[session.exp_id] = found
    return found


def place(session: Session) -> Path:
    """The directory for what is started here, which is made. Raises FileTrouble."""
    directory = session.data_root / session.exp_id / PLACE
    try:
        safedirs.make(directory, safedirs.WORKSPACE)
    except OSError as error:
        raise FileTrouble("%s cannot be made: %s" % (directory, error.strerror or error)) from None
    return directory


def cores() -> int:
    """How many workers are started where nobody says: one for each core that this process may use."""
    return max(1, len(cpus.affinity()))


def _environment(environ: Mapping[str, str]) -> Dict[str, str]:
    # `import jd` may have come from the directory of the program; the commands find it there too.
    known = [entry for entry in environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    parent = program.package_parent()
    return dict(environ, PYTHONPATH=os.pathsep.join(known if parent in known else [*known, parent]))


def _where_to_watch(experiment: str, log: Path) -> str:
    """Where the dashboard is of a server that has said so in its log."""
    told: Dict[str, str] = {}
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("{") and "dashboard_url" not in told:
            told = json.loads(line)
    pin = told.get("pin_file")
    if pin is not None:
        pin = Path(pin).read_text("ascii").strip() if terminal.is_terminal(sys.stderr) else "in " + pin
    return "the server of %s has started, dashboard %s%s" % (
        experiment, told.get("dashboard_url"), "" if pin is None else "  PIN %s" % pin)


def _end_of(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return "nothing is known of it"
    return " / ".join([line.strip() for line in lines if line.strip()][-_LINES:]) or "it said nothing"


def _end(process: Process) -> None:
    """End a process as a person would, and wait for it."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(_END)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
