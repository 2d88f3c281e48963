"""Files of a job that wait on disk with its result, since the server was away when it ended.

They are in a directory beside the result in the outbox; each item is a file and, written last, a
small JSON file that says what it is. They go before the result: a job that is finished, or that
another worker takes over, has its files on the server by then.
"""

import json
import os
import secrets
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Callable, List, Optional

from jd import protocol
from jd.errors import LimitError, ServerRefused, ServerUnreachable, StorageError, UsageError, reason
from jd.fields import take, take_whole
from jd.files import filesystems, plainfile, safedirs, wholefile
from jd.killpoint import killpoint
from jd.protocol import ProtocolError
from jd.script.context import JobContext
from jd.script.upload import Patience, send
from jd.worker.uplink import outputpieces, reportpieces

SUFFIX = ".files"
FORGOTTEN = 86400.0  # seconds after which files without a result are nobody's: its worker died
# Refusals that are about one file; any other (no such job, a later attempt) is the result's too.
ABOUT_THE_FILE = (400, 413)
MAX_TRIES = 5  # of a file that its disk does not give
_MAX_DESCRIPTION = 64 * 1024  # bytes
_ONCE = Patience(1)
_ROUTES = {protocol.UPLOAD: "file", protocol.CHECKPOINT: "checkpoint", protocol.OUTPUT: "output",
           protocol.REPORT: "reports"}
_EXTENSIONS = (protocol.OUTPUT, protocol.REPORT)  # routes that a server of the base does not have


@dataclass(frozen=True)
class Item:
    """A file that waits: the route it goes to, the name it gets, where its bytes lie, and where it lay in
    the job's directory if not directly in it. Of output, `offset` is where in the whole it begins, of reports
    the number of the first one."""

    route: str
    name: str
    path: Path
    place: Optional[str] = None
    offset: int = 0

    @property
    def description(self) -> Path:
        """The JSON file that makes it an item."""
        return self.path.with_suffix(".json")


class WaitingFiles:
    """The waiting files of one attempt; `path` need not exist yet."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def new(cls, outbox: Path, job_id: int, attempt: Optional[int]) -> "WaitingFiles":
        """An empty one, with a name of its own."""
        return cls(outbox / ("%d-%d-%s%s" % (job_id, attempt or 0, secrets.token_hex(4), SUFFIX)))

    def add(self, route: str, name: str, file: BinaryIO, place: Optional[str] = None,
            offset: int = 0) -> Item:
        """Copy an open file from its start; it is on disk then. Raises StorageError, and leaves nothing of it
        then: what is half there would only take the room that is missing."""
        item: Optional[Item] = None
        try:
            safedirs.make(self.path, safedirs.CACHE)
            number = sum(1 for entry in os.listdir(str(self.path)) if entry.endswith(".json"))
            path = self.path / ("%04d-%s.bin" % (number, secrets.token_hex(2)))
            item = Item(route, name, path, place, offset)
            file.seek(0)
            with _private(item.path) as copy:
                shutil.copyfileobj(file, copy, 256 * 1024)
                copy.flush()
                os.fsync(copy.fileno())
            killpoint("waitingfiles.add.before-rename")
            described = {"route": route, "name": name, "place": place, "offset": offset}
            wholefile.write(item.description, json.dumps(described).encode("ascii"), durable=True)
        except OSError as error:
            if item is not None:
                self.remove(item)
            raise StorageError("%s cannot be kept in %s: %s" % (
                name, self.path, error.strerror or error)) from error
        return item

    def items(self) -> List[Item]:
        """What waits, in the order it came. What is no item of ours is passed over."""
        return [item for item in map(self._item, self._descriptions()) if item is not None]

    def _descriptions(self) -> List[Path]:
        try:
            names = sorted(os.listdir(str(self.path)))
        except OSError:
            return []
        return [self.path / name for name in names if name.endswith(".json") and not name.startswith(".")]

    def remove(self, item: Item) -> None:
        """Forget an item that the server has, or will never take."""
        for path in (item.description, item.path, item.path.with_suffix(".tries")):
            try:
                os.unlink(str(path))
            except OSError:
                pass  # gone already; else it goes with the directory

    def _lose(self, item: Item, why: str) -> None:
        """Note that an item will never arrive, and let go of its bytes."""
        try:
            told = {"lost": "%s (%s)" % (item.name, why)}
            wholefile.write(item.description, json.dumps(told).encode("ascii"))
            os.unlink(str(item.path))
        except OSError:
            self.remove(item)

    def losses(self) -> List[str]:
        """What the server will never get of it, in a sentence for the job's history, if there is anything."""
        lost = [told for told in map(_loss, self._descriptions()) if told]
        return ["not uploaded: " + "; ".join(lost)] if lost else []

    def discard(self) -> None:
        """Remove all of it."""
        shutil.rmtree(str(self.path), ignore_errors=True)

    def copy_to(self, outbox: Path) -> Path:
        """Have it in another outbox as well; there it is whole or, under another name, nobody's.

        Returns where. Raises OSError.
        """
        there = outbox / self.path.name
        if there.exists():
            return there  # a crash has left it in both
        draft = outbox / ("%s-%s%s" % (self.path.name[:-len(SUFFIX)], secrets.token_hex(2), SUFFIX))
        os.mkdir(str(draft), 0o700)
        try:
            for name in os.listdir(str(self.path)):
                _copy(self.path / name, draft / name)
            filesystems.sync_names(draft)
            killpoint("waitingfiles.copy.before-rename")
            os.rename(str(draft), str(there))
            killpoint("waitingfiles.copy.after-rename")
        except BaseException:
            shutil.rmtree(str(draft), ignore_errors=True)
            raise
        return there

    def send(self, context: JobContext, log: Callable[[str], None], with_paths: bool = False,
             between: Callable[[], None] = lambda: None) -> None:
        """Upload every item, each once; none is left then. `with_paths`: to a server that knows of them.
        `between` is called before each.

        Raises ServerUnreachable, or ServerRefused for what is not about one file; what has
        arrived until then does not go again. Raises StorageError where all of it was moved meanwhile, and for
        a disk that cannot be read now. What will never arrive is told by `losses`.
        """
        for item in self.items():
            between()
            try:
                with open(str(item.path), "rb") as file:
                    self._send(context, item, file, with_paths)
            except ServerRefused as error:
                if error.status not in ABOUT_THE_FILE and not _knows_no_route(item, error):
                    raise
                log("%s; dropped" % error)
                self._lose(item, str(error))
                continue
            except ServerUnreachable:
                raise
            except (OSError, StorageError, LimitError, UsageError) as error:
                if not self.path.is_dir():
                    # Without its files the result must not go. Whoever moved them delivers it.
                    raise StorageError("the files of job %d are no longer in %s" % (
                        context.job_id, self.path)) from None
                if isinstance(error, FileNotFoundError) and not item.description.exists():
                    continue  # another worker delivers the same, and the server has it
                may_pass = isinstance(error, OSError) and not isinstance(error, FileNotFoundError)
                if may_pass and self._again(item):
                    raise StorageError("%s of job %d cannot be read now: %s" % (
                        item.path, context.job_id, reason(error))) from None
                log("%s of job %d cannot be uploaded: %s; dropped" % (
                    item.name, context.job_id, reason(error)))
                self._lose(item, reason(error))
                continue
            else:
                log("uploaded %s of job %d, which had waited" % (item.name, context.job_id))
            self.remove(item)

    def _again(self, item: Item) -> bool:
        """Whether one that could not be read is tried again: a disk may be away, but not for ever."""
        tried = item.path.with_suffix(".tries")
        try:
            with open(str(tried), "ab") as file:
                file.write(b"x")
                return file.tell() <= MAX_TRIES
        except OSError:
            return True

    def _send(self, context: JobContext, item: Item, file: BinaryIO, with_paths: bool) -> None:
        if item.route == protocol.OUTPUT:
            for piece in outputpieces.of_file(file, item.offset):
                outputpieces.send(context, piece, final=True)
            return
        if item.route == protocol.REPORT:
            reportpieces.send_file(context, file, item.offset)
            return
        send(context, _ONCE, item.route, _ROUTES[item.route], file, item.name,
             os.fstat(file.fileno()).st_size, "%s of job %d was not uploaded" % (item.name, context.job_id),
             "It waits in %s" % self.path, item.place if with_paths else None)

    def _item(self, description: Path) -> Optional[Item]:
        try:
            body = json.loads(plainfile.read(description, _MAX_DESCRIPTION).decode("utf-8"))
            route, name = take(body, "route", str), take(body, "name", str)
            place, offset = take(body, "place", str, None), take_whole(body, "offset", 0, 2 ** 53) or 0
        except (OSError, ValueError, AttributeError, ProtocolError, RecursionError):
            return None
        path = description.with_suffix(".bin")
        return Item(route, name, path, place, offset) if route in _ROUTES and path.is_file() else None


def _loss(description: Path) -> Optional[str]:
    """What a description says of a file that is lost."""
    try:
        body = json.loads(plainfile.read(description, _MAX_DESCRIPTION).decode("utf-8"))
        return take(body, "lost", str, None)
    except (OSError, ValueError, AttributeError, ProtocolError, RecursionError):
        return None


def _knows_no_route(item: Item, error: ServerRefused) -> bool:
    """Whether a job server says that it has no such route: an older one has taken over. A gateway's 404 has
    no such words."""
    return item.route in _EXTENSIONS and error.status == 404 and getattr(error, "told", None) is not None


def _private(path: Path) -> BinaryIO:
    fd = os.open(str(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    return os.fdopen(fd, "wb")


def _copy(source: Path, target: Path) -> None:
    try:
        os.link(str(source), str(target))  # at once, on the same file system
        return
    except OSError:
        pass
    with open(str(source), "rb") as file, _private(target) as copy:
        shutil.copyfileobj(file, copy, 256 * 1024)
        copy.flush()
        os.fsync(copy.fileno())


def size(directory: Path) -> int:
    """Bytes of all files in a directory of files."""
    try:
        with os.scandir(str(directory)) as entries:
            return sum(entry.stat().st_size for entry in entries if entry.is_file())
    except OSError:
        return 0  # somebody has just delivered them


def directories(outbox: Path) -> List[Path]:
    """The directories of files in an outbox."""
    try:
        return [outbox / name for name in os.listdir(str(outbox)) if name.endswith(SUFFIX)]
    except OSError:
        return []


def forget_old(outbox: Path, wanted: Callable[[], Optional[List[Path]]], now: Optional[float] = None) -> None:
    """Remove directories of files that no result is `wanted` with, and that are older than a day.

    It is asked only if there is an old one, and says None where it does not know.
    """
    wholefile.tidy(outbox, FORGOTTEN)
    before = (time.time() if now is None else now) - FORGOTTEN
    old = [path for path in directories(outbox) if _changed(path) < before]
    kept = wanted() if old else None
    for path in old if kept is not None else []:
        if path not in (kept or []):
            WaitingFiles(path).discard()


def _changed(path: Path) -> float:
    try:
        return os.stat(str(path)).st_mtime
    except OSError:
        return time.time()
