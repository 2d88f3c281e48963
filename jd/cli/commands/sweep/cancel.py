"""`jd_worker_cli expId=... cancel`: jobs that wait or run are ended, for good."""

from jd.cli.catalog import PROGRAM
from jd.cli.context import Context
from jd.cli.stopping import ALL
from jd.cli.sweep import changing
from jd.errors import UsageError
from jd.sweep import steering


def run(context: Context) -> int:
    """End them. Raises UsageError where nobody says which, and as `change`."""
    if context.words == (ALL,) and "where" not in context.arguments:
        meant: changing.Meant = ""
    elif context.words or context.values["where"]:
        meant = changing.meant_by(context, "")
    else:
        raise UsageError("cancel needs to know which jobs: numbers, where= or all",
                         "usage: %s %s" % (PROGRAM, context.command.usage))
    return changing.change(context, steering.ABORT, meant, "canceled")
