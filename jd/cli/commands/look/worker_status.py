"""`jd_worker_cli expId=... worker-status <worker-id>`."""

import os
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from jd import terminal
from jd.cli.context import Context
from jd.cli.showing import views
from jd.cli.showing.views import Seen
from jd.node.cgroups import read_small
from jd.node.identity import Here
from jd.worker.local.liveness import Life, life


def run(context: Context) -> int:
    """Show one worker in full (reference, section 2)."""
    row = context.worker()
    seen = Seen(row, life(row, context.here))
    now = time.time()
    use = process_use(row.pid) if seen.life is Life.ALIVE else None
    document: Dict[str, Any] = views.worker_json(seen, now)
    document["memory_bytes"], document["cpu_seconds"] = use if use is not None else (None, None)
    views.emit(context, document, views.facts(_pairs(seen, context.here, now, use)))
    return 0


def process_use(pid: int, proc: Path = Path("/proc")) -> Optional[Tuple[int, float]]:
    """Resident bytes and processor seconds of a process, without its children.

    None where /proc does not tell.
    """
    pages = read_small(proc / str(pid) / "statm").split()
    # proc(5): after "pid (comm)" field 3 comes first, so utime and stime (14, 15) are 11 and 12.
    fields = read_small(proc / str(pid) / "stat").rpartition(")")[2].split()
    try:
        return (int(pages[1]) * os.sysconf("SC_PAGE_SIZE"),
                (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"))
    except (IndexError, ValueError):
        return None


def _pairs(seen: Seen, here: Here, now: float,
           use: Optional[Tuple[int, float]]) -> List[Tuple[str, str]]:
    row = seen.row
    job = "-" if row.current_job_id is None else str(row.current_job_id)
    pairs = [
        ("worker", views.plain(row.worker_id)),
        ("experiment", views.plain(row.experiment)),
        ("status", views.status_of(seen, here)),
        *([("paused because", views.plain(row.paused_because))] if row.paused_because else []),
        ("current job", job),
        ("uptime", "%s, since %s" % (terminal.duration(now - row.started_at), _date(row.started_at))),
        ("last heartbeat", views.ago(row.last_ping_at, now) if row.last_ping_at is not None
         else "none yet"),
        ("pid", str(row.pid)),
        ("host", views.host_of(row) or "-"),
        ("slot", str(row.slot)),
        ("process_id", str(row.process_id)),
        ("machine type", views.plain(row.machine_type)),
        ("tags", views.plain(", ".join(row.tags)) or "-"),
        ("server", views.server_of(row) or "-"),
        ("entry script", views.plain(row.entry_script) or "-"),
        ("log", views.plain(row.log_path) or "-"),
    ]
    if use is not None:
        pairs.append(("memory", "%.1f MB, without its job" % (use[0] / 1e6)))
        pairs.append(("processor", "%.1f s, without its job" % use[1]))
    return pairs


def _date(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))
