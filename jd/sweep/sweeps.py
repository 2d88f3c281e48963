"""A sweep: the jobs of one call, waited for, looked at and steered together."""

import os
import re
from html import escape
from typing import Any, Callable, List, Mapping, Optional, Sequence, Tuple

from jd import protocol, space, terminal
from jd.errors import JdError, NoFileError
from jd.sweep import html, parts, spaces, steering
from jd.sweep import source as sources
from jd.sweep.envfile import PathLike
from jd.sweep.errors import BadValue, NotOffered
from jd.sweep.jobs import create_jobs, statuses
from jd.sweep.local import Local, cores, host
from jd.sweep.results import of_ids
from jd.sweep.rows import Row, Rows
from jd.sweep.session import Session, current, say
from jd.sweep.steering import Changed
from jd.sweep.waiting import Question, Standing, as_typed, standings

_GLANCE = 2.0  # seconds that a server may be away when a sweep is printed
_LOOK = 1.0  # seconds between two looks at the workers of this machine


class Sweep:
    """Jobs that belong together. `ids` are their numbers, in the order in which they were given."""

    def __init__(self, session: Session, ids: Sequence[int], local: Optional[Local] = None) -> None:
        """`local` is what runs on this machine for it."""
        self.session = session
        self.ids = list(ids)
        self._local = local
        self._closes = False  # whether a `with` block ends what runs here, however it is left itself
        self._last: Optional[Standing] = None  # how far they were when somebody asked
        self._shown_in: Any = None  # the cell of a notebook that has shown already how the waiting ended

    def __enter__(self) -> "Sweep":
        self._closes = True
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the server and the workers that were started on this machine for it, if there are any. It
        happens by itself when the program ends."""
        if self._local is not None:
            self._local.stop()

    def __repr__(self) -> str:
        known = "" if self._last is None else ", " + html.counts(self._last)
        return "<sweep of %s: %s%s>" % (self.session.exp_id, terminal.plural(len(self.ids), "job"), known)

    def __str__(self) -> str:
        return repr(self._glance())

    def _ipython_display_(self) -> None:
        """What a notebook asks first: below the bar of a cell that has waited there is no second one."""
        if self._shown_in is None or self._shown_in != html.running_cell():
            raise NotImplementedError  # it goes on to what follows

    def _repr_html_(self) -> str:
        return self._glance()._repr_html_()

    def __len__(self) -> int:
        return len(self.ids)

    def wait(self, timeout: Optional[float] = None) -> "Sweep":
        """Return this sweep when all its jobs are finished: DONE, or ABORTED for good. A terminal shows a
        progress bar. `timeout` is in seconds.

        Raises TookTooLong (a TimeoutError), and what `wait_for_jobs` does. Ctrl-C ends the waiting and no
        job.
        """
        question, last = Question(self.ids), None
        if self._local is not None:
            self._local.keep()
        try:
            with terminal.Progress(len(self.ids), self.session.exp_id) as bar:
                live = html.live()
                changes = bar.active or live is not None
                hold = protocol.MAX_HELD if self._local is None else _LOOK
                for last in standings(self.session, question, timeout, changes=changes, hold=hold):
                    self._last = last
                    bar.update(last.ended(question), note(last))
                    if live is not None:
                        live(html.progress(self.session.exp_id, question, last))
                    if self._local is not None and not last.finished:
                        self._local.check()
        except KeyboardInterrupt:
            say("%s%s" % ("" if last is None else "%d of %d jobs are finished, " % (
                last.ended(question), last.total), self._way_back()))
            raise KeyboardInterrupt from None  # a long traceback of the waiting would hide the line
        self._shown_in = html.running_cell()
        failed = 0 if last is None else last.by_status.get(protocol.ABORTED, 0)
        if failed:
            say("%d of %s failed or were cancelled: jd.job(id) and jd.output(id) tell why, "
                "retry() has them run again" % (failed, terminal.plural(len(self.ids), "job")))
        return self

    def standing(self) -> Standing:
        """How far the jobs are now."""
        self._last = next(standings(self.session, Question(self.ids), timeout=None))
        return self._last

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

    def _glance(self) -> html.Shown:
        """How far it is, for somebody who looks: a server that is away is not waited for long."""
        question = Question(self.ids)
        try:
            self._last = next(standings(self.session, question, timeout=_GLANCE))
        except JdError as error:
            problem = error.__cause__ or error  # what is about waiting is nothing to somebody who looks
            if self._last is not None:
                return html.progress(self.session.exp_id, question, self._last, "; since then: %s" % problem)
            text = "%s: %s; %s" % (self.session.exp_id, terminal.plural(len(self.ids), "job"), problem)
            return html.Shown(text, escape(text))
        return html.progress(self.session.exp_id, question, self._last)

    def _way_back(self) -> str:
        if self._local is None:
            return "the sweep goes on; jd.wait_for_jobs(%s) waits for it again" % as_typed(self.ids)
        if self._closes:
            return "the same program, run again, goes on where this one stops"
        return ("the sweep goes on; the same program, run again, waits for it and stops all at its end; this "
                "stops it now: %s" % self._local.leave())


def sweep(grid: Any, script: Optional[PathLike] = None, *, workers: Optional[int] = None,
          exp_id: Optional[str] = None, unique: Optional[bool] = None, **terms: Any) -> Sweep:
    """Create the jobs of a sweep, and return it.

    `grid` and further arguments are those of `create_jobs`. Jobs with the same parameters that exist already
    are taken instead of new ones, so that a program or a cell can be run again; unique=False makes new ones,
    and so does a server that does not know that. Jobs that exist and are DELETED are left out.

    With `script`, what the workers run, it begins on this machine: with a server of its own unless a session
    or a variable names one, and `workers`, one for each core where it has none. They end with the program.
    The experiment is then `exp_id`, or JD_EXP_ID, or called like the script.

    Raises what `create_jobs` does; NoFileError; DidNotStart where server or workers do not start.
    """
    if script is not None:
        path = os.fspath(script)
        name = re.sub("[^a-z0-9_-]+", "-", os.path.splitext(os.path.basename(path))[0].lower()).strip("-_")
        if not path.startswith("-m "):
            path = os.path.abspath(os.path.expanduser(path))
            if not os.path.isfile(path):
                raise NoFileError("there is no script %s" % path)
        return started(grid, name, lambda session: path, workers=workers, exp_id=exp_id, unique=unique,
                       **terms)
    if workers is not None or exp_id is not None:
        raise BadValue("workers= and exp_id= go with script=", "call jd.init(exp_id=…) to name an experiment")
    session = current("sweep")
    return Sweep(session, created(session, grid, unique, terms))


def started(grid: Any, name: str, script: Callable[[Session], str], *, workers: Optional[int] = None,
            exp_id: Optional[str] = None, unique: Optional[bool] = None, **terms: Any) -> Sweep:
    """A sweep with its script, on this machine where no server is named; `name` is what the experiment is
    called if nothing else names it."""
    if workers is not None and (not isinstance(workers, int) or workers < 1):
        raise BadValue("workers=%s cannot be used" % protocol.shown(workers), "give a whole number from 1 on")
    local = host(name or "sweep", exp_id)
    path = script(local.session)
    found = Sweep(local.session, created(local.session, grid, unique, terms), local)
    if not found.standing().finished and (workers is not None or local.wants_workers):
        local.work(path, workers if workers is not None else min(cores(), len(found.ids)))
    return found


def created(session: Session, grid: Any, unique: Optional[bool], terms: Mapping[str, Any]) -> List[int]:
    """Create jobs; the ids of all of them, those that exist already included."""
    if unique is None:
        unique = session.offers(protocol.EXT_UNIQUE) and not terms.get("replace")
    terms = dict(terms)
    grid = spaces.jobs_of(grid, **{name: terms.pop(name, None) for name in space.OPTIONS})
    if not unique:
        answer = create_jobs(grid, **terms)
        return list(range(answer["start_id"], answer["start_id"] + answer["total_jobs"]))
    told: List[Tuple[parts.Part, List[int]]] = []
    deleted = 0
    for part in parts.of(sources.read(grid)):
        answer = create_jobs(part.body, unique=True, **terms)
        ids, runs = answer.get("ids"), answer.get("id_runs")
        if isinstance(runs, list):  # of more than so many jobs that are equal
            ids = [job_id for first, last in runs for job_id in range(first, last + 1)]
        if not isinstance(ids, list):
            if answer.get("existing") != 0:
                raise NotOffered("this server does not tell which jobs of a sweep exist already",
                                 "give unique=False")
            ids = list(range(answer["start_id"], answer["start_id"] + answer["total_jobs"]))
        told.append((part, ids))
        deleted += int(answer.get("deleted") or 0)
    ids = list(dict.fromkeys(parts.in_order(told)))
    if deleted:
        now = statuses(session, ids)
        ids = [job_id for job_id in ids if now.get(job_id) != protocol.DELETED]
        say("of the sweep %s %s left out, being DELETED: unique=False makes new ones" % (
            terminal.plural(deleted, "job"), "is" if deleted == 1 else "are"))
    return ids


def note(standing: Standing) -> str:
    """What stands behind a progress bar."""
    running, failed = standing.by_status.get(protocol.SERVED, 0), standing.by_status.get(protocol.ABORTED, 0)
    return ", ".join(text for number, text in (
        (running, "%d running" % running), (failed, "%d failed" % failed),
        (standing.will_retry, "%d of them tried again" % standing.will_retry)) if number)
