"""`python -m tests.faults --runs N [--seed S] [--jobs J] [--storm W]`: sweeps under attack from all sides.

Run number k has the seed S+k, and its plan follows from that alone. One that fails shows its plan and what
does not hold, and keeps its directory; `--runs 1 --seed …` plays it again.
"""

import argparse
import random
import signal
import sys
import time
from collections import Counter
from typing import Counter as Counts

from jd.errors import EXIT_TERMINATED
from tests.faults import disks, plan, runs

STORM_EVERY = 100  # runs of the long mode; that one has many workers, which are all killed and come back
STORM = 200


def main() -> int:
    """0 where everything held in every run."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults",
                                     description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seed", type=int, help="of the first run; else by chance")
    parser.add_argument("--jobs", type=int, default=10, help="of each run")
    parser.add_argument("--storm", type=int, default=0, help="workers that are all killed and come back")
    given = parser.parse_args()
    # As Ctrl-C: the runs that have begun come to their end, and leave no process behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))
    first = random.SystemRandom().randrange(10 ** 6) if given.seed is None else given.seed
    print("%d runs from seed %d, %d at a time%s" % (
        given.runs, first, runs.AT_ONCE, "" if disks.can_mount()
        else "; no disk becomes full or read-only, since only root can mount one"), flush=True)
    plans = [plan.make(first + number, given.jobs,
                       STORM if number % STORM_EVERY == STORM_EVERY - 1 else given.storm)
             for number in range(given.runs)]
    began, failed = time.monotonic(), []
    kinds: Counts[str] = Counter()
    met: Counts[str] = Counter()
    for outcome in runs.run_all(plans):
        print(outcome.shown() if outcome.violations else "seed %d: good, %.1f s: %s" % (
            outcome.plan.seed, outcome.seconds, ", ".join(outcome.plan.kinds())), flush=True)
        kinds.update(outcome.plan.kinds())
        met.update(outcome.met)
        if outcome.violations:
            failed.append(outcome.plan.seed)
    print("%d runs with %d jobs in %.0f s, %d failed%s" % (
        given.runs, sum(len(planned.jobs) for planned in plans), time.monotonic() - began, len(failed),
        ": seeds %s" % ", ".join(map(str, failed)) if failed else ""))
    print("faults: %s" % ", ".join("%s %d" % pair for pair in sorted(kinds.items())))
    print("requests that met trouble: %s" % ", ".join("%s %d" % pair for pair in sorted(met.items())))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
