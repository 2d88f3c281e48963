"""Begins the process of a script: what there is to say of it, and how it is done without a fork server."""

import errno
import os
import signal
import subprocess
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

from jd.errors import JdError
from jd.node import orphans
from jd.worker.attempt.process import memory
from jd.worker.attempt.process.child import Child


class StartFailure(JdError):
    """The script could not be started; the message names the path and says why."""


class Command(NamedTuple):
    """The command line `words`, which runs `script`, with `environ` as its environment.

    It runs in `cwd`, or where this process is. Each of its processes may have `max_memory` bytes of address
    space.
    """

    script: Path
    words: List[str]
    environ: Dict[str, str]
    cwd: Optional[Path] = None
    max_memory: Optional[int] = None


class Begun(NamedTuple):
    """A script that runs, as a child of this process that leads a session of its own, and the descriptor, not
    blocking, on which its output comes."""

    child: Child
    output: int


def spawn(command: Command) -> Begun:
    """Start the script. It ends with this process, where the system can do that. Raises StartFailure."""
    read_end, write_end = output_pipe(command)
    try:
        process = subprocess.Popen(
            command.words, stdin=subprocess.DEVNULL, stdout=write_end, stderr=write_end, env=command.environ,
            cwd=None if command.cwd is None else str(command.cwd), start_new_session=True,
            preexec_fn=first_in_child(command.max_memory))
        process.returncode = 0  # so that it never waits for the child, which is ours
        return Begun(Child(process.pid), read_end)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        os.close(read_end)
        raise failure(command, error) from None
    finally:
        os.close(write_end)


def output_pipe(command: Command) -> Tuple[int, int]:
    """The end of a pipe that the worker reads, not blocking, and that for the script. Raises StartFailure."""
    try:
        read_end, write_end = os.pipe()
    except OSError as error:
        raise StartFailure("cannot start %s: %s" % (command.script, error.strerror)) from None
    os.set_blocking(read_end, False)
    return read_end, write_end


def first_in_child(max_memory: Optional[int]) -> Callable[[], None]:
    """What a process does before it becomes the program that it is for, on behalf of a script."""
    die_with_us = orphans.die_with_parent(signal.SIGKILL)
    limit_memory = memory.limiter(max_memory)

    def in_child() -> None:
        # Slurm may signal every process of a step: draining is the worker's business, and would
        # kill a script that knows nothing of the signal.
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        if die_with_us is not None:
            die_with_us()
        if limit_memory is not None:
            limit_memory()
    return in_child


def failure(command: Command, error: Exception) -> StartFailure:
    """What to say of a script that the system does not start."""
    script, words, environ, cwd = command[:4]
    if cwd is not None and isinstance(error, OSError) and error.filename == str(cwd):
        return StartFailure("cannot start %s in %s: %s" % (script, cwd, error.strerror),
                            "jobs run in the directory that their worker was started in, which has to "
                            "stay, or as cwd= says")
    if isinstance(error, OSError) and error.errno == errno.E2BIG:
        size = sum(len(text) for text in words) + sum(len(k) + len(v) for k, v in environ.items())
        return StartFailure("cannot start %s: the job's parameters and the environment are too large for a "
                            "command line (%d characters); put large values into a file" % (script, size))
    if isinstance(error, OSError):
        return StartFailure("cannot start %s with %s: %s" % (script, words[0], error.strerror))
    if isinstance(error, UnicodeEncodeError):
        return StartFailure("cannot start %s: a parameter has a character that the encoding %s cannot carry; "
                            "set LC_ALL=C.UTF-8" % (script, error.encoding))
    return StartFailure("cannot start %s: %s in a parameter or variable" % (script, error))
