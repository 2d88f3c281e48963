"""`jd_server remove`: the end of an experiment's data."""

import sys
from pathlib import Path
from typing import List, Mapping

from jd import protocol as p
from jd import settings
from jd.errors import EXIT_OK, JdError, StorageError, UsageError
from jd.server.command.commandline import say_lowered
from jd.server.command.datacommand import Parser
from jd.server.command.keeping import showing
from jd.server.keeping import overview, reading, removal
from jd.server.keeping.overview import Entry
from jd.terminal import Progress, is_terminal, plural

# The experiment is named by itself: that of the variable, which a shell may have from a start, is not meant.
_WORDS = ("workspace_path", "json")


def main(argv: List[str], environ: Mapping[str, str]) -> int:
    """Run `jd_server remove`, without these two words. Raises JdError."""
    parser = Parser(
        "jd_server remove",
        "Remove the data of an experiment: its jobs, results, files and all else that its server has kept. "
        "Asks before it does.",
        "Its server must not run. To keep the results: jd_server archive FILE --expId EXP.", _WORDS)
    parser.add_argument("expId", metavar="EXP", help="the experiment")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    values = parser.values(argv, environ, None)
    say_lowered({"expId": values["expId"]}, {})
    name = str(settings.resolve([one for one in settings.SERVER if one.name == "expId"],
                                {"expId": values["expId"]}, {}, style="%s")["expId"])
    workspace = values["workspace_path"]
    try:
        place = reading.find(workspace, name)
    except JdError:
        # One whose removal was killed is out of the way already.
        if _finished(workspace, name):
            _tell(values["json"], name, "the removal of %s had been cut short: it is complete now" % name, [])
            return EXIT_OK
        raise
    found, count = overview.entry(place), removal.count(place)
    if found.server is not None:
        url = found.server.get("server_url")
        raise JdError("the server of %s runs%s" % (name, " at %s" % url if url else ""), "stop it first")
    if not values["yes"]:
        _ask(found, count)
    with Progress(max(1, count), "remove", sys.stderr) as bar:
        others = removal.remove(place, lambda done: bar.update(min(done, bar.total), "files"))
        bar.update(bar.total, "files")
    _tell(values["json"], name, "removed %s: %s" % (name, _what(found, count)), others)
    if others and not values["json"]:
        print("what no server has put there was left in %s: %s" % (place.directory, ", ".join(others[:5])
                                                                   + (", ..." if len(others) > 5 else "")))
    return EXIT_OK


def _finished(workspace: Path, name: str) -> bool:
    try:
        return removal.finish(workspace, name)
    except OSError as error:
        raise StorageError("cannot remove %s: %s" % (error.filename, error.strerror or error)) from error


def _ask(found: Entry, count: int) -> None:
    question = "remove %s for good: %s, in %s" % (found.experiment, _what(found, count), found.directory)
    if not is_terminal(sys.stdin):
        raise UsageError("%s? Nobody is there to ask" % question, "give --yes to do it")
    print(question)
    try:
        answer = input("Type the name of the experiment to go on: ").strip()
    except EOFError:
        answer = ""
    if answer != found.experiment:
        raise JdError("that was not %s: nothing was removed" % found.experiment)


def _what(found: Entry, count: int) -> str:
    if found.problem is not None:
        return "a database that cannot be read, %s" % plural(count, "file")
    jobs = ["%d %s" % (n, status) for status, n in found.jobs.items() if n and status != p.DELETED]
    return "%s, %s, %s" % ("jobs: " + ", ".join(jobs) if jobs else "no jobs", plural(count, "file"),
                           showing.size(found.size_bytes))


def _tell(as_json: bool, name: str, text: str, others: List[str]) -> None:
    if as_json:
        showing.emit({"expId": name, "removed": True, "left": others})
    else:
        print(text)
