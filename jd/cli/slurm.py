"""Array tasks of one experiment on Slurm: how many there are, how many more there should be.

All of them have one job name, `jd-<expId>`. How many there are is asked of squeue each time, and remembered
nowhere.
"""

import os
import shlex
import subprocess
from pathlib import Path
from typing import Dict, List, Mapping, NamedTuple, Sequence

from jd.errors import JdError, UsageError
from jd.protocol import shown

TIMEOUT = 60.0  # seconds; slurmctld can be busy
LARGEST_ARRAY = 1000  # tasks; MaxArraySize is 1001 by default
_WAITING = ("PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD")
_ENDING = ("COMPLETING", "COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "PREEMPTED",
           "BOOT_FAIL", "DEADLINE", "OUT_OF_MEMORY", "REVOKED")
# What would make the lookup by name, or the count of tasks, wrong.
_OURS = ("-J", "--job-name", "-a", "--array", "--parsable", "--wrap")


class Tasks(NamedTuple):
    """Array tasks that wait in Slurm's queue, and that run."""

    queued: int
    running: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.queued + self.running


class Submission(NamedTuple):
    """What is given to sbatch."""

    name: str
    template: Path
    arguments: Sequence[str]
    environ: Mapping[str, str]

    def command(self, count: int) -> List[str]:
        """The command line for so many tasks."""
        return (["sbatch", "--parsable", "--job-name=" + self.name, "--array=0-%d" % (count - 1)]
                + list(self.arguments) + [str(self.template)])


def job_name(experiment: str) -> str:
    """The name that all array tasks of an experiment have."""
    return "jd-" + experiment


def extra_arguments(text: str) -> List[str]:
    """More arguments for sbatch, quoted as in a shell. Raises UsageError."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UsageError("sbatch_args=: %s in %s" % (error, shown(text))) from None
    for word in words:
        if word.split("=")[0] in _OURS or (word[:2] in ("-J", "-a") and word[:2] != "--"):
            raise UsageError("sbatch_args=: %s is not allowed: name and array are chosen by slurm-scale"
                             % shown(word))
    return words


def more_tasks(jobs: Mapping[str, int], tasks: Tasks, jobs_per_task: int, cap: int) -> int:
    """How many tasks are missing, given the jobs by status.

    A running task that has a job is no help to those that wait; one that has none soon will be.
    """
    busy = min(jobs.get("SERVED", 0), tasks.running)
    justified = -(-(jobs.get("PENDING", 0) + busy) // jobs_per_task)
    return max(0, min(justified, cap) - tasks.total)


def look(name: str, environ: Mapping[str, str]) -> Tasks:
    """The tasks of a name that this user has. Raises JdError where squeue does not tell."""
    output = _run(["squeue", "-h", "-r", "-u", str(os.getuid()), "-n", name, "-o", "%T"], environ)
    states = [line.strip() for line in output.splitlines() if line.strip()]
    strange = [state for state in states if not state.replace("_", "").isalpha()]
    if strange:
        raise JdError("squeue printed %s where a state should be" % shown(strange[0]))
    queued = sum(state in _WAITING for state in states)
    # A state that a later Slurm may have counts: rather a task too few than too many.
    return Tasks(queued, sum(state not in _ENDING for state in states) - queued)


def submit(submission: Submission, count: int) -> str:
    """Submit an array of so many tasks; gives its job id. Raises JdError."""
    output = _run(submission.command(count), submission.environ).strip()
    job_id = output.splitlines()[-1].split(";")[0] if output else ""
    if not job_id.isdigit():
        raise JdError("sbatch printed %s instead of a job id" % shown(output))
    return job_id


def _run(command: List[str], environ: Mapping[str, str]) -> str:
    """What a command of Slurm prints. Raises JdError with the last line that it complained with."""
    program = command[0]
    env: Dict[str, str] = dict(environ, LC_ALL="C")
    try:
        done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=TIMEOUT, check=False)
    except FileNotFoundError:
        raise JdError("%s is not in PATH" % program,
                      "type this on a node that has Slurm's commands") from None
    except subprocess.TimeoutExpired:
        raise JdError("%s did not answer within %g s" % (program, TIMEOUT)) from None
    except OSError as error:
        raise JdError("%s cannot be run: %s" % (program, error.strerror)) from None
    if done.returncode != 0:
        complaint = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise JdError("%s failed with exit status %d%s" % (
            program, done.returncode, ": " + complaint[-1][:300] if complaint else ""))
    return done.stdout.decode("utf-8", "replace")
