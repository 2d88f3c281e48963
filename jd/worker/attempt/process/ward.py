"""What a worker tells its warden (launch/warden.py) of the job that it runs.

It is one line in a pipe for each beginning and end of a job's script. The end of the pipe is the end of the
worker, however that came: the warden knows by the last line whether it has left something running.
"""

import json
import os
from dataclasses import dataclass
from typing import Mapping, Optional, Tuple

# Every process of a job inherits them, and no other job has all of them alike.
_MARKING = ("JD_WORKER_ID", "JD_JOB_ID", "JD_JOB_ATTEMPT")
_NOTHING = b"-"


@dataclass(frozen=True)
class Running:
    """The processes of one job: those of the session that process `leader` leads, and those whose environment
    has all of `marks`, such as `JD_JOB_ID=5`."""

    leader: int
    marks: Tuple[str, ...]


class Ward:
    """The worker's end of the pipe; without `fd` there is no warden, and nothing is told.

    Nothing is raised: a warden that was killed costs no job.
    """

    def __init__(self, fd: Optional[int] = None) -> None:
        self._fd = fd

    def began(self, leader: int, environ: Mapping[str, str]) -> None:
        """The script of a job runs, as a session of its own and with this environment."""
        marks = ["%s=%s" % (name, environ[name]) for name in _MARKING if environ.get(name)]
        self._tell(json.dumps([leader, marks]).encode("ascii"))

    def ended(self) -> None:
        """Nothing of it is left."""
        self._tell(_NOTHING)

    def fileno(self) -> int:
        """The descriptor, which whoever closes others has to leave open."""
        assert self._fd is not None
        return self._fd

    def close(self) -> None:
        """Nothing more will be told."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _tell(self, line: bytes) -> None:
        if self._fd is None:
            return
        try:
            os.write(self._fd, line + b"\n")  # in one piece or not at all (PIPE_BUF), and it never waits
        except OSError:
            pass


def last_word(told: bytes) -> Optional[Running]:
    """What runs after the whole lines in `told`; None if that is nothing."""
    lines = told.split(b"\n")[:-1]
    if not lines or lines[-1] == _NOTHING:
        return None
    leader, marks = json.loads(lines[-1])
    return Running(leader, tuple(marks))
