"""Collects the files of one attempt when its script has ended, and says what became of them.

The list of uploads (script/uploaded.py) is begun before the script starts, so that what `jd_upload` has sent
does not go twice. Where the server is away, files wait on disk with the result. With `results_from=stdout` a
script that has left no result file gets one of what it has printed.
"""

import itertools
import json
import os
import socket
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, List, Optional

from jd import protocol
from jd.errors import JdError, ServerRefused, ServerUnreachable
from jd.files import wholefile
from jd.net.retry import RETRIED_STATUSES
from jd.script import uploaded
from jd.script.context import JobContext
from jd.script.upload import Patience, upload_file
from jd.script.uploaded import Version
from jd.worker.attempt.files import collect
from jd.worker.attempt.files.checkpointdir import megabytes
from jd.worker.attempt.files.collect import File, Left, Rules, Selection
from jd.worker.attempt.output.printed import Printed
from jd.worker.uplink.waitingfiles import WaitingFiles

LOST = (409, 410)  # the attempt is no longer ours
MAX_NAMED = 3  # files of a kind that the job's history names; the log names all
MAX_KINDS = 5
MAX_LOGGED = 500


@dataclass
class Collected:
    """What came of it: lines for the job's history, and how many files went or wait."""

    notes: List[str]
    sent: int = 0
    waiting: int = 0

    @property
    def has_files(self) -> bool:
        """Whether any file was collected."""
        return bool(self.sent or self.waiting)


@dataclass(frozen=True)
class Sender:
    """How files go to the server; `takes_paths` tells whether it knows of files in directories."""

    context: Callable[[], JobContext]
    patience: Patience
    waiting_files: WaitingFiles
    takes_paths: Callable[[], bool]


class Collector:
    """For one attempt: made before its script starts. `is_new`: nothing is in the directory. `cancelled` is
    set when nothing may go any more."""

    def __init__(self, rules: Rules, job_dir: Path, data: str, printed: Optional[Printed], sender: Sender,
                 log: Callable[[str], None], cancelled: threading.Event, is_new: bool = False) -> None:
        self._rules = rules
        self._job_dir = job_dir
        self._printed = printed
        self._sender = sender
        self._log = log
        self._cancelled = cancelled
        self._away = False
        self._sent: List[File] = []
        self._waiting = 0
        self._left: List[Left] = []
        self._before: Dict[str, Version] = {}
        self._known_before: Dict[str, Version] = {}
        if not is_new:  # else the list was begun with the directory
            self._look(data)

    def _look(self, data: str) -> None:
        """What is there before the script starts."""
        self._before = {name: uploaded.version_of(status)
                        for name, status in collect.results_in(self._job_dir).items()}
        try:
            self._known_before = uploaded.begin(self._job_dir, data, (
                (name, uploaded.version_of(status))
                for name, _, status in itertools.islice(
                    collect.regular_files(self._job_dir), collect.MAX_LOOKED_AT)))
        except OSError as error:
            self._log("cannot write %s: %s; files that the script uploads may go twice" % (
                uploaded.beside(self._job_dir), error.strerror))

    def collect(self, done: bool, away: bool) -> Collected:
        """Upload what is to be collected. `done`: the script ended well, by itself; `away`: the server does
        not answer."""
        self._away = away
        try:
            known = uploaded.read(self._job_dir)[1]
            notes = [self._write_printed(known)] if done and self._printed is not None else []
            selection = collect.select(self._job_dir, self._rules, known, self._before, count=done)
        except OSError as error:
            if isinstance(error, FileNotFoundError) and not self._rules.patterns:
                return Collected([])  # the script has removed it
            why = "nothing was collected: %s: %s" % (self._job_dir, error.strerror)
            return Collected([self._logged(why)])
        self._left = selection.left
        for file in selection.files:
            if self._cancelled.is_set():
                return Collected([], len(self._sent), self._waiting)
            try:
                self._collect_one(file)
            except ServerRefused as error:
                notes.append(self._logged("collected no more after %d files: %s" % (len(self._sent), error)))
                return Collected(notes, len(self._sent), self._waiting)
        for name, why in self._left[:MAX_LOGGED]:
            self._log("not collected: %s: %s" % (name, why))
        notes += [self._logged(line) for line in (
            self._line(), _old(selection), self._behind(selection) if done else "") if line]
        return Collected([note for note in notes if note], len(self._sent), self._waiting)

    def _collect_one(self, file: File) -> None:
        """Upload one file, or keep it for later; raises ServerRefused if nothing more will go."""
        sender = self._sender
        with_path = file.place is not None and sender.takes_paths()
        name, place = (file.short_name, file.place) if with_path else (file.upload_name, None)
        try:
            if not self._away:
                try:
                    upload_file(sender.context(), file.path, sender.patience, self._job_dir, name, place)
                    self._sent.append(file)
                    return
                except (ServerUnreachable, ServerRefused) as error:
                    if not is_away(error):
                        raise
                    self._away = True
            with open(file.path, "rb") as content:
                sender.waiting_files.add(protocol.UPLOAD, name, content, place)
            uploaded.add(self._job_dir, file.path, file.version)
            self._waiting += 1
        except ServerRefused as error:
            if error.status in LOST:
                raise
            self._left.append((file.name, str(error)))
        except JdError as error:
            self._left.append((file.name, str(error)))
        except OSError as error:
            self._left.append((file.name, error.strerror or str(error)))

    # ---- results that were printed

    def _write_printed(self, known: Dict[str, Version]) -> str:
        """Make a result file of what was printed, unless the script has one; returns a note of it."""
        assert self._printed is not None
        values = self._printed.values()
        own = collect.results_in(self._job_dir).get(collect.RESULTS[0])
        wrote = own is not None and self._before.get(collect.RESULTS[0]) != uploaded.version_of(own)
        sent = any(os.path.basename(name) == collect.RESULTS[0] and self._known_before.get(name) != version
                   for name, version in known.items())
        if wrote or sent:
            self._log("the script has a %s of its own: what it printed is not taken" % collect.RESULTS[0])
            return ""
        if not values:
            return self._logged("no results in its output: results_from=stdout takes lines such as loss=0.5")
        try:
            self._job_dir.mkdir(exist_ok=True)  # the script may have removed it
            _write_anew(self._job_dir / collect.RESULTS[0],
                        (json.dumps(values, indent=2) + "\n").encode("ascii"))
        except OSError as error:
            return self._logged("its results were not taken from its output: %s" % (error.strerror or error))
        if not self._printed.left_out:
            return ""
        return self._logged("its output has %d names more than the %d that are taken as results" % (
            self._printed.left_out, len(values)))

    # ---- lines for the job's history

    def _line(self) -> str:
        """What was collected and what not; empty when there was nothing to collect."""
        parts = []
        if self._sent or self._waiting or self._left:
            names = [file.name for file in self._sent]
            only_results = names and set(names) <= set(collect.RESULTS)
            parts.append("collected %s" % (collect.joined(names) if only_results else _files(len(names))))
            if self._sent:
                parts[0] += " (%s)" % megabytes(sum(file.version[0] for file in self._sent))
        if self._waiting:
            parts.append("%s waited for the server" % _files(self._waiting))
        if self._left:
            parts.append("not collected: " + "; ".join(_by_kind(self._left)))
        return "; ".join(parts)

    def _behind(self, selection: Selection) -> str:
        """How many files stay where nobody may find them."""
        if not selection.stayed:
            return ""
        return "%s%s%s (%s) stay%s on %s in %s%s" % (
            "" if selection.all_seen else "more than ",
            "%d other " % selection.stayed if self._sent else "%d " % selection.stayed,
            "file" if selection.stayed == 1 else "files", megabytes(selection.stayed_bytes),
            "s" if selection.stayed == 1 else "", socket.gethostname(), self._job_dir,
            "" if self._rules.patterns else "; collect= sends them")

    def _logged(self, line: str) -> str:
        self._log(line)
        return line


def _old(selection: Selection) -> str:
    if not selection.old:
        return ""
    return "%s was there before this attempt, and is not its result" % collect.joined(selection.old)


def _by_kind(left: List[Left]) -> List[str]:
    """What was left out for each reason, with the first names."""
    kinds: Dict[str, List[str]] = {}
    for name, why in left:
        kinds.setdefault(why, []).append(name[:80])
    told = []
    for why, names in list(kinds.items())[:MAX_KINDS]:
        if len(names) == 1:
            told.append("%s (%s)" % (names[0], why[:120]))
            continue
        more = " and %d more" % (len(names) - MAX_NAMED) if len(names) > MAX_NAMED else ""
        told.append("%d files (%s): %s%s" % (len(names), why[:120], ", ".join(names[:MAX_NAMED]), more))
    rest = sum(len(names) for names in list(kinds.values())[MAX_KINDS:])
    return told + (["%s for other reasons" % _files(rest)] if rest else [])


def _files(number: int) -> str:
    return "1 file" if number == 1 else "%d files" % number


def is_away(error: JdError) -> bool:
    """Whether the same will go later, rather than never."""
    if isinstance(error, ServerRefused):
        return error.status in RETRIED_STATUSES or error.status in (401, 403)
    return isinstance(error, ServerUnreachable)


def _write_anew(path: Path, content: bytes) -> None:
    """Without a draft: where this worker is killed meanwhile, the job may never come to this directory again,
    and nobody would remove it. What a killed one leaves is of an earlier attempt: none collects it."""
    try:
        os.unlink(str(path))
    except FileNotFoundError:
        pass
    wholefile.create(str(path), content, 0o666)
