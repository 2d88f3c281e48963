"""Fetching the files of many jobs at once."""

import fnmatch
import os
import re
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Set, Union

from jd import protocol, terminal
from jd.sweep import files as uploads
from jd.sweep.envfile import PathLike
from jd.sweep.errors import BadValue, Refused
from jd.sweep.fetched import Fetched
from jd.sweep.jobs import one_or_more
from jd.sweep.results import read
from jd.sweep.session import Session, current
from jd.sweep.steering import Where

AT_ONCE = 8  # downloads
_TRIES = 3  # of a file that is not as long as the server says
_REPEAT = re.compile(r"(.+)_v([1-9][0-9]{0,8})((?:\.[^./]*)?)\Z", re.DOTALL)
_AHEAD = 64  # jobs that are looked at before the first of them is done


def fetch(where: Where, dest: PathLike, files: Union[str, Sequence[str]] = "*.json") -> Sequence[Path]:
    """Fetch the files of jobs into `dest/<job id>/`, several at once, and return where they lie: a sequence
    of paths, also of a million of them.

    Which jobs: those that match `where`, the filter language of the dashboard ("" means all), or a list of
    ids, or an id. `files` is a pattern, or several: `*` stands for any characters; of each name it is the
    newest version. A file that is there with its size already is not fetched again, so a call that was
    broken off goes on where it was. A file is there whole or not at all.

    Raises NotOffered for a filter, FileTrouble, and Refused where a file keeps not being as long as the
    server says; the other files are fetched all the same.
    """
    session = current("fetch")
    patterns = [files] if isinstance(files, str) else list(files)
    if not patterns:
        raise BadValue("no pattern of files is given", 'as in files="*.json"')
    root = Path(os.path.realpath(os.path.expanduser(os.fspath(dest))))
    found = Fetched(root)
    failed: Optional[Exception] = None
    ids = _ids(session, where)
    count, left = 0, True
    pending: "Set[Future[_Job]]" = set()
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        with terminal.Progress(0, "jobs") as progress:
            while left or pending:
                more = list(islice(ids, _AHEAD - len(pending))) if left else []
                left = left and len(more) == _AHEAD - len(pending)
                pending |= {pool.submit(_of_job, session, job_id, root, patterns) for job_id in more}
                progress.total += len(more)
                if not pending:
                    break
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for job in done:
                    count += 1
                    try:
                        found.add(*job.result())
                    except Exception as error:  # of whatever kind: the other files are fetched all the same
                        failed = failed or error
                progress.update(count, "%d files" % len(found))
    finally:
        for job in pending:
            job.cancel()
        pool.shutdown()
    if failed is not None:
        raise failed
    found.sort()
    return found


# ---- how

def _ids(session: Session, where: Where) -> Iterator[int]:
    if isinstance(where, str):
        return (int(row["id"]) for row in read(session, where))
    return iter(one_or_more(where))


class _Job(NamedTuple):
    """A job and the names of its files that are here now."""

    id: int
    names: List[str]


def _of_job(session: Session, job_id: int, root: Path, patterns: Sequence[str]) -> _Job:
    answer = session.call("GET", "%s/%d/uploads" % (protocol.LIST_JOBS, job_id))
    found = []
    for name, upload in _newest(_listed(job_id, answer.get("uploads"))).items():
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
            if not uploads.is_plain(name):
                raise Refused(200, "job %d: the server tells of a file %s, which is no name of one" % (
                    job_id, protocol.shown(name)))
            target = root / str(job_id) / name
            asked = str(upload["filename"]) if upload.get("path") else name
            _whole(session, job_id, asked, target, upload["size_bytes"])
            found.append(name)
    return _Job(job_id, found)


def _listed(job_id: int, uploads: Any) -> List[Dict[str, Any]]:
    """What a server tells of the uploads of a job. Raises Refused for what tells of none."""
    listed = uploads or []
    for upload in listed if isinstance(listed, list) else [listed]:
        size = upload.get("size_bytes") if isinstance(upload, dict) else None
        if type(size) is not int or size < 0 or not isinstance(upload.get("filename"), str):
            raise Refused(200, "job %d: the server tells of an upload %s, which has no name or size of one"
                          % (job_id, protocol.shown(upload)))
    return list(listed)


def _newest(listed: Sequence[Dict[str, Any]]) -> Dict[str, Dict[str, Any]]:
    """The newest upload of each name or path. They are listed newest first, repeats as a_v1.json."""
    shown = {str(upload.get("path") or upload["filename"]) for upload in listed}
    newest: Dict[str, Dict[str, Any]] = {}
    for upload in listed:
        name = str(upload.get("path") or upload["filename"])
        repeat = _REPEAT.match(name)
        if repeat is not None:
            first = repeat.group(1) + repeat.group(3)
            if first in shown if upload.get("path") else int(repeat.group(2)) == upload.get("version"):
                name = first
        newest.setdefault(name, upload)
    return newest


def _whole(session: Session, job_id: int, name: str, target: Path, size: int) -> None:
    """Have a file of this size, fetched unless it is there."""
    for _ in range(_TRIES):
        if _size(target) == size:
            return
        uploads.fetch(session, job_id, name, target)
    if _size(target) != size:
        raise Refused(200, "job %d: %s has %d bytes, and the server says %d" % (
            job_id, target, _size(target), size), "fetch again: the job may have uploaded it anew")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else -1
    except OSError:
        return -1
