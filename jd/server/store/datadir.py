"""Where the data of an experiment is in a workspace: `<workspace>/<name>`, the name in lower case."""

import shlex
from pathlib import Path
from typing import List

from jd import namecase
from jd.errors import JdError


def of(workspace: Path, experiment: str) -> Path:
    """The directory, which need not exist.

    Raises JdError where the data lies, also, in a directory that an earlier version has named with upper-case
    letters: a new and empty experiment must not take its place in silence, nor two become one.
    """
    mine = workspace / experiment
    there: List[Path] = [path for path in namecase.others(workspace, experiment)
                         if (path / "meta" / "jobs.db").exists()]
    if not there:
        return mine
    other = there[0]
    if (mine / "meta" / "jobs.db").exists():
        raise JdError("%s and %s are two experiments, and names are in lower case: these would be one" % (
            other, mine), "give one another name: %s" % _moving(other, workspace / (experiment + "-2")))
    raise JdError("the data of %s is in %s, and names are in lower case now" % (experiment, other),
                  "when no server uses it any more: %s" % _moving(other, mine))


def _moving(source: Path, target: Path) -> str:
    return "mv %s %s" % (shlex.quote(str(source)), shlex.quote(str(target)))
