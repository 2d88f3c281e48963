"""Starts a job that the worker has claimed: its directory, its arguments, its environment, its process."""

import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Callable, List, Optional

from jd import protocol
from jd.errors import JdError
from jd.messages import Assignment
from jd.node import cpus
from jd.node.cgroups import Groups
from jd.script.context import JobContext
from jd.threads import Kept
from jd.worker.attempt.attempt import Attempt, Plan, checkpoint_place, needs_restoring
from jd.worker.attempt.calling import environment, placeholders, rundir, threads
from jd.worker.attempt.calling.commandline import Calling, calling
from jd.worker.attempt.code.code import Codes
from jd.worker.attempt.files import checkpointdir, collect, jobdir
from jd.worker.attempt.files.jobfiles import FileSettings, JobFiles
from jd.worker.attempt.files.shareddir import SharedDirectory
from jd.worker.attempt.output.keptoutput import KeptOutput
from jd.worker.attempt.output.printed import Printed
from jd.worker.attempt.process import jobprocess, memory
from jd.worker.attempt.process.forkclient import ForkServer
from jd.worker.attempt.process.jobprocess import JobProcess
from jd.worker.attempt.process.spawning import Begun, Command, StartFailure
from jd.worker.attempt.process.ward import Ward
from jd.worker.config import RESULTS_FROM_STDOUT, WorkerConfig
from jd.worker.local import outboxes
from jd.worker.log import WorkerLog
from jd.worker.uplink.callthread import Call
from jd.worker.uplink.connection import Connection
from jd.worker.uplink.heartbeats import Link
from jd.worker.uplink.meanwhile import Meanwhile
from jd.worker.uplink.outbox import show_hold
from jd.worker.uplink.waitingfiles import WaitingFiles
from jd.worker.verdict import Ended

if TYPE_CHECKING:
    from jd.worker.attempt.warm.warming import Warm


class Starter:
    """Starts jobs, one after the other: call it with an assignment and the time.

    Raises StartFailure for a script that cannot be started.
    """

    def __init__(self, config: WorkerConfig, link: Link, connection: Connection, log: WorkerLog,
                 wake: Callable[[], None], ward: Ward) -> None:
        self._config = config
        self._link = link
        self._connection = connection
        self._log = log
        self._wake = wake
        self._ward = ward
        self._inherited = environment.handed_on(config.environ)
        self._codes = Codes(config, log.event)
        self._groups = groups = Groups()
        self._oom_kills = groups.oom_kills
        self._threads = threads.share(config.threads, config.num_workers, cpus.usable(groups), config.environ)
        self._shared = SharedDirectory(config, log.event)
        self._files_thread = Kept("jd-job-files")
        self._settings = FileSettings(
            collect.Rules(collect.patterns(config.collect), *config.collect_limit),
            config.checkpoint_interval, outboxes.near(config.experiment, config.environ).path)
        fork_server = ForkServer(log.event)
        self._warm = _warm(config, log.event, fork_server.begin)
        self._begin = fork_server.begin if self._warm is None else self._warm.begin

    def introduce(self, sees_gpus: bool) -> None:
        """Say in the log what each job gets of this machine."""
        self._log.event(self._threads.told)
        if self._config.memory is not None:
            self._log.event(memory.told(self._config.memory, sees_gpus))
        if self._warm is not None:
            self._warm.introduce()

    def __call__(self, assignment: Assignment, now: float) -> Attempt:
        job_dir = self._config.job_dir(assignment.job_id)
        filled = placeholders.filled(assignment, self._config.experiment, job_dir)
        called = calling(self._config, filled, job_dir)
        prepared = jobdir.prepare(job_dir, self._link.server_id, assignment.attempt, assignment.from_scratch,
                                  self._link.server)
        note = "; ".join(filter(None, (self._set_aside(prepared.aside, assignment), called.note)))
        checkpoints = checkpoint_place(job_dir, assignment)
        restoring = needs_restoring(assignment)
        if not restoring:
            try:
                checkpointdir.make(checkpoints)
            except JdError as error:
                raise StartFailure(str(error)) from None

        warm = self._warm
        command = self._command(filled, called, checkpoints)
        warming = warm is not None and warm.prepare(command, called.command.words)
        waits = restoring or warming  # else the token is the newest

        def prepare(cancelled: threading.Event) -> None:
            if restoring:
                self._restore(assignment, checkpoints, cancelled)
            if warm is not None and warming:
                warm.wait(cancelled)

        printed = Printed() if self._config.results_from == RESULTS_FROM_STDOUT else None
        shared = self._shared.watch(assignment.job_id)
        running = self._codes.lookup()
        output = self._kept_output(assignment)

        def start(now: float) -> JobProcess:
            shared.begin()
            try:
                if waits or assignment.attempt != 1:  # one before may have removed it as it ended
                    self._confirm(assignment)
                running.begin()
                process = self._start(
                    filled, self._command(filled, called, checkpoints) if waits else command, now)
            except StartFailure:
                jobdir.tidy(job_dir, checkpoints)
                raise
            if printed is not None:
                process.heard_by(printed.feed)
            if output is not None:
                process.kept_by(output.append)
            return process

        def files() -> JobFiles:
            return JobFiles(self._settings, job_dir, checkpoints, lambda: self.context(assignment),
                            self._link.server_id or self._link.server, self._log.event, self._wake,
                            lambda: self._link.offers(protocol.EXT_PATHS), printed, shared, output,
                            lambda: self._takes_reports(assignment), prepared.is_new, restoring,
                            self._files_thread)

        def remarks(ended: Ended) -> List[str]:
            return self._remarks(assignment, ended, called)

        return Attempt(Plan(assignment, prepare if waits else None, start, files, self._wake,
                            note, remarks, running.code), now)

    def _set_aside(self, aside: Optional[Path], assignment: Assignment) -> str:
        """What the job's history is to say of an older directory of it."""
        if aside is None:
            return ""
        older = "of another sweep" if assignment.from_scratch is None else "from before it began from scratch"
        note = "its directory held files %s, which are now in %s" % (older, aside)
        self._log.event("job %d: %s" % (assignment.job_id, note))
        return note

    def _confirm(self, assignment: Assignment) -> None:
        jobdir.confirm(self._config.job_dir(assignment.job_id), self._link.server_id, assignment.from_scratch,
                       self._link.server)

    def _restore(self, assignment: Assignment, checkpoints: Path, cancelled: threading.Event) -> None:
        job_dir = self._config.job_dir(assignment.job_id)
        try:
            self._confirm(assignment)
            checkpointdir.restore(checkpoints, job_dir, lambda: self.context(assignment),
                                  self._log.event, cancelled)
        finally:
            if cancelled.is_set() or not checkpoints.exists():  # the script will not start
                jobdir.tidy(job_dir, checkpoints)

    def _remarks(self, assignment: Assignment, ended: Ended, called: Calling) -> List[str]:
        """What may explain how a script that failed has ended, for the job's history and the log."""
        found = [called.advise(ended),
                 rundir.why_failed(self._config.cwd, self._config.directory, ended.tail),
                 memory.why_out_of_memory(ended, self._groups.memory().limit),
                 memory.why_failed(self._config.memory, ended)]
        remarks = [remark for remark in found if remark]
        for remark in remarks:
            self._log.event("job %d: %s" % (assignment.job_id, remark))
        return remarks

    def end(self) -> None:
        """Nothing more is started."""
        if self._warm is not None:
            self._warm.end()

    def deliver(self, call: Call) -> object:
        """Make a call of the worker; the files that wait with a result go before it.

        Raises what Connection.deliver and WaitingFiles.send raise.
        """
        entry = call.entry
        if entry is not None and entry.waiting_files is not None:
            result = entry.result
            with Meanwhile(self._connection.deliver, call.meanwhile,
                           self._link.at_most(protocol.BUSY_INTERVAL), call.timeout, self._log.event):
                files = WaitingFiles(entry.waiting_files)
                files.send(self.context(Assignment(result.job_id, {}, result.attempt)), self._log.event,
                           self._link.offers(protocol.EXT_PATHS), lambda: show_hold(entry))
            call = call.noting("; ".join(files.losses()))
        return self._connection.deliver(call)

    def context(self, assignment: Assignment) -> JobContext:
        """The job as the library's functions know it, for uploads of the worker."""
        return JobContext(self._config.experiment, assignment.job_id, self._connection.server,
                          self._connection.token, assignment.attempt,
                          keys=self._connection.checkpoint_keys, environ=self._config.environ,
                          certificate=self._connection.certificate)

    def _kept_output(self, assignment: Assignment) -> Optional[KeptOutput]:
        """Where what the job prints is kept for the server; None where that does not take it."""
        if assignment.attempt is None or not self._link.offers(protocol.EXT_LOG):
            return None
        return KeptOutput(self._settings.outbox, self._log.event)

    def _takes_reports(self, assignment: Assignment) -> bool:
        return assignment.attempt is not None and self._link.offers(protocol.EXT_REPORT)

    def _start(self, assignment: Assignment, command: Command, now: float) -> JobProcess:
        return jobprocess.start(assignment, command, self._log.output, self._log.event, self._oom_kills, now,
                                self._ward, begin=self._begin)

    def _command(self, assignment: Assignment, called: Calling, checkpoints: Path) -> Command:
        config, server = self._config, self._connection.server
        if server != config.server:
            config = replace(config, server=server)
        environ = environment.job_environment(
            self._inherited, config, assignment, self._link.worker_id, self._connection.token(), checkpoints,
            self._connection.checkpoint_keys())
        environ.update(self._threads.variables)
        environ.update(called.variables)
        given = environ["PYTHONPATH"]
        if config.snapshot is not None:
            given = config.snapshot.python_path(given, config.directory)
        environ["PYTHONPATH"] = called.command.python_path(given)
        directory = config.run_dir(assignment.job_id)
        return Command(config.entry_script, called.words,
                       rundir.moved(environ, config.directory, directory), directory, config.memory)


def _warm(config: WorkerConfig, log: Callable[[str], None],
          from_scratch: Callable[[Command], Begun]) -> "Optional[Warm]":
    if not config.warm:
        return None
    from jd.worker.attempt.warm.warming import Warm
    return Warm(config, log, from_scratch)
