"""One run: a plan is played in a directory of its own, and what it has left is examined."""

import shutil
import tempfile
import time
import traceback
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import Counter as Counts
from typing import Dict, Iterator, List, NamedTuple, Sequence

from tests.faults import disks, invariants, play
from tests.faults.plan import Plan

AT_ONCE = 4  # on two processors: a run mostly waits
MOST_BESIDE = 20  # workers of a run that leaves processors for others: with more it is played alone
SEEDS = (176, 240, 257, 330, 348, 455, 609, 646, 658, 727, 733, 828)  # those of CI: all kinds of faults


class Outcome(NamedTuple):
    """How a run went; without violations its directory is gone."""

    plan: Plan
    violations: List[str]
    directory: Path
    met: Counts[str]  # requests by the trouble that they met
    killed: Dict[str, int]  # programs that have ended by SIGKILL, and how often
    seconds: float

    def shown(self) -> str:
        """The plan, what does not hold, and how to play it again."""
        told = ["  does not hold: " + violation for violation in self.violations]
        return "\n".join([
            "seed %d: FAILED, its files are in %s" % (self.plan.seed, self.directory),
            self.plan.shown(), *told,
            "  play it again: python -m tests.faults --runs 1 --seed %d --jobs %d" % (
                self.plan.seed, len(self.plan.jobs))])


def run(planned: Plan, mounting: bool) -> Outcome:
    """Play a plan and look whether everything holds."""
    directory = Path(tempfile.mkdtemp(prefix="jd-faults-"))
    directory.chmod(0o755)
    began = time.monotonic()
    met: Counts[str] = Counter()
    killed: Dict[str, int] = {}
    try:
        played = play.play(planned, directory, mounting)
        found = invariants.violations(played)
        met, killed = Counter(played.met), played.killed
    except Exception as error:
        found = ["the harness failed: %r\n%s" % (error, traceback.format_exc())]
    if not found:
        shutil.rmtree(str(directory), ignore_errors=True)
    return Outcome(planned, found, directory, met, killed, time.monotonic() - began)


def run_all(plans: Sequence[Plan]) -> Iterator[Outcome]:
    """Run plans, some at a time, and storms alone; outcomes come in their order."""
    mounting = disks.can_mount()
    for alone, some in groupby(plans, lambda planned: sum(planned.nodes) > MOST_BESIDE):
        with ThreadPoolExecutor(1 if alone else AT_ONCE) as pool:
            yield from pool.map(lambda planned: run(planned, mounting), list(some))
