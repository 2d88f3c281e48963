"""`jd_worker_cli stop`: SIGTERM, SIGKILL, then tell the server (reference, section 2)."""

from typing import List, Sequence

from jd.cli.context import Context
from jd.cli.stopping import ALL, ALL_EXPERIMENTS, named, running_job, stop_these
from jd.errors import StorageError, UsageError
from jd.worker.local.caches import experiments
from jd.worker.local.registry import Registry
from jd.worker.local.rows import Row

CONFIRM = "confirm-stop"


def run(context: Context) -> int:
    """Stop the workers that the words name. Exit status 1 if one of them could not be stopped."""
    words = [word for word in context.words if word != CONFIRM]  # published clients take it as a word too
    ask = context.values["confirm_stop"] or len(words) < len(context.words)
    if ALL_EXPERIMENTS in words:
        return _stop_everything(context, words, ask)
    if context.experiment is None:
        raise UsageError("expId= is missing: jd_worker_cli %s" % context.command.usage, "or set JD_EXP_ID")
    job_id = context.values["job"]
    if (job_id is None) == (not words) or (ALL in words and len(words) > 1):
        raise UsageError("say what to stop: jd_worker_cli %s" % context.command.usage)
    if job_id is not None:
        rows = [running_job(context.registry, job_id)]
    else:
        rows = named(context, context.registry, words)
    return stop_these(context, rows, context.experiment, ask)


def _stop_everything(context: Context, words: Sequence[str], ask: bool) -> int:
    if len(words) > 1 or context.values["job"] is not None:
        raise UsageError("say what to stop: jd_worker_cli %s" % context.command.usage)
    rows: List[Row] = []
    problems: List[StorageError] = []
    for name in experiments(context.environ):
        try:
            rows += Registry(name, context.environ).rows()
        except StorageError as error:
            problems.append(error)  # of one experiment: the others are stopped first
    status = stop_these(context, rows, ALL_EXPERIMENTS, ask)
    for problem in problems:
        raise problem
    return status
