"""Waiting for jobs: a question that is held open until they are finished.

Equal questions are answered by one look, and a look comes only after jobs have changed. So many can wait for
many jobs.
"""

import asyncio
import sqlite3
from contextlib import contextmanager
from functools import partial
from typing import Any, Dict, Iterator, NamedTuple, Optional, Tuple, Union

from jd import protocol as p
from jd.net.serving.routing import HttpError
from jd.server.driving.news import News
from jd.server.experiment import Experiment
from jd.server.store.pages import changelog, standings, summary
from jd.server.store.pages.changelog import Changes, Cursor
from jd.server.store.pages.standings import Run, Standing
from jd.server.store.queue import jobs
from jd.server.store.search import conditions

MAX_WAITING = 1000
LOOK_SECONDS = 30.0  # that one look may take: a text among a million jobs takes some
PAUSES = 4.0  # a look is not repeated before so many times the seconds that it took

Jobs = Union[str, Tuple[Run, ...]]  # those of a filter, or those with these ids


class Question(NamedTuple):
    """Jobs, and the status that they are to have. With `include_aborted` one that has ended ABORTED is
    finished as well, where `status` is DONE."""

    jobs: Jobs
    status: str = p.DONE
    include_aborted: bool = True


class Answer(NamedTuple):
    """How jobs stand. `left` are not finished, and with `more` a jobs file is being loaded, so that others
    may match. `per_hour` is the throughput of the experiment, None where it is not known; `number` is that of
    the changes that this look has seen."""

    standing: Standing
    left: int
    per_hour: Optional[float]
    number: int
    more: bool = False

    @property
    def finished(self) -> bool:
        """Whether nothing is waited for any more."""
        return self.left == 0 and not self.more

    @property
    def cursor(self) -> str:
        """A text that is another one when the jobs stand otherwise."""
        found = self.standing
        return ".".join("%d" % n for n in (*found.by_status.values(), found.will_retry, found.missing))

    def to_json(self) -> Dict[str, Any]:
        """The answer to who has asked."""
        found = self.standing
        return {"finished": self.finished, "by_status": found.by_status, "will_retry": found.will_retry,
                "missing": found.missing, "cursor": self.cursor,
                "eta": round(self.left / self.per_hour * 3600.0, 1) if self.left and self.per_hour else None}


class _Kept:
    """A question that somebody waits with, and the answer to it so far."""

    def __init__(self) -> None:
        self.waiting = 0
        self.turn = asyncio.Lock()
        self.answer: Optional[Answer] = None
        self.began = 0.0
        self.again_at = 0.0


class Waits:
    """Who waits for jobs of one experiment."""

    def __init__(self, experiment: Experiment, news: News) -> None:
        self._experiment = experiment
        self._news = news
        self._kept: Dict[Question, _Kept] = {}
        self._waiting = 0
        self._long = asyncio.Lock()  # one look through a filter at a time: the other readers stay free

    async def hold(self, question: Question, seconds: float, known: Optional[str] = None) -> Answer:
        """The answer when all jobs are finished, or when they stand otherwise than `known`, the cursor of an
        earlier answer, says; after so many seconds whatever there is.

        Raises HttpError (503) where too many wait already, and what a filter raises.
        """
        until = asyncio.get_running_loop().time() + seconds
        with self._place():
            kept = self._kept.setdefault(question, _Kept())
            kept.waiting += 1
            try:
                return await self._held(question, kept, until, known)
            finally:
                kept.waiting -= 1
                if not kept.waiting:
                    del self._kept[question]

    async def changes(self, known: Optional[Cursor], seconds: float) -> Changes:
        """Which jobs have changed, as soon as one has; after so many seconds none. Raises as `hold`."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        with self._place():
            while True:
                found = await self._experiment.read(partial(changelog.since, known=known))
                if found.jobs or self._news.closed or loop.time() >= until:
                    return found
                known = found.next
                await self._news.beyond(known.number, until - loop.time())

    @contextmanager
    def _place(self) -> Iterator[None]:
        if self._waiting >= MAX_WAITING:
            raise HttpError(503, "%d programs wait for jobs, which is all that this server takes; try again "
                                 "later" % self._waiting, {"Retry-After": "10"})
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    async def _held(self, question: Question, kept: _Kept, until: float, known: Optional[str]) -> Answer:
        loop = asyncio.get_running_loop()
        came = loop.time()
        answer = await self._answer(question, kept, came, until)
        while not answer.finished and known in (None, answer.cursor):
            if self._news.closed or loop.time() >= until:
                break
            await self._news.beyond(answer.number, until - loop.time())
            answer = await self._answer(question, kept, came, until, answer.number)
        return answer

    async def _answer(self, question: Question, kept: _Kept, came: float, until: float,
                      seen: int = -1) -> Answer:
        """An answer that is newer than what was written before the question `came`, and newer than the one
        that has `seen` so many changes; one look for all who ask the same."""
        loop = asyncio.get_running_loop()
        async with kept.turn:
            if kept.answer is not None and kept.began >= came and kept.answer.number > seen:
                return kept.answer
            if seen >= 0:
                await asyncio.sleep(max(0.0, min(kept.again_at, until) - loop.time()))
            kept.began = loop.time()
            if isinstance(question.jobs, str) and question.jobs:
                async with self._long:
                    kept.answer = await self._look(question)
            else:
                kept.answer = await self._look(question)
            now = loop.time()
            kept.again_at = now + PAUSES * (now - kept.began)
            return kept.answer

    async def _look(self, question: Question) -> Answer:
        now, policy, wanted = self._experiment.clock(), self._experiment.policy, question.jobs

        def look(db: sqlite3.Connection) -> Answer:
            number = summary.changes(db)["jobs"]
            if isinstance(wanted, str):
                found = standings.of_filter(db, conditions.compiled(db, wanted, now))
            else:
                found = standings.of_ids(db, wanted)
            per_hour = None if policy.paused else summary.per_hour(db, now, policy)
            more = isinstance(wanted, str) and jobs.are_being_loaded(db)
            return Answer(found, _left(question, found), per_hour, number, more)
        return await self._experiment.read(look, seconds=LOOK_SECONDS)


def _left(question: Question, found: Standing) -> int:
    """How many jobs are not finished. One that is DELETED is not waited for: it comes to nothing."""
    ended = found.by_status[p.ABORTED] - found.will_retry
    over = ended if question.status == p.ABORTED else found.by_status[question.status]
    if question.status == p.DONE and question.include_aborted:
        over += ended
    if question.status != p.DELETED:
        over += found.by_status[p.DELETED]
    return sum(found.by_status.values()) - over
