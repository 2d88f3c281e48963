"""`jd_worker_cli expId=... fetch`: the files of jobs, into a directory."""

from jd.cli.context import Context
from jd.cli.showing import views
from jd.cli.sweep import changing, driving
from jd.errors import EXIT_OK, UsageError
from jd.sweep import fetching
from jd.terminal import plural


def run(context: Context) -> int:
    """Fetch them. Raises UsageError, and as `fetch` of jd/sweep/fetching.py."""
    patterns = [part.strip() for part in context.values["files"].split(",") if part.strip()]
    if context.values["dest"] is None:
        raise UsageError("dest= is missing", "give the directory for the files: dest=results")
    meant = changing.meant_by(context, "")
    driving.begin(context)
    found = fetching.fetch(meant, context.values["dest"], patterns)
    # There may be millions, which only a program wants to know.
    files = [str(path) for path in found] if context.values["json"] else []
    views.emit(context, {"dest": str(context.values["dest"]), "files": files},
               ["%s in %s" % (plural(len(found), "file"), views.plain(context.values["dest"]))])
    return EXIT_OK
