"""Copies of a database that is in use, as a loss of power would leave it; and what must hold of each."""

import json
import os
import random
import shutil
import signal
import sqlite3
import struct
from contextlib import closing
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Tuple

NAME = "jobs.db"
LOG_HEAD, FRAME_HEAD = 32, 24  # bytes, of a write-ahead log (https://sqlite.org/fileformat2.html)
TRIES = 20


class Copy(NamedTuple):
    """A copy in a directory, and what scripts had been told before it was taken."""

    directory: Path
    told: Tuple[Dict[str, Any], ...]


def take(meta: Path, to: Path, log: Path, chance: random.Random, server: int, torn: bool) -> Copy:
    """Copy the database of a server. `torn`: file by file while it writes, and with a log that may end
    anywhere behind what was safe; otherwise as it stands at one moment, the server being stopped."""
    to.mkdir()
    if torn:
        return _torn(meta, to, log, chance)
    os.kill(server, signal.SIGSTOP)
    try:
        told = _told(log)
        for suffix in ("", "-wal", "-shm"):
            _copy(meta / (NAME + suffix), to / (NAME + suffix))
    finally:
        os.kill(server, signal.SIGCONT)
    return Copy(to, told)


def _torn(meta: Path, to: Path, log: Path, chance: random.Random) -> Copy:
    database, ahead = meta / NAME, meta / (NAME + "-wal")
    for _ in range(TRIES):
        told = _told(log)
        before = _read(ahead)
        _copy(database, to / NAME)
        after = _read(ahead)
        # A log that was begun anew belongs to a later state of the file: no loss of power leaves the two.
        if before[16:24] == after[16:24]:
            break
    else:
        shutil.rmtree(str(to))
        to.mkdir()
        return Copy(to, ())
    safe = _end_of_frames(before)
    (to / (NAME + "-wal")).write_bytes(after[:chance.randint(safe, max(safe, len(after)))])
    return Copy(to, told)


def violations(copy: Copy) -> List[str]:
    """What does not hold of a copy."""
    path = copy.directory / NAME
    if not path.exists():
        return []
    name = copy.directory.name
    with closing(sqlite3.connect(str(path))) as db:
        try:
            found = ["%s: %s" % (name, row[0]) for row in db.execute("PRAGMA integrity_check")
                     if row[0] != "ok"]
            found += ["%s: a row of %s points nowhere" % (name, row[0]) for row in db.execute(
                "PRAGMA foreign_key_check")]
            attempts = set(db.execute("SELECT job_id, number FROM attempts"))
            files = dict(db.execute("SELECT job_id || kind, count(*) FROM files GROUP BY 1"))
            counted = dict(db.execute("SELECT status, n FROM job_counts WHERE n <> 0"))
            if counted != dict(db.execute("SELECT status, count(*) FROM jobs GROUP BY status")):
                found.append("%s: the counters do not agree with the rows" % name)
        except sqlite3.Error as error:
            return ["%s: %s" % (name, error)]
    stored: Dict[str, int] = {}
    for note in copy.told:
        if note["what"] == "began" and (note["job"], note["attempt"]) not in attempts:
            found.append("%s: attempt %d of job %d was given out, and is not in it" % (
                name, note["attempt"], note["job"]))
        if note["what"] == "stored":
            key = "%d%s" % (note["job"], note["kind"])
            stored[key] = stored.get(key, 0) + 1
    return found + ["%s: %d files were acknowledged (job and kind %s), %d are in it" % (
        name, count, key, files.get(key, 0)) for key, count in stored.items() if files.get(key, 0) < count]


def _told(log: Path) -> Tuple[Dict[str, Any], ...]:
    try:
        return tuple(json.loads(line) for line in log.read_text().splitlines())
    except FileNotFoundError:
        return ()


def _end_of_frames(content: bytes) -> int:
    """Where the frames end that belong to a log as it is now; behind them lie those of its last use."""
    if len(content) < LOG_HEAD:
        return len(content)
    size, = struct.unpack(">I", content[8:12])
    at = LOG_HEAD
    while content[at + 8:at + 16] == content[16:24] and at + FRAME_HEAD + size <= len(content):
        at += FRAME_HEAD + size
    return at


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _copy(source: Path, target: Path) -> None:
    try:
        shutil.copyfile(str(source), str(target))
    except FileNotFoundError:
        pass
