"""What a batch scheduler, or the container around us, says through variables: a table and parsers.

    detect(environ)            which scheduler runs us, as which job and array task
    time_left(allocation, …)   seconds until its time limit
    scratch(environ)           directories that it offers for temporary data
    container(environ)         what kind of container this is
    is_managed(environ)        whether an exit status may have another of us started

Nothing here writes, and nothing raises: what cannot be known is None.
"""

import math
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

COMMAND_TIMEOUT = 5.0  # seconds; squeue waits for a busy slurmctld much longer

Environ = Mapping[str, str]
Runner = Callable[[Sequence[str]], str]

SLURM = "Slurm"
KUBERNETES = "Kubernetes"

# Where a site offers scratch, the user's own choice first, then what belongs to one job.
SCRATCH_VARIABLES = ("JD_SCRATCH", "SLURM_TMPDIR", "L_SCRATCH", "PBS_JOBFS", "TMPDIR")


class _Variables(NamedTuple):
    """Which variables a scheduler sets: `job` must all be set, the first holds the job's id."""

    name: str
    job: Tuple[str, ...]
    task: Tuple[str, ...] = ()
    restarts: str = ""
    ends_at: str = ""
    began_at: str = ""


_TABLE: Tuple[_Variables, ...] = (
    _Variables(SLURM, ("SLURM_JOB_ID",), ("SLURM_ARRAY_TASK_ID",), "SLURM_RESTART_COUNT",
               "SLURM_JOB_END_TIME", "SLURM_JOB_START_TIME"),
    _Variables("PBS", ("PBS_JOBID",), ("PBS_ARRAY_INDEX", "PBS_ARRAYID")),
    _Variables("LSF", ("LSB_JOBID",), ("LSB_JOBINDEX",)),
    # JOB_ID alone is too common a name to mean anything.
    _Variables("SGE", ("JOB_ID", "SGE_TASK_ID"), ("SGE_TASK_ID",), "RESTARTED"),
    _Variables(KUBERNETES, ("KUBERNETES_SERVICE_HOST",)),
)
_NO_TASK = ("", "0", "undefined")  # LSF and SGE set the variable outside arrays as well
_ARRAY_JOB = "SLURM_ARRAY_JOB_ID"

_DURATION = re.compile(r"(?:(?P<days>\d{1,6})-)?(?P<clock>\d{1,6}(?::\d{1,2}){1,2})", re.ASCII)


@dataclass(frozen=True)
class Allocation:
    """The scheduler's job that this process is part of.

    `job_id` is empty for Kubernetes, which numbers no jobs. `began_at` and `ends_at` are in Unix
    seconds, where a variable tells them. `query` is how the scheduler's own commands name this very
    task.
    """

    scheduler: str
    job_id: str
    task: Optional[str] = None
    restarts: int = 0
    ends_at: Optional[float] = None
    query: str = ""
    began_at: Optional[float] = None

    @property
    def shown(self) -> str:
        """For people: `Slurm job 4711, task 3`."""
        if not self.job_id:
            return self.scheduler
        task = ", task %s" % self.task if self.task is not None else ""
        return "%s job %s%s" % (self.scheduler, self.job_id, task)


def detect(environ: Environ) -> Optional[Allocation]:
    """The scheduler's job that `environ` belongs to."""
    for row in _TABLE:
        values = [environ.get(name, "").strip() for name in row.job]
        if all(values):
            task = next((environ[name] for name in row.task if environ.get(name)), "")
            in_array = task if task not in _NO_TASK or (row.name == SLURM and task) else None
            job_id = "" if row.name == KUBERNETES else values[0]
            query = job_id
            if row.name == SLURM and in_array and environ.get(_ARRAY_JOB):
                # The id of an array's last task is that of the whole array as well.
                query = "%s_%s" % (environ[_ARRAY_JOB], in_array)
            return Allocation(row.name, job_id, in_array, int(_number(environ, row.restarts) or 0),
                              _number(environ, row.ends_at), query,
                              _number(environ, row.began_at))
    return None


def _number(environ: Environ, name: str) -> Optional[float]:
    text = environ.get(name, "").strip()
    return float(text) if text.isdecimal() and text.isascii() and len(text) < 16 else None


# ---- time left

def parse_time_left(text: str) -> Optional[float]:
    """What `squeue -o %L` prints, in seconds: D-HH:MM:SS, HH:MM:SS or MM:SS.

    UNLIMITED is infinite; INVALID, which stands for a limit that has passed, is 0. None for
    NOT_SET and everything else. Of several lines the first counts.
    """
    lines = text.strip().splitlines()
    word = lines[0].strip() if lines else ""
    if word == "UNLIMITED":
        return math.inf
    if word == "INVALID":
        return 0.0
    found = _DURATION.fullmatch(word)
    if found is None:
        return None
    seconds = 0
    for part in found.group("clock").split(":"):
        seconds = seconds * 60 + int(part)
    return float(seconds + int(found.group("days") or 0) * 86400)


def time_left(allocation: Allocation, now: float, run: Optional[Runner] = None) -> Optional[float]:
    """Seconds until the scheduler ends this job; infinite without a limit, None if unknown.

    `now` is in Unix seconds. Slurm before 23.02 is asked by `run`, which runs a command and
    returns its output, empty if it fails.
    """
    if allocation.ends_at is not None:
        return max(0.0, allocation.ends_at - now)
    if allocation.scheduler != SLURM or not allocation.query:
        return None
    runner = run if run is not None else _run
    return parse_time_left(runner(["squeue", "-h", "-j", allocation.query, "-o", "%L"]))


def _run(command: Sequence[str]) -> str:
    try:
        return subprocess.run(command, env=dict(os.environ, LC_ALL="C"), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              timeout=COMMAND_TIMEOUT, check=False).stdout.decode("ascii", "replace")
    except (OSError, subprocess.SubprocessError):
        return ""


# ---- surroundings

def scratch(environ: Environ) -> List[Tuple[str, Path]]:
    """Scratch directories as (variable, path), the best first; they need not exist."""
    return [(name, Path(environ[name])) for name in SCRATCH_VARIABLES
            if environ.get(name, "").startswith("/")]


def container(environ: Environ, root: Path = Path("/")) -> Optional[str]:
    """The kind of container that this process is in; None where nothing says so."""
    if environ.get("APPTAINER_CONTAINER"):
        return "Apptainer"
    if environ.get("SINGULARITY_CONTAINER"):
        return "Singularity"
    if environ.get("KUBERNETES_SERVICE_HOST"):
        return "a Kubernetes pod"
    for mark, name in ((".dockerenv", "Docker"), ("run/.containerenv", "Podman")):
        if (root / mark).exists():
            return name
    return None


def is_managed(environ: Environ, root: Path = Path("/")) -> bool:
    """Whether this is a batch job or a container, whose exit status says whether another is to be started."""
    return detect(environ) is not None or container(environ, root) is not None
