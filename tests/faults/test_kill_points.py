"""A crash in front of and behind each commit and each rename: nothing is lost, and nothing is left over."""

from typing import Dict, Iterator

import pytest

from tests.faults import runs
from tests.faults.plan import SERVER, Fault, Job, Plan
from tests.faults.runs import Outcome
from tests.ground.test_killpoint import points

pytestmark = pytest.mark.slow

# Points that no small sweep comes to, and what does.
ELSEWHERE = {
    "backup": "jd_server backup", "checkpointkey": "a script that is the first to sign",
    "database.copy": "an older schema", "direct": "jd_server checkpoint",
    "files.replace": "jd_server checkpoint", "jobdir.set-aside": "a job's directory of another sweep",
    "keeping": "jd_server check, restore, archive and remove", "log": "a log of 50 MB",
    "names.set-aside": "a disk without hard links", "orders": "an order to many jobs",
    "outbox.claim": "tests/worker/uplink/test_outbox.py", "outbox.release": "the same",
    "outbox.sync": "the same",
    "outboxes.carry-over": "results of earlier versions", "owncert": "--tls auto",
    "snapshot": "snapshot=true",
}
OF_SERVER = ("database", "files", "names", "store", "heartbeat", "result", "upload", "checkpoint.after",
             "reports")
JOBS = (Job("collects", 0.5, 0, False), Job("directory", 0.1, 3, False), Job("directory", 0.1, 0, False),
        Job("uploads", 0.1, 0, False), Job("saves", 0.1, 0, False), Job("result", 0.0, 0, False),
        Job("plain", 0.1, 0, False))
# The server is away, so that results and files wait.
WAITING = ("outbox", "waitingfiles", "result")
FAULTS = (Fault(0.1, SERVER, "terminated", 9.0),)


def is_reached(point: str) -> bool:
    return not any(point.startswith(name + ".") for name in ELSEWHERE)


def is_of_server(point: str) -> bool:
    return point.startswith(OF_SERVER)


POINTS = [point for point in points() if is_reached(point)]


@pytest.fixture(scope="module")
def outcomes() -> Iterator[Dict[str, Outcome]]:
    """How it went for each point; some sweeps at a time."""
    plans = [Plan(seed, JOBS, (1,), False, False, False, point if is_of_server(point) else "",
                  "" if is_of_server(point) else point, False, FAULTS if point.startswith(WAITING) else ())
             for seed, point in enumerate(POINTS)]
    yield dict(zip(POINTS, runs.run_all(plans)))


@pytest.mark.parametrize("point", POINTS)
def test_a_crash_there_loses_nothing(outcomes: Dict[str, Outcome], point: str) -> None:
    outcome = outcomes[point]
    assert outcome.violations == [], outcome.shown()
    who = "server" if is_of_server(point) else "node0"
    assert outcome.killed[who] >= 1, "%s did not come to this point" % who
