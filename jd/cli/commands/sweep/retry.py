"""`jd_worker_cli expId=... retry`: jobs run again."""

from jd import protocol
from jd.cli.context import Context
from jd.cli.sweep import changing
from jd.sweep import steering


def run(context: Context) -> int:
    """Have jobs run again; where none are named, those that failed. Raises as `change`."""
    failed = "status=%s" % protocol.ABORTED
    return changing.change(context, steering.RETRY, changing.meant_by(context, failed), "tried again")
