"""What pages and programs ask for: filters, orders and cursors. `jd/server/store/search`, `pages`."""

import base64
import shutil
import sqlite3
import tempfile
from functools import partial
from pathlib import Path
from typing import List, Tuple

from jd.protocol import ProtocolError
from jd.server.store.pages import jobtable, workerlist
from jd.server.store.search import conditions, filters, values
from jd.server.store.search.scanning import View
from tests.fuzz.material import Source
from tests.fuzz.properties import Property, outcome, refused
from tests.server.store_support import Desk

NOW = 1_700_000_000.0
NAMES = (*conditions.BUILT_IN, "lr", "opt", "param.lr", "result.loss", "loss", "no such", 'a"b')
_databases: List[sqlite3.Connection] = []


def database() -> sqlite3.Connection:
    """A database of a few jobs, in memory."""
    if not _databases:
        db = sqlite3.connect(":memory:")
        _databases.append(db)
        _fill(db)
    return _databases[0]


def _fill(db: sqlite3.Connection) -> None:
    directory = Path(tempfile.mkdtemp(prefix="jd-fuzz-"))
    try:
        desk = Desk(directory)
        desk.create(3)
        for kind, name in (
            (values.PARAMETER, "lr"),
            (values.PARAMETER, "opt"),
            (values.PARAMETER, 'a"b'),
            (values.RESULT, "loss"),
        ):
            desk.write(partial(values.put, kind=kind, rows=[(1, {name: 0.5}), (2, {name: "sgd"})]))
        desk.finish(desk.claim().job_id, "ABORTED", message="exit status 1")
        desk.database.close()
        with sqlite3.connect(str(directory / "jobs.db")) as stored:
            db.executescript("\n".join(stored.iterdump()))
        stored.close()
    finally:
        shutil.rmtree(str(directory))


def _term(source: Source) -> str:
    name = source.of(NAMES) if source.chance(0.9) else source.text(2)
    value = source.one(
        source.number()[:60],
        source.word(),
        '"%s"' % source.text(3).replace('"', '\\"'),
        "null",
        "true",
        "FALSE",
        "PENDING,DONE",
        "-1h",
        "2026-01-31",
        "2026-01-31T12:30",
        "0001-01-01",
        "9999-12-31",
        "999999999w",
        source.text(2),
        '["\\ud800"]',
        '{"a":1}',
        "[1, 2]",
        "[1,2]",
        "E1",
        "E1,E999999999999999,null",
        "50%_\\",
        '"[1, 2]"',
        ",".join(source.several(source.number, 3))[:80],
        "١٢٣٤-01-01",
    )
    if source.chance(0.2):
        return source.text(3)
    return name + source.one("=", "=", "!=", "<", "<=", ">", ">=", "==", "=<", "~", "!~") + value


def make_filter(source: Source) -> str:
    """A filter."""
    text = source.one(" ", " ", "  ", "\t", "\u3000", "").join(source.several(lambda: _term(source), 5))
    if source.chance(0.02):
        text = source.one(
            source.long(500),
            "a=" + source.long(490),
            " ".join(["x"] * source.one(20, 21)),
            '"' * 499,
            "a=[" * 160,
        )
    return source.maybe(text, 0.3)


def check_filter(text: str) -> None:
    """Jobs, or ProtocolError; it never fails in the database."""
    db = database()
    found = outcome(lambda: conditions.compiled(db, text, NOW), ProtocolError)
    if refused(found):
        return
    view = View(db, found)
    where = view.where
    db.execute("SELECT j.id FROM jobs j WHERE %s" % where.text, where.values).fetchall()
    for source in found.sources:
        for arm in source.arms:
            db.execute(arm.text, arm.values).fetchall()


def make_moment(source: Source) -> str:
    """A time or a duration."""
    return source.maybe(
        source.one(
            "2026-01-31",
            "2026-01-31T12:30:59Z",
            "-1h",
            "30m",
            "0001-01-01",
            "9999-12-31 23:59:59",
            "1.5d",
            "999999999.999999w",
            source.number()[:40],
        ),
        0.6,
    )


def check_moment(text: str) -> None:
    """A span of finite times, or ProtocolError."""
    span = outcome(lambda: filters.moment(text, NOW), ProtocolError)
    assert refused(span) or -1e16 < span.start <= span.end < 1e16
    seconds = filters.duration(text)
    assert seconds is None or 0 <= seconds < 1e16


# ---- cursors


def make_cursor(source: Source) -> Tuple[str, str]:
    """An order and a cursor, as somebody may change it in a URL."""
    sort = source.one("id", "-id", "status", "param.lr", "-result.loss", "created_at", source.text(2))
    raw = source.maybe(
        source.json(
            [source.one(sort, source.value(1)), source.value(1, True), source.one(3, source.value(1))]
        ),
        0.3,
    )
    if source.chance(0.3):
        raw = source.one(
            source.number(),
            source.nested()[:200],
            '[1e400,"a"]',
            '["%s","w"]' % source.number()[:30],
            '[NaN,"a"]',
            '["\\ud800","\\ud800"]',
            "null",
            "[" * 3000,
            "[1,2,3]",
            '["a","b"]',
            '[9223372036854775808,"a"]',
        )
    if source.chance(0.5):
        return sort, raw
    return sort, source.maybe(
        base64.urlsafe_b64encode(raw.encode("utf-8", "surrogatepass")).decode().rstrip("="), 0.2
    )


def check_cursor(given: Tuple[str, str]) -> None:
    """A place that can be bound, or ProtocolError."""
    sort, text = given
    db = database()
    order = outcome(lambda: jobtable.order(db, sort), ProtocolError)
    if not refused(order):
        found = outcome(lambda: jobtable.cursor(text, order), ProtocolError)
        if not refused(found):
            db.execute("SELECT ?, ?", found).fetchone()
    place = outcome(lambda: workerlist._cursor(text), ProtocolError)
    if not refused(place):
        db.execute("SELECT ?, ?", place).fetchone()


PROPERTIES = (
    Property(
        "filter",
        make_filter,
        check_filter,
        (
            "",
            "\0",
            '"',
            'lr=["\\ud800"]',
            "lr<9e999",
            "id=99999999999999999999",
            "a=" + "[" * 490,
            'a"b=1',
            "created_at>0000-00-00",
            "status=",
            "code=%",
            "x=1,2,,3",
            "error=E1 message~\"50%_\\\\\"",
            "a~",
            "~a !~b",
        ),
        weight=40,
    ),
    Property("moment", make_moment, check_moment, ("²026-01-31", "-", "", "1" * 30), weight=25),
    Property(
        "cursor",
        make_cursor,
        check_cursor,
        (
            ("id", "5"),
            ("id", "[" * 5000),
            ("id", '["\\ud800", "a"]'),
            ("id", '[1e400, "a"]'),
            ("id", '[true, "a"]'),
            ("id", '[99999999999999999999, "a"]'),
        ),
        weight=40,
    ),
)
