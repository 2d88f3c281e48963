"""Try-out: `python train.py` by itself, without a worker.

The library then keeps everything on this machine, and asks no server, whatever JD_SERVER and the other
variables say. A run has a directory of its own:

    <jd_data>/<JD_EXP_ID, or "tryout">/tryout/<number>/job/          jd_job_dir()
                                                      /uploads/      of jd_upload
                                                      /checkpoints/  of jd_update_checkpoint
                                                      /metrics.jsonl of jd_report

It is for its user alone, whatever the umask: a checkpoint is a program.

The process that is the first to use the library makes it and puts its path into JD_TRYOUT_DIR, so that the
processes that this one starts have the same.
"""

import fcntl
import os
import re
import shutil
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Callable, Dict, Iterator, List, Optional

from jd import settings
from jd.errors import StorageError
from jd.files import safedirs, wholefile
from jd.protocol import shown, stored_name
from jd.script.context import experiment_of, in_worker, workspace_root

DIRECTORY = "JD_TRYOUT_DIR"
NAME = "tryout"
KEPT = 3  # checkpoints; on a server all are kept
_PURPOSE = safedirs.Purpose("try-out directory", "JD_WORKSPACE_PATH or " + DIRECTORY, private=False,
                            mode=0o775)
# Of one run: a checkpoint in it is unpickled. The run is where nobody else may write, no group either.
_RUN = _PURPOSE._replace(mode=0o700, setting=DIRECTORY)
_CHECKPOINTS = _RUN._replace(name="checkpoint", private=True)
_CHECKPOINT = re.compile(r"checkpoint_v(\d+)_\d+\.pt")

_making = threading.Lock()


def applies(job_id: Optional[int] = None, server: Optional[str] = None) -> bool:
    """Whether a call is one of a try-out: no worker runs the script, and the call names neither job nor
    server. JD_JOB_ID alone does not count: who set it by hand would overwrite a job's results."""
    return job_id is None and not server and not in_worker(os.environ)


def experiment_dir() -> Path:
    """`jd_exp_dir()` in a try-out, made. Raises StorageError."""
    return _made(workspace_root(os.environ) / (experiment_of(os.environ) or NAME))


def job_dir() -> Path:
    """`jd_job_dir()` in a try-out, made. Raises StorageError."""
    return _inside("job")


def keep_upload(file: BinaryIO, name: str) -> Dict[str, Any]:
    """What `jd_upload` does in a try-out: the file under the name that a server would give it."""
    def next_version(there: List[str]) -> int:
        version = 0
        while stored_name(name, version) in there:
            version += 1
        return version

    return _keep(_inside("uploads"), file, next_version, lambda version: stored_name(name, version))


def keep_checkpoint(file: BinaryIO) -> Dict[str, Any]:
    """What `jd_update_checkpoint` does with a pickle in a try-out."""
    directory = _inside("checkpoints")
    answer = _keep(directory, file, lambda there: max(_versions(there), default=-1) + 1,
                   lambda version: "checkpoint_v%d_%d.pt" % (version, time.time()))
    for _, name in sorted(_versions(os.listdir(str(directory))).items())[:-KEPT]:
        try:
            os.unlink(str(directory / name))
        except OSError:
            pass  # another process of this run has removed it
    return answer


def reports_file() -> Path:
    """Where `jd_report` appends in a try-out; its directory is made. Raises StorageError."""
    return _inside("") / "metrics.jsonl"


def last_checkpoint() -> Optional[BinaryIO]:
    """The newest checkpoint of this run, open; None while there is none. Raises StorageError."""
    directory = _inside("checkpoints")
    try:
        versions = _versions(os.listdir(str(directory)))
        if not versions:
            return None
        path = directory / versions[max(versions)]
        # A directory named by hand may be anybody's, and a pickle is a program.
        safedirs.check_file(path, _CHECKPOINTS, directory.parent)
        return open(str(path), "rb")
    except OSError as error:
        raise _failed(error, directory) from None


# ---- the directory of this run

def _inside(name: str) -> Path:
    with _making:
        given = settings.value_of(settings.SCRIPT, DIRECTORY, os.environ)
        if given is None:
            run = _new_run()
            os.environ[DIRECTORY] = str(run)
            _say("try-out, as no worker started this script: its files, uploads, checkpoints and reports "
                 "are kept in %s, and no server is asked%s" % (run, _hint()))
        else:
            run = Path(given).absolute()
            os.environ[DIRECTORY] = str(run)  # scripts go to other directories, and start processes there
        return _made(run / name, _RUN)


def _new_run() -> Path:
    """The next number is the lowest above all that are there: the newest is the highest."""
    parent = _made(experiment_dir() / NAME)
    try:
        number = max((int(name) for name in os.listdir(str(parent)) if name.isdecimal()), default=0)
        while True:
            number += 1
            try:
                os.mkdir(str(parent / str(number)), 0o700)
                return (parent / str(number)).absolute()
            except FileExistsError:
                continue  # another run has just begun
    except OSError as error:
        raise _failed(error, parent) from None


def _made(directory: Path, purpose: safedirs.Purpose = _PURPOSE) -> Path:
    try:
        safedirs.make(directory.absolute(), purpose)
    except safedirs.UnsafePlace:
        raise
    except OSError as error:
        raise _failed(error, directory) from None
    return directory


def _failed(error: OSError, path: Path) -> StorageError:
    return StorageError("%s cannot be used for a try-out: %s" % (path, error.strerror or error),
                        "JD_WORKSPACE_PATH names another place")


def _hint() -> str:
    job_id = os.environ.get("JD_JOB_ID", "").strip()
    return "; JD_JOB_ID=%s is not used: job_id= names a job" % shown(job_id).strip("'") if job_id else ""


def _say(line: str) -> None:
    try:
        print("jd: " + line, file=sys.stderr, flush=True)
    except (OSError, ValueError, AttributeError):
        pass  # stderr is closed, or there is none


# ---- files

def _keep(directory: Path, file: BinaryIO, next_version: Callable[[List[str]], int],
          name_of: Callable[[int], str]) -> Dict[str, Any]:
    """A copy of the file, whole or not there, as the next version; returns what a server answers."""
    try:
        with _alone(directory):
            version = next_version(os.listdir(str(directory)))
            name = name_of(version)
            file.seek(0)
            with wholefile.replacing(directory / name) as copy:
                shutil.copyfileobj(file, copy, 1024 * 1024)
                size = copy.tell()
    except OSError as error:
        raise _failed(error, directory) from None
    return {"success": True, "filename": name, "version": version, "size_bytes": size}


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """No other thread or process of this run is at this point, where the file system has locks."""
    fd = os.open(str(directory), os.O_RDONLY)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
        except OSError:
            pass  # then two processes that save at the same moment may get one version
        yield
    finally:
        os.close(fd)


def _versions(names: List[str]) -> Dict[int, str]:
    matches = [_CHECKPOINT.fullmatch(name) for name in names]
    return {int(match.group(1)): match.group(0) for match in matches if match is not None}
