"""`GET /metrics`: the state of the experiment in Prometheus' text format, version 0.0.4.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

import asyncio
import sqlite3
from typing import Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Tuple

import jd
from jd import protocol as p
from jd.auth import sharedtoken
from jd.net.serving.routing import Request, Response, Route, Router
from jd.net.serving.traffic import Flow
from jd.server.api.access import EDIT
from jd.server.experiment import Experiment
from jd.server.store.pages import summary
from jd.server.store.pages.summary import Workers
from jd.server.store.queue import jobs
from jd.server.store.queue.transitions import FAILURES, INTERRUPTIONS

PATH = "/metrics"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_VERDICTS = (p.VERDICT_DONE, *FAILURES, *INTERRUPTIONS, p.VERDICT_STOPPED)

Labels = Mapping[str, str]
Sample = Tuple[Labels, float]


class _Facts(NamedTuple):
    """What the database says, at one moment."""

    jobs: Dict[str, int]
    workers: Workers
    attempts: Dict[str, int]


class Metrics:
    """`/metrics` of one experiment."""

    def __init__(self, experiment: Experiment, traffic: Flow, token: Optional[str]) -> None:
        """Who has `token` may ask, besides those whom the API lets in: the tokens of a Hub live too
        short to be written into the settings of Prometheus."""
        self._experiment = experiment
        self._traffic = traffic
        self._token = token

    def add_to(self, router: Router) -> None:
        """Put the route into a router."""
        router.add("GET", PATH, self._metrics, role=EDIT)

    def admits(self, request: Request, route: Route) -> bool:
        """Whether a request brings the token that is good for this route."""
        if route.pattern != PATH or self._token is None:
            return False
        given = sharedtoken.bearer(request.headers.get("authorization"))
        return given is not None and sharedtoken.same(given, self._token)

    async def _metrics(self, _request: Request) -> Response:
        facts = await self._experiment.read(_facts)
        size = await asyncio.get_running_loop().run_in_executor(
            None, self._experiment.database.size)
        text = self._page(facts, size)
        return Response.text(text, content_type=CONTENT_TYPE)

    def _page(self, facts: _Facts, size: int) -> str:
        lines: List[str] = []

        def family(name: str, kind: str, meaning: str, samples: Iterable[Sample]) -> None:
            lines.extend(_family(name, kind, meaning, samples))

        family("jd_build_info", "gauge", "The version that runs; always 1.",
               [({"version": jd.__version__, "experiment": self._experiment.name}, 1)])
        family("jd_jobs", "gauge", "Jobs by status.",
               [({"status": status}, n) for status, n in facts.jobs.items()])
        family("jd_workers", "gauge",
               "Workers by state: disabled have left, leaving are told to and have no job.",
               [({"state": state}, n) for state, n in _by_state(facts.workers)])
        family("jd_workers_queued", "gauge", "Active workers that have not taken their latest command.",
               [({}, facts.workers.queued)])
        family("jd_workers_failing", "gauge", "Active workers on which jobs fail again and again.",
               [({}, facts.workers.failing)])
        family("jd_attempts_total", "counter", "Attempts that ended, by verdict.",
               [({"verdict": verdict}, n) for verdict, n in facts.attempts.items()])
        self._add_traffic(family)
        family("jd_database_bytes", "gauge", "Size of the database with its log.", [({}, size)])
        family("jd_paused", "gauge", "1 while no job is handed out.",
               [({}, int(self._experiment.policy.paused))])
        return "\n".join(lines) + "\n"

    def _add_traffic(self, family: Callable[[str, str, str, Iterable[Sample]], None]) -> None:
        flows = dict(self._traffic())
        family("jd_http_requests_total", "counter", "Answers by port and class of status.",
               [({"port": port, "class": kind}, n)
                for port, flow in flows.items() for kind, n in flow.answers.items()])
        family("jd_http_bytes_total", "counter", "Bytes received (in) and sent (out), without TLS.",
               [({"port": port, "direction": direction}, n) for port, flow in flows.items()
                for direction, n in (("in", flow.bytes_in), ("out", flow.bytes_out))])
        family("jd_http_connections", "gauge", "Open connections.",
               [({"port": port}, flow.connections) for port, flow in flows.items()])


def _facts(db: sqlite3.Connection) -> _Facts:
    # Every verdict from the start: a rate needs the 0 before the first one.
    ended = dict.fromkeys(_VERDICTS, 0)
    ended.update(summary.attempts(db))
    return _Facts(jobs.counts(db), summary.workers(db), ended)


def _by_state(found: Workers) -> List[Tuple[str, int]]:
    """States that exclude each other."""
    leaving = found.active - found.idle - found.busy - found.paused
    return [("idle", found.idle), ("busy", found.busy), ("paused", found.paused), ("leaving", leaving),
            ("disabled", found.disabled)]


def _family(name: str, kind: str, meaning: str, samples: Iterable[Sample]) -> List[str]:
    """The lines of one metric."""
    lines = ["# HELP %s %s" % (name, meaning.replace("\\", "\\\\").replace("\n", "\\n")),
             "# TYPE %s %s" % (name, kind)]
    for labels, value in samples:
        inner = ",".join('%s="%s"' % (label, _escaped(text)) for label, text in labels.items())
        lines.append("%s%s %s" % (name, "{%s}" % inner if inner else "", repr(value)))
    return lines


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
