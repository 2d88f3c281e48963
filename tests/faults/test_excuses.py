"""What excuses a file that is missing or an attempt that is lost, and what does not."""

from typing import Tuple

import pytest

from tests.faults import excuses
from tests.faults.plan import CLOCK, DISK, NETWORK, SCRIPT, SERVER, WORKER, Fault, Plan


def plan_with(*faults: Tuple[str, ...], point: str = "") -> Plan:
    """`faults` are whom, what and where."""
    return Plan(1, (), (1, 1), False, False, False, "", point, False, tuple(
        Fault(0.0, whom, what, 0.0, where) for whom, what, where in faults))


FULL = plan_with((DISK, "full", "0"))
DONE = "attempt 1 done on w_egg_0: "
ROOM = "No space left on device"


@pytest.mark.parametrize("plan, line, kind, name, may", [
    (FULL, DONE + "the checkpoint directory was not saved: " + ROOM, "directory", "", True),
    (FULL, DONE + "the checkpoint directory was not saved: " + ROOM, "collect", "out/one.csv", False),
    (FULL, DONE + "not uploaded: checkpoint.tar (Input/output error)", "directory", "", True),
    (FULL, DONE + "not collected: out/one.csv (%s)" % ROOM, "collect", "out/one.csv", True),
    (FULL, DONE + "not uploaded: one.csv (Input/output error)", "collect", "out/one.csv", True),
    (FULL, DONE + "not collected: out/one.csv (%s)" % ROOM, "collect", "out/two.csv", False),
    (FULL, DONE + "not collected: out/one.csv (%s)" % ROOM, "directory", "", False),
    (FULL, DONE + "not collected: result.json (%s)" % ROOM, "result", "result.json", True),
    (FULL, DONE + "its results were not taken from its output: " + ROOM, "result", "result.json", True),
    (FULL, DONE + "its results were not taken from its output: " + ROOM, "collect", "out/one.csv", False),
    (FULL, DONE + "no results in its output", "result", "result.json", False),
    (FULL, DONE + "its files were not all saved: MemoryError", "collect", "out/one.csv", True),
    (FULL, DONE + "not all of its output was sent: " + ROOM, "collect", "out/one.csv", False),
    (FULL, DONE + "not all of its reports were sent: " + ROOM, "reports", "reports.jsonl", True),
    (FULL, DONE + "its reports were not all kept: " + ROOM, "reports", "reports.jsonl", True),
    (FULL, DONE + "not uploaded: reports.jsonl (Input/output error)", "reports", "reports.jsonl", True),
    (FULL, DONE + "nothing was collected: " + ROOM, "reports", "reports.jsonl", False),
    (FULL, "attempt 2 done on w_egg_0: nothing was collected: " + ROOM, "collect", "out/one.csv", False),
    (plan_with((NETWORK, "troubled", ""), (SERVER, "killed", "")), DONE + "nothing was collected: " + ROOM,
     "collect", "out/one.csv", False),
    (plan_with((WORKER, "terminated", "0")), DONE + "no time was left to upload all files", "directory", "",
     True),
])
def test_a_file_is_excused_by_what_its_history_says_of_it(plan: Plan, line: str, kind: str, name: str,
                                                          may: bool) -> None:
    assert excuses.may_lack_a_file(plan, [line], 1, kind, name) is may


@pytest.mark.parametrize("plan, may", [
    (plan_with((WORKER, "killed", "0")), True),
    (plan_with((WORKER, "killed", "1")), False),
    (plan_with((WORKER, "killed", "all")), True),
    (plan_with((DISK, "full", "1")), False),
    (plan_with((DISK, "full", "server")), True),
    (plan_with((SERVER, "killed", ""), (CLOCK, "set", "3600"), (SCRIPT, "frozen", "0")), False),
    (plan_with((SERVER, "frozen", "")), True),
    (plan_with((NETWORK, "troubled", "0.20 reset")), True),
    (plan_with(point="outbox.write.after-rename:1"), True),
])
def test_only_what_happens_to_its_own_worker_loses_a_result(plan: Plan, may: bool) -> None:
    assert excuses.may_be_lost(plan, (0,)) is may
    assert excuses.may_be_lost(plan, (0, 1)) is (may or "1" in [fault.detail for fault in plan.faults])


def test_a_script_is_killed_by_somebody() -> None:
    assert excuses.may_be_killed_at_its_end(plan_with((SCRIPT, "killed", "0")))
    assert not excuses.may_be_killed_at_its_end(plan_with((SERVER, "killed", ""), (NETWORK, "troubled", "")))
