"""`jd_worker_cli expId=... where`: the paths of an experiment on this machine."""

from pathlib import Path
from typing import Any, Dict, List, Tuple

from jd import paths, terminal
from jd.cli import target
from jd.cli.context import Context
from jd.cli.showing import views
from jd.errors import UsageError
from jd.net.finding import accessfile
from jd.worker.local import outboxes


def run(context: Context) -> int:
    """Show paths (reference, section 2). Nothing is made."""
    context.words_exactly(0)
    found = _places(context)
    seen = target.known(context)
    views.emit(context, dict([("experiment", context.experiment)]
                             + [(key, str(path)) for key, _, path in found], server=_facts(seen)),
               views.facts([(name, _shown(path)) for _, name, path in found] + views.server(seen)))
    return 0


def _facts(seen: target.Known) -> Dict[str, Any]:
    """The server that commands would use and how they find it, for programs."""
    facts: Dict[str, Any] = dict(seen.to_json(), error=seen.error)
    if seen.access is not None:
        facts.update(host=seen.access.host, pid=seen.access.seat.pid)
    return facts


def _places(context: Context) -> List[Tuple[str, str, Path]]:
    """JSON key, name and path of each place."""
    assert context.experiment is not None
    experiment, environ = context.experiment, context.environ
    logs = context.values["log_dir"]
    near = outboxes.near(experiment, environ).path
    found = [
        ("registry", "registry", context.registry.path),
        ("outbox", "outbox", outboxes.first(experiment, environ).path),
        ("outbox_in_cache", "outbox in cache", near),
        ("jd_data", "jd_data", paths.data_root(environ)),
        ("job_dirs", "job directories", paths.experiment_dir(experiment, environ) / "<job_id>"),
        ("logs", "logs", paths.log_dir(experiment, environ) if logs is None else logs.absolute()),
    ]
    try:
        found.append(("access_file", "access file", accessfile.path_of(experiment, environ)))
    except UsageError:
        pass  # no home directory, and so none
    return found


def _shown(path: Path) -> str:
    there = path.parent if path.name == "<job_id>" else path
    note = "" if there.exists() else terminal.paint("  (not there yet)", "dim")
    return views.plain(path) + note
