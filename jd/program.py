"""How this program is started, and how it starts itself again.

It runs from an installation, with `python -m` from a checkout, or from jd-worker.pyz. Nothing else
in the package tells these apart.
"""

from __future__ import annotations

import os
import sys

import jd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Sequence

WORKER, SERVER, HUB = "worker", "server", "hub"
_COMMANDS = {WORKER: "jd_worker_cli", SERVER: "jd_server", HUB: "jd_hub"}


_parent: str | None = None


def package_parent() -> str:
    """The directory (or .pyz file) that `import jd` came from.

    It is found out once: in background workers before they leave the directory of the launch,
    which a .pyz may have been named relative to.
    """
    global _parent
    if _parent is None:
        _parent = os.path.dirname(os.path.dirname(os.path.abspath(jd.__file__)))
    return _parent


def archive() -> str | None:
    """The absolute path of the .pyz file that `jd` came from, if it came from one."""
    loader = getattr(jd.__spec__, "loader", None)
    path = getattr(loader, "archive", None)
    if loader is None or path is None:
        return None
    try:
        loader.get_data(os.path.join(path, "__main__.py"))
    except OSError:
        return None  # a wheel on PYTHONPATH: importable, not runnable
    return os.path.abspath(str(path))


def command(which: str) -> list[str]:
    """The start of a command line that runs WORKER, SERVER or HUB with this Python and this package."""
    path = archive()
    start = [sys.executable, "-m", "jd"] if path is None else [sys.executable, path]
    return start + ([] if which == WORKER else [which])


def typed(which: str) -> str:
    """The same as a person types it in a shell."""
    path = archive()
    if path is None:
        return _COMMANDS[which]
    import shlex
    given = _as_called(path)
    # Without a slash a shell would look along PATH.
    given = given if os.sep in given else os.path.join(os.curdir, given)
    return shlex.quote(given) + ("" if which == WORKER else " " + which)


def name() -> str:
    """What `jd_worker_cli` is called here: a shell completes its arguments by this name."""
    path = archive()
    return _COMMANDS[WORKER] if path is None else os.path.basename(_as_called(path))


def _as_called(path: str) -> str:
    """The archive, or the link to it that this process was started by."""
    return sys.argv[0] if os.path.realpath(sys.argv[0]) == os.path.realpath(path) else path


def again(argv: Sequence[str]) -> list[str]:
    """The command line of this very process, which sees `argv` as its sys.argv."""
    original = getattr(sys, "orig_argv", None)
    if original:
        return [sys.executable] + list(original[1:])
    # What Python before 3.10 does not keep: its own flags, and `-m package`.
    import subprocess
    flags: list[str] = getattr(subprocess, "_args_from_interpreter_flags")()
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is not None and "." in spec.name:
        module = spec.name.rpartition(".__main__")[0] or spec.name
        return [sys.executable] + flags + ["-m", module] + list(argv[1:])
    return [sys.executable] + flags + list(argv)
