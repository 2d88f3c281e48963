"""A sweep: the jobs of one call, waited for, looked at and steered together."""

from itertools import islice, product
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence

from jd import protocol, terminal
from jd.sweep import source as sources
from jd.sweep import steering
from jd.sweep.errors import NotOffered
from jd.sweep.jobs import create_jobs, statuses
from jd.sweep.results import of_ids
from jd.sweep.rows import Row, Rows
from jd.sweep.session import Session, current, say
from jd.sweep.steering import Changed
from jd.sweep.waiting import Question, Standing, as_typed, standings

MOST_NAMED = 10_000  # jobs of one request whose ids a server tells, where some of them exist already


class Sweep:
    """Jobs that belong together. `ids` are their numbers, in the order in which they were given."""

    def __init__(self, session: Session, ids: Sequence[int]) -> None:
        self.session = session
        self.ids = list(ids)

    def __repr__(self) -> str:
        return "<sweep of %s: %s>" % (self.session.exp_id, terminal.plural(len(self.ids), "job"))

    def __len__(self) -> int:
        return len(self.ids)

    def wait(self, timeout: Optional[float] = None) -> "Sweep":
        """Return this sweep when all its jobs are finished: DONE, or ABORTED for good. A terminal shows a
        progress bar. `timeout` is in seconds.

        Raises TookTooLong (a TimeoutError), and what `wait_for_jobs` does. Ctrl-C ends the waiting and no
        job.
        """
        question, last = Question(self.ids), None
        try:
            with terminal.Progress(len(self.ids), self.session.exp_id) as bar:
                for last in standings(self.session, question, timeout, changes=bar.active):
                    bar.update(last.ended(question), note(last))
        except KeyboardInterrupt:
            say("%sthe sweep goes on; %s" % ("" if last is None else "%d of %d jobs are finished, " % (
                last.ended(question), last.total), self._way_back()))
            raise
        failed = 0 if last is None else last.by_status.get(protocol.ABORTED, 0)
        if failed:
            say("%d of %s failed: jd.job(id) and jd.output(id) tell why, retry() has them run again" % (
                failed, terminal.plural(len(self.ids), "job")))
        return self

    def standing(self) -> Standing:
        """How far the jobs are now."""
        return next(standings(self.session, Question(self.ids), timeout=None))

    def results(self, metric: Optional[str] = None, goal: Optional[str] = None) -> Rows:
        """The rows of these jobs, as the function `results` has them; those that are DELETED are left out."""
        return Rows(of_ids(self.session, self.ids)).ordered(metric, goal)

    def best(self, metric: str, goal: str = "max") -> Row:
        """The row of the job that is DONE and has the greatest `metric`, with goal="min" the least. Raises
        BadValue (a ValueError) where none has that number."""
        return self.results().best(metric, goal)

    def cancel(self) -> Changed:
        """End what is not finished, for good. How many jobs were `changed` and `skipped`."""
        return steering.act(self.session, steering.ABORT, self.ids)

    def retry(self) -> Changed:
        """Have those run again that are ABORTED. How many jobs were `changed` and `skipped`."""
        told = statuses(self.session, self.ids)
        ended = [job_id for job_id in self.ids if told.get(job_id) == protocol.ABORTED]
        found = steering.act(self.session, steering.RETRY, ended)
        return {"changed": found["changed"], "skipped": len(self.ids) - found["changed"]}

    def _way_back(self) -> str:
        return "jd.wait_for_jobs(%s) waits for it again" % as_typed(self.ids)


def sweep(grid: Any, *, unique: Optional[bool] = None, **terms: Any) -> Sweep:
    """Create the jobs of a sweep, and return it.

    `grid` and the other arguments are those of `create_jobs`. Jobs with the same parameters that exist
    already are taken instead of new ones, so that a cell of a notebook can be run again; unique=False makes
    new ones, and so does a server that does not know that. Jobs that exist and are DELETED are left out.

    Raises what `create_jobs` does.
    """
    session = current("sweep")
    return Sweep(session, created(session, grid, unique, terms))


def created(session: Session, grid: Any, unique: Optional[bool], terms: Mapping[str, Any]) -> List[int]:
    """Create jobs; the ids of all of them, those that exist already included."""
    if unique is None:
        unique = session.offers(protocol.EXT_UNIQUE) and not terms.get("replace")
    if not unique:
        answer = create_jobs(grid, **terms)
        return list(range(answer["start_id"], answer["start_id"] + answer["total_jobs"]))
    ids: List[int] = []
    deleted = 0
    for part in _parts(sources.read(grid)):
        answer = create_jobs(part, unique=True, **terms)
        if not isinstance(answer.get("ids"), list):
            raise NotOffered("this server does not tell which jobs of a sweep exist already",
                             "give unique=False")
        ids += answer["ids"]
        deleted += int(answer.get("deleted") or 0)
    ids = list(dict.fromkeys(ids))
    if deleted:
        told = statuses(session, ids)
        ids = [job_id for job_id in ids if told.get(job_id) != protocol.DELETED]
        say("%s of the sweep exist and are DELETED: they are left out" % terminal.plural(deleted, "job"))
    return ids


def note(standing: Standing) -> str:
    """What stands behind a progress bar."""
    running, failed = standing.by_status.get(protocol.SERVED, 0), standing.by_status.get(protocol.ABORTED, 0)
    return ", ".join(text for number, text in (
        (running, "%d running" % running), (failed, "%d failed" % failed),
        (standing.will_retry, "%d of them tried again" % standing.will_retry)) if number)


# ---- how

def _parts(body: Mapping[str, Any]) -> Iterator[Dict[str, Any]]:
    """A request in as many as it takes for the server to tell all ids."""
    jobs: Iterable[Any] = body.get("jobs") or ()
    count = len(body.get("jobs") or ())
    grid = body.get("parameters")
    if isinstance(grid, Mapping):
        values = [value if isinstance(value, list) else [value] for value in grid.values()]
        count = 1
        for choices in values:
            count *= len(choices)
        jobs = (dict(zip(grid, chosen)) for chosen in product(*values))
    if count <= MOST_NAMED:
        yield dict(body)
        return
    rest = {name: value for name, value in body.items() if name not in ("jobs", "parameters")}
    left = iter(jobs)
    while True:
        part = list(islice(left, MOST_NAMED))
        if not part:
            return
        yield dict(rest, jobs=part)
