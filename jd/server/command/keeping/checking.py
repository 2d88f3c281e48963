"""`jd_server check [--repair]`: whether the data of an experiment is sound."""

import sys
import time
from typing import Dict, List, Mapping, Sequence

from jd.errors import EXIT_FAILURE, EXIT_OK
from jd.server.command.datacommand import Parser
from jd.server.command.keeping import showing
from jd.server.keeping import check, reading, repair
from jd.server.keeping.check import Fault, Report
from jd.server.keeping.reading import Place
from jd.terminal import Progress, plural

_WORDS = ("expId", "workspace_path", "json")
MOST = 20  # faults of one kind that are told one by one


def main(argv: List[str], environ: Mapping[str, str]) -> int:
    """Run `jd_server check`, without these two words. Raises JdError."""
    parser = Parser(
        "jd_server check",
        "Look whether the data of an experiment is sound: the database in itself, its counters and attempts, "
        "its rows against the files on disk. Changes nothing, and works while the server runs.",
        "Status 0: all is sound, or was repaired; 1: faults were found, or are left.", _WORDS)
    parser.add_argument("--repair", action="store_true",
                        help="put right what was found, while no server runs: what is wrong is moved to "
                             "<expId>/quarantine/<date>/, and nothing is deleted")
    values = parser.values(argv, environ, "the data")
    place = reading.find(values["workspace_path"], values["expId"])
    if not values["repair"]:
        report = _look(place)
        _report(values["expId"], report, [], values["json"])
        return EXIT_FAILURE if report.faults else EXIT_OK
    done: List[str] = []

    def say(text: str) -> None:
        done.append(text)
        if not values["json"]:
            print(text, flush=True)

    with repair.stopped(place, "repaired"):
        before = _look(place, held=True)
        if not values["json"] and before.faults:
            _print_faults(before.faults)
        repair.repair(place, before.faults, time.time(), say)
        after = _look(place, held=True) if before.faults else before
    _report(values["expId"], after, done, values["json"], before.faults)
    return EXIT_FAILURE if after.faults else EXIT_OK


def _look(place: Place, held: bool = False) -> Report:
    with Progress(1, "check", sys.stderr) as bar:
        def told(done: int, total: int) -> None:
            bar.total = max(1, total)
            bar.update(done, "jobs with files")
        report = check.check(place, told, held)
        bar.update(bar.total, "jobs with files")
    return report


def _report(name: str, report: Report, done: List[str], as_json: bool,
            repaired: Sequence[Fault] = ()) -> None:
    if as_json:
        showing.emit({"expId": name, "sound": not report.faults, "jobs": report.jobs, "files": report.files,
                      "running": report.served, "faults": [check.to_json(fault) for fault in report.faults],
                      "repaired": [check.to_json(fault) for fault in repaired], "done": done})
        return
    if not report.faults:
        print("%s is sound: %s, %s" % (name, plural(report.jobs, "job"), plural(report.files, "file")))
        return
    if repaired:
        print("left:")
    _print_faults(report.faults)
    print("%s in %s%s" % (plural(len(report.faults), "fault"), name, "" if repaired else (
        "; jd_server check --repair puts right what can be, when its server is stopped")))


def _print_faults(faults: List[Fault]) -> None:
    counted: Dict[str, int] = {}
    for fault in faults:
        counted[fault.kind] = counted.get(fault.kind, 0) + 1
        if counted[fault.kind] <= MOST:
            print("%-9s  %s" % (fault.kind, fault.text))
    for kind, count in counted.items():
        if count > MOST:
            print("%-9s  and %d more (--json lists all)" % (kind, count - MOST))
