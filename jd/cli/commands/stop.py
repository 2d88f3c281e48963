"""`jd_worker_cli stop`: SIGTERM, SIGKILL, then tell the server (reference, section 2)."""

from typing import List

from jd.cli.context import Context
from jd.cli.stopping import ALL, ALL_EXPERIMENTS, named, running_job, stop_these
from jd.errors import StorageError, UsageError
from jd.worker.local.registry import Registry, experiments
from jd.worker.local.rows import Row


def run(context: Context) -> int:
    """Stop the workers that the words name. Exit status 1 if one of them could not be stopped."""
    if ALL_EXPERIMENTS in context.words:
        return _stop_everything(context)
    if context.experiment is None:
        raise UsageError("expId= is missing: jd_worker_cli %s" % context.command.usage, "or set JD_EXP_ID")
    job_id = context.values["job"]
    if (job_id is None) == (not context.words) or (ALL in context.words and len(context.words) > 1):
        raise UsageError("say what to stop: jd_worker_cli %s" % context.command.usage)
    if job_id is not None:
        rows = [running_job(context.registry, job_id)]
    else:
        rows = named(context, context.registry, context.words)
    return stop_these(context, rows, context.experiment, context.values["confirm_stop"])


def _stop_everything(context: Context) -> int:
    if len(context.words) > 1 or context.values["job"] is not None:
        raise UsageError("say what to stop: jd_worker_cli %s" % context.command.usage)
    rows: List[Row] = []
    problems: List[StorageError] = []
    for name in experiments(context.environ):
        try:
            rows += Registry(name, context.environ).rows()
        except StorageError as error:
            problems.append(error)  # of one experiment: the others are stopped first
    status = stop_these(context, rows, ALL_EXPERIMENTS, context.values["confirm_stop"])
    for problem in problems:
        raise problem
    return status
