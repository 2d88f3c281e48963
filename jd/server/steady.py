"""Heartbeats that say nothing new: they are answered at once, and written a moment later, many in one commit.

A busy worker's heartbeat renews its lease and brings figures to show. As long as nothing was written that
concerns the worker or its job, the answer is that of its last heartbeat. Whatever would change it has to be
told to heartbeats that are held (`waiting`), and so is known here too. A power cut may take what was not
written yet: a server that starts gives every running attempt a full lease.
"""

import asyncio
from functools import partial
from typing import Dict, Hashable, NamedTuple, Optional

from jd import messages
from jd import protocol as p
from jd.server.experiment import Experiment
from jd.server.store.fleet import workers
from jd.server.store.transaction import Happened, Transaction
from jd.server.waiting import Ticket, WaitingRoom

DELAY = 0.5  # seconds until what was heard is written
MOST = 50_000  # workers whose answers are known


class Said(NamedTuple):
    """A heartbeat, and with whose token it came."""

    beat: messages.Heartbeat
    user: Optional[str]
    reach: Optional[str]

    @property
    def may_repeat(self) -> bool:
        """Whether it only says that a worker is still at its job."""
        beat = self.beat
        return (beat.reported_status == p.BUSY and beat.session is not None and beat.attempt is not None
                and beat.current_job_id is not None and beat.finished is None and beat.released is None
                and not beat.finished_before and not beat.unstarted and not beat.leave and not beat.died)

    @property
    def likeness(self) -> Hashable:
        """What two heartbeats have in common of which the later one says all that the earlier has said."""
        beat = self.beat
        return (beat.session, beat.current_job_id, beat.attempt, beat.applied_version, self.user, self.reach,
                beat.output_tail is None, beat.output_size is None, beat.ends_in is None,
                not beat.system_metrics, beat.code)


def _take_in(said: Said, t: Transaction) -> workers.Answer:
    return workers.heartbeat(t, said.beat, said.user, said.reach)


class _Known(NamedTuple):
    likeness: Hashable
    answer: workers.Answer
    job_id: int


class Steady:
    """What busy workers were told last, and what they have said since."""

    def __init__(self, experiment: Experiment, room: WaitingRoom) -> None:
        self._experiment = experiment
        self._room = room
        self._known: Dict[str, _Known] = {}  # by worker
        self._at: Dict[int, str] = {}  # the worker of each of these jobs
        self._unwritten: Dict[str, Said] = {}
        self._timer: Optional[asyncio.TimerHandle] = None
        experiment.on_commit(self._heed)

    def answer(self, said: Said) -> Optional[workers.Answer]:
        """The answer to a heartbeat that says nothing new. None for any other, and for one whose output
        somebody looks at: it is to be taken in now, and what its worker has said before is on its way."""
        worker_id = said.beat.worker_id
        known = self._known.get(worker_id)
        if (known is not None and said.may_repeat and known.likeness == said.likeness
                and not self._room.watching.watched(known.job_id)):
            self._unwritten[worker_id] = said
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(DELAY, self.write_out)
            return known.answer
        self.forget(worker_id)
        if worker_id in self._unwritten:
            self.write_out()
        return None

    def keep(self, said: Said, answer: workers.Answer, ticket: Ticket) -> None:
        """A heartbeat was taken in and answered so. That is not kept where something has happened meanwhile,
        or another heartbeat of the worker is under way."""
        worker_id, job_id = said.beat.worker_id, said.beat.current_job_id
        if (not answer.may_wait or not said.may_repeat or job_id is None or ticket.called
                or self._room.of_worker(worker_id) != (ticket,)):
            return
        if len(self._known) >= MOST:
            self._known.clear()
            self._at.clear()
        self._known[worker_id] = _Known(said.likeness, answer, job_id)
        self._at[job_id] = worker_id

    def forget_job(self, job_id: int) -> None:
        """Have the next heartbeat of a job's worker taken in."""
        if job_id in self._at:
            self.forget(self._at[job_id])

    def write_out(self) -> None:
        """Have written what was heard, before whatever is written next."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        unwritten, self._unwritten = self._unwritten, {}
        for said in unwritten.values():
            written = self._experiment.queue(partial(_take_in, said), repeats=True)
            self._experiment.begun.start(self._heed_answer(said, written), "a heartbeat")

    async def _heed_answer(self, said: Said, written: "asyncio.Future[workers.Answer]") -> None:
        try:
            answer = await written
        except Exception:
            self.forget(said.beat.worker_id)  # its next heartbeat meets the same, and is told
        else:
            if not answer.may_wait:
                self.forget(said.beat.worker_id)

    def forget(self, worker_id: str) -> None:
        """Have the next heartbeat of a worker taken in."""
        known = self._known.pop(worker_id, None)
        if known is not None and self._at.get(known.job_id) == worker_id:  # another one may have it by now
            del self._at[known.job_id]

    def _heed(self, happened: Happened) -> None:
        """Something was written: whoever is to hear of it is told with the next heartbeat."""
        for worker_id in happened.commanded:
            self.forget(worker_id)
        for job_id in happened.taken_away:
            self.forget_job(job_id)
        if happened.settings:
            self._known.clear()
            self._at.clear()
