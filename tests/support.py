"""What many tests share."""

import importlib.util
import os
import pickle
import shutil
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Callable, Dict, Iterator, List, Optional, TypeVar

import pytest

from jd.auth import passwords
from jd.errors import EXIT_OK, EXIT_TERMINATED
from jd.node.scheduler import is_managed

ROOT = Path(os.path.abspath(__file__)).parents[1]
_T = TypeVar("_T")

PATIENCE = 60.0  # seconds; what works never takes so long, however loaded the machine is


def wait_until(predicate: Callable[[], Optional[_T]], timeout: float = PATIENCE,
               message: str = "what the test waits for") -> _T:
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


def in_time(call: Callable[[], _T], timeout: float = PATIENCE) -> _T:
    """What `call()` returns, of a thread; AssertionError where it takes longer than `timeout` s."""
    returned: List[_T] = []
    thread = threading.Thread(target=lambda: returned.append(call()), daemon=True)
    thread.start()
    thread.join(timeout)
    assert returned, "it has not returned within %g s, or failed" % timeout
    return returned[0]


def left_running(base: str) -> List[str]:
    """Other processes that have something below `base` in their command line or environment (Linux)."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        if process.name == str(os.getpid()):
            continue
        try:
            command = (process / "cmdline").read_bytes()
            told = command + (process / "environ").read_bytes()
        except OSError:  # ended meanwhile, or another user's
            continue
        if (base + os.sep).encode() in told:
            found.append("%s %s" % (process.name, command.replace(b"\0", b" ").decode("utf-8", "replace")))
    return found


@contextmanager
def cheap_passwords() -> Iterator[None]:
    """Passwords and PINs are hashed with a quarter of the work in this process; tests/auth tests it as it is.

    What other processes have hashed still counts as bearable here.
    """
    patch = pytest.MonkeyPatch()
    patch.setattr(passwords, "_LOG_N", passwords._LOG_N - 2)
    yield
    patch.undo()


NOBODY, MALLORY = 54320, 54321  # numbers that no passwd file knows: the user at work, and another
warm_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs orphans that come to us")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act for a second user")


@contextmanager
def public_directory(mode: int = 0o755) -> Iterator[Path]:
    """A directory that every user can enter: pytest's own are closed to others, and so TMPDIR may be."""
    base = next(name for name in (tempfile.gettempdir(), "/tmp", "/var/tmp")
                if all(os.stat(str(part)).st_mode & 0o001 for part in (Path(name), *Path(name).parents)))
    with tempfile.TemporaryDirectory(prefix="jd-tests-", dir=base) as made:
        os.chmod(made, mode)
        yield Path(made)


def directory_of(path: Path, uid: int = 0, mode: int = 0o755, gid: Optional[int] = None) -> Path:
    """A directory of this user, and of the group with his number where no other is given."""
    path.mkdir(parents=True, exist_ok=True)
    os.chown(str(path), uid, uid if gid is None else gid)
    path.chmod(mode)
    return path


def file_of(path: Path, uid: int, text: str = "a-token-that-mallory-knows\n", mode: int = 0o644) -> Path:
    """A file of this user, and of the group with his number."""
    path.write_text(text)
    os.chown(str(path), uid, uid)
    path.chmod(mode)
    return path


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
    places = [os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"]
    return shutil.which(name, path=os.pathsep.join(places))


def python(*args: Any) -> List[str]:
    """A command line that runs the Python of the tests."""
    return [sys.executable] + [str(arg) for arg in args]


def loaded(path: Path) -> ModuleType:
    """A Python file that is in no package, as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, str(path))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# What a worker in the foreground ends with that is told to stop while jobs are left: these tests may run in
# a container.
STOPPED = EXIT_TERMINATED if is_managed({}) else EXIT_OK


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
