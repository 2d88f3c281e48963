"""What a job has of its worker's machine: CPUs and GPUs, as the worker says.

Only the worker knows with how many others it shares a machine. What it cannot tell yet with its first
heartbeat, since a driver is slow to answer, is written to the attempt that runs by then.
"""

from typing import NamedTuple, Optional

from jd import messages
from jd.server.store.transaction import Transaction

_MOST = 1e6


class Share(NamedTuple):
    """CPUs and GPUs of a job; None where its worker does not say. Several jobs may share one."""

    cpus: Optional[float]
    gpus: Optional[float]


def told(beat: messages.Heartbeat, before: Share = Share(None, None)) -> Share:
    """What a heartbeat says, and where it says nothing what was said before."""
    cpus, gpus = _number(beat, "job_cpus"), _number(beat, "job_gpus")
    return Share(before.cpus if cpus is None else cpus, before.gpus if gpus is None else gpus)


def learn(t: Transaction, beat: messages.Heartbeat, known: Share, now: Share) -> None:
    """A worker says what it did not say before: its running attempt has that."""
    if (known.cpus is None and now.cpus is not None) or (known.gpus is None and now.gpus is not None):
        t.db.execute(
            "UPDATE attempts SET job_cpus = coalesce(job_cpus, ?), job_gpus = coalesce(job_gpus, ?)"
            " WHERE (job_id, number) IN (SELECT id, attempt FROM jobs INDEXED BY jobs_held"
            " WHERE status = 'SERVED' AND worker_id = ? AND session IS ?)",
            (now.cpus, now.gpus, beat.worker_id, beat.session))


def _number(beat: messages.Heartbeat, name: str) -> Optional[float]:
    value = beat.system_metrics.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= _MOST:
        return None
    return float(value)
