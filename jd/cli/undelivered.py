"""Results that wait for their server, as far as this machine sees them."""

from __future__ import annotations

from jd.worker.local import outboxes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Mapping


def undelivered(experiment: str, environ: Mapping[str, str]) -> int:
    """How many results of an experiment wait here, or where all nodes see them. Raises StorageError."""
    return len(outboxes.waiting(outboxes.everywhere(experiment, environ)))
