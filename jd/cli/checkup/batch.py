"""The scheduler's job and the container that this process is in, and what that means for workers."""

import math
import time
from pathlib import Path
from typing import List, Mapping, Optional

from jd import paths, terminal
from jd.cli.checkup.finding import Finding, Notes
from jd.cli.checkup.storage import LOCAL_EXAMPLE
from jd.errors import UsageError
from jd.files import filesystems
from jd.node import scheduler
from jd.node.scheduler import Runner

TOPIC = "Scheduler"
SHORT = 600.0  # seconds left


def surroundings(environ: Mapping[str, str], root: Path = Path("/")) -> List[Finding]:
    """Which scheduler and which container."""
    notes = Notes(TOPIC)
    allocation = scheduler.detect(environ)
    container = scheduler.container(environ, root)
    if allocation is None:
        notes.ok("none: this is no batch job")
    elif allocation.restarts:
        notes.ok("%s, started again %d time%s" % (allocation.shown, allocation.restarts,
                                                  "" if allocation.restarts == 1 else "s"))
    else:
        notes.ok(allocation.shown)
    if container is not None and (allocation is None or allocation.job_id):
        notes.ok("in a container: %s" % container)
    return notes.findings


def time_left(environ: Mapping[str, str], now: Optional[float] = None,
              run: Optional[Runner] = None) -> List[Finding]:
    """Until the job's time limit."""
    notes = Notes(TOPIC)
    allocation = scheduler.detect(environ)
    if allocation is None or not allocation.job_id:
        return notes.findings
    left = scheduler.time_left(allocation, time.time() if now is None else now, run)
    if left is None:
        return notes.ok("time left is unknown")
    if math.isinf(left):
        return notes.ok("no time limit")
    text = "%s left of this job" % terminal.duration(left)
    if left < SHORT:
        return notes.warn(text, "workers that start now are stopped soon: their jobs go back to the "
                                "queue, and begin again unless they keep checkpoints")
    return notes.ok(text)


def scratch(environ: Mapping[str, str],
            mount_table: Path = filesystems.MOUNT_TABLE) -> List[Finding]:
    """In a batch job: scratch directories, and whether the cache is on node-local storage."""
    notes = Notes(TOPIC)
    allocation = scheduler.detect(environ)
    if allocation is None:
        return notes.findings
    offered = scheduler.scratch(environ)
    local = [(name, path) for name, path in offered
             if path.is_dir() and not filesystems.is_network(path, mount_table)]
    for name, path in offered:
        if not path.is_dir():
            notes.warn("%s is %s, which is no directory here" % (name, path),
                       "it may come from the node that the job was submitted from")
        elif (name, path) not in local:
            notes.ok("scratch %s=%s is on a network file system" % (name, path))
        else:
            notes.ok("node-local scratch: %s=%s" % (name, path))
    try:
        cache = paths.cache_root(environ)
    except UsageError:
        return notes.findings  # said under storage
    if filesystems.is_network(cache, mount_table):
        place = '"$%s/.jd_cache"' % local[0][0] if local else '"%s"' % LOCAL_EXAMPLE
        notes.warn("the cache of this %s job, %s, is not node-local: all nodes share one registry"
                   % (allocation.scheduler, cache), "export JD_CACHE_PATH=%s in the batch script"
                   % place)
    return notes.findings
