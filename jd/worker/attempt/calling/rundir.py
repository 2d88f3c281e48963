"""`cwd=`: the directory that scripts run in, and what else depends on it.

    launch    where the launch was typed, for all of its jobs
    job       the job's own directory
    script    where the entry script lies

What the launch was told by relative paths goes on meaning the same: the entry script and the JD_* variables
are absolute by then, and the search paths of other programs become so here.
"""

import os
import re
from pathlib import Path
from typing import Dict, Mapping, Optional

from jd.worker.config import CWD_JOB

# Lists of directories that programs read; an empty entry is the current one.
_SEARCH_PATHS = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH")
_NOT_FOUND = re.compile(r"FileNotFoundError|No such file or directory")


def moved(environ: Mapping[str, str], launch: Path, directory: Path) -> Dict[str, str]:
    """The environment of a script that runs in `directory`, made of one that means `launch`."""
    fitting = dict(environ)
    if directory == launch:
        return fitting
    for name in _SEARCH_PATHS:
        if fitting.get(name):
            fitting[name] = os.pathsep.join(os.path.join(str(launch), entry).rstrip("/") or "/"
                                            for entry in fitting[name].split(os.pathsep))
    if "PWD" in fitting:
        fitting["PWD"] = str(directory)
    fitting.pop("OLDPWD", None)
    return fitting


def why_failed(cwd: str, launch: Path, tail: str) -> Optional[str]:
    """What may explain the failure of a script whose output ends in `tail`: it missed a file."""
    if cwd != CWD_JOB or _NOT_FOUND.search(tail) is None:
        return None
    return ("it ran in its job's directory (cwd=job), where it looks for relative paths; with cwd=launch it "
            "runs in %s" % launch)
