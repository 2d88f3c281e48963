"""`python -m jd.dist.install [WHEEL]`: install without pip, and uninstall.

Into the Python that runs it (a venv made with `--without-pip`), or elsewhere. Without WHEEL it installs what
it is run from: a source tree, or a wheel on PYTHONPATH. What it leaves behind is what pip would: pip can list
and uninstall it.
"""

import argparse
import csv
import io
import os
import py_compile
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from importlib.util import cache_from_source
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional, Set

from jd.dist import backend, wheel
from jd.dist.metadata import ProjectError, load_project
from jd.dist.place import PREFIX_PACKAGES, Target, prefix, running_python, user_home, venv_python
from jd.dist.unpack import Wheel, read_wheel
from jd.errors import StorageError, UsageError, run_command

# Linux cuts a #! line at 127 characters before 5.1; longer ones go through sh.
MAX_SHEBANG = 127

NAME = "jd-worker"  # of the distribution

# Isolated, so neither PYTHON* variables nor a directory jd/ where it is typed lead elsewhere.
_BOOT = ("import sys; sys.path.insert(0, sys.argv.pop(1)); from jd.dist.install import main; "
         "from jd.errors import run_command; sys.exit(run_command(main))")

_SCRIPT = """\
import sys
%(search)sfrom %(module)s import %(function)s
if __name__ == "__main__":
    sys.exit(%(function)s())
"""


class Installed(NamedTuple):
    """What `install` did."""

    name: str
    version: str
    replaced: Optional[str]  # the version that was there before
    packages: Path


def shebang(python: str) -> str:
    """The first lines of a script that `python` is to run, whatever its path looks like."""
    if not python.isprintable() or "\\" in python or "'''" in python:
        raise UsageError("%r: a script cannot name a Python with a backslash, three quotes or a control "
                         "character in its path" % python,
                         "make the venv elsewhere")
    line = "#!%s\n" % python
    if " " not in python and len(os.fsencode(line)) <= MAX_SHEBANG:
        return line
    # To sh the second line is `exec PYTHON …`; to Python lines two and three are one string.
    return "#!/bin/sh\n'''exec' %s \"$0\" \"$@\"\n' '''\n" % shlex.quote(python)


def script_text(python: str, target: str, search: Optional[Path] = None) -> str:
    """A command that calls `module:function` and exits with what it returns.

    It looks for the module in `search` first, where that is given.
    """
    module, function = target.split(":")
    looking = "" if search is None else "sys.path.insert(0, %s)\n" % ascii(str(search))
    return shebang(python) + _SCRIPT % {"module": module, "function": function, "search": looking}


def install(source: Path, target: Target) -> Installed:
    """Install a wheel file, in place of an earlier version of the same distribution.

    Everything is written beside its place first; what was there stays whole if that fails.
    Raises ProjectError or StorageError.
    """
    contents = read_wheel(source)
    before = _installed(contents.name, target.packages)
    old = [path for info in before for path in _recorded(info, target)]
    scripts = {command: script_text(target.python, entry, target.search)
               for command, entry in contents.scripts}
    staging: Optional[str] = None
    try:
        target.packages.mkdir(parents=True, exist_ok=True)
        target.scripts.mkdir(parents=True, exist_ok=True)
        staging = tempfile.mkdtemp(prefix="~jd-dist-", dir=str(target.packages))
        placed = _place(contents, scripts, target, Path(staging))
        kept = {os.path.normpath(str(path)) for path in placed}
        for path in old:
            if path not in kept:
                _remove(path, target.packages)
    except OSError as error:
        raise StorageError("cannot install into %s: %s" % (
            error.filename or target.packages, error.strerror or error)) from None
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
    replaced = _version(before[0]) if before else None
    return Installed(contents.name, contents.version, replaced, target.packages)


def uninstall(name: str, target: Target) -> Optional[str]:
    """Remove a distribution; the version that was there, or None. Raises ProjectError or StorageError."""
    before = _installed(name, target.packages)
    for info in before:
        for path in _recorded(info, target):
            try:
                _remove(path, target.packages)
            except OSError as error:
                raise StorageError("cannot remove %s: %s" % (path, error.strerror)) from None
    return _version(before[0]) if before else None


def _version(info: Path) -> str:
    return info.name[:-len(".dist-info")].split("-")[1]


def _place(contents: Wheel, scripts: Dict[str, str], target: Target, staging: Path) -> Set[Path]:
    """Write all files, then move them into place; the paths now there, bytecode included."""
    moves: Dict[Path, Path] = {}
    rows: List[List[str]] = []

    def stage(place: Path, data: bytes, executable: bool = False) -> None:
        waiting = staging / str(len(moves))
        waiting.write_bytes(data)
        if executable:
            waiting.chmod(waiting.stat().st_mode | 0o111)
        moves[waiting] = place
        rows.append([_in_record(place, target), wheel.digest(data), str(len(data))])

    for name, data in contents.files.items():
        stage(target.packages / name, data)
    for command, text in scripts.items():
        stage(target.scripts / command, os.fsencode(text), executable=True)
    info = target.packages / contents.dist_info
    stage(info / "INSTALLER", b"jd.dist\n")
    stage(info / "REQUESTED", b"")
    compiled = [Path(cache_from_source(str(place))) for place in moves.values()
                if place.suffix == ".py"] if sys.pycache_prefix is None else []
    rows += [[_in_record(path, target), "", ""] for path in compiled]
    rows.append([_in_record(info / "RECORD", target), "", ""])
    record = io.StringIO()
    csv.writer(record, lineterminator="\n").writerows(rows)
    stage(info / "RECORD", record.getvalue().encode("utf-8", "surrogateescape"))
    for waiting, place in moves.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(str(waiting), str(place))
    for place in moves.values():
        if place.suffix == ".py" and compiled:
            py_compile.compile(str(place), doraise=True)
    return set(moves.values()) | set(compiled)


def _in_record(place: Path, target: Target) -> str:
    return os.path.relpath(str(place), str(target.packages)).replace(os.sep, "/")


def _installed(name: str, packages: Path) -> List[Path]:
    """The .dist-info directories of a distribution; RECORD tells what belongs to it (PEP 376)."""
    def normal(text: str) -> str:
        return re.sub(r"[-_.]+", "-", text).lower()

    found = [info for info in sorted(packages.glob("*-*.dist-info"))
             if normal(info.name.split("-")[0]) == normal(name)]
    for info in found:
        if not (info / "RECORD").is_file():
            raise ProjectError("%s has no RECORD, so what it installed is not known" % info,
                               "uninstall it with the tool that installed it")
    return found


def _recorded(info: Path, target: Target) -> List[str]:
    """The files of an installation that lie where this module installs to: bytecode too, RECORD last."""
    inside = tuple(os.path.normpath(str(place)) + os.sep
                   for place in (target.packages, target.scripts))
    record = str(info / "RECORD")
    try:
        text = Path(record).read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise StorageError("cannot read %s: %s" % (record, error.strerror)) from None
    try:
        rows = list(csv.reader(io.StringIO(text, newline="")))
    except csv.Error as error:
        raise StorageError("%s cannot be read: %s" % (record, error),
                           "remove the installation by hand, then install again") from None
    paths = []
    for row in rows:
        path = os.path.normpath(os.path.join(str(target.packages), row[0])) if row else ""
        if path.startswith(inside) and path != record:
            paths.append(path)
            if path.endswith(".py"):
                stem = os.path.basename(path)[:-3]
                cache = Path(path).parent / "__pycache__"
                paths += [str(cached) for cached in cache.glob("%s.*.pyc" % stem)]
    return paths + [record]


def _remove(path: str, packages: Path) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    parent = Path(path).parent
    while packages in parent.parents:
        try:
            parent.rmdir()
        except OSError:  # not empty: someone else's files are in it
            return
        parent = parent.parent


def _source(given: Optional[Path], editable: bool, scratch: Callable[[], Path]) -> Path:
    """The wheel to install: the one given, the one this runs from, or one built from the tree."""
    root = backend.source_root()
    if editable and given is not None:
        raise UsageError("--editable takes no WHEEL: it points at the source tree it is run from")
    if given is not None:
        return given
    if root.is_file() and not editable:
        return root
    project = load_project(root)
    return (wheel.build_editable if editable else wheel.build_wheel)(project, scratch())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="install.sh" if sys.argv[0] == "install.sh" else "python -m jd.dist.install",
        description="Install into the Python that runs this, or where an option says, without pip.")
    parser.add_argument("wheel", metavar="WHEEL", nargs="?", type=Path,
                        help="what to install (default: what this is run from)")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--venv", metavar="DIR", type=Path,
                       help="install into this venv; it is made if there is none")
    where.add_argument("--prefix", metavar="DIR", type=Path,
                       help="install into DIR/bin and DIR/%s" % PREFIX_PACKAGES)
    where.add_argument("--user", action="store_true", help="install for this user and this Python")
    where.add_argument("--editable", action="store_true",
                       help="install a pointer to the source tree instead of a copy")
    parser.add_argument("--uninstall", action="store_true", help="remove what was installed there")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    return parser


def _target(arguments: argparse.Namespace) -> Target:
    if arguments.prefix is not None:
        return prefix(arguments.prefix)
    return user_home() if arguments.user else running_python()


def _in_venv(arguments: argparse.Namespace) -> int:
    """Do it with the Python of the venv, for which bytecode and paths are then right."""
    python = venv_python(arguments.venv, create=not arguments.uninstall)
    words = [] if arguments.wheel is None else [os.path.abspath(str(arguments.wheel))]
    words += [flag for flag in ("--uninstall", "--quiet") if getattr(arguments, flag[2:])]
    return subprocess.call([python, "-I", "-c", _BOOT, str(backend.source_root())] + words)


def _install(arguments: argparse.Namespace) -> None:
    target = _target(arguments)
    with ExitStack() as closing:
        def scratch() -> Path:
            return Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="jd-dist-")))
        done = install(_source(arguments.wheel, arguments.editable, scratch), target)
    if not arguments.quiet:
        was = " (before: %s)" % done.replaced if done.replaced not in (None, done.version) else ""
        print("%s %s installed into %s%s" % (done.name, done.version, done.packages, was))
        if target.search is not None or arguments.user:
            _tell_more(target.scripts, "PYTHONPATH=%s %s -m jd.dist.install --uninstall %s" % (
                shlex.quote(str(target.packages)), shlex.quote(target.python),
                "--user" if arguments.user else "--prefix " + shlex.quote(str(target.scripts.parent))))


def _tell_more(scripts: Path, uninstalling: str) -> None:
    print("commands:     %s" % (scripts / "jd_worker_cli"))
    if str(scripts) not in os.environ.get("PATH", "").split(os.pathsep):
        print('find them:    export PATH=%s:"$PATH"' % shlex.quote(str(scripts)))
    print("to uninstall: %s" % uninstalling)


def _uninstall(arguments: argparse.Namespace) -> int:
    target = _target(arguments)
    version = uninstall(NAME, target)
    if version is None:
        raise UsageError("%s is not installed in %s" % (NAME, target.packages))
    if not arguments.quiet:
        print("%s %s removed from %s" % (NAME, version, target.packages))
    return 0


def main(argv: List[str]) -> int:
    """Install or uninstall, and say so."""
    arguments = _parser().parse_args(argv)
    if arguments.uninstall and (arguments.wheel is not None or arguments.editable):
        raise UsageError("--uninstall takes no WHEEL and no --editable: it removes what is there")
    if arguments.venv is not None:
        status = _in_venv(arguments)
        if status == 0 and not arguments.uninstall and not arguments.quiet:
            place = os.path.abspath(str(arguments.venv.expanduser()))
            _tell_more(Path(place) / "bin", "rm -r " + shlex.quote(place))
        return status
    if arguments.uninstall:
        return _uninstall(arguments)
    _install(arguments)
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
