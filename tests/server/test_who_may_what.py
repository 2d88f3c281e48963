"""Every route of the three servers, and who of all is let in with what they can show.

A route that is not in a table fails, and so does one of a table that no server has. Whoever is not named with
a route is refused there, and changes nothing. How far those that are let in reach is in test_reach.py.
"""

import json
import os
import socket
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Callable, Dict, FrozenSet, Iterator, NamedTuple, Optional

import pytest

from jd.net.peer import socketowner
from jd.net.serving.routing import Router
from tests.server.town import HOST, Alone, Headers, Servers, Town, as_json, as_upload, bearer
from tests.users import OTHER, Other, needs_root

PEOPLE = ("alice", "bob", "eve", "mallory", "root")
# What one can show (see Town). `own` is `work` that names its own worker and job; all others name Alice's.
NAMES = ("none", "other experiment", "expired", "revoked", "work", "own", "edit", "owner", "dashboard",
         *("%s of %s" % (what, who) for what in ("key", "page") for who in PEOPLE))
# Sends (port, method, target, headers, body); the status of the answer.
Send = Callable[[int, str, str, Headers, bytes], int]


class Row(NamedTuple):
    """Who is let in, and the request by which that shows: `{w}` and `{j}` are a worker and its job, and a
    body that is a text is the part of an upload."""

    who: FrozenSet[str]
    target: Optional[str] = None
    body: Any = None


def names(text: str) -> FrozenSet[str]:
    return frozenset(name.strip() for name in text.split(","))


ALL = frozenset(NAMES)
# ---- the API of a job server
WORKS, EDITS, REACHES = names("work, own, edit, owner"), names("edit, owner"), names("own, owner")
# ---- the Hub: who has an account, who sees the experiment, whose it is
KEYS, PAGES = (frozenset("%s of %s" % (what, who) for who in PEOPLE) for what in ("key", "page"))
ITS_KEYS, OWN_KEY = names("key of alice, key of bob, key of eve"), names("key of alice")
OWN_PAGE, ADMIN = names("page of alice"), names("page of root")
SIGNED_IN = names("dashboard")
EXP = "/api/experiments/exp"

API: Dict[str, Row] = {
    "GET /healthz": Row(ALL),
    "POST /worker/heartbeat": Row(REACHES, body={
        "worker_id": "{w}", "session": "of {w}", "reported_status": "busy", "current_job_id": "{j}",
        "attempt": 1}),
    "POST /update_job_status": Row(REACHES, body={"job_id": "{j}", "attempt": 1, "status": "DONE"}),
    "POST /worker/output": Row(REACHES, body={"job_id": "{j}", "attempt": 1, "offset": 0, "output": "x"}),
    "POST /worker/report": Row(REACHES, body={"job_id": "{j}", "attempt": 1, "first": 0,
                                              "reports": [[1, {"x": 1}]]}),
    "POST /upload": Row(REACHES, body="file"),
    "POST /checkpoint": Row(REACHES, body="checkpoint"),
    "GET /checkpoint/latest": Row(REACHES | EDITS, "/checkpoint/latest?job_id={j}"),
    "GET /job_counts": Row(WORKS),
    "GET /api/sweep": Row(WORKS),
    "POST /workers/cli/stop": Row(REACHES, body={"worker_id": "{w}", "action": "stop"}),
    "POST /workers/cli/clear_all": Row(WORKS, body={"workers": []}),
    "POST /api/jobs/create": Row(EDITS, body={"jobs": [{"x": 1}], "replace": True}),
    "GET /api/jobs": Row(EDITS),
    "GET /api/jobs/statuses": Row(EDITS, "/api/jobs/statuses?ids=1,2"),
    "GET /api/jobs/<int:id>/output": Row(EDITS, "/api/jobs/1/output"),
    "GET /api/jobs/<int:id>/reports": Row(EDITS, "/api/jobs/1/reports"),
    "GET /api/jobs/<int:id>/uploads": Row(EDITS, "/api/jobs/1/uploads"),
    "GET /api/jobs/<int:id>/uploads/download": Row(EDITS, "/api/jobs/1/uploads/download?filename=a.txt"),
    "GET /api/jobs/<int:id>": Row(EDITS),
    "POST /api/jobs/act": Row(EDITS, body={"action": "delete", "ids": [99]}),
    "POST /api/jobs/<int:id>/parameters": Row(EDITS, "/api/jobs/3/parameters", {"parameters": {"x": 1}}),
    "POST /api/jobs/wait": Row(EDITS, body={"where": ""}),
    "GET /api/results": Row(EDITS),
    "GET /api/changes": Row(EDITS),
    "POST /api/sweep": Row(EDITS, body={"paused": False}),
    "GET /metrics": Row(EDITS),
    "GET /": Row(ALL),
}
DASHBOARD: Dict[str, Row] = dict(
    {route: Row(ALL) for route in (
        "GET /healthz", "GET /", "GET /signin", "GET /static/<path:name>", "POST /web/signin",
        "POST /web/signout")},
    **{route: Row(SIGNED_IN) for route in (
        "GET /jobs", "GET /jobs/<int:id>", "GET /results", "GET /curves", "GET /failures", "GET /history",
        "GET /compare", "GET /workers", "GET /settings",
        "POST /web/pin", "GET /web/me", "GET /web/summary", "GET /web/events", "GET /web/jobs",
        "GET /web/jobs/count", "POST /web/jobs/act", "POST /web/jobs/<int:id>/parameters",
        "POST /web/create/preview", "POST /web/create", "GET /web/job", "GET /web/job/output",
        "GET /web/job/output/log",
        "GET /web/job/file", "GET /web/job/preview", "GET /web/job/image", "GET /web/job/zip",
        "GET /web/results/names", "GET /web/results/columns", "GET /web/results/boxes",
        "GET /web/results/cells", "GET /web/results/leaders", "GET /web/failures", "GET /web/failures/values",
        "GET /web/completions",
        "GET /web/job/curves", "GET /web/curves", "GET /web/curves/names",
        "GET /web/curves/parameters",
        "GET /web/history/best", "GET /web/history/workers",
        "GET /web/history/cost", "GET /web/history/cost.csv",
        "GET /web/export.csv", "GET /web/export.zip", "GET /web/workers",
        "GET /web/workers/hosts", "GET /web/worker", "GET /web/worker/log",
        "POST /web/workers/command",
        "POST /web/workers/retry-failed", "GET /web/settings", "POST /web/settings", "GET /web/backup")})
HUB: Dict[str, Row] = dict(
    {route: Row(ALL) for route in (
        "GET /healthz", "GET /", "GET /signin", "GET /signup", "GET /static/<path:name>", "POST /web/signin",
        "POST /web/signout", "POST /web/signup", "POST /web/signup-link")},
    **{route: Row(PAGES) for route in (
        "GET /experiments", "GET /api-keys", "GET /web/me", "GET /web/experiments", "GET /web/api-keys")},
    **{
        "POST /api/worker/token": Row(ITS_KEYS, body={"experiment_name": "exp"}),
        "POST /api/experiments": Row(KEYS, body={"name": "new"}),
        "GET /api/experiments/<name>": Row(ITS_KEYS, EXP),
        "DELETE /api/experiments/<name>": Row(OWN_KEY, EXP),
        "GET /api/experiments/<name>/runtime-config": Row(OWN_KEY, EXP + "/runtime-config"),
        "POST /api/experiments/<name>/register": Row(OWN_KEY, EXP + "/register",
                                                     {"server_url": "http://evil:1"}),
        "POST /api/experiments/<name>/heartbeat": Row(OWN_KEY, EXP + "/heartbeat", {}),
        "GET /api/experiments/<name>/revoked-tokens": Row(OWN_KEY, EXP + "/revoked-tokens"),
        "POST /api/experiments/<name>/revoke-token": Row(OWN_KEY, EXP + "/revoke-token", {"jti": "{jti}"}),
        "POST /web/experiments": Row(PAGES, body={"name": "new"}),
        "POST /web/experiments/check": Row(PAGES, body={"name": "new"}),
        "POST /web/experiments/<name>/share": Row(OWN_PAGE, "/web/experiments/exp/share", {
            "email": "mallory@example.org", "role": "edit"}),
        "POST /web/experiments/<name>/unshare": Row(OWN_PAGE, "/web/experiments/exp/unshare", {
            "email": "eve@example.org"}),
        "POST /web/experiments/<name>/pin": Row(OWN_PAGE, "/web/experiments/exp/pin", {}),
        "POST /web/experiments/<name>/delete": Row(OWN_PAGE, "/web/experiments/exp/delete", {
            "confirm": "exp"}),
        "POST /web/api-keys": Row(PAGES, body={"name": "another"}),
        "POST /web/api-keys/<int:id>/revoke": Row(OWN_PAGE, "/web/api-keys/1/revoke", {}),
        "GET /users": Row(ADMIN),
        "GET /web/users": Row(ADMIN),
        "POST /web/users": Row(ADMIN, body={"email": "new@example.org"}),
        "POST /web/users/link": Row(ADMIN, body={"email": "bob@example.org"}),
        "POST /web/users/suspend": Row(ADMIN, body={"email": "bob@example.org"}),
        "POST /web/users/resume": Row(ADMIN, body={"email": "bob@example.org"}),
    })
TABLES = {"api": API, "dashboard": DASHBOARD, "hub": HUB}
# To who is not let in a page leads to the sign-in, and what is of others does not exist.
REFUSED = {"api": (401, 403, 409), "dashboard": (401, 303), "hub": (401, 403, 404, 303)}


def routers(town: Town) -> Dict[str, Router]:
    return {"api": town.server.api, "dashboard": town.server.dashboard, "hub": town.hub.router}


def filled(value: Any, name: str, servers: Servers) -> Any:
    """A request's text or body for one who shows `name`."""
    worker, job = ("his", 2) if name == "own" else ("hers", 1)
    jti = servers.jti if isinstance(servers, Town) else ""
    if isinstance(value, dict):
        return {key: filled(one, name, servers) for key, one in value.items()}
    if not isinstance(value, str):
        return value
    return job if value == "{j}" else value.format(w=worker, j=job, jti=jti) if "{" in value else value


def answer(servers: Servers, place: str, route: str, row: Row, name: str, **more: str) -> int:
    """The status of the answer to who shows `name`, and `more` headers."""
    method, _, pattern = route.partition(" ")
    plain = pattern.replace("<int:id>", "1").replace("<path:name>", "icon.svg")
    target = filled(row.target or plain, name, servers)
    if row.body in ("file", "checkpoint"):
        headers, body = as_upload(row.body, 2 if name == "own" else 1)
    else:
        given = row.body if row.body is not None or method == "GET" else {}
        headers, body = as_json(filled(given, name, servers))
    return servers.send(place, method, target, dict(headers, **servers.credentials[name], **more), body)[0]


@pytest.fixture(scope="module", autouse=True)
def stranger() -> Iterator[Optional[Send]]:
    """Sends requests as another user, where root runs this.

    It is forked before any server has threads: later it could hang.
    """
    if os.geteuid() != 0:
        yield None
        return
    ours, theirs = socket.socketpair()

    def work(say: Callable[[int], None]) -> None:
        ours.close()  # so that there is an end
        for line in theirs.makefile("r"):
            port, method, target, headers, body = json.loads(line)
            connection = HTTPConnection(HOST, port, timeout=60)
            connection.request(method, target, body.encode("latin-1"), headers)
            say(connection.getresponse().status)
            connection.close()

    def send(port: int, method: str, target: str, headers: Headers, body: bytes) -> int:
        ours.sendall(json.dumps([port, method, target, headers, body.decode("latin-1")]).encode() + b"\n")
        return int(other.hear())
    with ours, theirs, Other(work) as other:
        yield send


@pytest.fixture(scope="module")
def quiet_town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """For questions that change nothing."""
    with Town(tmp_path_factory.mktemp("town")) as town:
        yield town


@pytest.fixture(scope="module")
def open_town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """For reading: in the quiet one somebody has signed out."""
    with Town(tmp_path_factory.mktemp("open_town")) as town:
        yield town


def test_every_route_is_in_a_table_and_no_other(quiet_town: Town) -> None:
    for place, router in routers(quiet_town).items():
        routes = sorted("%s %s" % (route.method, route.pattern) for route in router.routes)
        assert routes == sorted(TABLES[place])
    assert set(quiet_town.credentials) == set(NAMES)


def test_the_guard_is_passed_by_where_the_table_says_everybody_and_nowhere_else(quiet_town: Town) -> None:
    """A page looks for the sign-in by itself."""
    for place, router in routers(quiet_town).items():
        for route in router.routes:
            row = TABLES[place]["%s %s" % (route.method, route.pattern)]
            page = route.method == "GET" and not route.pattern.startswith("/web") and place != "api"
            assert route.public == (row.who == ALL) or page, route.pattern


ROWS = [(place, route) for place, table in TABLES.items() for route, row in table.items() if row.who != ALL]
OPEN = [(place, route) for place, table in TABLES.items() for route, row in table.items() if row.who == ALL]


@pytest.mark.parametrize("place, route", OPEN)
def test_what_is_open_to_all(quiet_town: Town, place: str, route: str) -> None:
    for name in NAMES:
        status = answer(quiet_town, place, route, TABLES[place][route], name)
        assert status in (200, 303, 400), "%s: %d" % (name, status)  # 303: from / to where one begins


@pytest.mark.parametrize("place, route", ROWS)
def test_who_is_not_named_is_refused_and_changes_nothing(quiet_town: Town, place: str, route: str) -> None:
    row, before = TABLES[place][route], quiet_town.everything()
    for name in [name for name in NAMES if name not in row.who]:
        status = answer(quiet_town, place, route, row, name)
        assert status in REFUSED[place], "%s was let in: %d" % (name, status)
    assert quiet_town.everything() == before


@pytest.mark.parametrize("place, route", ROWS)
def test_who_is_named_is_let_in(open_town: Town, tmp_path: Path, place: str, route: str) -> None:
    row, reads = TABLES[place][route], route.startswith("GET")
    with ExitStack() as after:
        town = open_town if reads else after.enter_context(Town(tmp_path))
        before = town.everything()
        for name in [name for name in NAMES if name in row.who]:
            status = answer(town, place, route, row, name)
            assert status not in REFUSED[place] and status < 500, "%s was refused: %d" % (name, status)
            assert status < 300 or place == "dashboard" or status == 409, name  # 409: made by the one before
        assert town.everything() == before or not reads


# ---- without a Hub: who has the server's token, or is its user by the word of the system, may everything

GUARDED = [route for route, row in API.items() if row.who != ALL]


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Alone]:
    with Alone(tmp_path) as servers:
        servers.credentials.update({"token": bearer(Alone.TOKEN), "wrong token": bearer("x" * 32)})
        yield servers


@pytest.mark.parametrize("route", GUARDED)
def test_without_a_hub_it_is_the_user_or_the_token_that_counts(alone: Alone, monkeypatch: pytest.MonkeyPatch,
                                                               route: str) -> None:
    before = alone.everything()
    for uid, name, refused in ((OTHER, "none", 403), (OTHER, "dashboard", 403), (OTHER, "wrong token", 401),
                               (None, "none", 401), (None, "wrong token", 401)):
        monkeypatch.setattr(socketowner, "client_uid", lambda _connection, uid=uid: uid)
        assert answer(alone, "api", route, API[route], name) == refused, (uid, name)
    monkeypatch.undo()
    assert answer(alone, "api", route, API[route], "none", **{"X-Forwarded-For": "10.0.0.1"}) == 401
    assert alone.everything() == before
    assert answer(alone, "api", route, API[route], "none") == 200
    monkeypatch.setattr(socketowner, "client_uid", lambda _connection: OTHER)
    status = answer(alone, "api", route, API[route], "token")
    assert status in (200, 409)  # 409: it was ended by the one before


@needs_root
def test_another_user_of_the_machine_is_let_in_nowhere(stranger: Send, alone: Alone,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alone, "send", lambda place, method, target, headers, body=b"": (
        stranger(alone.ports[place], method, target, headers, body), b""))
    before = alone.everything()
    api = [answer(alone, "api", route, API[route], "none") for route in GUARDED]
    pages = [answer(alone, "dashboard", route, row, "none")
             for route, row in DASHBOARD.items() if row.who != ALL]
    assert set(api) == {403} and set(pages) <= {401, 303}
    assert alone.everything() == before
