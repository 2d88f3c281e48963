"""Results that the server has not taken yet: one JSON file each, until it has.

A result is written before the first try to deliver it, so that neither an outage nor the death
of the worker loses it; any later worker of the experiment on this machine delivers what it finds.
"""

import json
import os
import secrets
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, Dict, List, Optional

from jd import protocol, safedirs, wholefile
from jd.errors import StorageError
from jd.fields import take, take_number
from jd.messages import Result
from jd.protocol import ProtocolError, shown
from jd.worker.uplink.waitingfiles import SUFFIX, WaitingFiles, forget_old
from jd.worker.verdict import PREEMPTED

MAX_ENTRY_BYTES = 1024 * 1024  # a result is some KiB; anything larger is no entry of ours
MAX_ENTRIES = 10_000  # looked at in one go


@dataclass(frozen=True)
class Entry:
    """A result and whom it is for. `path` is None where it could not be written.

    `server_id` names the data that the result belongs to; None from a base server, which is known
    by its URL alone. `written` is in Unix seconds. `waiting_files` is a directory of files that go before
    the result.
    """

    result: Result
    server: str
    server_id: Optional[str]
    worker_id: str
    written: float
    path: Optional[Path] = None
    waiting_files: Optional[Path] = None


class Outbox:
    """The directory of waiting results of one experiment on this machine."""

    def __init__(self, directory: Path, log: Callable[[str], None],
                 clock: Callable[[], float] = time.time) -> None:
        self.directory = directory
        self._log = log
        self._clock = clock

    def put(self, result: Result, server: str, server_id: Optional[str],
            worker_id: str, waiting_files: Optional[Path] = None) -> Entry:
        """Keep a result. It is on disk when this returns, unless the disk refuses: that is logged,
        and the entry lives in memory only."""
        entry = Entry(result, server, server_id, worker_id, self._clock(), None, waiting_files)
        name = "%d-%d-%s.json" % (result.job_id, result.attempt or 0, secrets.token_hex(4))
        path = self.directory / name
        try:
            safedirs.make(self.directory, safedirs.CACHE)
            wholefile.write(path, json.dumps(_to_json(entry)).encode("ascii"), durable=True)
        except (OSError, StorageError) as error:
            self._log("cannot keep the result of job %d in %s: %s; it is delivered from memory"
                      % (result.job_id, path, getattr(error, "strerror", None) or error))
            return entry
        return replace(entry, path=path)

    def remove(self, entry: Entry) -> None:
        """Forget a result that the server took, or will never take, and its files."""
        if entry.waiting_files is not None:
            WaitingFiles(entry.waiting_files).discard()
        if entry.path is None:
            return
        try:
            os.unlink(str(entry.path))
        except FileNotFoundError:
            pass  # another worker delivered it as well
        except OSError as error:
            self._log("cannot remove %s: %s; the server will hear of it again"
                      % (entry.path, error.strerror))

    def waiting(self, server: str, server_id: Optional[str]) -> List[Entry]:
        """Entries for this server's data, the oldest first. A corrupt file is renamed `.bad`."""
        try:
            safedirs.check(self.directory, safedirs.CACHE)
            names = sorted(name for name in os.listdir(str(self.directory))
                           if name.endswith(".json") and not name.startswith("."))
        except FileNotFoundError:
            return []
        except (OSError, StorageError) as error:
            self._log("cannot read the outbox %s: %s" % (
                self.directory, getattr(error, "strerror", None) or error))
            return []
        entries = [entry for entry in map(self._read, names[:MAX_ENTRIES]) if entry is not None]
        if len(entries) == len(names):  # else files may belong to one that was not read
            forget_old(self.directory, [e.waiting_files for e in entries if e.waiting_files])
        mine = [entry for entry in entries
                if (entry.server_id == server_id if entry.server_id is not None
                    else entry.server == server)]
        return sorted(mine, key=lambda entry: entry.written)

    def _read(self, name: str) -> Optional[Entry]:
        path = self.directory / name
        try:
            with open(str(path), "rb") as file:
                content = file.read(MAX_ENTRY_BYTES + 1)
            if len(content) > MAX_ENTRY_BYTES:
                raise ValueError("more than %d bytes" % MAX_ENTRY_BYTES)
            return _from_json(json.loads(content.decode("utf-8")), path)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._log("cannot read %s: %s; it stays there" % (path, error.strerror))
        except (ValueError, RecursionError) as error:
            self._set_aside(path, str(error))
        return None

    def _set_aside(self, path: Path, reason: str) -> None:
        self._log("%s is no result that can be read (%s): renamed to .bad" % (path, reason))
        try:
            os.replace(str(path), str(path) + ".bad")
        except OSError as error:
            self._log("cannot rename %s: %s" % (path, error.strerror))


def _to_json(entry: Entry) -> Dict[str, object]:
    return {"result": entry.result.to_json(), "server": entry.server,
            "server_id": entry.server_id, "worker_id": entry.worker_id, "written": entry.written,
            "files": None if entry.waiting_files is None else entry.waiting_files.name}


def _from_json(body: object, path: Path) -> Entry:
    if not isinstance(body, dict):
        raise ProtocolError("not an object")
    files = take(body, "files", str, None)
    if files is not None and (os.path.basename(files) != files
                              or not files.endswith(SUFFIX)):
        raise ProtocolError("files must be the name of a directory of files, not %s" % shown(files))
    return Entry(
        result=_without_the_word(Result.from_json(take(body, "result", dict))),
        server=take(body, "server", str),
        server_id=take(body, "server_id", str, None),
        worker_id=take(body, "worker_id", str),
        written=take_number(body, "written") or 0.0,
        path=path,
        waiting_files=None if files is None else path.parent / files,
    )


def _without_the_word(result: Result) -> Result:
    """An earlier version wrote the verdict into the text as well."""
    if result.verdict == protocol.VERDICT_PREEMPTED and result.message.startswith(PREEMPTED):
        return replace(result, message=result.message[len(PREEMPTED):])
    return result
