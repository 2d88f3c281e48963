"""Finding the jobs of a filter with bounded work, however many jobs there are.

A *driver* gives jobs in a fixed order from an index; at most SCAN of them are looked at in one request,
which then answers with what it has and where to go on. Where an index says that few jobs can match,
all of them are looked at instead.
"""

import sqlite3
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from jd import protocol as p
from jd.server.store.queue import jobs
from jd.server.store.search.conditions import Filter, Source, Sql

SCAN = 50_000  # jobs that one request looks at
FEW = 5_000  # jobs that are all looked at, and sorted in memory

Place = Tuple[Any, int]  # (key, id) of a job in the order of a driver


class Found(NamedTuple):
    """Places of matching jobs, and behind which to go on; `resume` is None at the end."""

    places: List[Place]
    resume: Optional[Place]
    scanned: int


class Matching(NamedTuple):
    """Ids in their order; `next` is the id after which to go on, None at the end."""

    ids: List[int]
    next: Optional[int]
    scanned: int


class View:
    """A filter in one snapshot of the database, with the cheapest source of its jobs."""

    def __init__(self, db: sqlite3.Connection, wanted: Filter) -> None:
        before = jobs.creating_from(db)
        if before < jobs.NO_BATCH:
            # Of a batch that is being written nothing shows until it is whole.
            wanted = wanted._replace(below=min(wanted.below, before),
                                     conditions=(*wanted.conditions, Sql("j.id < ?", (before,))))
        self.wanted = wanted
        counts = jobs.counts(db)
        self.by_status = {status: counts[status] for status in wanted.statuses}
        by_status = self._status_source(counts, before)
        counted = [(sum(self.by_status.values()), True, by_status)]
        counted += [(_count(db, source), False, source) for source in wanted.sources]
        self.rows, is_status, self.source = min(counted, key=lambda one: one[0])
        ordered = [one for one in counted if one[2].ordered]
        _, ordered_is_status, self.ordered_source = min(ordered, key=lambda one: one[0])
        others = sum(counts.values()) > sum(self.by_status.values())
        self.where = wanted.where(with_statuses=others)
        self.small_where = wanted.where(with_statuses=others and not is_status)
        self.ordered_where = wanted.where(with_statuses=others and not ordered_is_status)

    @property
    def few(self) -> bool:
        """Whether all jobs that can match may be looked at in one go."""
        return self.rows <= FEW

    def _status_source(self, counts: Dict[str, int], before: int) -> Source:
        limit = "" if before == jobs.NO_BATCH else " AND id < %d" % before
        present = [status for status, n in counts.items() if n]
        chosen = [status for status in present if status in self.by_status]
        if chosen == present:
            return Source((Sql("SELECT id FROM jobs WHERE 1" + limit),), "id", True)
        return Source(tuple(
            Sql("SELECT id FROM jobs INDEXED BY jobs_by_status WHERE status = ?" + limit, (status,))
            for status in chosen) or (Sql("SELECT id FROM jobs WHERE 0"),), "id", True)

    def everything(self, db: sqlite3.Connection, columns: Sql, after: int = 0) -> List[Any]:
        """The given columns of all jobs that match, in no order. All are looked at in one go: pages of
        the table ask so for `few` only, plots for whatever there is."""
        text, bound = union(self.source.arms)
        return db.execute(
            "SELECT %s FROM (%s) d CROSS JOIN jobs j WHERE j.id = d.id AND j.id > ? AND %s" % (
                columns.text, text, self.small_where.text),
            (*columns.values, *bound, after, *self.small_where.values)).fetchall()

    def by_id(self, after: Optional[int], descending: bool = False) -> Sql:
        """A driver in the order of ids, behind `after`."""
        source = self.ordered_source
        above, below = self.wanted.above, self.wanted.below
        if after is not None and descending:
            below = min(below, after)
        elif after is not None:
            above = max(above, after)
        arms = [Sql("{0} AND {1} > ? AND {1} < ?".format(arm.text, source.id_column),
                    (*arm.values, above, below)) for arm in source.arms]
        text, bound = union(arms)
        # A union keeps the order only where it is asked for by the name of a column.
        return Sql("SELECT NULL AS key, id FROM (%s ORDER BY id%s LIMIT ?)" % (
            text, " DESC" if descending else ""), bound)


def union(arms: Sequence[Sql]) -> Sql:
    """All of what some queries give."""
    return Sql(" UNION ALL ".join(arm.text for arm in arms),
               tuple(value for arm in arms for value in arm.values))


def _count(db: sqlite3.Connection, source: Source) -> int:
    """How many jobs a source has, counted up to SCAN + 1."""
    text, bound = union(source.arms)
    return int(db.execute("SELECT count(*) FROM (%s LIMIT %d)" % (text, SCAN + 1), bound).fetchone()[0])


def run(db: sqlite3.Connection, driver: Sql, where: Sql, limit: int, budget: int) -> Found:
    """The first `limit` jobs of a driver that match, among the first `budget` of it.

    A driver's last question mark is its LIMIT.
    """
    if where.text == "1":
        places = db.execute(driver.text, (*driver.values, min(limit + 1, budget + 1))).fetchall()
        kept = places[:min(limit, budget)]
        return Found(kept, kept[-1] if len(places) > len(kept) else None, len(kept))
    # CROSS JOIN: the driver is read in its order, and only as far as the page needs.
    places = db.execute("SELECT d.key, d.id FROM (%s) d CROSS JOIN jobs j WHERE j.id = d.id AND %s"
                        " LIMIT ?" % (driver.text, where.text),
                        (*driver.values, budget, *where.values, limit + 1)).fetchall()
    if len(places) > limit:
        return Found(places[:limit], places[limit - 1], limit)
    last = boundary(db, driver, budget)
    return Found(places, last, budget if last is not None else length(db, driver, budget))


def boundary(db: sqlite3.Connection, driver: Sql, budget: int) -> Optional[Place]:
    """The last place of so many; None if the driver has no more than that."""
    rows = db.execute("SELECT key, id FROM (%s) LIMIT 2 OFFSET ?" % driver.text,
                      (*driver.values, budget + 1, budget - 1)).fetchall()
    return rows[0] if len(rows) == 2 else None


def length(db: sqlite3.Connection, driver: Sql, budget: int) -> int:
    """How many jobs a driver has, up to `budget`."""
    return int(db.execute("SELECT count(*) FROM (%s)" % driver.text,
                          (*driver.values, budget)).fetchone()[0])


def matching(db: sqlite3.Connection, wanted: Filter, after: int, limit: int) -> Matching:
    """Up to `limit` ids of matching jobs above `after`, in the order of ids.

    There may be fewer although `next` is not None: then SCAN jobs were looked at.
    """
    view = View(db, wanted)
    if view.few:
        ids = sorted(row[0] for row in view.everything(db, Sql("j.id"), after))
        return Matching(ids[:limit], ids[limit - 1] if len(ids) > limit else None, view.rows)
    found = run(db, view.by_id(after), view.ordered_where, limit, SCAN)
    return Matching([place[1] for place in found.places],
                    None if found.resume is None else found.resume[1], found.scanned)


class Counted(NamedTuple):
    """How many match by status, in one step of counting; `next` is None at the end."""

    matching: Dict[str, int]
    next: Optional[int]
    scanned: int


def count(db: sqlite3.Connection, wanted: Filter, after: int = 0) -> Counted:
    """Count the matching jobs above the id `after`, SCAN jobs at a time.

    A filter of statuses alone is answered at once: those counts are kept.
    """
    view = View(db, wanted)
    if not wanted.conditions:
        return Counted(dict(view.by_status), None, 0)
    counts = dict.fromkeys(p.JOB_STATUSES_ALL, 0)
    if view.few:
        for (status,) in view.everything(db, Sql("j.status"), after):
            counts[status] += 1
        return Counted({status: counts[status] for status in wanted.statuses}, None, view.rows)
    driver, where = view.by_id(after), view.ordered_where
    counts.update(db.execute(
        "SELECT j.status, count(*) FROM (%s) d CROSS JOIN jobs j WHERE j.id = d.id AND %s"
        " GROUP BY j.status" % (driver.text, where.text),
        (*driver.values, SCAN, *where.values)).fetchall())
    last = boundary(db, driver, SCAN)
    return Counted({status: counts[status] for status in wanted.statuses},
                   None if last is None else last[1],
                   SCAN if last is not None else length(db, driver, SCAN))
