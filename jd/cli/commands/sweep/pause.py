"""`jd_worker_cli expId=... pause`: no more jobs are handed out."""

from jd.cli.context import Context
from jd.cli.sweep.pausing import set_paused


def run(context: Context) -> int:
    """Pause the sweep. Raises as `set_paused`."""
    return set_paused(context, True, "is paused: no job is handed out, those that run go on")
