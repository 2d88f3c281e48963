"""Counts of what went through a server, cheap enough to keep for every packet."""

from dataclasses import dataclass, field
from typing import Callable, Dict, Mapping

CLASSES = ("2xx", "3xx", "4xx", "5xx")


@dataclass
class Traffic:
    """Connections that are open; and since the server was made: bytes as they were read and
    written (on the wire TLS makes them more), answers by class of their status."""

    connections: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    answers: Dict[str, int] = field(default_factory=lambda: dict.fromkeys(CLASSES, 0))

    def count(self, status: int) -> None:
        """An answer with this status begins."""
        self.answers["%dxx" % (status // 100)] += 1


Flow = Callable[[], Mapping[str, Traffic]]
"""Traffic by port: `api`, `dashboard`."""
