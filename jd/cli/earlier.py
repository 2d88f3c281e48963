"""Registries that an earlier version has named with upper-case letters: no command of one experiment looks
into them any more, since names are in lower case."""

from __future__ import annotations

import shlex

from jd import namecase, paths
from jd.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Mapping


def told(experiment: str, environ: Mapping[str, str]) -> list[str]:
    """What is to be said of those whose name is otherwise that of the experiment, and how to go on."""
    found: list[str] = []
    try:
        mine = paths.experiment_cache(experiment, environ)
    except UsageError:
        return found  # no home directory, of which a command that needs one says more
    for other in namecase.others(mine.parent, experiment):
        waiting = paths.outbox_root(environ) / experiment
        go_on = "move what is in its outbox into %s, then remove it" % waiting
        if not mine.exists():
            go_on = "mv %s %s" % (shlex.quote(str(other)), shlex.quote(str(mine)))
        found.append("%s is of an earlier version, no command of %s looks into it: names are lower case. "
                     "Stop its workers with stop all-experiments, then %s" % (other, experiment, go_on))
    return found
