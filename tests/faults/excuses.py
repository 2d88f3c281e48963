"""What may be missing after a run, and why: each exception from an invariant has to be earned.

A file may be missing of a job that is DONE if a disk had no room for it, or its worker had no time left, and
the job's history says so of this very file. An attempt whose script has ended well may be lost if its own
worker died, or nobody heard of it for a lease.
"""

import os
import re
from typing import Sequence, Tuple

from tests.faults.plan import DISK, HUB, NETWORK, SCRIPT, SERVER, WORKER, Plan

# What a history says of all files of an attempt, whatever they are called.
_OF_ALL = re.compile("its files were not all saved: |no time was left to upload all files")
_OF_DIRECTORY = re.compile(r"the checkpoint directory was not saved: |not uploaded: .*checkpoint\.tar \(")
_OF_COLLECTING = re.compile("nothing was collected: |not all of its files were collected: |collected no more")
_OF_REPORTS = re.compile("not all of its reports were sent: |its reports were not all kept: ")
_OF_PRINTED = re.compile("its results were not taken from its output: ")


def may_lack_a_file(plan: Plan, history: Sequence[str], attempt: int, kind: str, name: str = "") -> bool:
    """Whether an attempt may be DONE without a file. `kind` is "directory", "collect", "reports"
    or "result"; a directory has no `name`."""
    if not any(fault.whom == DISK or (fault.whom, fault.what) == (WORKER, "terminated")
               for fault in plan.faults):
        return False
    said = [line for line in history if line.startswith("attempt %d " % attempt)]
    return any(_says(line, kind, os.path.basename(name)) for line in said)


def _says(line: str, kind: str, name: str) -> bool:
    if _OF_ALL.search(line):
        return True
    if kind == "directory":
        return _OF_DIRECTORY.search(line) is not None
    if kind == "reports" and _OF_REPORTS.search(line):
        return True
    if kind != "reports" and _OF_COLLECTING.search(line) or kind == "result" and _OF_PRINTED.search(line):
        return True
    return re.search(r"not (collected|uploaded): .*\b%s" % re.escape(name), line) is not None


def may_be_lost(plan: Plan, nodes: Tuple[int, ...]) -> bool:
    """Whether an attempt may be lost whose script has ended well, and whose worker is of one of `nodes`.

    A server that is away, however long, is no reason: leases begin anew with it, and results wait.
    """
    return bool(plan.worker_point and 0 in nodes) or any(
        fault.whom in (NETWORK, HUB) or (fault.whom, fault.what) == (SERVER, "frozen")
        or fault.whom in (WORKER, DISK) and fault.detail in ("all", "server", *map(str, nodes))
        for fault in plan.faults)


def may_be_killed_at_its_end(plan: Plan) -> bool:
    """Whether something kills scripts, between their last note and their exit for example."""
    return bool(plan.worker_point) or any(fault.whom in (SCRIPT, WORKER) for fault in plan.faults)
