"""`jd_worker_cli confirm-stop`: `stop all`, after the experiment's name has been typed."""

from jd.cli.context import Context
from jd.cli.stopping import stop_these


def run(context: Context) -> int:
    """Stop all workers of the experiment if the user types its name; else none, and status 1."""
    context.words_exactly(0)
    assert context.experiment is not None
    return stop_these(context, context.registry.rows(), context.experiment, True)
