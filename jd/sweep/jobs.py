"""Creating jobs and listing them."""

from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence, SupportsIndex, Union

from jd import protocol
from jd.sweep import source as sources
from jd.sweep import spaces
from jd.sweep.errors import BadType, BadValue, Refused, Unreachable
from jd.sweep.session import Session, current

# A request line of 8 KiB is what servers and proxies take at least (RFC 9112, 3).
_MOST_CHARS = 6000
_WHOLE_PAGE = protocol.MAX_PER_PAGE

Job = Dict[str, Any]

# Which extension of docs/protocol.md stands for what can be said of jobs. Attempts and priority came
# before the second of these, and no server has them without it.
_EXTENSION_OF = {
    "unique": (protocol.EXT_UNIQUE, "create only jobs that do not exist yet (unique=)"),
    "timeout": (protocol.EXT_TIMEOUT, "give jobs a timeout (timeout=)"),
    "max_attempts": (protocol.EXT_TIMEOUT, "give jobs a number of attempts (max_attempts=)"),
    "priority": (protocol.EXT_TIMEOUT, "give jobs a priority (priority=)"),
    "needs": (protocol.EXT_NEEDS, "know what jobs need (needs=)"),
    "flags": (protocol.EXT_FLAGS, "know how scripts get their parameters (flags=)"),
    "after": (protocol.EXT_DRIVE, "have jobs wait for others (after=)"),
    "tags": (protocol.EXT_DRIVE, "know tags of jobs (tags=)"),
}


def create_jobs(source: Any, *, replace: bool = False, idle_timeout: Optional[float] = None,
                aborted_job_reset_timeout: Optional[float] = None, unique: bool = False,
                timeout: Optional[float] = None, max_attempts: Optional[int] = None,
                priority: Optional[int] = None, needs: Union[str, Sequence[str], None] = None,
                flags: Optional[str] = None, tags: Union[str, Sequence[str], None] = None,
                after: Union[int, Iterable[Union[int, str]], None] = None, n: Optional[int] = None,
                seed: Optional[int] = None, method: Optional[str] = None,
                repeat: Any = None) -> Dict[str, Any]:
    """Create jobs, and return what the server answers: `success`, `message`, `total_jobs`, `action` and
    `start_id`. The ids are contiguous, from `start_id` on.

    `source` is a dict of lists (a grid: all combinations, the last name varies fastest), a dict of single
    values (one job), a list of dicts, a dict with `parameters` or `jobs`, or the path of a .json, .jsonl,
    .csv, .tsv or .tab file with these. Cells of a table stay text. `replace` deletes all jobs that exist
    first; `unique` creates only those that do not exist yet, so that it can be called again. `idle_timeout`
    and `aborted_job_reset_timeout`, in whole seconds, `timeout` in seconds, `max_attempts`, `priority`,
    `needs` (tags that a worker must have), `flags`, `tags` (words by which the jobs are found again) and
    `after` (ids of jobs that have to be DONE first) are said for these jobs. With `n`, `seed`, `method` or
    `repeat`, or with names that are `jd.uniform(…)` and the like, the dict is a space that is sampled.

    Raises BadType, BadValue, NoFileError; NotOffered for what this server does not know; Refused;
    Unreachable.
    """
    session = current("create_jobs")
    body = sources.read(spaces.jobs_of(source, n, seed, method, repeat))
    body["replace"] = bool(replace)
    for name, seconds in (("idle_timeout", idle_timeout),
                          ("aborted_job_reset_timeout", aborted_job_reset_timeout)):
        if seconds is not None:
            body[name] = _whole(name, seconds)
    said: Dict[str, Any] = {
        "unique": unique or None, "timeout": timeout, "max_attempts": max_attempts, "priority": priority,
        "needs": None if needs is None else words(needs), "flags": flags,
        "tags": None if tags is None else words(tags) or None,
        "after": None if after is None else one_or_more(after) or None}
    for name, value in said.items():
        if value is not None:
            session.want(*_EXTENSION_OF[name])
            body[name] = value
    return create(session, sources.encoded(body), bool(body.get("unique")))


def create(session: Session, body: bytes, again: bool) -> Dict[str, Any]:
    """Have the server create jobs. Without `again` a request whose answer is lost is not made twice."""
    try:
        answer = session.call("POST", protocol.CREATE_JOBS, body, again=again)
    except Unreachable as error:
        if again or error.unsent:
            raise
        raise Unreachable(error.what, error.advice, "the jobs may have been created: see jd.list_jobs() "
                          "before this is called again, or give unique=True") from None
    if not answer.get("success"):
        raise Refused(200, "the server created no jobs: %s" % (
            answer.get("error") or answer.get("message") or protocol.shown(answer)))
    return answer


def list_jobs(*, status: Optional[str] = None, search: Optional[str] = None,
              ids: Optional[Iterable[Union[int, str]]] = None, page: int = 1, per_page: int = 50,
              fetch_all: bool = False) -> Dict[str, Any]:
    """A page of jobs by id: `jobs`, `total_count`, `total_pages`, `current_page` and `per_page`.

    `status` is one of PENDING, SERVED, DONE, ABORTED and DELETED; `search` digits for a job, or a text in
    parameters, worker or messages; `ids` wins over it. `per_page` is at most 1000. With `fetch_all` the jobs
    of all pages come, as one page.
    """
    session = current("list_jobs")
    wanted = None if ids is None else numbers(ids)
    page = max(1, _whole("page", page))
    per_page = min(max(1, _whole("per_page", per_page)), protocol.MAX_PER_PAGE)
    query: Dict[str, object] = {"status": status or None,
                                "search": None if wanted is not None else search or None}
    # An empty one asks for none of the jobs, a missing one for all.
    pieces: List[Optional[str]] = [None] if wanted is None else [*_pieces(wanted)] or [""]
    if not fetch_all and len(pieces) == 1:
        return _page(session, dict(query, ids=pieces[0]), page, per_page)
    jobs: List[Job] = []
    for piece in pieces:
        jobs += _all_pages(session, dict(query, ids=piece))
    if fetch_all:
        return {"jobs": jobs, "total_count": len(jobs), "total_pages": 1, "current_page": 1}
    # So many ids do not go into one question: the page is cut from what they give.
    jobs.sort(key=lambda job: int(job["id"]))
    return {"jobs": jobs[(page - 1) * per_page:page * per_page], "total_count": len(jobs),
            "total_pages": -(-len(jobs) // per_page), "current_page": page, "per_page": per_page}


def listed(session: Session, where: str, most: Optional[int] = None) -> Iterator[Dict[str, Any]]:
    """The answers of `GET /api/jobs` that list the jobs of a filter by id, `most` of them: no more than one
    is in memory. The first one's `total_count` is how many jobs match. Raises NotOffered for a filter
    where the server knows none."""
    if where.strip():
        session.want(protocol.EXT_DRIVE, "list the jobs of a filter")
    shown = 0
    query: Dict[str, object] = {"where": where.strip() or None}
    page = 1
    while True:
        # The size of pages stays the same, or their numbers would mean other jobs.
        answer = _page(session, query, page, _WHOLE_PAGE if most is None else max(1, min(_WHOLE_PAGE, most)))
        found = len(answer["jobs"])
        yield answer if most is None else dict(answer, jobs=answer["jobs"][:most - shown])
        shown += found
        if not found or most is not None and shown >= most or page >= int(answer.get("total_pages") or 1):
            return
        if where.strip():
            # A deep page of a filter is found by looking through all before it; behind an id it is not.
            query = {"where": "%s id>%d" % (where.strip(), int(answer["jobs"][-1]["id"]))}
        else:
            page += 1


def get_job_statuses(job_ids: Iterable[Union[int, str]]) -> Dict[int, str]:
    """Status by id; an id that does not exist is left out."""
    return statuses(current("get_job_statuses"), numbers(job_ids))


def statuses(session: Session, ids: Sequence[int]) -> Dict[int, str]:
    """Status by id, asked in as many requests as it takes."""
    found: Dict[int, str] = {}
    for piece in _pieces(ids):
        told = session.call("GET", protocol.JOB_STATUSES, query={"ids": piece}).get("statuses")
        if not isinstance(told, dict):
            raise Unreachable("%s answered without statuses" % session.server_url)
        found.update((int(job_id), str(status)) for job_id, status in told.items())
    return found


def records(session: Session, ids: Sequence[int], status: Optional[str] = None) -> Dict[int, Job]:
    """The jobs of these ids, as `list_jobs` has them, in the order of the ids; of those that are DELETED a
    server tells only if that `status` is asked for."""
    found = {int(job["id"]): job for piece in _pieces(ids)
             for job in _all_pages(session, {"ids": piece, "status": status})}
    return {job_id: found[job_id] for job_id in ids if job_id in found}


def words(given: Union[str, Iterable[str]]) -> List[str]:
    """Words in a list, or in one text with commas between them."""
    if isinstance(given, str):
        return [word.strip() for word in given.split(",") if word.strip()]
    return list(given)


def numbers(ids: Iterable[Union[int, str]]) -> List[int]:
    """Job ids, each once. Raises BadType, BadValue."""
    if isinstance(ids, str) or not isinstance(ids, Iterable):
        # The characters of "12" would be the jobs 1 and 2.
        raise BadType("job ids are a list of whole numbers, not %s" % protocol.shown(ids), "as in [1, 2]")
    found: Dict[int, None] = {}
    for given in ids:
        try:
            found[int(given)] = None
        except (TypeError, ValueError):
            raise BadValue("%s is no job id" % protocol.shown(given), "give whole numbers") from None
    return list(found)


def one_or_more(ids: Union[int, Iterable[Union[int, str]]]) -> List[int]:
    """Job ids, as `numbers`, or one of them. Raises BadType, BadValue."""
    if isinstance(ids, SupportsIndex) and not isinstance(ids, Iterable):  # NumPy's arrays are both
        return numbers([int(ids)])
    return numbers(ids)


def _whole(name: str, value: Any) -> int:
    """A number without what stands behind its point. Raises BadType, BadValue."""
    try:
        return int(value)
    except TypeError:
        raise BadType("%s=%s is no number" % (name, protocol.shown(value)), "give a whole one") from None
    except (ValueError, OverflowError):
        raise BadValue("%s=%s is no number" % (name, protocol.shown(value)), "give a whole one") from None


def _pieces(ids: Sequence[int]) -> Iterator[str]:
    """Ids as requests have them, no more at once than go into a request line and come on a page."""
    piece: List[str] = []
    length = 0
    for job_id in ids:
        text = str(job_id)
        if len(piece) == _WHOLE_PAGE or length + len(text) + 3 > _MOST_CHARS:
            yield ",".join(piece)
            piece, length = [], 0
        piece.append(text)
        length += len(text) + 3  # a comma becomes %2C
    if piece:
        yield ",".join(piece)


def _page(session: Session, query: Dict[str, object], page: int, per_page: int) -> Dict[str, Any]:
    answer = session.call("GET", protocol.LIST_JOBS, query=dict(query, page=page, per_page=per_page))
    if not isinstance(answer.get("jobs"), list):
        raise Unreachable("%s answered without jobs" % session.server_url)
    return answer


def _all_pages(session: Session, query: Dict[str, object]) -> List[Job]:
    jobs: List[Job] = []
    page = 1
    while True:
        answer = _page(session, query, page, _WHOLE_PAGE)
        jobs += answer["jobs"]
        if not answer["jobs"] or page >= int(answer.get("total_pages") or 1):
            return jobs
        page += 1
