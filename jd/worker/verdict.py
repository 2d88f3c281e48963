"""The result of an attempt, as the worker reports it: verdict, exit code and message."""

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from jd import protocol
from jd.messages import Assignment, Result
from jd.worker.limits import JobTimeout, seconds

# What a program exits with that was called wrongly, as argparse, getopt and most shells have it.
USAGE_STATUS = 2
USAGE_TIME = 5.0  # seconds in which a script has read its arguments
MESSAGE_LINES = 20
MESSAGE_CHARS = 2000
MAX_NAMED = 10
# A server that knows only the base protocol does not read the verdict: there the message begins with it.
PREEMPTED = "preempted: "


@dataclass(frozen=True)
class Ended:
    """The end of a job process. `exit_code` is negative for a signal, `runtime` in seconds.

    `tail` is the last of its output, which had `output_size` bytes; `out_of_memory` says that the kernel
    killed for memory, in our cgroup while it ran or as its log tells; `peak_memory` is what the largest
    process of the script had at most, in bytes, None where that is not known. `note` is what the job's
    history is to say of its files; `waiting_files` is where those wait that the server has not got yet;
    `has_files` tells whether it has saved anything, or went on from what was saved before.
    """

    exit_code: int
    runtime: float
    tail: str = ""
    out_of_memory: bool = False
    note: str = ""
    waiting_files: Optional[Path] = None
    has_files: bool = False
    output_size: Optional[int] = None
    peak_memory: Optional[int] = None

    @property
    def ran_out_of_memory(self) -> bool:
        """Whether it died of that: itself, or the program that a shell ran for it."""
        return self.out_of_memory and self.exit_code in (-signal.SIGKILL, 128 + signal.SIGKILL)

    @property
    def misused(self) -> bool:
        """Whether the script seems to have refused its arguments: another try would end alike."""
        return self.exit_code == USAGE_STATUS and self.runtime < USAGE_TIME and not self.has_files


def signal_name(number: int) -> str:
    """SIGSEGV, or "signal 40" for one without a name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return "signal %d" % number


def verdict_line(ended: Ended, timeout: Optional[JobTimeout] = None) -> str:
    """One line for a failed job; `timeout` is the limit for which it was stopped, if it was."""
    if timeout is not None:
        how = "killed, not having stopped in time" if ended.exit_code == -signal.SIGKILL else "stopped"
        return "ran for %s, and its limit is %s: %s" % (seconds(ended.runtime), timeout.shown, how)
    if ended.misused:
        line = "exit status %d after %s: a usage error, as it seems, which another try would repeat" % (
            USAGE_STATUS, seconds(ended.runtime))
    elif ended.exit_code >= 0:
        line = "exit status %d" % ended.exit_code
    else:
        line = "killed by %s" % signal_name(-ended.exit_code)
    if ended.ran_out_of_memory:
        return line + (": out of memory" if ended.exit_code < 0 else
                       ", as of a program killed by SIGKILL: out of memory")
    if ended.out_of_memory:
        line += " (the kernel killed a process for lack of memory while it ran)"
    return line


def judge(assignment: Assignment, ended: Ended, timeout: Optional[JobTimeout] = None) -> Result:
    """The result of a job that ended by itself, or was stopped because its `timeout` was over.

    That is a failure whatever its exit status: a script that saves what it has and exits with 0 is not done.
    """
    verdict, message = protocol.VERDICT_DONE, ended.note[:MESSAGE_CHARS]
    if timeout is not None:
        verdict = protocol.VERDICT_TIMEOUT
    elif ended.ran_out_of_memory:
        verdict = protocol.VERDICT_OOM
    elif ended.exit_code != 0:
        verdict = protocol.VERDICT_FAILED if ended.exit_code > 0 else protocol.VERDICT_KILLED
    final = timeout is None and ended.misused
    if verdict != protocol.VERDICT_DONE:
        line = verdict_line(ended, timeout)
        if final:
            line += _arguments(assignment)
        message = with_output("%s\n%s" % (line, message) if message else line, ended.tail)
    return Result(
        job_id=assignment.job_id,
        status=protocol.DONE if verdict == protocol.VERDICT_DONE else protocol.ABORTED,
        message=message,
        attempt=assignment.attempt,
        verdict=verdict,
        exit_code=ended.exit_code,
        runtime=round(ended.runtime, 3),
        output_tail=ended.tail,
        final=final,
        output_size=ended.output_size,
    )


def _arguments(assignment: Assignment) -> str:
    """What the script may not take."""
    names = sorted(assignment.parameters)
    given = ", ".join(names[:MAX_NAMED]) + (" …" if len(names) > MAX_NAMED else "")
    return "; does the script take what it was given, %s?" % given if given else ""


def never_started(assignment: Assignment, reason: str) -> Result:
    """The result of a job whose script could not be started."""
    return Result(job_id=assignment.job_id, status=protocol.ABORTED, attempt=assignment.attempt,
                  verdict=protocol.VERDICT_FAILED, message=reason[:MESSAGE_CHARS], runtime=0.0)


def given_back(assignment: Assignment, reason: str, ended: Optional[Ended] = None) -> Result:
    """The result of a job that was stopped, or not begun, because its worker was stopped."""
    ended = Ended(exit_code=0, runtime=0.0) if ended is None else ended
    reason = "%s; %s" % (reason, ended.note) if ended.note else reason
    return Result(job_id=assignment.job_id, status=protocol.ABORTED, attempt=assignment.attempt,
                  verdict=protocol.VERDICT_PREEMPTED, message=reason[:MESSAGE_CHARS],
                  output_tail=ended.tail, output_size=ended.output_size)


def with_output(line: str, tail: str) -> str:
    """`line`, and below it the last lines of output, as far as they fit into a message."""
    last = "\n".join(tail.rstrip("\n").split("\n")[-MESSAGE_LINES:])
    room = MESSAGE_CHARS - len(line) - 1
    return line + "\n" + last[-room:] if last and room > 0 else line[:MESSAGE_CHARS]
