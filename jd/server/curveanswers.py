"""What jobs have reported, as JSON that is made a curve at a time: many points take long to write down, and
the loop serves others in between."""

import json
import sqlite3
from functools import partial
from typing import Any, Callable, Dict, Generator, Iterable, Iterator, Optional

from jd import csvcells
from jd.server.store.pages import curves
from jd.server.store.pages.curves import Curve, Metric, OfJob

Read = Callable[[Callable[[sqlite3.Connection], Any]], Any]


def count(found: OfJob) -> bytes:
    """How many reports there are, for who has them all."""
    return _json({"count": found.taken})


def of_job(db: sqlite3.Connection, found: OfJob) -> bytes:
    """An attempt and its metrics, with as many points as a page can show."""
    return b"".join(_written(_head(found), "metrics", map(_metric, curves.metrics_of(db, found))))


def whole(read: Read, found: OfJob, only: Optional[str]) -> Generator[bytes, None, None]:
    """The same with all points that are kept, of one metric only if it is named: read as it is written."""
    def metrics() -> Iterator[Dict[str, Any]]:
        for name in found.names():
            if only in (None, name):
                yield from map(_metric, read(partial(curves.metric_of, asked=found, name=name)))

    yield from _written(_head(found), "metrics", metrics())


def table(read: Read, job_id: int, attempt: int) -> Generator[bytes, None, None]:
    """All points of an attempt as CSV, metric by metric."""
    found: OfJob = read(partial(curves.of_job, job_id=job_id, attempt=attempt))
    yield b"metric,step,time,value\r\n"
    for name in found.names():
        for metric in read(partial(curves.metric_of, asked=found, name=name)):
            called, shown = csvcells.text(name), curves.columns(metric.points)
            for step, seconds, value in zip(shown["step"], shown["time"], metric.points.values):
                yield ("%s,%r,%r,%s\r\n" % (called, step, seconds, csvcells.text(value))).encode("utf-8")


def overlay(metric: str, found: curves.Overlay) -> bytes:
    """One metric of many jobs."""
    return b"".join(_written({"metric": metric, "total": found.total}, "curves", map(_curve, found.curves)))


def _head(found: OfJob) -> Dict[str, Any]:
    return {"id": found.id, "attempt": found.attempt, "attempts": found.attempts, "running": found.running,
            "started": found.started, "count": found.taken}


def _metric(metric: Metric) -> Dict[str, Any]:
    return {"name": metric.name, "n": metric.n, **curves.columns(metric.points)}


def _curve(curve: Curve) -> Dict[str, Any]:
    return {"id": curve.id, "attempt": curve.attempt, "status": curve.status,
            "retry_at": curve.retry_at, "started": curve.started,
            "n": curve.n, "last": curves.finite(curve.last), "min": curve.low, "max": curve.high,
            **curves.columns(curve.points)}


def _written(head: Dict[str, Any], name: str,
             items: Iterable[Dict[str, Any]]) -> Generator[bytes, None, None]:
    """An object with a list as its last field, item by item."""
    yield b"%b, %b: [" % (_json(head)[:-1], _json(name))
    for number, item in enumerate(items):
        yield (b", " if number else b"") + _json(item)
    yield b"]}"


def _json(value: Any) -> bytes:
    return json.dumps(value, allow_nan=False).encode("ascii")
