"""Results that wait for their server, as far as this machine sees them."""

from typing import Mapping

from jd.worker.local import outboxes


def undelivered(experiment: str, environ: Mapping[str, str]) -> int:
    """How many results of an experiment wait here, or where all nodes see them. Raises StorageError."""
    return len(outboxes.waiting(outboxes.everywhere(experiment, environ)))
