"""What jobs have uploaded, and where it goes on this machine."""

import os
from pathlib import Path
from typing import Any, BinaryIO, Dict, List, Optional, Union

from jd import protocol
from jd.errors import JdError, ServerRefused
from jd.files import safedirs, wholefile
from jd.net.client import Client
from jd.sweep.errors import BadValue, FileTrouble, Refused
from jd.sweep.jobs import numbers
from jd.sweep.session import Session, current

PathLike = Union[str, "os.PathLike[str]"]
DOWNLOADED = "downloaded"
_MOST_BYTES = 2 ** 50  # what a server sends is not limited here: its uploads are


def list_job_uploads(job_id: Union[int, str]) -> List[Dict[str, Any]]:
    """What a job has uploaded, newest first: `job_id`, `version`, `filename`, `size_bytes`, `uploaded_at` and
    `format` of each. Raises Refused where there is no such job."""
    session = current("list_job_uploads")
    answer = session.call("GET", "%s/%d/uploads" % (protocol.LIST_JOBS, _number(job_id)))
    uploads = answer.get("uploads")
    return uploads if isinstance(uploads, list) else []


def download_result(job_id: Union[int, str], filename: PathLike, dest: Optional[PathLike] = None) -> Path:
    """Fetch the newest version of a file that a job has uploaded, and return where it lies now.

    That is `job_download_dir(job_id)/filename`, or the file `dest`, whose directories are made. It is there
    whole or not at all, and one that was there before stays until then. Of a `filename` with directories in
    it they count where the job has a file of that very path; else it is its last part.

    Raises Refused where there is no such job or file, FileTrouble (an OSError) where it cannot be written.
    """
    session, number = current("download_result"), _number(job_id)
    given = os.fspath(filename).replace(os.sep, "/")
    name = given.rpartition("/")[2]
    if name in ("", ".", ".."):
        raise BadValue("%s is no name of a file" % protocol.shown(filename))
    if given != name and is_plain(given) and session.offers(protocol.EXT_PATHS):
        try:
            return fetch(session, number, given, _target(number, given, dest))
        except ServerRefused as error:
            if error.status != 404:
                raise
    return fetch(session, number, name, _target(number, name, dest))


def fetch(session: Session, job_id: int, name: str, target: Path) -> Path:
    """Fetch an upload into a file, whole or not at all. Raises as `download_result`."""
    route = "%s/%d/uploads/download" % (protocol.LIST_JOBS, job_id)
    if target.is_dir():
        raise FileTrouble("%s is a directory" % target, "give the path of the file in it")

    def download(client: Client, file: BinaryIO) -> int:
        file.seek(0)
        file.truncate()
        return client.download(route, {"filename": name}, file, _MOST_BYTES)

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with wholefile.replacing(target, 0o666) as file:
            session.tried(lambda client: download(client, file))
    except Refused as error:
        if error.status == 404:
            raise Refused(404, "job %d has no file %s: %s" % (job_id, name, error.what)) from None
        raise
    except OSError as error:
        if isinstance(error, JdError):
            raise  # Unreachable is of this kind as well
        raise FileTrouble("%s cannot be written: %s" % (target, error.strerror or error)) from None
    return target


# ---- places

def data_root() -> Path:
    """The root of all job data on this machine, `<workspace>/jd_data`."""
    return current("data_root").data_root


def exp_path() -> Path:
    """What the experiment has there, `<workspace>/jd_data/<experiment>`."""
    session = current("exp_path")
    return session.data_root / session.exp_id


def job_path(job_id: Union[int, str]) -> Path:
    """What a job has there, `<workspace>/jd_data/<experiment>/<job>`."""
    return exp_path() / str(_number(job_id))


def job_download_dir(job_id: Union[int, str]) -> Path:
    """The directory `downloaded` of a job, which is made."""
    directory = job_path(job_id) / DOWNLOADED
    try:
        safedirs.make(directory, safedirs.WORKSPACE)
    except OSError as error:
        raise FileTrouble("%s cannot be made: %s" % (directory, error.strerror or error)) from None
    return directory


def _target(job_id: int, name: str, dest: Optional[PathLike]) -> Path:
    if dest is None:
        return job_download_dir(job_id) / name
    return Path(os.path.realpath(os.path.expanduser(os.fspath(dest))))


def is_plain(path: str) -> bool:
    """Whether a path stays below the directory that it is joined to."""
    return not path.startswith("/") and all(part not in ("", ".", "..") for part in path.split("/"))


def _number(job_id: Union[int, str]) -> int:
    return numbers([job_id])[0]
