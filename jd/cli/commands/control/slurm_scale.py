"""`jd_worker_cli slurm-scale`: as many array tasks as the pending jobs justify."""

import shlex
import sys
import time
from pathlib import Path
from typing import Callable, Dict, Optional

from jd import protocol, settingvalues, terminal
from jd.cli import slurm
from jd.cli.context import Context
from jd.cli.slurm import Submission, Tasks
from jd.cli.sweep.jobcounts import job_counts
from jd.errors import EXIT_OK, JdError, UsageError
from jd.terminal import plural

LONGEST_PAUSE = 3600.0  # seconds, however often something failed


class Scaler:
    """Looks, decides, submits. `jobs` gives the counts by status, `say` and `warn` take lines.

    Times are seconds on one monotonic clock.
    """

    def __init__(self, submission: Submission, jobs: Callable[[], Dict[str, int]], cap: int,
                 jobs_per_task: int, interval: float, apply: bool, say: Callable[[str], None],
                 warn: Callable[[str], None]) -> None:
        self._submission = submission
        self._jobs = jobs
        self._cap = cap
        self._jobs_per_task = jobs_per_task
        self._interval = interval
        self._apply = apply
        self._say = say
        self._warn = warn
        self._failures = 0
        self._fruitless = 0
        self._expected: Optional[int] = None  # tasks after the last submission
        self._finished = 0  # jobs that were over then
        self._not_before = 0.0
        self._last_line = ""

    def step(self, now: float) -> float:
        """Look once and do what is due; seconds until the next look. What fails is only said."""
        try:
            self.look(now)
            self._failures = 0
            return self._interval
        except JdError as error:
            self._failures += 1
            pause = min(LONGEST_PAUSE, self._interval * 2.0 ** min(self._failures, 20))
            self._warn("%s; nothing is submitted, next look in %s" % (
                error, terminal.duration(pause)))
            return pause

    def look(self, now: float) -> None:
        """Look once and do what is due. Raises JdError, and then nothing was submitted."""
        jobs = self._jobs()
        tasks = slurm.look(self._submission.name, self._submission.environ)
        more = min(slurm.more_tasks(jobs, tasks, self._jobs_per_task, self._cap),
                   slurm.LARGEST_ARRAY)
        line = "%s pending, %s; %s of %s queued, %d running, at most %d" % (
            plural(jobs[protocol.PENDING], "job"), "%d served" % jobs[protocol.SERVED],
            plural(tasks.queued, "task"), self._submission.name, tasks.running, self._cap)
        if more and self._holds_back(jobs, tasks, now):
            return
        if line != self._last_line or more:
            self._last_line = line
            self._say(line)
        if not more:
            return
        if not self._apply:
            self._say("would submit %s: %s" % (plural(more, "task"), _shell(self._submission, more)))
            self._say("nothing was submitted: apply=true does it")
            return
        job_id = slurm.submit(self._submission, more)
        self._expected = tasks.total + more
        self._finished = _over(jobs)
        self._say("submitted %s as job %s" % (plural(more, "task"), job_id))

    def _holds_back(self, jobs: Dict[str, int], tasks: Tasks, now: float) -> bool:
        """Whether to wait: tasks that end before any job did would be replaced for ever."""
        if _over(jobs) > self._finished:
            self._fruitless, self._not_before = 0, now
        elif self._expected is not None and tasks.total < self._expected:
            self._fruitless += 1
            pause = min(LONGEST_PAUSE, self._interval * 2.0 ** min(self._fruitless, 20))
            self._not_before = now + pause
            self._warn("%s of %s ended and no job is over: see their logs; nothing more is submitted "
                       "for %s" % (plural(self._expected - tasks.total, "task"),
                                   self._submission.name, terminal.duration(pause)))
        self._expected = None
        return now < self._not_before


def run(context: Context) -> int:
    """Look once, or again and again. Nothing is submitted without apply=true."""
    context.words_exactly(0)
    values = context.values
    scaler = Scaler(
        _submission(context), lambda: job_counts(context.client()), values["max_workers"],
        values["jobs_per_task"], values["interval"], values["apply"],
        lambda line: print(line, flush=True),
        lambda line: print("warning: " + line, file=sys.stderr, flush=True))
    if values["once"] or not values["apply"]:
        scaler.look(time.monotonic())
        return EXIT_OK
    while True:
        time.sleep(scaler.step(time.monotonic()))


def _submission(context: Context) -> Submission:
    assert context.experiment is not None
    environ = dict(context.environ, JD_EXP_ID=context.experiment)
    if "server" in context.arguments:
        environ["JD_SERVER"] = settingvalues.with_port(context.values["server"], context.values["port"])
    for name, variable in (("api_key", "JD_API_KEY"), ("hub", "JD_HUB_URL")):
        if name in context.arguments:
            environ[variable] = context.values[name]
    return Submission(slurm.job_name(context.experiment),
                      _template(context.values["template"]),
                      slurm.extra_arguments(context.values["sbatch_args"] or ""), environ)


def _template(path: Path) -> Path:
    """The batch script. Raises UsageError for one that cannot be read."""
    try:
        with open(str(path), "rb") as file:
            begins = file.read(2)
    except OSError as error:
        raise UsageError("template=: %s cannot be read: %s" % (path, error.strerror),
                         "give the path of a batch script, such as slurm/jd_array.sbatch") from None
    if begins != b"#!":
        raise UsageError("template=: %s is no batch script: it does not begin with #!" % path)
    return path.absolute()


def _over(jobs: Dict[str, int]) -> int:
    return jobs[protocol.DONE] + jobs[protocol.ABORTED]


def _shell(submission: Submission, tasks: int) -> str:
    return " ".join(shlex.quote(word) for word in submission.command(tasks))
