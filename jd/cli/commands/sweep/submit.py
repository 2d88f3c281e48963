"""`jd_worker_cli expId=... submit`: jobs from a file, or all combinations of values that were typed."""

from pathlib import Path
from typing import Any, Dict

from jd.cli.catalog import PARAMETER, PROGRAM
from jd.cli.commandline import unexpected
from jd.cli.context import Context
from jd.cli.showing import views
from jd.cli.sweep import driving
from jd.errors import EXIT_OK, UsageError
from jd.sweep import jobs, source, values
from jd.terminal import plural


def run(context: Context) -> int:
    """Create the jobs. Raises UsageError, and as `create_jobs`."""
    body = _asked_for(context)
    driving.begin(context)
    made = jobs.create_jobs(
        body, unique=context.values["unique"], timeout=context.values["timeout"],
        priority=context.values["priority"], needs=context.values["needs"], tags=context.values["tags"],
        after=context.values["after"])
    views.emit(context, made, [_told(made)])
    return EXIT_OK


def _asked_for(context: Context) -> Dict[str, Any]:
    grid = {key[len(PARAMETER):]: values.listed(text)
            for key, text in context.arguments.items() if key.startswith(PARAMETER)}
    usage = "usage: %s %s" % (PROGRAM, context.command.usage)
    if len(context.words) > 1:
        raise UsageError(unexpected(context.words[1], context.command.keys), usage)
    if bool(context.words) == bool(grid):
        raise UsageError("submit takes either a file or %s<name>=" % PARAMETER, usage)
    if grid:
        empty = [name for name, given in grid.items() if not given]
        if empty:
            raise UsageError("%s%s= has no value" % (PARAMETER, empty[0]),
                             "give values with commas between them")
        return {"parameters": grid}
    body = source.read(context.words[0])
    if Path(context.words[0]).suffix.lower() in source.SEPARATORS:
        # As jd_server --jobs reads a table, so that unique=true knows the jobs that came from there.
        body["jobs"] = [{name: values.typed(cell) for name, cell in job.items()} for job in body["jobs"]]
    return body


def _told(made: Dict[str, Any]) -> str:
    count = int(made.get("total_jobs") or 0)
    first = made.get("start_id")
    if not count or not isinstance(first, int):
        return "created no jobs: %s" % ("all of them exist already" if not count else
                                        views.plain(made.get("message")))
    ids = "%d" % first if count == 1 else "%d to %d" % (first, first + count - 1)
    there = made.get("existing") or made.get("skipped")
    return "created %s: %s%s" % (plural(count, "job"), ids,
                                 "" if not there else "; %s existed already" % there)
