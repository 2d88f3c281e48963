"""What many tests share."""

import os
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List

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
