"""`jd_worker_cli expId=... resume`: jobs are handed out again."""

from jd.cli.context import Context
from jd.cli.sweep.pausing import set_paused


def run(context: Context) -> int:
    """Resume the sweep. Raises as `set_paused`."""
    return set_paused(context, False, "goes on: jobs are handed out")
