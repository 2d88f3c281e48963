"""One job: the script as a process in a session of its own, until nothing of it is left.

The caller's loop reads when `fileno` is ready, and calls `step` when a child ended or `deadline`
has come. All times are seconds on the caller's monotonic clock.
"""

import os
import signal
from typing import Callable, FrozenSet, List, Optional

from jd.messages import Assignment
from jd.node import kernellog, orphans
from jd.node.kernellog import Kill
from jd.worker.attempt.output.pump import OutputPump
from jd.worker.attempt.process.child import Child
from jd.worker.attempt.process.spawning import Begun, Command, spawn
from jd.worker.attempt.process.ward import Ward
from jd.worker.verdict import Ended

CHUNK = 64 * 1024
CHUNKS_PER_TURN = 16  # then the caller looks at its other business
DRAIN_TIME = 2.0  # for output of a process that we could not end and that keeps the pipe open
# Slurm may signal every process of a step, and the script may die before we know that all is over.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
SETTLE_TIME = 1.0
CLEAR_TIME = 5.0  # for descendants to die of SIGKILL
GIVE_UP_TIME = 10.0  # for a script that SIGKILL does not end: it hangs in the kernel (dead NFS)

STOPPED_PREEMPTED = "preempted"
STOPPED_LOST = "lost"
STOPPED_TIMEOUT = "timeout"


class JobProcess:
    """A running script. `stop_reason` is None, or why the worker is stopping it."""

    def __init__(self, assignment: Assignment, child: Child, output: int,
                 strangers: FrozenSet[int], pump: OutputPump, now: float,
                 log: Callable[[str], None], oom_kills: Callable[[], int], ward: Ward,
                 killed: Callable[[int, float], Optional[Kill]]) -> None:
        self.assignment = assignment
        self.stop_reason: Optional[str] = None
        self.pid = child.pid
        self._child = child
        self._fd: Optional[int] = output
        self._strangers = set(strangers)
        self._pump = pump
        self._hearing: List[Callable[[bytes], None]] = []
        self._started = now
        self._log = log
        self._ward = ward
        self._oom_kills = oom_kills
        self._oom_kills_before = oom_kills()
        self._killed = killed
        self._peak_memory: Optional[int] = None
        self._kill_at: Optional[float] = None
        self._give_up_at: Optional[float] = None
        self._exit_code: Optional[int] = None
        self._ended_at = 0.0
        self._cleared = False

    def fileno(self) -> Optional[int]:
        """The descriptor to wait on for output; None after its end."""
        return self._fd

    def heard_by(self, hear: Callable[[bytes], None]) -> None:
        """Let `hear` have all output that is read from now on, as it comes."""
        self._hearing.append(hear)

    def kept_by(self, keep: Callable[[bytes], None]) -> None:
        """Let `keep` have it as it goes into the log, in valid UTF-8."""
        self._pump.keep = keep

    def tail(self) -> str:
        """The last 16 KiB of output."""
        return self._pump.tail()

    @property
    def output_size(self) -> int:
        """How many bytes of output there were, of which `tail` has the last."""
        return self._pump.size

    def read(self, now: float) -> None:
        """Take what output is there, at most 1 MiB."""
        for _ in range(CHUNKS_PER_TURN):
            if self._fd is None:
                return
            try:
                chunk = os.read(self._fd, CHUNK)
            except BlockingIOError:
                return
            if not chunk:
                self._close_output()
                return
            for hear in self._hearing:
                hear(chunk)
            self._pump.feed(chunk, now)

    def stop(self, now: float, grace: float, reason: str) -> None:
        """SIGTERM to the process group, SIGKILL after `grace` seconds.

        Does nothing to a script that has ended already: that end is reported as it was, unless it is
        preempted and the same signal was faster to reach the script than us. For one that
        is being stopped the time can become shorter.
        """
        if self.stop_reason is not None and self._kill_at is not None:
            self._kill_at = min(self._kill_at, now + grace)
        if self._exit_code is None and self._child.has_ended():
            self._mind_script(now)
        if self.stop_reason is None and reason == STOPPED_PREEMPTED and self._ended_by_stop_signal():
            self.stop_reason = reason
        if self.stop_reason is not None or self._exit_code is not None:
            return
        self.stop_reason = reason
        self._signal_group(signal.SIGTERM)
        self._signal_group(signal.SIGCONT)  # a stopped process cannot act on TERM
        self._kill_at = now + grace

    def step(self, now: float) -> Optional[Ended]:
        """Do what is due. Returns how the job ended, once, when nothing of it is left."""
        due = self._pump.deadline()
        if due is not None and now >= due:
            self.read(now)  # the rest of a line may be there: then it is we who come late
        self._pump.flush(now)
        if self._exit_code is None:
            self._mind_script(now)
        if self._exit_code is None:
            orphans.reap_strangers(self._strangers | {self.pid})
            return None
        self.read(now)
        if not self._cleared:
            self._cleared = self._clear(now)
        if not self._cleared or (self._fd is not None and now < self._ended_at + DRAIN_TIME):
            return None
        if self.stop_reason is None and self._ended_by_stop_signal() and now < self._ended_at + SETTLE_TIME:
            return None
        self._close_output()
        self._ward.ended()
        self._pump.flush(now, final=True)
        kill = self._killed_for_memory(self._exit_code)
        return Ended(
            exit_code=self._exit_code,
            runtime=self._ended_at - self._started,
            tail=self._pump.tail(),
            output_size=self._pump.size,
            out_of_memory=kill is not None or (
                self._exit_code != 0 and self._oom_kills() > self._oom_kills_before),
            peak_memory=max(self._peak_memory or 0, kill.memory or 0 if kill is not None else 0) or None,
        )

    def deadline(self) -> Optional[float]:
        """When `step` is due even if nothing happens."""
        if self._exit_code is None:
            times = [self._kill_at, self._give_up_at, self._pump.deadline()]
        else:
            times = [None if self._cleared else self._ended_at + CLEAR_TIME,
                     None if self._fd is None else self._ended_at + DRAIN_TIME,
                     self._ended_at + SETTLE_TIME
                     if self.stop_reason is None and self._ended_by_stop_signal() else None]
        return min((time for time in times if time is not None), default=None)

    def kill(self) -> None:
        """End it now, without ceremony: the worker itself is failing."""
        self._signal_group(signal.SIGKILL)
        orphans.end_all(orphans.children() - self._strangers)
        self._close_output()

    def _mind_script(self, now: float) -> None:
        if self._child.has_ended():
            # Its process id, and with it the group's, is ours until we wait for it.
            self._signal_group(signal.SIGKILL)
            self._exit_code, self._peak_memory = self._child.reap()
            self._ended_at = now
        elif self._kill_at is not None and now >= self._kill_at:
            self._kill_at = None
            self._give_up_at = now + GIVE_UP_TIME
            self._log("job %d did not stop in time: killed" % self.assignment.job_id)
            self._signal_group(signal.SIGKILL)
        elif self._give_up_at is not None and now >= self._give_up_at:
            self._log("process %d of job %d does not die of SIGKILL: left behind"
                      % (self.pid, self.assignment.job_id))
            self._exit_code = -signal.SIGKILL
            self._ended_at = now
            self._strangers.add(self.pid)

    def _killed_for_memory(self, exit_code: int) -> Optional[Kill]:
        """What the kernel's log says, which is long: only of a script that died as those do."""
        if -exit_code != signal.SIGKILL or self.stop_reason is not None:
            return None
        return self._killed(self.pid, self._started)  # the kernel counts on this clock

    def _ended_by_stop_signal(self) -> bool:
        """Whether it died of what also tells a worker to stop."""
        return self._exit_code is not None and -self._exit_code in STOP_SIGNALS

    def _clear(self, now: float) -> bool:
        """Kill descendants that came to us as orphans; whether none is left."""
        left = orphans.children() - self._strangers
        if left:
            orphans.end_all(left)
            left = orphans.children() - self._strangers
        if not left:
            return True
        if now < self._ended_at + CLEAR_TIME:
            return False  # each that dies wakes us, and brings us its own children
        self._log("processes of job %d do not die of SIGKILL: %s; left behind" % (
            self.assignment.job_id, ", ".join(str(pid) for pid in sorted(left))))
        return True

    def _signal_group(self, signum: int) -> None:
        try:
            os.killpg(self.pid, signum)
        except (ProcessLookupError, PermissionError):
            pass  # the group is empty; macOS says EPERM where only a zombie is left

    def _close_output(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def start(assignment: Assignment, command: Command, write_output: Callable[[bytes], None],
          log: Callable[[str], None], oom_kills: Callable[[], int], now: float, ward: Optional[Ward] = None,
          killed: Callable[[int, float], Optional[Kill]] = kernellog.killed,
          begin: Callable[[Command], Begun] = spawn) -> JobProcess:
    """Have `begin` start the script, and tell the warden. Raises StartFailure, as `begin` may."""
    strangers = frozenset(orphans.children())
    try:
        child, output = begin(command)
    except BaseException:
        # A fork server that was killed may have begun it before: nobody would ever look at that one.
        orphans.end_all(orphans.children() - strangers)
        raise
    ward = ward if ward is not None else Ward()
    ward.began(child.pid, command.environ)
    return JobProcess(assignment, child, output, strangers, OutputPump(write_output), now,
                      log, oom_kills, ward, killed)
