"""The result of an attempt, as the worker reports it: verdict, exit code and message."""

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from jd import protocol
from jd.messages import Assignment, Result

MESSAGE_LINES = 20
MESSAGE_CHARS = 2000
# A server that knows only the base protocol does not read the verdict: there the message begins with it.
PREEMPTED = "preempted: "


@dataclass(frozen=True)
class Ended:
    """The end of a job process. `exit_code` is negative for a signal, `runtime` in seconds.

    `tail` is the last of its output; `out_of_memory` says that the kernel killed for memory in our
    cgroup while it ran. `note` is what the job's history is to say of its files; `waiting_files` is where
    those wait that the server has not got yet.
    """

    exit_code: int
    runtime: float
    tail: str = ""
    out_of_memory: bool = False
    note: str = ""
    waiting_files: Optional[Path] = None


def signal_name(number: int) -> str:
    """SIGSEGV, or "signal 40" for one without a name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return "signal %d" % number


def verdict_line(ended: Ended) -> str:
    """One line for a failed job."""
    if ended.exit_code >= 0:
        line = "exit status %d" % ended.exit_code
    else:
        line = "killed by %s" % signal_name(-ended.exit_code)
        if -ended.exit_code == signal.SIGKILL and ended.out_of_memory:
            return line + ": out of memory"
    if ended.out_of_memory:
        line += " (the kernel killed a process for lack of memory while it ran)"
    return line


def judge(assignment: Assignment, ended: Ended) -> Result:
    """The result of a job that ended by itself."""
    verdict, message = protocol.VERDICT_DONE, ended.note[:MESSAGE_CHARS]
    if ended.exit_code != 0:
        verdict = protocol.VERDICT_FAILED if ended.exit_code > 0 else protocol.VERDICT_KILLED
        if -ended.exit_code == signal.SIGKILL and ended.out_of_memory:
            verdict = protocol.VERDICT_OOM
        line = verdict_line(ended)
        message = with_output("%s\n%s" % (line, message) if message else line, ended.tail)
    return Result(
        job_id=assignment.job_id,
        status=protocol.DONE if ended.exit_code == 0 else protocol.ABORTED,
        message=message,
        attempt=assignment.attempt,
        verdict=verdict,
        exit_code=ended.exit_code,
        runtime=round(ended.runtime, 3),
        output_tail=ended.tail,
    )


def never_started(assignment: Assignment, reason: str) -> Result:
    """The result of a job whose script could not be started."""
    return Result(job_id=assignment.job_id, status=protocol.ABORTED, attempt=assignment.attempt,
                  verdict=protocol.VERDICT_FAILED, message=reason[:MESSAGE_CHARS], runtime=0.0)


def given_back(assignment: Assignment, reason: str, note: str = "") -> Result:
    """The result of a job that was stopped, or not begun, because its worker was stopped."""
    reason = "%s; %s" % (reason, note) if note else reason
    return Result(job_id=assignment.job_id, status=protocol.ABORTED, attempt=assignment.attempt,
                  verdict=protocol.VERDICT_PREEMPTED, message=reason[:MESSAGE_CHARS])


def with_output(line: str, tail: str) -> str:
    """`line`, and below it the last lines of output, as far as they fit into a message."""
    last = "\n".join(tail.rstrip("\n").split("\n")[-MESSAGE_LINES:])
    room = MESSAGE_CHARS - len(line) - 1
    return line + "\n" + last[-room:] if last and room > 0 else line[:MESSAGE_CHARS]
