"""A sweep of a function: each job calls it with its parameters, and what it returns is the job's result."""

import importlib
import os
import re
from pathlib import Path
from typing import Any, Callable, NamedTuple, Union

from jd.files import wholefile
from jd.sweep import local
from jd.sweep.envfile import PathLike
from jd.sweep.errors import BadType, BadValue, FileTrouble
from jd.sweep.sweeps import Sweep, started, sweep

_ENTRY = """\
# Made by jd.map: runs %(module)s.%(name)s with the parameters of a job.
import sys

sys.path.insert(0, %(path)r)

from jd.sweep import called

called.run(%(module)r, %(name)r)
"""


class _Function(NamedTuple):
    module: str
    name: str
    path: str  # the directory from which the module is imported


def map(function: Union[Callable[..., Any], PathLike], grid: Any, **options: Any) -> Sweep:
    """A sweep whose jobs call a function with their parameters as keywords: `jd.map(mymodule.train, grid)`.

    What it returns, a number or a dictionary of numbers, is the job's result: a number has the name `value`.
    The function must be importable by its name, so it stands in a module and not in the program or notebook
    itself. A path in place of a function is a script. `options` are those of `jd.sweep` with `script=`.

    Raises BadType for what is no function, BadValue for one that cannot be imported, and as `sweep`.
    """
    if isinstance(function, (str, os.PathLike)):
        return sweep(grid, function, **options)
    if not callable(function):
        raise BadType("jd.map takes a function or the path of a script, not %s" % type(function).__name__)
    found = _importable(function)
    name = re.sub("[^a-z0-9_-]+", "-", ("%s-%s" % (found.module.rpartition(".")[2], found.name)).lower())
    return started(grid, name.strip("-_"), lambda session: _entry(local.place(session), found), **options)


# ---- how

def _importable(function: Callable[..., Any]) -> _Function:
    module, name = str(getattr(function, "__module__", "")), str(getattr(function, "__qualname__", ""))
    try:
        if not module or module == "__main__" or "<" in name:
            raise AttributeError(name)
        there: Any = importlib.import_module(module)
        file = getattr(there, "__file__", None)
        for part in name.split("."):
            there = getattr(there, part)
    except (AttributeError, ImportError):
        there = file = None
    if there is not function or file is None:
        raise BadValue("%s is no function of a module that can be imported" % (name or repr(function)),
                       "put it into a file beside the program, as in: import mymodule; "
                       "jd.map(mymodule.train, grid)")
    path = Path(os.path.abspath(file)).parent
    for _ in range(module.count(".") + (os.path.basename(file) == "__init__.py")):
        path = path.parent
    return _Function(module, name, str(path))


def _entry(directory: Path, found: _Function) -> str:
    """The script that workers run."""
    target = directory / ("%s.%s.py" % (found.module, found.name))
    try:
        wholefile.write(target, (_ENTRY % found._asdict()).encode("utf-8"), 0o644)
    except OSError as error:
        raise FileTrouble("%s cannot be written: %s" % (target, error.strerror or error)) from None
    return str(target)
