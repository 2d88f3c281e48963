"""Results that the server has not taken yet: one JSON file each, until it has.

A result is written before the first try to deliver it, so that neither an outage nor the death of the worker
loses it. While the server answers that is near, in the cache of the worker, which is fast, and it is synced
only where the answer does not come at once (delivery.py). Once the server is away, or the worker leaves, it
goes with its files to a place that outlasts the allocation, where any worker of the experiment on any node
finds it (local/outboxes.py has the places, holding.py who delivers).

The file of a result that the server has taken becomes that of a next one: some file systems take long to make
and remove one.
"""

import errno
import json
import os
import re
import secrets
import threading
import time
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence, Set, Tuple

from jd import protocol
from jd.errors import StorageError
from jd.fields import take, take_number
from jd.files import filesystems, plainfile, safedirs, wholefile
from jd.killpoint import killpoint
from jd.messages import Result
from jd.protocol import ProtocolError, shown
from jd.worker.local.outboxes import FILES_NAME, MAX_ENTRY_BYTES, SUFFIX, Place
from jd.worker.uplink import waitingfiles
from jd.worker.uplink.holding import TOUCH_EVERY, Holder, free_name, held_name
from jd.worker.uplink.waitingfiles import WaitingFiles
from jd.worker.verdict import PREEMPTED

MAX_ENTRIES = 200  # read in one go: the loop of the worker waits for it
MAX_SPARE = 1 + protocol.MAX_PREFETCH  # files of results that are over: as many as go at once
SPARE_BYTES = 4096  # of such a file at most, all of which are written again; most results have some hundreds
_SPARE = re.compile(r"\.[0-9]+-[0-9]+-[0-9a-f]{8}@[0-9a-z.]+\.json")  # the name of such a file
MAX_FILES_BYTES = 2 * 1024 ** 3  # of all files that wait in a lasting place, for homes have quotas


@dataclass(frozen=True)
class Entry:
    """A result and whom it is for. `path` is None where it could not be written.

    `server_id` names the data that the result belongs to; None from a base server, which is known
    by its URL alone. `written` is in Unix seconds. `waiting_files` is a directory of files that go before
    the result. `name` stays the same wherever it is. `is_synced`: the disk was asked to keep it in a crash of
    the machine. `ended` is when the script ended, on the clock of the worker that holds it in memory.
    """

    result: Result
    server: str
    server_id: Optional[str]
    worker_id: str
    written: float
    path: Optional[Path] = None
    waiting_files: Optional[Path] = None
    name: str = field(default="", compare=False)
    is_synced: bool = field(default=False, compare=False)
    ended: Optional[float] = field(default=None, compare=False)


class Outbox:
    """The waiting results of one experiment. They are written to `near`, and secured in the first of
    `lasting` that can be used; what others left there, near, or in `beside`, is delivered too.

    `holder` is who delivers; without one nobody is told who does.
    """

    def __init__(self, near: Place, log: Callable[[str], None], clock: Callable[[], float] = time.time,
                 lasting: Sequence[Place] = (), beside: Sequence[Place] = (),
                 holder: Optional[Holder] = None) -> None:
        self._near = near
        self._lasting = lasting
        self._beside = beside
        self._holder = holder
        self._log = log
        self._clock = clock
        self._touched: Optional[float] = None
        self._made: Set[Path] = set()  # places that were seen to be safe
        self._foreign: Set[str] = set()  # names that were read, and are not for the data of `_asked_for`
        self._asked_for: Optional[Tuple[str, Optional[str]]] = None
        self._said: Set[str] = set()
        self._done_with: List[Path] = []
        self._spare: List[Tuple[str, int]] = []  # files of results that are over, with their sizes
        self._turn = threading.Lock()  # of becoming the one who delivers, in this process
        self._moving: Set[str] = set()  # names of results that `secure_rest` is moving
        self.has_more = False  # than were read in one go
        self.others_hold = False  # some of what was found: they deliver it, or have crashed

    def put(self, result: Result, server: str, server_id: Optional[str],
            worker_id: str, waiting_files: Optional[Path] = None) -> Entry:
        """Keep a result. It outlives this process when this returns, and the machine after `sync`, unless the
        disk refuses: that is logged, and the entry lives in memory only."""
        name = "%d-%d-%s%s" % (result.job_id, result.attempt or 0, secrets.token_hex(4), SUFFIX)
        entry = Entry(result, server, server_id, worker_id, self._clock(), None, waiting_files, name)
        try:
            return self._write(entry, self._near, durable=False)
        except (OSError, StorageError) as error:
            self._log("cannot keep the result of job %d in %s: %s; it is delivered from memory"
                      % (result.job_id, self._near.path, _why(error)))
            return entry

    def sync(self, entry: Entry) -> Entry:
        """Have it survive a crash of the machine. Where the disk refuses, that is logged, and all."""
        if entry.is_synced or entry.path is None:
            return entry
        killpoint("outbox.sync.before-fsync")
        try:
            filesystems.sync(entry.path)
            filesystems.sync_names(entry.path.parent)
        except FileNotFoundError:
            pass  # another worker delivers it
        except OSError as error:
            self._log("the result of job %d may not survive a crash of this machine: %s: %s"
                      % (entry.result.job_id, entry.path, error.strerror))
        killpoint("outbox.sync.after-fsync")
        return replace(entry, is_synced=True)

    def secure(self, entry: Entry) -> Entry:
        """Have it, with its files, in a place that outlasts this allocation; as it was where there is none.

        A crash on the way leaves it where it was, or in both places, and it is delivered twice.
        """
        if not self._lasting or self.is_lasting(entry):
            return entry
        for place in self._lasting:
            if not place.is_possible:
                continue
            try:
                place.make()
                files = self._files_into(place, entry)
                moved = self._write(replace(entry, waiting_files=files), place, durable=True)
            except (OSError, StorageError) as error:
                self._say_once("cannot keep the result of job %d in %s: %s" % (
                    entry.result.job_id, place.path, _why(error)), str(place.path))
                continue
            killpoint("outbox.secure.after-rename")
            self.remove(entry, spare=False)
            return moved
        return entry

    def secure_rest(self, own: Sequence[Entry]) -> None:
        """The same for what dead workers left in the cache, whichever server it is for. In a thread: to the
        loop each of them is somebody else's as long as it is moved, since its files are in two places."""
        kept = {entry.path for entry in own}
        for place in [self._near, *self._beside] if self._lasting else []:
            for name in self._names(place) or []:
                path = place.path / name
                if path in kept or self._is_held(path):
                    continue
                entry = self._read(path)
                if entry is not None:
                    self._move(entry, path)

    def _move(self, entry: Entry, path: Path) -> None:
        with self._turn:
            claimed = self._claim(entry) if path.exists() else None
            if claimed is None:
                return  # it is being delivered by now
            self._moving.add(entry.name)
        try:
            self.release(self.secure(claimed))
        finally:
            self._moving.discard(entry.name)

    def is_lasting(self, entry: Entry) -> bool:
        """Whether it is in a place that outlasts this allocation."""
        return entry.path is not None and entry.path.parent in [place.path for place in self._lasting]

    def ends_with(self, entry: Entry) -> Optional[str]:
        """What the directory of an entry is on, if that ends before the home of a user does."""
        return None if entry.path is None else filesystems.passing(entry.path.parent)

    def remove(self, entry: Entry, spare: bool = True) -> None:
        """Forget a result that the server took, or will never take, and its files. Where the disk refuses, it
        is tried again with the next one, and by `remove_rest`. `spare`: more results are to come."""
        if entry.waiting_files is not None:
            WaitingFiles(entry.waiting_files).discard()
        killpoint("outbox.remove.before-unlink")
        if entry.path is not None and not (spare and self._is_spared(entry.path)):
            self._done_with.append(entry.path)
        self.remove_rest()

    def remove_rest(self) -> None:
        """Remove what was to be removed, and the disk refused to."""
        paths, self._done_with = self._done_with, []
        for path in paths:
            try:
                os.unlink(str(path))
            except FileNotFoundError:
                pass  # another worker delivered it as well
            except OSError as error:
                self._done_with.append(path)
                if _SPARE.fullmatch(path.name):
                    continue  # it is no result: no harm
                self._say_once("cannot remove %s: %s; while it is there the server may hear of it again"
                               % (path, error.strerror), str(path))

    def leave(self) -> None:
        """Leave nothing here that is not needed: the worker ends."""
        self._done_with += [Path(path) for path, _ in self._spare]
        self._spare = []
        self.remove_rest()

    def _is_spared(self, path: Path) -> bool:
        """Keep the file of a result that is over for a next one, where that is possible: under a name with a
        dot, which no result has."""
        if (self._holder is None or path.parent != self._near.path or len(self._spare) >= MAX_SPARE
                or not self._holder.is_own(path.name)):
            return False
        spare = os.path.join(str(path.parent), "." + path.name)
        try:
            size = os.stat(str(path)).st_size
            if size <= SPARE_BYTES:
                os.rename(str(path), spare)
                self._spare.append((spare, size))
            return size <= SPARE_BYTES
        except OSError:
            return False

    def _tidy(self, place: Place) -> None:
        """Remove what workers that were killed have kept for their next results."""
        try:
            for name in os.listdir(str(place.path)):
                if _SPARE.fullmatch(name) and not self._is_held(place.path / name):
                    os.unlink(str(place.path / name))
        except OSError:
            pass  # nothing is there, or it stays: no harm

    # ---- who delivers

    def claim(self, entry: Entry) -> Optional[Entry]:
        """Become the one who delivers it; None where somebody else has."""
        with self._turn:
            return None if entry.name in self._moving else self._claim(entry)

    def _claim(self, entry: Entry) -> Optional[Entry]:
        if self._holder is None or entry.path is None:
            return entry
        path = entry.path.with_name(held_name(entry.name, self._holder.mark))
        try:
            os.utime(str(entry.path))  # before it has our mark: who sees that is to see it fresh
            killpoint("outbox.claim.before-rename")
            os.rename(str(entry.path), str(path))
            killpoint("outbox.claim.after-rename")
        except FileNotFoundError:
            # NFS may say so of a rename that it has done, and was asked for again.
            return replace(entry, path=path) if path.exists() else None
        except OSError as error:
            self._say_once("cannot rename %s, to deliver it: %s" % (entry.path, error.strerror),
                           str(entry.path.parent))
            return None
        return replace(entry, path=path)

    def keep_hold(self, entries: Sequence[Entry]) -> None:
        """Show others that they are still delivered; to be called again and again."""
        now = self._clock()
        if self._touched is not None and 0 <= now - self._touched < TOUCH_EVERY:
            return
        self._touched = now
        for entry in entries:
            if entry.path is not None:
                show_hold(entry)

    def release(self, entry: Entry) -> Entry:
        """Leave it to whoever comes."""
        if entry.path is None:
            return entry
        path = entry.path.with_name(free_name(entry.path.name))
        try:
            killpoint("outbox.release.before-rename")
            os.rename(str(entry.path), str(path))
            killpoint("outbox.release.after-rename")
        except OSError:
            return entry  # somebody has it, or it is free when nothing is heard of us any more
        return replace(entry, path=path)

    def _is_held(self, path: Path) -> bool:
        try:
            return self._holder is not None and self._holder.is_held(path)
        except OSError:
            return True  # it was there a moment ago: somebody is at work

    # ---- what is there

    def waiting(self, server: str, server_id: Optional[str]) -> List[Entry]:
        """Entries for this server's data that nobody delivers, the oldest first; `MAX_ENTRIES` at most are
        read, then `has_more` is true. A corrupt file is renamed `.bad`."""
        mine: List[Entry] = []
        unread = MAX_ENTRIES
        self.has_more = self.others_hold = False
        if self._asked_for != (server, server_id):
            self._asked_for, self._foreign = (server, server_id), set()
        listed: Set[str] = set()
        for place in [*self._lasting, self._near, *self._beside]:
            names = self._names(place)
            if names is None:
                continue  # nor is anything removed there: it may be the place of somebody else
            listed.update(map(free_name, names))
            for name in names:
                if free_name(name) in self._foreign:
                    continue
                if self._is_held(place.path / name):
                    self.others_hold |= free_name(name) in self._moving or (
                        self._holder is not None and not self._holder.is_own(name))
                    continue
                if unread == 0:
                    self.has_more = True
                    break
                unread -= 1
                entry = self._read(place.path / name)
                if entry is None:
                    continue
                if entry.server_id == server_id if entry.server_id is not None else entry.server == server:
                    mine.append(entry)
                elif self._holder is not None:
                    self._foreign.add(entry.name)
            self._tidy(place)
            waitingfiles.forget_old(place.path, partial(self._wanted, place, names))
        self._foreign &= listed
        return sorted(mine, key=lambda entry: entry.written)

    def left(self) -> Dict[Path, int]:
        """How many results wait, by place; nothing for a place with none."""
        places = [*self._lasting, self._near, *self._beside]
        found = {place.path: len(self._names(place) or []) for place in places}
        return {path: count for path, count in found.items() if count}

    def _names(self, place: Place) -> Optional[List[str]]:
        """Of the results in it; None where it cannot be read, or is not safe."""
        try:
            return place.names()
        except (OSError, StorageError) as error:
            self._say_once("cannot read the outbox %s: %s" % (place.path, _why(error)), str(place.path))
            return None

    def _wanted(self, place: Place, names: Sequence[str]) -> Optional[List[Path]]:
        """The directories of files that results in a place name; None where one of these cannot be read."""
        entries = [self._read(place.path / name) for name in names]
        if None in entries:
            return None
        return [entry.waiting_files for entry in entries if entry is not None and entry.waiting_files]

    def _read(self, path: Path) -> Optional[Entry]:
        try:
            content = plainfile.read(path, MAX_ENTRY_BYTES)
            return _from_json(json.loads(content.decode("utf-8")), path)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno == errno.EFBIG:
                self._set_aside(path, str(error.strerror))
                return None
            self._say_once("cannot read %s: %s; it stays there" % (path, error.strerror), str(path))
        except (ValueError, RecursionError) as error:
            self._set_aside(path, str(error))
        return None

    def _set_aside(self, path: Path, reason: str) -> None:
        try:
            os.replace(str(path), str(path) + ".bad")
        except FileNotFoundError:
            return  # it was over while it was read, and its file has become another one's
        except OSError as error:
            self._log("%s is no result that can be read (%s), and cannot be renamed: %s"
                      % (path, reason, error.strerror))
            return
        self._log("%s is no result that can be read (%s): renamed to .bad" % (path, reason))

    # ---- writing

    def _write(self, entry: Entry, place: Place, durable: bool) -> Entry:
        """Raises OSError, StorageError."""
        name = entry.name if self._holder is None else held_name(entry.name, self._holder.mark)
        path = place.path / name
        if place.path not in self._made or not place.path.is_dir():
            place.make()
            self._made.add(place.path)
        killpoint("outbox.write.before-rename")
        content = json.dumps(_to_json(entry)).encode("ascii")
        if durable or not self._written_over(path, content):
            wholefile.write(path, content, durable=durable)
        killpoint("outbox.write.after-rename")
        return replace(entry, path=path, is_synced=durable)

    def _written_over(self, path: Path, content: bytes) -> bool:
        """Whether a spare file has become that of a result."""
        if not self._spare or path.parent != self._near.path:
            return False
        spare, size = self._spare.pop()
        try:
            wholefile.write_over(spare, str(path), content.ljust(size))
        except OSError:
            self._done_with.append(Path(spare))
            return False  # somebody has removed it, or the disk is full: a new one will tell
        return True

    def _files_into(self, place: Place, entry: Entry) -> Optional[Path]:
        """Its files, copied to a place. Raises OSError; StorageError where there are too many."""
        if entry.waiting_files is None:
            return None
        there = sum(map(waitingfiles.size, waitingfiles.directories(place.path)))
        size = waitingfiles.size(entry.waiting_files)
        if size and there + size > MAX_FILES_BYTES:
            raise StorageError("files that wait there with results may be %d MiB in all, and with its own it "
                               "would be %d" % (MAX_FILES_BYTES >> 20, (there + size) >> 20))
        return WaitingFiles(entry.waiting_files).copy_to(place.path)

    def _say_once(self, text: str, about: str) -> None:
        if about not in self._said:
            self._said.add(about)
            self._log(text)


def show_hold(entry: Entry) -> None:
    """Have others see that a result is being delivered."""
    try:
        os.utime(str(entry.path))
    except OSError:
        pass  # another worker took it for abandoned, and delivers it


def in_directory(path: Path) -> Place:
    """A directory as a place for results."""
    return Place(path, safedirs.CACHE, path)


def _why(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def _to_json(entry: Entry) -> Dict[str, object]:
    return {"name": entry.name, "result": entry.result.to_json(), "server": entry.server,
            "server_id": entry.server_id, "worker_id": entry.worker_id, "written": entry.written,
            "files": None if entry.waiting_files is None else entry.waiting_files.name}


def _from_json(body: object, path: Path) -> Entry:
    if not isinstance(body, dict):
        raise ProtocolError("not an object")
    name = free_name(path.name)
    # After a crash of the machine a file that was written over may have what was in it before.
    if take(body, "name", str, name) != name:
        raise ProtocolError("it is what was in its file before, which a server has taken")
    files = take(body, "files", str, None)
    if files is not None and not FILES_NAME.fullmatch(files):
        raise ProtocolError("files must be the name of a directory of files, not %s" % shown(files))
    return Entry(
        result=_without_the_word(Result.from_json(take(body, "result", dict))),
        server=take(body, "server", str),
        server_id=take(body, "server_id", str, None),
        worker_id=take(body, "worker_id", str),
        written=take_number(body, "written") or 0.0,
        path=path,
        waiting_files=None if files is None else path.parent / files,
        name=name,
    )


def _without_the_word(result: Result) -> Result:
    """An earlier version wrote the verdict into the text as well."""
    if result.verdict == protocol.VERDICT_PREEMPTED and result.message.startswith(PREEMPTED):
        return replace(result, message=result.message[len(PREEMPTED):])
    return result
