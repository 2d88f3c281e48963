"""What the commands that change jobs share: which jobs are meant, the question, what is told."""

import sys
from typing import List, Union

from jd import terminal
from jd.cli.catalog import PROGRAM
from jd.cli.context import Context
from jd.cli.showing import views
from jd.cli.stopping import YES, confirmed
from jd.cli.sweep import driving
from jd.errors import EXIT_OK, JdError, UsageError
from jd.sweep import steering
from jd.terminal import plural

Meant = Union[str, List[int]]


def change(context: Context, action: str, meant: Meant, done: str) -> int:
    """Change these jobs, after asking where somebody can answer; `done` says what has become of them.

    Raises JdError where the answer is no, and what `act` of jd/sweep/steering.py does.
    """
    session = driving.begin(context)
    if terminal.is_terminal(sys.stdin) and not context.values["yes"]:
        found = steering.preview(session, action, meant)
        if found.eligible:
            _ask(context, found, done)
    told = steering.act(session, action, meant)
    skipped = "; %s skipped, by their state or not there" % plural(told["skipped"], "job")
    views.emit(context, dict(told), ["%s %s%s" % (
        plural(told["changed"], "job"), done, skipped if told["skipped"] else "")])
    return EXIT_OK


def meant_by(context: Context, otherwise: str) -> Meant:
    """The jobs that numbers or where= name; else those of the filter `otherwise`. Raises UsageError."""
    if not context.words:
        return str(context.values["where"]) if "where" in context.arguments else otherwise
    if "where" in context.arguments:
        raise UsageError("%s takes numbers of jobs or where=, not both" % context.command.name,
                         "usage: %s %s" % (PROGRAM, context.command.usage))
    return driving.job_ids(context)


def _ask(context: Context, found: steering.Preview, done: str) -> None:
    statuses = ", ".join("%d %s" % (n, views.plain(status)) for status, n in found.by_status.items() if n)
    jobs = plural(sum(found.by_status.values()), "job")
    if not confirmed(YES, "experiment %s: of %s (%s) %d will be %s" % (
            context.experiment, jobs, statuses, found.eligible, done)):
        raise JdError("that was not %s: nothing was changed" % YES)
