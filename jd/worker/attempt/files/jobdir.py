"""Keeps the files of one sweep out of the jobs of another one that uses the same directories.

Job 7 of a sweep that was begun anew is not job 7 of the old one: what that left must not be taken for a
result, resumed from or uploaded. So each directory has a mark that names the server's data it belongs to.
The mark is the first line of `<experiment>/.jd/<job>`, beside the directory and not in it, because scripts
upload every file that they find. The rest of that file lists what the server has of them
(script/uploaded.py): one file for each job, as some file systems take long to make and remove one. A
directory of other data is renamed to `<job>.of-<that data>`, and the job begins with an empty one. What
earlier attempts left is set aside likewise when the server begins a job from scratch: the mark of such a
directory also has the attempt with which that was.

A directory in which an attempt has left nothing is removed, with its mark: sweeps of many short jobs would
fill the file system with them. No lock keeps two attempts apart, of which the server takes one for dead: so
an attempt sees to it, right before its script starts, that both are there (`confirm`).
"""

import errno
import os
import re
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, NamedTuple, Optional

from jd.files import plainfile, safedirs, wholefile
from jd.killpoint import killpoint
from jd.script import uploaded
from jd.worker.attempt.process.spawning import StartFailure

MARKS = uploaded.BESIDE
EARLIER = "earlier"  # the data of a directory without a mark: from before there were marks
BASE = "base"  # that of all servers which know only the base protocol, and do not tell their data
_MAX_SUFFIXES = 10_000
_MAX_MARK = 64  # characters of an id in a name


class Prepared(NamedTuple):
    """`aside` is where an older directory was set aside, if one was; `is_new`: nothing is in it yet."""

    aside: Optional[Path]
    is_new: bool


def prepare(directory: Path, data: Optional[str], attempt: Optional[int],
            from_scratch: Optional[int] = None, server: str = "") -> Prepared:
    """Make the directory of a job of `data`, or of a `server` that does not tell its data.

    `from_scratch` is the attempt with which the job began anew: what was there before it is set aside.

    A directory without a mark is set aside for a first attempt, unless it is empty; a later one may have
    begun in it before there were marks. `data` and `attempt` are None from a server of the base protocol:
    to it a directory without a mark may belong as well. The list of uploads is begun with the mark, unless
    something is in the directory already. Raises StartFailure where an old directory would
    have to be used.
    """
    mark, owner = _mark_of(directory), _owner_of(data, from_scratch)
    if from_scratch is not None:
        attempt = 1  # whatever has no mark was there before
    aside = None
    with _made(directory):  # what is above is looked at before anything of it is believed
        above = safedirs.make(directory.parent, safedirs.WORKSPACE)
        above.make(MARKS)
    try:
        is_empty = _is_empty(directory)
        found = None if is_empty else _owner(mark, data is None, attempt)
        if found is not None and found != owner:
            aside = _set_aside(directory, found)
            is_empty = True
        # In this order: whatever happens in between, nothing old is under a new mark.
        if found != owner:
            _write(mark, owner, uploaded.begun(data or server) if is_empty else "")
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StartFailure("cannot make the job directory %s: %s" % (directory, error.strerror),
                               "make room, or see JD_WORKSPACE_PATH") from None
        raise StartFailure("the job directory %s may hold files of another sweep, and cannot be set aside "
                           "or marked: %s" % (directory, error.strerror or error),
                           "move it away, or see JD_WORKSPACE_PATH") from None
    with _made(directory):
        return Prepared(aside, above.make(directory.name))


def confirm(directory: Path, data: Optional[str], from_scratch: Optional[int] = None,
            server: str = "") -> None:
    """Make and mark a directory again that was prepared, if an attempt that has ended since removed it.

    Raises StartFailure.
    """
    try:
        if _is_directory(directory) and _marked(_mark_of(directory)):
            return  # as prepared: what is above it was looked at then
        with _made(directory):
            safedirs.make(directory, safedirs.WORKSPACE)
        if not _marked(_mark_of(directory)):
            _write(_mark_of(directory), _owner_of(data, from_scratch), uploaded.begun(data or server))
    except OSError as error:
        raise StartFailure("the job directory %s cannot be marked: %s" % (
            directory, error.strerror or error)) from None


def tidy(directory: Path, checkpoints: Path) -> bool:
    """Remove what an attempt that is over has left without any use: a checkpoint directory of its own that is
    empty, and the job's directory, with its mark, if nothing is there. Whether that is gone."""
    try:
        try:
            os.rmdir(str(checkpoints))
        except FileNotFoundError:
            pass
        os.rmdir(str(directory))
    except OSError:
        return False  # there is something in it, or somebody else has removed it
    try:
        os.unlink(_mark_of(directory))
    except OSError:
        pass  # there is none, or it stays: no harm
    return True


@contextmanager
def _made(directory: Path) -> Iterator[None]:
    """A block that makes a job's directory. Raises StartFailure."""
    try:
        yield
    except safedirs.UnsafePlace as error:
        raise StartFailure(str(error)) from None
    except OSError as error:
        raise StartFailure("cannot make the job directory %s: %s" % (directory, error.strerror),
                           "see JD_WORKSPACE_PATH") from None


def _is_directory(path: Path) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(str(path)).st_mode)
    except OSError:
        return False


def _mark_of(directory: Path) -> str:
    return uploaded.beside(directory)


def _owner_of(data: Optional[str], from_scratch: Optional[int]) -> str:
    owner = BASE if data is None else _name_of(data)
    return owner if from_scratch is None else "%s-%d" % (owner[:_MAX_MARK // 2], from_scratch)


def _write(mark: str, owner: str, uploads: str) -> None:
    # Not durable: after a crash an empty mark is as good as none.
    # Earlier versions, which may use the same workspace, take so many characters for the mark.
    content = (owner.ljust(2 * _MAX_MARK) + "\n" + uploads).encode("utf-8")
    try:
        wholefile.create(mark, content, 0o666)
    except FileExistsError:
        wholefile.write(Path(mark), content, 0o666)


def _is_empty(directory: Path) -> bool:
    try:
        with os.scandir(str(directory)) as entries:
            return next(entries, None) is None
    except (FileNotFoundError, NotADirectoryError):
        return True


def _owner(mark: str, is_base: bool, attempt: Optional[int]) -> Optional[str]:
    """Whose data a directory holds in which there is something; None where nobody can tell."""
    marked = _marked(mark)
    if marked:
        return _name_of(marked)
    return EARLIER if attempt == 1 and not is_base else None


def _marked(mark: str) -> str:
    """Whom a mark names; nobody where there is none, or a list of uploads alone: that is begun before the
    script starts, and another attempt that ends may just have removed the mark. Raises OSError."""
    try:
        content = plainfile.beginning(Path(mark), 4 * _MAX_MARK).decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    return content.partition("\n")[0][:2 * _MAX_MARK].strip()


def _set_aside(directory: Path, owner: str) -> Path:
    base = "%s.of-%s" % (directory.name, owner)
    for number in range(1, _MAX_SUFFIXES):
        target = directory.parent / (base if number == 1 else "%s-%d" % (base, number))
        if not os.path.lexists(str(target)):
            killpoint("jobdir.set-aside.before-rename")
            os.rename(str(directory), str(target))
            killpoint("jobdir.set-aside.after-rename")
            return target
    raise StartFailure("%s cannot be set aside: there are %d of %s already"
                       % (directory, _MAX_SUFFIXES, base),
                       "remove them")


def _name_of(data: str) -> str:
    """The id of somebody's data as part of a file name."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", data)[:_MAX_MARK] or "_"
