"""`jd_worker_cli prune`: the clean-up that every command begins with, and what it found."""

import json
import sys
from typing import List

from jd.cli.context import Context
from jd.terminal import Progress, plural
from jd.worker.local import cleanup

_MANY = 50  # workers, from which on a bar shows how far it is


def run(context: Context) -> int:
    """Remove what dead workers left. Exit status 1 if a registry could not be cleaned."""
    context.words_exactly(0)
    with _Bar() as bar:
        swept = cleanup.clean_up(context.environ, context.here, bar.show)
    for problem in swept.problems:
        print("error: %s" % problem, file=sys.stderr)
    if context.values["json"]:
        print(json.dumps({"workers": swept.rows, "experiments": swept.directories,
                          "problems": list(swept.problems)}))
    else:
        found = [plural(number, noun) for number, noun in (
            (swept.rows, "dead worker"), (swept.directories, "empty experiment")) if number]
        print("removed %s" % ", ".join(found) if found else "nothing to remove")
    return 1 if swept.problems else 0


class _Bar:
    """A progress bar that appears once it is known that there is much to do."""

    def __init__(self) -> None:
        self._progress: List[Progress] = []

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(self, *_: object) -> None:
        for progress in self._progress:
            progress.__exit__()

    def show(self, done: int, total: int) -> None:
        """`done` of `total` workers were looked at."""
        if total >= _MANY:
            if not self._progress:
                self._progress.append(Progress(total, "checking workers"))
            self._progress[0].update(done)
