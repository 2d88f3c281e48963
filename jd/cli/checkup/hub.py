"""The way to the Hub, and whether it knows the key."""

from dataclasses import replace
from typing import List, Mapping, Optional

from jd.auth import hubtoken
from jd.cli.checkup.finding import Finding, Notes
from jd.cli.checkup.server import Server, Visit
from jd.errors import JdError

TOPIC = "Hub"


def check(environ: Mapping[str, str], arguments: Mapping[str, str], named: bool,
        experiment: Optional[str] = None) -> List[Finding]:
    """`named` says that somebody names a job server: then no Hub is asked."""
    notes = Notes(TOPIC)
    key = arguments.get("api_key", "").strip() or environ.get("JD_API_KEY", "").strip()
    if named:
        return notes.ok("not used: a job server is named" if key else "not configured")
    try:
        access = hubtoken.access(arguments, environ, experiment)
        if access is None:
            if environ.get("JD_HUB_URL", "").strip() or arguments.get("hub"):
                return notes.warn("a Hub is named, and there is no API key for it",
                                  "set JD_API_KEY; keys are made at %s%s" % (
                                      hubtoken.hub_url(arguments, environ), hubtoken.KEYS_PAGE))
            return notes.ok("not configured")
        url = access.url
        visit = Visit(lambda: Server(url, True), None, environ, what="Hub")
        for step in (visit.address, visit.name, visit.connection, visit.tls):
            notes.findings += [replace(found, topic=TOPIC) for found in step()]
        if visit.failed:
            return notes.findings
        hubtoken.check_key(access)
    except JdError as error:
        return notes.problem(error.what, error.advice)
    return notes.ok("the Hub knows the API key")
