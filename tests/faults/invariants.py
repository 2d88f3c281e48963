"""What must hold after a run, whatever happened in it: read from the database, the disk and the scripts' log.

Each check gives the violations that it has found, in words.
"""

import hashlib
import io
import json
import os
import pickle
import re
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

from jd import protocol as p
from jd.script import uploaded
from jd.server.store.files.names import EARLIER, actual
from jd.server.store.pages import curves
from jd.server.store.queue.transitions import FAILURES, INTERRUPTIONS
from tests.faults import excuses, powerloss
from tests.faults.play import Played
from tests.faults.programs import EXPERIMENT, MAX_ATTEMPTS
from tests.support import left_running, wait_until

Run = Tuple[int, int]  # job and attempt
MAX_INTERRUPTIONS = 100
LOGS = "workspace/jd_data/%s/jd_worker_logs" % EXPERIMENT  # in the home of a machine

# Files that may stay, by what they are called: those of programs that have ended well.
KEPT_IN_META = re.compile(r"jobs\.db|server\.lock|pin|token|access\.json|hub\.json|dashboard_pin.*|.*_file")
DRAFT = re.compile(r"\..*\.tmp|.*\.partial|\.checkpoint\.key\..*|\.backup-.*|.*\.bad|\..*-journal")


class Job(NamedTuple):
    """A row of jobs."""

    id: int
    status: str
    attempt: int
    failures: int
    interruptions: int
    results: Optional[str]


class Attempt(NamedTuple):
    """A row of attempts."""

    job: int
    number: int
    verdict: Optional[str]
    ended_at: Optional[float]
    worker: str


class File(NamedTuple):
    """A row of files, and what lies there."""

    job: int
    kind: str
    name: str
    stored_name: str
    size: int
    content: Optional[bytes]

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.content or b"").hexdigest()


class Left(NamedTuple):
    """All that a run has left, read once."""

    played: Played
    jobs: Dict[int, Job]
    attempts: Dict[int, List[Attempt]]
    histories: Dict[int, List[str]]
    files: Dict[int, List[File]]
    reports: Dict[Run, List[float]]  # the values that attempts have reported
    notes: Tuple[Dict[str, Any], ...]
    damage: Tuple[str, ...]  # of the database itself

    def of(self, *what: str) -> Iterator[Dict[str, Any]]:
        """The notes of scripts that say one of these."""
        return (note for note in self.notes if note["what"] in what)


def violations(played: Played) -> List[str]:
    """All that does not hold."""
    left = _read(played)
    found = list(played.seen) + list(left.damage)
    for check in CHECKS:
        found += check(left)
    for copy in played.copies:
        found += powerloss.violations(copy)
    return found


def _read(played: Played) -> Left:
    with closing(sqlite3.connect(str(played.data / "meta" / "jobs.db"))) as db:
        damage = ["the database: %s" % row[0] for row in db.execute("PRAGMA integrity_check")
                  if row[0] != "ok"]
        damage += ["a row of %s points nowhere" % row[0] for row in db.execute("PRAGMA foreign_key_check")]
        counted = dict(db.execute("SELECT status, n FROM job_counts WHERE n <> 0"))
        there = dict(db.execute("SELECT status, count(*) FROM jobs GROUP BY status"))
        if counted != there:
            damage.append("counted are %s, and there are %s" % (counted, there))
        jobs = {row[0]: Job(*row) for row in db.execute(
            "SELECT id, status, attempt, failures, interruptions, results FROM jobs")}
        attempts: Dict[int, List[Attempt]] = {job: [] for job in jobs}
        for row in db.execute("SELECT job_id, number, verdict, ended_at, worker_id FROM attempts"
                              " ORDER BY job_id, number"):
            attempts[row[0]].append(Attempt(*row))
        histories: Dict[int, List[str]] = {job: [] for job in jobs}
        for job, reason in db.execute("SELECT job_id, reason FROM job_history ORDER BY id"):
            histories[job].append(reason)
        files: Dict[int, List[File]] = {job: [] for job in jobs}
        for row in db.execute("SELECT job_id, kind, name, stored_name, size_bytes FROM files ORDER BY id"):
            place = played.data / "data" / str(row[0]) / row[3]
            files[row[0]].append(File(row[0], row[1], row[2], row[3], row[4], _content(place)))
        reports = {(job, one.number): _reported(db, job, one.number)
                   for job, its in attempts.items() for one in its}
    notes = [json.loads(line) for line in played.log.read_text().splitlines()] if played.log.exists() else []
    return Left(played, jobs, attempts, histories, files, reports, tuple(notes), tuple(damage))


def _reported(db: sqlite3.Connection, job: int, attempt: int) -> List[float]:
    return [value for metric in curves.metric_of(db, curves.of_job(db, job, attempt), "told")
            for value in metric.points.values]


def _content(place: Path) -> Optional[bytes]:
    try:
        return actual(place).read_bytes()
    except OSError:
        return None


# ---- jobs and attempts

def every_job_is_over(left: Left) -> List[str]:
    """DONE, or given up after as many failures as are allowed, or since three workers were killed with it,
    each by itself, of which no server can know that it was not the job."""
    return ["job %d is %s after %d failures and %d interruptions" % (job.id, job.status, job.failures,
                                                                    job.interruptions)
            for job in left.jobs.values()
            if job.status != p.DONE and not (job.status == p.ABORTED and (
                job.failures >= MAX_ATTEMPTS or job.interruptions >= MAX_INTERRUPTIONS
                or any("it took down 3 workers: " in line for line in left.histories[job.id])))]


def one_result_is_accepted_of_the_last_attempt(left: Left) -> List[str]:
    found = []
    for job in left.jobs.values():
        its = left.attempts[job.id]
        verdicts = [attempt.verdict for attempt in its]
        if [attempt.number for attempt in its] != list(range(1, job.attempt + 1)):
            found.append("job %d is at attempt %d and has %s" % (job.id, job.attempt, its))
        elif None in verdicts or None in [attempt.ended_at for attempt in its]:
            found.append("an attempt of job %d has not ended: %s" % (job.id, its))
        elif (verdicts.count(p.VERDICT_DONE) != int(job.status == p.DONE)
              or p.VERDICT_DONE in verdicts[:-1]):
            found.append("job %d is %s with the verdicts %s" % (job.id, job.status, verdicts))
    return found


def counts_of_a_job_agree_with_its_attempts(left: Left) -> List[str]:
    found = []
    for job in left.jobs.values():
        verdicts = [attempt.verdict for attempt in left.attempts[job.id]]
        failed = sum(verdict in FAILURES for verdict in verdicts)
        interrupted = sum(verdict in INTERRUPTIONS for verdict in verdicts)
        if (failed, interrupted) != (job.failures, job.interruptions):
            found.append("job %d says %d failures and %d interruptions, its attempts %d and %d" % (
                job.id, job.failures, job.interruptions, failed, interrupted))
    return found


def the_history_tells_each_end(left: Left) -> List[str]:
    """Each attempt ends with one line that names it, its verdict and its worker."""
    found = []
    for job, attempts in left.attempts.items():
        for attempt in attempts:
            how = {p.VERDICT_TIMEOUT: "timed out", p.VERDICT_OOM: "ran out of memory"}.get(
                attempt.verdict or "", attempt.verdict)
            told = [line for line in left.histories[job]
                    if line.startswith("attempt %d %s on %s" % (attempt.number, how, attempt.worker))]
            any_end = [line for line in left.histories[job]
                       if re.match(r"attempt %d (?!given)\S+.* on " % attempt.number, line)]
            if len(told) != 1 or any_end != told:
                found.append("attempt %d of job %d is %s, and the history says %s" % (
                    attempt.number, job, attempt.verdict, any_end))
    return found


# ---- what really ran

def nothing_ran_that_the_server_does_not_know(left: Left) -> List[str]:
    known = {(one.job, one.number) for its in left.attempts.values() for one in its}
    return ["attempt %d of job %d ran, and is not in the database" % (run[1], run[0])
            for run in sorted(_runs(left, "began") - known)]


def no_attempt_ran_twice(left: Left) -> List[str]:
    began = [(note["job"], note["attempt"]) for note in left.of("began")]
    return ["attempt %d of job %d ran %d times" % (run[1], run[0], began.count(run))
            for run in sorted(set(began)) if began.count(run) > 1]


def what_was_not_begun_has_not_run(left: Left) -> List[str]:
    """A worker that gives back jobs which it was given with another one does not begin them."""
    began = _runs(left, "began")
    return ["attempt %d of job %d ran, and was given back: %s" % (attempt.number, job, line)
            for job, attempts in left.attempts.items() for attempt in attempts
            for line in left.histories[job]
            if (job, attempt.number) in began and "not begun, as" in line
            and re.match(r"attempt %d\b" % attempt.number, line)]


def no_finished_job_ran_again(left: Left) -> List[str]:
    """What was accepted had ended, and nothing of the job began after it."""
    ended, found = _runs(left, "ended"), []
    for job in left.jobs.values():
        if job.status == p.DONE and (job.id, job.attempt) not in ended:
            found.append("job %d is DONE, and the script of its attempt %d has not ended" % (
                job.id, job.attempt))
    for job_id, attempts in left.attempts.items():
        for attempt in attempts[:-1]:
            if (job_id, attempt.number) in ended and attempt.verdict not in (*INTERRUPTIONS, *FAILURES):
                found.append("attempt %d of job %d was %s, and it ran again" % (
                    attempt.number, job_id, attempt.verdict))
    return found


def a_script_that_has_ended_well_has_not_failed(left: Left) -> List[str]:
    """Its result may be lost with its worker, but it does not become another one."""
    ended = _runs(left, "ended")
    return ["attempt %d of job %d has ended well and is %s: %s" % (
                attempt.number, job, attempt.verdict, left.histories[job])
            for job, attempts in left.attempts.items() for attempt in attempts
            if (job, attempt.number) in ended and attempt.verdict not in (p.VERDICT_DONE, *INTERRUPTIONS)
            and not (attempt.verdict == p.VERDICT_KILLED
                     and excuses.may_be_killed_at_its_end(left.played.plan))]


def no_result_is_lost_while_its_worker_lives(left: Left) -> List[str]:
    """Where nothing has happened to the worker of an attempt, its disk and the network, a script that has
    ended well counts."""
    ended = _runs(left, "ended")
    return ["attempt %d of job %d has ended well and is lost, and its worker lives: %s" % (
                attempt.number, job, left.histories[job])
            for job, attempts in left.attempts.items() for attempt in attempts
            if (job, attempt.number) in ended and attempt.verdict in INTERRUPTIONS
            and not excuses.may_be_lost(left.played.plan, _nodes_of(left, attempt.worker))]


def _nodes_of(left: Left, worker: str) -> Tuple[int, ...]:
    """The machines that have a log of a worker: one, unless two call their workers the same. All, where a
    full disk has none."""
    homes = left.played.homes
    found = tuple(number for number, home in enumerate(homes)
                  if (home / LOGS / ("jd_worker_%s.log" % worker)).exists())
    return found or tuple(range(len(homes)))


def _runs(left: Left, what: str) -> Set[Run]:
    return {(note["job"], note["attempt"]) for note in left.of(what)}


# ---- files and results

def rows_and_files_agree(left: Left) -> List[str]:
    found = ["the file %s of job %d has %s bytes, and its row says %d" % (
                 file.stored_name, job, "no" if file.content is None else len(file.content), file.size)
             for job, files in left.files.items() for file in files
             if file.content is None or len(file.content) != file.size]
    data = left.played.data / "data"
    rows = {(job, file.stored_name) for job, files in left.files.items() for file in files}
    names = {(job, file.name) for job, files in left.files.items() for file in files}
    for directory in (data, data / EARLIER):
        for place in directory.glob("[0-9]*"):
            for path in place.iterdir():
                if path.is_file() and (int(place.name), path.name) not in rows | names:
                    found.append("no row is about %s" % path.relative_to(data))
    incoming = data / ".incoming"
    return found + ["%s was left" % path.relative_to(data) for path in
                    (incoming.iterdir() if incoming.exists() else ())]


def what_scripts_were_told_is_stored_is_whole(left: Left) -> List[str]:
    found = []
    for note in left.of("stored"):
        its = [file for file in left.files[note["job"]] if file.kind == note["kind"]]
        if note["kind"] == "upload":
            is_there = note["sha"] in [file.digest for file in its]
        else:
            is_there = note["step"] in [_step_of(file) for file in its]
        if not is_there:
            found.append("attempt %d of job %d was told that this is stored: %s" % (
                note["attempt"], note["job"], note))
    return found


def scripts_go_on_from_what_is_stored(left: Left) -> List[str]:
    """A script gets the newest checkpoint that the job was told is stored, or a later one."""
    found = []
    told: Dict[int, int] = {}
    for note in left.of("stored", "loaded"):
        job = note["job"]
        if note["what"] == "stored" and note["kind"] == "checkpoint":
            told[job] = max(told.get(job, 0), note["step"])
        elif note["what"] == "loaded" and note["step"] < told.get(job, 0):
            found.append("attempt %d of job %d began at step %d, and %d was stored" % (
                note["attempt"], job, note["step"], told[job]))
    return found


def files_come_before_the_result(left: Left) -> List[str]:
    """Of a job that is DONE the server has what its script has left, or the history says what it has not."""
    found = []
    for note in left.of("left"):
        job = left.jobs[note["job"]]
        if job.status != p.DONE or job.attempt != note["attempt"] or excuses.may_lack_a_file(
                left.played.plan, left.histories[job.id], job.attempt, note["kind"], note.get("name", "")):
            continue
        kind = "checkpoint" if note["kind"] == "directory" else "upload"
        contents = [file.content or b"" for file in left.files[job.id] if file.kind == kind]
        if note["kind"] == "directory":
            contents = [content for archive in contents for content in _members(archive)]
        if note["sha"] not in [hashlib.sha256(content).hexdigest() for content in contents]:
            found.append("job %d is DONE, and its %s is not there; its history: %s" % (
                job.id, note["kind"], left.histories[job.id]))
    return found


def results_are_those_of_the_script(left: Left) -> List[str]:
    found = []
    for note in left.of("result"):
        job = left.jobs[note["job"]]
        if job.status == p.DONE and job.attempt == note["attempt"] and not excuses.may_lack_a_file(
                left.played.plan, left.histories[job.id], job.attempt, "result", "result.json"):
            got = json.loads(job.results or "{}").get("score")
            if got != note["score"]:
                found.append("job %d has the result %s, and its script wrote %s; its history: %s" % (
                    job.id, got, note["score"], left.histories[job.id]))
    return found


def what_was_reported_counts_once_and_comes_before_the_result(left: Left) -> List[str]:
    found = ["attempt %d of job %d has reported %s" % (run[1], run[0], values)
             for run, values in left.reports.items() if len(values) != len(set(values))]
    told: Dict[Run, List[float]] = {}
    for note in left.of("reported"):
        told.setdefault((note["job"], note["attempt"]), []).append(note["number"])
    for (job, attempt), numbers in told.items():
        if left.jobs[job].status == p.DONE and left.jobs[job].attempt == attempt and not (
                set(numbers) <= set(left.reports.get((job, attempt), []))) and not excuses.may_lack_a_file(
                    left.played.plan, left.histories[job], attempt, "reports", "reports.jsonl"):
            found.append("job %d is DONE, and of the reports %s there are %s; its history: %s" % (
                job, numbers, left.reports.get((job, attempt)), left.histories[job]))
    return found


def _step_of(file: File) -> Optional[int]:
    try:
        saved = pickle.loads(file.content or b"")
    except Exception:
        return None
    return saved["step"] if isinstance(saved, dict) else None


def _members(archive: bytes) -> List[bytes]:
    """What the files of a tar archive hold."""
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            opened = [tar.extractfile(member) for member in tar.getmembers() if member.isfile()]
            return [file.read() for file in opened if file is not None]
    except tarfile.TarError:
        return []


# ---- what is left over

def nothing_is_left_running(left: Left) -> List[str]:
    base = str(left.played.directory)
    try:
        wait_until(lambda: not left_running(base), 5)
    except AssertionError:
        return ["still running: %s" % line for line in left_running(base)]
    return []


def nothing_lies_about(left: Left) -> List[str]:
    """No result waits, no worker is registered, no draft of a file is left. Those of the marks of jobs stay:
    a few bytes each, in a directory of the user that may have a mark of each of a million jobs."""
    found = []
    meta = left.played.data / "meta"
    found += ["%s was left" % path.relative_to(left.played.data) for path in meta.iterdir()
              if not KEPT_IN_META.fullmatch(path.name)]
    for home in left.played.homes:
        for path in _files(home):
            shown = path.relative_to(home.parent)
            if "outbox" in path.parts:
                found.append("%s waits for ever" % shown)
            elif DRAFT.fullmatch(path.name) and path.parent.name != uploaded.BESIDE:
                found.append("%s was left" % shown)
            elif path.name == "workers.db":
                with closing(sqlite3.connect(str(path))) as db:
                    found += ["%s has a row of %s" % (shown, row[0]) for row in db.execute(
                        "SELECT worker_id FROM workers")]
    return found


def nobody_has_crashed(left: Left) -> List[str]:
    """No traceback and no request to report one, in what programs and workers have said."""
    found = []
    logs = list(left.played.directory.glob("*.err"))
    for home in left.played.homes:
        logs += (home / LOGS).glob("*.log*")
    for path in logs:
        lines = [line for line in path.read_text(errors="replace").splitlines() if "job   |" not in line]
        at = next((number for number, line in enumerate(lines)
                   if "Traceback (most recent" in line or "please report this" in line), None)
        if at is not None:
            found.append("%s: %s" % (path.name, "\n    ".join(lines[max(0, at - 1):at + 30])))
    return found


def _files(directory: Path) -> Iterator[Path]:
    for place, _, names in os.walk(str(directory)):
        for name in names:
            yield Path(place, name)


CHECKS: Sequence[Callable[[Left], List[str]]] = (
    every_job_is_over, one_result_is_accepted_of_the_last_attempt, counts_of_a_job_agree_with_its_attempts,
    the_history_tells_each_end, nothing_ran_that_the_server_does_not_know, no_attempt_ran_twice,
    what_was_not_begun_has_not_run, no_finished_job_ran_again, no_result_is_lost_while_its_worker_lives,
    a_script_that_has_ended_well_has_not_failed, rows_and_files_agree,
    what_scripts_were_told_is_stored_is_whole, scripts_go_on_from_what_is_stored,
    files_come_before_the_result, results_are_those_of_the_script,
    what_was_reported_counts_once_and_comes_before_the_result, nothing_is_left_running, nothing_lies_about,
    nobody_has_crashed,
)
