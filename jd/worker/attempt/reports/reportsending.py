"""Sends what a script reports to the server while it runs, and what is left when it has ended."""

import json
import os
import time
from pathlib import Path
from typing import Callable, List

from jd import protocol
from jd.errors import JdError, ServerRefused
from jd.net.retry import RETRIED_STATUSES
from jd.script.context import JobContext
from jd.worker.attempt.reports import reportfile, reportline
from jd.worker.attempt.reports.keptreports import KeptReports
from jd.worker.attempt.reports.reportfile import ReportFile
from jd.worker.uplink import reportpieces
from jd.worker.uplink.waitingfiles import Item, WaitingFiles

FIRST = 10.0  # seconds after the start; what a shorter job reports goes at its end
PIECES = 4  # that are sent at once while the script runs
# How many reports of an attempt go to the server: so many, and so many more for each second.
AT_ONCE = 100_000
PER_SECOND = 200
SLACK = 1.0  # seconds: the script's clock is read at another moment than ours
NAME = "reports.jsonl"


class ReportSending:
    """The reports of one attempt on their way, for one thread. `takes` tells whether the server wants any,
    `is_over` that nothing may go any more; `clock` and `wall` tell the time, which somebody may set
    meanwhile."""

    def __init__(self, job_dir: Path, outbox: Path, context: Callable[[], JobContext],
                 takes: Callable[[], bool], is_over: Callable[[], bool], log: Callable[[str], None],
                 clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time) -> None:
        attempt = context().attempt
        self._path = reportfile.place(job_dir, attempt)
        self._earlier = None if attempt is None or attempt == 1 else reportfile.place(job_dir, attempt - 1)
        self._file = ReportFile(self._path)
        self._kept = KeptReports(outbox, log)
        self._context = context
        self._takes = takes
        self._is_over = is_over
        self._log = log
        self._clock, self._wall = clock, wall
        self._began = clock()
        self._taken = 0
        self._no_reports = 0  # lines that are none
        self._sent = 0  # how many the server has
        self._due = self._began + FIRST
        self._refused = False

    def begin(self) -> None:
        """The script starts now, without what others may have left whose worker has died."""
        reportfile.remove(self._path)
        if self._earlier is not None:
            reportfile.remove(self._earlier)
        self._began = self._clock()
        self._due = self._began + FIRST

    @property
    def are_there(self) -> bool:
        """Whether the script has made the file for them."""
        return os.path.lexists(self._path)

    def look(self, watched: bool) -> None:
        """Read what is new, and send it if it is time: that comes more often while somebody has `watched`."""
        if self._refused or not self._takes():
            return
        self._read(final=False)
        now = self._clock()
        if not self._kept.waiting or now < self._due and not watched:
            return
        every = protocol.REPORT_INTERVAL
        try:
            every = self._send(PIECES)
        except ServerRefused as error:
            self._refuse(error)
        except JdError:
            pass  # the heartbeats tell of a server that is away; the next look comes
        self._due = now + every

    def finish(self) -> None:
        """Send the rest, while there is time. Raises ServerUnreachable, and ServerRefused where it may be
        taken later."""
        if self._refused or not (self._kept.waiting or self._sent):
            return
        try:
            if not self._kept.waiting:
                reportpieces.send(self._context(), self._sent, [], final=True)
            while self._kept.waiting and not self._is_over():
                self._send(1, final=True)
        except ServerRefused as error:
            self._refuse(error)
            if not self._refused:
                raise

    def read_rest(self) -> None:
        """The script has ended: read what it has left."""
        if self._refused or not self._takes():
            self._say_untaken()
            return
        self._read(final=True)

    def keep(self, waiting: WaitingFiles) -> List[Item]:
        """Put the rest where it waits with the result. Raises StorageError, OSError."""
        if self._refused or not self._kept.waiting:
            return []
        with self._kept.all() as rest:
            return [waiting.add(protocol.REPORT, NAME, rest, offset=self._sent)]

    def remark(self) -> str:
        """What the job's history is to say of reports that the server does not get."""
        none, much = self._no_reports + self._file.too_long, self._file.left_out
        told = []
        if none:
            told.append("%d line%s of its reports %s no JSON object of at most %d KB" % (
                none, "" if none == 1 else "s", "is" if none == 1 else "are",
                protocol.MAX_REPORT_BYTES >> 10))
        if much or self._kept.thinned:
            told.append("it reported more than is taken (%s, and %d a second): some of it is left out" % (
                format(AT_ONCE, ","), PER_SECOND))
        if self._kept.trouble:
            told.append("its reports were not all kept: %s" % self._kept.trouble)
        if self._file.odd:
            told.append("its reports were not read: %s is where JD_METRICS names a file" % self._file.odd)
        return "; ".join(told)

    def close(self) -> None:
        """It is over: nothing stays of it here."""
        self._file.close()
        self._kept.close()
        reportfile.remove(self._path)

    def _read(self, final: bool) -> None:
        now, ahead = self._clock(), self._wall() - self._clock()
        elapsed = now - self._began
        allowed = AT_ONCE + int(PER_SECOND * elapsed) - self._taken
        lines: List[bytes] = []
        for line in self._file.lines(max(0, allowed), final):
            report = reportline.read(line)
            if report is None:
                self._no_reports += 1
                if self._no_reports == 1:
                    self._log("a line of the job's reports is no JSON object of at most %d KB, and is left "
                              "out: %s" % (protocol.MAX_REPORT_BYTES >> 10, protocol.shown(line[:100])))
                continue
            seconds = elapsed if report.time is None else report.time - ahead - self._began
            # A time from before the start or from the future is that of a clock that was set, or no time.
            if not -SLACK <= seconds <= elapsed + SLACK:
                seconds = elapsed
            stamp = round(min(max(seconds, 0.0), elapsed), 3)
            lines.append(("[%s,%s]\n" % (json.dumps(stamp), report.told)).encode("ascii"))
            if len(lines) >= protocol.MAX_REPORTS_IN_PIECE:
                self._keep_lines(lines)
                lines = []
        self._keep_lines(lines)

    def _keep_lines(self, lines: List[bytes]) -> None:
        self._kept.append(lines)
        self._taken += len(lines)

    def _send(self, most: int, final: bool = False) -> float:
        """Send so many pieces. Returns in how many seconds the server wants more."""
        every = protocol.REPORT_INTERVAL
        for _ in range(most):
            lines = self._kept.piece()
            if not lines:
                break
            last = final and len(lines) == self._kept.waiting
            self._sent, every = reportpieces.send(self._context(), self._sent, lines, last)
            self._kept.forget(lines)
        return every

    def _refuse(self, error: ServerRefused) -> None:
        """Give it up, unless the refusal may pass."""
        if error.status in RETRIED_STATUSES or error.status in (401, 403):
            return
        self._refused = True
        self._log("the server takes no more of what the job reports: %s" % error)

    def _say_untaken(self) -> None:
        try:
            told = os.stat(self._path).st_size
        except OSError:
            return
        if told and not self._refused:
            self._log("the job has reported something (jd_report, JD_METRICS), which its server does not "
                      "take")
