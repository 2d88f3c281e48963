"""`jd_worker_cli health`: can the job server be reached, and does it let us in?"""

import time
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import jd
from jd import protocol, settings, terminal
from jd.cli import views
from jd.cli.catalog import argument
from jd.cli.commands.server_info import job_counts
from jd.cli.context import Context
from jd.errors import EXIT_FAILURE, EXIT_OK, JdError, ServerRefused, ServerUnreachable
from jd.net.client import Client

_NO_HUB = "given, but Hub mode is not available in this version; workers use server= directly"


class Server(NamedTuple):
    """What came of asking a job server. `seconds` is None where nothing answered; `problem` is
    None where all is well."""

    url: str
    seconds: Optional[float] = None
    version: Optional[str] = None
    experiment: Optional[str] = None
    counts: Optional[Dict[str, int]] = None
    problem: Optional[str] = None


def run(context: Context) -> int:
    """Check connectivity (reference, section 2). Status 1 unless the server can be used."""
    context.words_exactly(0)
    server = ask(context.client())
    asked = context.experiment
    agree = None if asked is None or server.experiment is None else asked == server.experiment
    well = server.problem is None and agree is not False
    hub = [key for key in ("api_key", "hub")
           if settings.lookup(argument(key), context.arguments, context.environ)]
    document: Dict[str, Any] = {
        "ok": well,
        "server": {"url": server.url, "reachable": server.seconds is not None,
                   "seconds": server.seconds, "authorized": server.counts is not None,
                   "version": server.version, "experiment": server.experiment,
                   "error": server.problem},
        "experiment": asked, "experiments_agree": agree,
        "hub": {"configured": bool(hub), "available": False},
    }
    pairs = _pairs(server, asked, agree)
    pairs.append(("hub", terminal.paint(_NO_HUB, "yellow") if hub else "not configured"))
    views.emit(context, document, views.facts(pairs))
    return EXIT_OK if well else EXIT_FAILURE


def ask(client: Client) -> Server:
    """Ask a server how it is, then for something that it may want a token for."""
    server = Server(client.shown)
    began = time.monotonic()
    try:
        answer = client.call("GET", protocol.HEALTH)
    except ServerRefused as error:
        if error.status != 404:  # another implementation may have no such route
            return server._replace(seconds=_since(began), problem=str(error))
        answer = {}
    except JdError as error:
        return server._replace(problem=str(error))
    if not isinstance(answer, dict):
        return server._replace(problem="%s answered %s: it is no job server; check the URL" % (
            client.shown, protocol.shown(answer)))
    server = server._replace(seconds=_since(began), version=_text(answer.get("version")),
                             experiment=_text(answer.get("expId")))
    try:
        return server._replace(counts=job_counts(client))
    except ServerUnreachable as error:
        return server._replace(seconds=None, problem=str(error))
    except JdError as error:
        return server._replace(problem=str(error))


def _since(began: float) -> float:
    return round(time.monotonic() - began, 4)


def _text(value: Any) -> Optional[str]:
    return views.plain(value)[:protocol.MAX_NAME_CHARS] if isinstance(value, str) else None


def _pairs(server: Server, asked: Optional[str], agree: Optional[bool]) -> List[Tuple[str, str]]:
    if server.seconds is None:
        state = terminal.paint("not reachable", "red")
    else:
        state = terminal.paint("reachable", "green") + " in %.0f ms" % (server.seconds * 1000)
    pairs = [("job server", "%s  %s" % (server.url, state))]
    if server.problem is not None:
        pairs.append(("problem", terminal.paint(server.problem, "red")))
    if server.version is not None:
        same = "" if server.version == jd.__version__ else " (this is %s)" % jd.__version__
        pairs.append(("version", server.version + same))
    if server.experiment is not None:
        note = {None: "", True: ", as asked for"}.get(
            agree, terminal.paint(", not %s: check expId= and server=" % asked, "red"))
        pairs.append(("experiment", server.experiment + note))
    if server.counts is not None:
        pairs.append(("jobs", ", ".join("%d %s" % (n, views.plain(status))
                                        for status, n in server.counts.items() if n) or "none"))
    return pairs
