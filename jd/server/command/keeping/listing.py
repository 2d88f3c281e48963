"""`jd_server list`: the experiments in a workspace."""

from typing import List, Mapping

from jd import protocol as p
from jd.errors import EXIT_FAILURE, EXIT_OK
from jd.server.command.datacommand import Parser
from jd.server.command.keeping import showing
from jd.server.keeping import overview
from jd.terminal import table

_WORDS = ("workspace_path", "json")
_HEADER = ("experiment", "jobs", "waiting", "running", "done", "aborted", "files", "size", "last change",
           "server")
_NUMERIC = tuple(range(1, 8))


def main(argv: List[str], environ: Mapping[str, str]) -> int:
    """Run `jd_server list`, without these two words. Raises JdError."""
    parser = Parser(
        "jd_server list",
        "List the experiments in a workspace: jobs by status, files, size, last change, and where the server "
        "is of those that run.",
        "The size is that of the database and of the files that jobs uploaded. Status 1 if a database cannot "
        "be read.", _WORDS)
    values = parser.values(argv, environ, None)
    found = overview.experiments(values["workspace_path"])
    broken = [one for one in found if one.problem is not None]
    if values["json"]:
        showing.emit({"workspace": str(values["workspace_path"]),
                      "experiments": [one.to_json() for one in found]})
    elif not found:
        print("no experiment in %s" % values["workspace_path"])
    else:
        for line in table(_HEADER, [_row(one) for one in found], _NUMERIC):
            print(line)
        for one in broken:
            print("%s: %s" % (one.experiment, one.problem))
    return EXIT_FAILURE if broken else EXIT_OK


def _row(one: overview.Entry) -> List[str]:
    counts = [one.jobs.get(status) for status in (p.PENDING, p.SERVED, p.DONE, p.ABORTED)]
    total = sum(n for status, n in one.jobs.items() if status != p.DELETED) if one.jobs else None
    server = "-" if one.server is None else str(one.server.get("server_url") or "starting or stopping")
    return [one.experiment, *("?" if n is None else str(n) for n in (total, *counts)),
            "?" if one.problem else str(one.files), showing.size(one.size_bytes),
            showing.when(one.used_at), server]
