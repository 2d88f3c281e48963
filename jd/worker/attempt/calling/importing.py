"""What makes `import jd` work in a script, whichever Python runs it: a directory for PYTHONPATH with this
package and nothing else.

The directory that the package itself is in would not do. Of an installed worker it is site-packages, and a
script of another Python would import all that is installed there; of a checkout it has `tests` too. So
`jd/__init__.py` in a directory of our own puts the real package in its place. It can be read by the oldest
Python that a script may have, to say there what is needed.
"""

import hashlib
import os
from functools import lru_cache
from pathlib import Path
from typing import Dict, Mapping, Optional, Tuple

from jd import paths
from jd.errors import JdError
from jd.files import plainfile, safedirs, wholefile
from jd.program import package_parent

_FILE = os.path.join("jd", "__init__.py")
_State = Tuple[int, ...]
# Files that were as they should be, as was all on the way to them, when they and their place had this state.
_as_it_should_be: Dict[str, _State] = {}
_SOURCE = '''\
"""Makes `import jd` work in scripts of jobs. jd_worker_cli has written this, and writes it again."""
import sys
if sys.version_info < (3, 8):
    raise ImportError(
        "jd needs Python 3.8 or newer, and %%s is Python %%d.%%d; a script needs no jd: its parameters are "
        "in the variable JD_JOB_PARAMETERS, and collect= brings its files to the server"
        %% ((sys.executable,) + sys.version_info[:2]))
import importlib.machinery
import importlib.util
_found = importlib.machinery.PathFinder.find_spec("jd", [%(parent)s])
if _found is None or _found.loader is None:
    raise ImportError("the jd of the worker that runs this script is no longer in " + %(parent)s)
if hasattr(_found.loader, "exec_module"):
    _package = importlib.util.module_from_spec(_found)
    sys.modules["jd"] = _package
    _found.loader.exec_module(_package)
else:  # that of a .pyz, before Python 3.10
    del sys.modules["jd"]
    _found.loader.load_module("jd")
'''


def source() -> bytes:
    """What stands in the `jd/__init__.py` that finds this very package."""
    return _source(package_parent())


@lru_cache(maxsize=1)
def _source(parent: str) -> bytes:
    return (_SOURCE % {"parent": ascii(parent)}).encode("ascii")


def put(directory: Path) -> None:
    """Write it below a directory that is there. Raises OSError."""
    package = directory / "jd"
    package.mkdir(mode=0o700, exist_ok=True)
    wholefile.write(package / "__init__.py", source())


def place(environ: Mapping[str, str]) -> str:
    """Such a directory, in the cache; made where it is not there.

    Where none can be had it is the place of the package itself; what is wrong with the cache the launch and
    `doctor` say.
    """
    return kept(environ, _FILE, source()) or package_parent()


def kept(environ: Mapping[str, str], name: str, content: bytes) -> Optional[str]:
    """A directory of the cache with a file of that name and content and nothing else, made where it is not
    there; None where none can be had.

    Scripts execute what is in it, so nobody else may be able to write to it.
    """
    kept_in, path = _place(paths.cache_place(environ), content, name)
    try:
        state = _state(kept_in, os.path.dirname(path), path)
        if state and _as_it_should_be.get(path) == state:
            return kept_in
        top, file = paths.cache_root(environ), Path(path)
        safedirs.make(file.parent, safedirs.CACHE, top)
        if not safedirs.check_file(file, safedirs.CACHE, top) or _beginning(file, content) != content:
            wholefile.write(file, content)
        _as_it_should_be[path] = _state(kept_in, os.path.dirname(path), path)
        return kept_in
    except (JdError, OSError):
        return None


def tidy(environ: Mapping[str, str]) -> None:
    """Remove what workers that were killed while they made it have left there."""
    wholefile.tidy(Path(_place(paths.cache_place(environ), source(), _FILE)[1]).parent)


def _state(*paths: str) -> _State:
    """What is other after any change of them; empty where one is not there."""
    try:
        found = [os.lstat(path) for path in paths]
    except OSError:
        return ()
    return tuple(number for one in found for number in (
        one.st_dev, one.st_ino, one.st_size, one.st_mtime_ns, one.st_ctime_ns))


@lru_cache(maxsize=2)
def _place(cache: str, content: bytes, name: str) -> Tuple[str, str]:
    """Where the directory for it is, and the file."""
    directory = os.path.abspath(os.path.join(cache, "python", hashlib.sha256(content).hexdigest()[:16]))
    return directory, os.path.join(directory, name)


def _beginning(file: Path, content: bytes) -> bytes:
    return plainfile.beginning(file, len(content) + 1)
