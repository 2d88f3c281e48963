"""Where an installation goes: the Python that runs this, a venv, a prefix, or the user's home."""

import os
import site
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple, Optional

from jd.errors import StorageError, UsageError

# Not called site-packages: no Python looks there by itself, so workers put it on their scripts' path.
PREFIX_PACKAGES = os.path.join("lib", "jd-worker")
_CHECK_SECONDS = 60


class Target(NamedTuple):
    """Where an installation goes."""

    packages: Path  # site-packages
    scripts: Path
    python: str
    search: Optional[Path] = None  # what commands put on sys.path, where Python does not by itself


def running_python() -> Target:
    """The Python that runs this. Raises UsageError where its packages belong to the system."""
    _refuse_managed()
    return Target(Path(sysconfig.get_path("purelib")), Path(sysconfig.get_path("scripts")),
                  sys.executable)


def user_home() -> Target:
    """The packages of this user, for this Python. Raises UsageError where it would not see them."""
    if sys.prefix != sys.base_prefix:
        raise UsageError("--user: a Python in a venv does not see the packages of a user",
                         "leave --user away to install into %s" % sys.prefix)
    _refuse_managed()
    return Target(Path(site.getusersitepackages()),
                  Path(sysconfig.get_path("scripts", os.name + "_user")), sys.executable)


def prefix(directory: Path) -> Target:
    """`directory/bin` and `directory/lib/jd-worker`, for any Python from 3.8 on."""
    root = Path(os.path.abspath(str(directory.expanduser())))
    packages = root / PREFIX_PACKAGES
    return Target(packages, root / "bin", sys.executable, packages)


def venv_python(directory: Path, create: bool = True) -> str:
    """The Python of a venv, which is made if there is none, without pip.

    Raises UsageError where something else is in its place, StorageError where it cannot be made.
    """
    root = Path(os.path.abspath(str(directory.expanduser())))
    python = str(root / "bin" / "python")
    try:
        there = root.exists() and (not root.is_dir() or any(root.iterdir()))
    except OSError as error:
        raise StorageError("cannot look into %s: %s" % (root, error.strerror)) from None
    if not there:
        if not create:
            raise UsageError("there is no venv %s" % root)
        _make_venv(root)
    elif not (root / "pyvenv.cfg").is_file():
        raise UsageError("%s is there already and is no venv: name another directory; "
                         "nothing was changed" % root)
    if not _runs(python):
        raise UsageError("%s does not run, or is older than Python 3.8: remove %s or name another "
                         "directory; nothing was installed" % (python, root))
    return python


def _refuse_managed() -> None:
    if sys.prefix == sys.base_prefix and os.path.exists(os.path.join(
            sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")):
        raise UsageError("the packages of %s are managed by the system (PEP 668)" % sys.executable,
                         "make a venv: %s -m venv --without-pip .venv, and run this with .venv/bin/python"
                         % sys.executable)


def _make_venv(root: Path) -> None:
    try:
        import venv
    except ImportError:
        raise UsageError("%s has no module venv (its distribution packs it separately): install "
                         "with --prefix DIR instead" % sys.executable) from None
    try:
        venv.EnvBuilder(symlinks=True).create(str(root))
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise StorageError("cannot make the venv %s: %s" % (
            root, getattr(error, "strerror", None) or error)) from None


def _runs(python: str) -> bool:
    try:
        return subprocess.run([python, "-I", "-c", "import sys; sys.exit(sys.version_info < (3, 8))"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              timeout=_CHECK_SECONDS, check=False).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False
