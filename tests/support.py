"""What many tests share."""

import os
import pickle
import shutil
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import pytest

ROOT = Path(os.path.abspath(__file__)).parents[1]


def wait_until(predicate: Callable[[], Any], timeout: float = 10.0,
               message: str = "what the test waits for") -> Any:
    """Poll until `predicate()` is true and return what it returned; AssertionError after `timeout` s.

    For state that only another process can tell; inside one process wait on an event.
    """
    deadline = time.monotonic() + timeout
    pause = 0.005
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise AssertionError("not within %g s: %s" % (timeout, message))
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)


NOBODY, MALLORY = 54320, 54321  # numbers that no passwd file knows: the user at work, and another
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act for a second user")


def as_user(uid: int, call: Callable[[], Any], gid: Optional[int] = None) -> Any:
    """What `call()` gives, or the exception that it raises, in a forked child that is another user."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(uid if gid is None else gid)
            os.setuid(uid)
            try:
                outcome = call()
            except Exception as error:
                outcome = error
            with os.fdopen(writing, "wb") as file:
                pickle.dump(outcome, file)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        content = file.read()
    os.waitpid(pid, 0)
    return pickle.loads(content)


def program(name: str) -> Optional[str]:
    """The path of a program, also of one that only root has on PATH; None where it is not installed."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"]))


def python(*args: Any) -> List[str]:
    """A command line that runs the Python of the tests."""
    return [sys.executable] + [str(arg) for arg in args]


def free_env(tmp_path: Path, **extra: Any) -> Dict[str, str]:
    """A whole environment for a child process: every directory in `tmp_path`, the checkout on PYTHONPATH.

    Nothing of the caller's JD_*, proxy, make or Slurm variables is in it. `extra` comes on top; None
    takes a variable out.
    """
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    environment = {
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PATH": os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)]),
        "PYTHONPATH": str(ROOT),
        "JD_WORKSPACE_PATH": str(tmp_path / "workspace"),
        "JD_CACHE_PATH": str(tmp_path / "cache"),
    }
    for name, value in extra.items():
        if value is None:
            environment.pop(name, None)
        else:
            environment[name] = str(value)
    return environment
