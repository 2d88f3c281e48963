"""An experiment as one file that describes itself, for those who have nothing but that file.

It is a tar of text and of the files that jobs uploaded, below a directory of the experiment's name:
README.txt says what is where, `jobs.jsonl` has all that is known of each job, `jobs.csv` the table for a
spreadsheet.
"""

import json
import os
import sqlite3
import time
from pathlib import Path
from typing import IO, Any, Dict, NamedTuple

import jd
from jd.errors import StorageError
from jd.server import curveanswers, jobfolder, outputanswers
from jd.server.jobfolder import Names
from jd.server.keeping import backup, reading, tarfiles
from jd.server.keeping.reading import Place
from jd.server.keeping.tarfiles import Packer, Told, nobody
from jd.server.store.pages import export
from jd.server.store.queue import jobs

FORMAT = 1
_PAGE = 500  # jobs looked up at once

_README = """\
{experiment}: an archive of the experiment {experiment}
{rule}

Made at {made} by JobDistributor {version} (jd_server archive), format {format}.
A sweep of {jobs} jobs: one script was run once for each, with other parameters.
Everything here is plain text, or a file as a job uploaded it. Nothing but tar is needed to read it.

experiment.json   what this is: times, numbers of jobs by status, names of parameters and results
jobs.csv          a line for each job: status, times, parameters, results (UTF-8, with a header).
                  A text that a spreadsheet would take for a formula has ' in front.
jobs.jsonl        a line of JSON for each job, with all that is known of it:
                    id, status, parameters, results (numbers of result.json and metrics.json)
                    verdict, message, exit_code     of the latest attempt
                    attempts   each try to run it, the newest first: worker, host, started, ended,
                               verdict, message, exit code, runtime in seconds, version of the code
                    history    what happened to it, the newest first
                    files      what it uploaded; "packed_as" is where that is in files/<id>/,
                               "missing" is true for one that was not on the server's disk any more
files/<id>/       the files of job <id> under their own names; of a name that was uploaded several
                  times the earlier ones are in earlier/. output/attempt-<n>.log is what attempt n printed,
                  reports/attempt-<n>.csv what it reported while it ran.
SHA256SUMS        a checksum of every other file: sha256sum -c SHA256SUMS

Status:   PENDING waits, SERVED runs, DONE, ABORTED failed or was given up, DELETED by a person.
Verdict:  done; failed (exit status), killed (by a signal), oom (no memory), timeout; preempted or lost
          (its machine was taken away, or was not heard of any more); stopped (by a person).
Times:    in JSON seconds since 1970-01-01 UTC; in jobs.csv ISO 8601, UTC.
Files whose name begins with "checkpoint" are Python pickles or tars that a job saved to go on from:
unpickling runs the program in it, so do that only if you trust whoever ran the jobs.
"""


class Made(NamedTuple):
    """What an archive holds; `missing` counts files that were not on the disk."""

    jobs: int
    files: int
    missing: int
    size_bytes: int


def make(place: Place, file: Path, now: float, told: Told = nobody) -> Made:
    """Write the archive of an experiment, as it is at one moment, into a new file of mode 0600, and read it
    once more to verify it. Its server may run. Raises JdError where the file is there, StorageError."""
    tarfiles.refuse_existing(file)
    name = place.directory.name
    with reading.copied(place.database, file) as copy, reading.opened(copy, place.database) as db, \
            tarfiles.writing(file, name, now, told) as packer, \
            tarfiles.scratch(file.parent) as described, tarfiles.scratch(file.parent) as table:
        reading.check_version(db, place.database)
        about = _about(db, name, now)
        readme = _README.format(experiment=name, rule="=" * (2 * len(name) + 30),
                                made=about["made_at"], version=jd.__version__, format=FORMAT,
                                jobs=about["jobs_total"])
        packer.add_bytes("README.txt", readme.encode("utf-8"), now)
        packer.add_bytes("experiment.json", jobfolder.to_json(about) + b"\n", now)
        _add(packer, "jobs.csv", _write_table(db, table, now), now)
        packed = _Packed(packer, place.data, now, file.parent)
        after = 0
        while True:
            ids = [row[0] for row in db.execute("SELECT id FROM jobs WHERE id > ? AND id <= ? ORDER BY id"
                                                " LIMIT ?", (after, jobs.last_id(db), _PAGE))]
            for job_id in ids:
                told_of_it = packed.add(jobfolder.look(db, place.data, job_id, everything=True), db)
                described.write(json.dumps(told_of_it, ensure_ascii=False).encode("utf-8") + b"\n")
            if len(ids) < _PAGE:
                break
            after = ids[-1]
        _add(packer, "jobs.jsonl", described, now)
    tarfiles.read(file, name)
    return Made(about["jobs_total"], packed.files, packed.missing, file.stat().st_size)


def _add(packer: Packer, name: str, content: IO[bytes], now: float) -> None:
    size = content.tell()
    content.seek(0)
    packer.add(name, content, size, now)


def _write_table(db: sqlite3.Connection, target: IO[bytes], now: float) -> IO[bytes]:
    table = export.begin(db, "", now)
    target.write(export.header(table).encode("utf-8"))
    after = 0
    while True:
        part = export.lines(db, table, after)
        target.write(part.lines.encode("utf-8"))
        if part.after is None:
            return target
        after = part.after


def _about(db: sqlite3.Connection, name: str, now: float) -> Dict[str, Any]:
    total, first, last = db.execute("SELECT count(*), min(request_timestamp), max(completion_timestamp)"
                                    " FROM jobs WHERE id <= ?", (jobs.last_id(db),)).fetchone()
    table = export.begin(db, "", now)
    return {"format": FORMAT, "experiment": name, "made_at": _time(now), "version": jd.__version__,
            "jobs_total": total, "jobs": {status: n for status, n in jobs.counts(db).items() if n},
            "first_started": None if first is None else _time(first),
            "last_ended": None if last is None else _time(last),
            "parameters": table.parameters, "results": table.results}


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


class _Packed:
    """Puts the files of jobs into the archive, and counts them."""

    def __init__(self, packer: Packer, data_dir: Path, now: float, scratch: Path) -> None:
        self.files = 0
        self.missing = 0
        self._packer = packer
        self._data_dir = data_dir
        self._now = now
        self._scratch = scratch

    def add(self, job: jobfolder.Job, db: sqlite3.Connection) -> Dict[str, Any]:
        """Pack what a job has; returns what is told of it."""
        job_id = job.told["id"]
        folder = "files/%d/" % job_id
        names = Names("")
        told = jobfolder.described(job, [False] * len(job.files))
        for file, state, entry in zip(job.files, job.states, told["files"]):
            source = backup.own(self._data_dir / str(job_id) / file.path.name)
            if source is None:
                entry["missing"], entry["packed_as"] = True, None
                self.missing += 1
                continue
            entry["packed_as"] = names.free(jobfolder.packed_as(file, state))
            with source:
                self._packer.add(folder + entry["packed_as"], source, os.fstat(source.fileno()).st_size,
                                 file.uploaded_at)
            self.files += 1
        for one in job.printed:
            with tarfiles.scratch(self._scratch) as text:
                try:
                    for piece in outputanswers.whole(self._data_dir, job_id, one):
                        text.write(piece)
                except OSError as error:
                    raise StorageError("cannot read the output of job %d: %s" % (
                        job_id, error.strerror or error)) from error
                _add(self._packer, folder + names.free(jobfolder.packed_output(one)), text, self._now)
        for attempt in job.reported:
            with tarfiles.scratch(self._scratch) as text:
                text.writelines(curveanswers.table(lambda look: look(db), job_id, attempt))
                _add(self._packer, folder + names.free(jobfolder.packed_reports(attempt)), text, self._now)
        return told
