"""Programs that a worker asks something, such as git or nvidia-smi: for a bounded time, in a thread.

They are children of the worker like the script that runs beside them, but not what that has started: who
clears up after a script leaves them alone (see `orphans`). They end with the worker.
"""

import os
import signal
import subprocess
from typing import Mapping, Optional, Sequence

from jd.node import orphans

_END_TIME = 1.0  # seconds for one that was killed to be gone; else it hangs in the kernel


def output_of(command: Sequence[str], environ: Mapping[str, str], timeout: float,
              directory: Optional[str] = None) -> Optional[bytes]:
    """What a program writes to its standard output, whatever its exit status; None where it cannot be run,
    or takes longer than `timeout` seconds: it is killed then, with what it has started."""
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env=dict(environ), cwd=directory, start_new_session=True,
            preexec_fn=orphans.die_with_parent(signal.SIGKILL))
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    orphans.cared_for.add(process.pid)
    try:
        return process.communicate(timeout=timeout)[0]
    except (OSError, ValueError, subprocess.SubprocessError):
        _end(process)
        return None
    finally:
        orphans.cared_for.discard(process.pid)


def _end(process: "subprocess.Popen[bytes]") -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(_END_TIME)
    except (OSError, subprocess.SubprocessError):
        pass  # gone, or it hangs in the kernel
    if process.stdout is not None:
        process.stdout.close()
