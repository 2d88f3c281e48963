"""Who looks at what a worker is to send meanwhile: the output of its job."""

import time
from typing import Callable, Dict, Optional

LOOK_LASTS = 10.0  # seconds; a page that shows something asks again long before
MANY_LOOKS = 1000  # jobs; then those that nobody looks at any more are forgotten


class Watching:
    """Who looks at the output of which job, within the last LOOK_LASTS seconds."""

    def __init__(self, call_job: Callable[[int], None],
                 clock: Callable[[], float] = time.monotonic) -> None:
        self._call_job = call_job
        self._clock = clock
        self._looked_at: Dict[int, float] = {}

    def look(self, job_id: int) -> None:
        """Somebody looks at the output of a job now: its worker is to send what there is."""
        now = self._clock()
        if len(self._looked_at) >= MANY_LOOKS and job_id not in self._looked_at:
            self._looked_at = {job: at for job, at in self._looked_at.items()
                               if now - at < LOOK_LASTS}
        self._looked_at[job_id] = now
        self._call_job(job_id)

    def watched(self, job_id: Optional[int]) -> bool:
        """Whether somebody looks at the output of this job."""
        at = None if job_id is None else self._looked_at.get(job_id)
        return at is not None and self._clock() - at < LOOK_LASTS
