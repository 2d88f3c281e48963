"""Asks a Python whether it runs, which one it is, and what it makes of an entry script."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import List, Mapping, NamedTuple, Optional, Tuple

from jd.errors import UsageError

PATIENCE = 60.0  # seconds: a conda environment on a cold network file system takes many
_VERSION = ("import sys; sys.stdout.write('%d.%d.%d\\n%s\\n' % (sys.version_info[0], sys.version_info[1], "
            "sys.version_info[2], sys.prefix))")
# Where the file of a module is; without importing its package, where that can be known.
_FIND = """
import importlib.machinery, importlib.util, json, os, sys
name = sys.argv[1]
def found(name):
    top, _, rest = name.partition(".")
    spec = importlib.util.find_spec(top)
    done = top
    for part in filter(None, rest.split(".")):
        if spec is None or spec.submodule_search_locations is None:
            return None
        done += "." + part
        spec = importlib.machinery.PathFinder.find_spec(done, spec.submodule_search_locations)
    return spec
def anyhow(name):
    try:
        return found(name) or importlib.util.find_spec(name)
    except ImportError:
        return None
spec = anyhow(name)
package = spec is not None and spec.submodule_search_locations is not None
main = anyhow(name + ".__main__") if package else spec
origin = None if main is None else main.origin
print(json.dumps([spec is not None, package, origin and os.path.abspath(origin)]))
"""


class Interpreter(NamedTuple):
    """A Python that runs: its absolute path, its version as in 3.11.4, and its sys.prefix."""

    path: Path
    version: str
    prefix: str


class Module(NamedTuple):
    """What a Python finds of a module. `file` is what -m would run, None where there is none."""

    exists: bool
    is_package: bool
    file: Optional[Path]


def checked(given: str, environ: Mapping[str, str], directory: Path) -> Interpreter:
    """The Python that `python=` names. Raises UsageError unless it runs, with what to do."""
    path = Path(os.path.abspath(os.path.join(str(directory), given)))
    if os.sep not in given:
        found = shutil.which(given, path=environ.get("PATH"))
        if found is None:
            raise UsageError("python=: no program called %s is in PATH" % given,
                             "give python=%s" % path if path.exists() else "give its path")
        path = Path(os.path.join(str(directory), found))
    if path.is_dir():
        inside = path / "bin" / "python"
        raise UsageError("python=: %s is a directory" % path,
                         "give python=%s" % inside if inside.exists() else "give the path of a Python")
    if not path.exists():
        raise UsageError("python=: %s does not exist" % path, "give the path of a Python")
    if not os.access(str(path), os.X_OK):
        raise UsageError("python=: %s cannot be executed" % path, "give the path of a Python, or chmod +x it")
    status, output, errors = asked([str(path), "-c", _VERSION], environ, directory)
    lines = output.splitlines()
    if status != 0 or len(lines) != 2 or lines[0].count(".") != 2:
        said = (errors.strip() or output.strip()).splitlines()[-1:]
        raise UsageError("python=: %s is no Python that runs%s" % (path, ": " + said[0] if said else ""),
                         "run it once by hand")
    return Interpreter(path, lines[0], lines[1])


def module(name: str, python: str, environ: Mapping[str, str], directory: Path) -> Module:
    """What `python -m name` finds in a directory. Raises UsageError where that cannot be known."""
    status, output, errors = asked([python, "-c", _FIND, name], environ, directory)
    if status != 0:
        said = errors.strip().splitlines()[-1:]
        raise UsageError("entry_script=: %s cannot look for the module %s: %s" % (
            python, name, said[0] if said else "exit status %d" % status),
            "run it once by hand: %s -m %s" % (python, name))
    exists, is_package, file = json.loads(output.splitlines()[-1])
    return Module(exists, is_package, None if file is None else Path(file))


def asked(words: List[str], environ: Mapping[str, str], directory: Path) -> Tuple[int, str, str]:
    """Exit status, output and errors of a program that is run in `directory`."""
    try:
        done = subprocess.run(words, env=dict(environ), cwd=str(directory), stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        return 1, "", "it has not ended within %g s" % PATIENCE
    except OSError as error:
        return 1, "", str(error.strerror)
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
