"""`jd_worker_cli health`: can Hub and job server be reached, and do they let us in?"""

import time
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import jd
from jd import settings, terminal
from jd.auth import hubtoken
from jd.auth.jobserver import Source
from jd.cli.catalog import argument
from jd.cli.context import Context
from jd.cli.showing import views
from jd.cli.sweep.jobcounts import job_counts
from jd.cli.target import Known, known, shown_url
from jd.errors import EXIT_FAILURE, EXIT_OK, JdError, ServerRefused, ServerUnreachable, UsageError
from jd.net.client import Client, OtherExperiment
from jd.net.finding import probe

TIMEOUT = 10.0  # seconds


class Hub(NamedTuple):
    """What came of asking a Hub, in the same way. `key_valid` is None where it was not told."""

    url: str
    seconds: Optional[float] = None
    key_valid: Optional[bool] = None
    problem: Optional[str] = None


class Server(NamedTuple):
    """What came of asking a job server. `seconds` is None where nothing answered; `problem` is
    None where all is well; `url` where nothing tells where it is."""

    url: Optional[str]
    seconds: Optional[float] = None
    version: Optional[str] = None
    experiment: Optional[str] = None
    counts: Optional[Dict[str, int]] = None
    problem: Optional[str] = None


def run(context: Context) -> int:
    """Check connectivity (reference, section 2). Status 1 unless Hub and server can be used.

    In Hub mode the server is the one that the Hub names for the experiment.
    """
    context.words_exactly(0)
    hub = _ask_hub(context)
    server: Optional[Server] = None
    seen: Optional[Known] = None
    if hub is None or (hub.problem is None and context.experiment is not None):
        try:
            target = context.target()
            seen = Known(target.source)
            server = ask(target.client(TIMEOUT, context.experiment))
        except JdError as error:
            if hub is not None:
                hub = hub._replace(problem=str(error))
            elif isinstance(error, UsageError):
                raise
            else:
                seen = known(context)
                server = Server(None if seen.url is None else shown_url(seen.url), problem=str(error))
    asked = context.experiment
    serves = None if server is None else server.experiment
    agree = None if asked is None or serves is None else asked == serves
    well = ((server is None or server.problem is None) and agree is not False
            and (hub is None or hub.problem is None))
    document: Dict[str, Any] = {
        "ok": well, "server": None if server is None or seen is None else dict(
            seen.to_json(), **_server_facts(server)),
        "experiment": asked, "experiments_agree": agree, "hub": _hub_facts(hub),
    }
    pairs = _hub_pairs(hub, context)
    if server is not None and seen is not None:
        pairs = _pairs(server, asked, agree, seen.source) + pairs
    elif hub is not None and hub.problem is None:
        pairs.append(("job server", "give expId= to look at the one of an experiment"))
    views.emit(context, document, views.facts(pairs))
    return EXIT_OK if well else EXIT_FAILURE


def _ask_hub(context: Context) -> Optional[Hub]:
    """What the Hub says of the key; None without a Hub."""
    access = context.hub
    if access is None:
        return None
    found = Hub(access.client().shown)
    began = time.monotonic()
    try:
        hubtoken.check_key(access)
    except hubtoken.NoHub as error:
        return found._replace(seconds=_since(began), problem=str(error))
    except ServerRefused as error:
        known = False if error.status in (401, 403) else None
        return found._replace(seconds=_since(began), key_valid=known, problem=str(error))
    except JdError as error:
        return found._replace(problem=str(error))
    return found._replace(seconds=_since(began), key_valid=True)


def _server_facts(server: Server) -> Dict[str, Any]:
    return {"url": server.url, "reachable": server.seconds is not None,
            "seconds": server.seconds, "authorized": server.counts is not None,
            "version": server.version, "experiment": server.experiment, "error": server.problem}


def _hub_facts(hub: Optional[Hub]) -> Dict[str, Any]:
    if hub is None:
        return {"configured": False}
    return {"configured": True, "url": hub.url, "reachable": hub.seconds is not None,
            "seconds": hub.seconds, "key_valid": hub.key_valid, "error": hub.problem}


def _hub_pairs(hub: Optional[Hub], context: Context) -> List[Tuple[str, str]]:
    if hub is None:
        given = settings.lookup(argument("api_key"), context.arguments, context.environ)
        return [("hub", "not configured" if given is None else "not used: a server is named")]
    if hub.seconds is None:
        state = terminal.paint("not reachable", "red")
    else:
        state = terminal.paint("reachable", "green") + " in %.0f ms" % (hub.seconds * 1000)
    pairs = [("hub", "%s  %s" % (hub.url, state))]
    if hub.key_valid is not None:
        pairs.append(("API key", terminal.paint("valid", "green") if hub.key_valid
                      else terminal.paint("not valid", "red")))
    if hub.problem is not None:
        pairs.append(("problem", terminal.paint(hub.problem, "red")))
    return pairs


def ask(client: Client) -> Server:
    """Ask a server how it is, then for something that it may want a token for."""
    server = Server(client.shown)
    began = time.monotonic()
    try:
        found = probe.ask(client)
        probe.confirm(found, client.shown, None)
    except probe.WrongPort as error:
        return server._replace(seconds=_since(began), problem=str(error))
    except ServerUnreachable as error:
        # A proxy that says that its server is away can itself be reached.
        answered = isinstance(error.__cause__, ServerRefused)
        return server._replace(seconds=_since(began) if answered else None, problem=str(error))
    except JdError as error:
        return server._replace(problem=str(error))
    server = server._replace(seconds=_since(began), version=found.version, experiment=found.experiment)
    try:
        return server._replace(counts=job_counts(
            client.anonymous() if found.kind == probe.MUTE else client))
    except OtherExperiment as error:
        return server._replace(problem=str(error))
    except ServerUnreachable as error:
        return server._replace(seconds=None, problem=str(error))
    except JdError as error:
        return server._replace(problem=str(error))


def _since(began: float) -> float:
    return round(time.monotonic() - began, 4)


def _pairs(server: Server, asked: Optional[str], agree: Optional[bool],
           source: Optional[Source]) -> List[Tuple[str, str]]:
    if server.seconds is None:
        state = terminal.paint("not reachable", "red")
    else:
        state = terminal.paint("reachable", "green") + " in %.0f ms" % (server.seconds * 1000)
    pairs = [("job server", "%s  %s" % (server.url, state) if server.url else state)]
    if source is not None:
        pairs.append(("found by", views.plain(source.shown)))
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
        counted = ["%d %s" % (n, views.plain(status)) for status, n in server.counts.items() if n]
        pairs.append(("jobs", ", ".join(counted) or (
            "none yet: jd_server --jobs FILE makes some, or its dashboard")))
    return pairs
